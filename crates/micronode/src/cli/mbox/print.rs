//! Messages on stdout, whose reader may go at any time.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use micronode_client::{Attempt, Client, Message, Verdict};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::exec::LAST_WORD;
use super::failure;
use super::signals::Signals;
use crate::failure::{Exit, Failure};
use crate::output::{self, rfc3339};

/// How a message is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Body,
    /// With a line feed at its end.
    Line,
    Json,
}

pub(super) struct Printer<'a> {
    client: &'a Client,
    queue: &'a str,
    form: Form,
    /// What was printed is acknowledged.
    ack: bool,
    pub(super) signals: Signals,
}

/// What became of messages.
pub(super) struct Printed {
    pub(super) count: usize,
    /// Some of them could not be acknowledged any more.
    pub(super) late: bool,
}

impl<'a> Printer<'a> {
    pub(super) fn new(
        client: &'a Client,
        queue: &'a str,
        form: Form,
        ack: bool,
    ) -> Result<Self, Failure> {
        Ok(Printer {
            client,
            queue,
            form,
            ack,
            signals: Signals::listen()?,
        })
    }

    /// Prints messages until a signal comes. What was not printed whole goes back to its queue.
    pub(super) async fn print(&mut self, messages: &[Message]) -> Result<Printed, Failure> {
        let mut count = 0;
        let mut written = Ok(());
        for message in messages {
            tokio::select! {
                biased;
                () = self.signals.next() => break,
                ended = output::write_aside(self.form.of(message)) => written = ended,
            }
            if written.is_err() {
                break;
            }
            count += 1;
        }
        let (printed, unprinted) = messages.split_at(count);
        self.give_back(unprinted).await;
        let late = self.ack && !printed.is_empty() && self.acknowledge(printed).await?;
        written?;
        Ok(Printed { count, late })
    }

    /// If the node does not hear it, their leases end by themselves.
    async fn give_back(&self, messages: &[Message]) {
        let receipts = receipts(messages);
        let nacked = self.client.nack(self.queue, Duration::ZERO, &receipts);
        let _ = timeout(LAST_WORD, nacked).await;
    }

    /// Reports those that may come again; whether there are any.
    async fn acknowledge(&mut self, messages: &[Message]) -> Result<bool, Failure> {
        let receipts = receipts(messages);
        let verdicts = tokio::select! {
            verdicts = self.client.ack(self.queue, &receipts) => verdicts,
            () = self.signals.second() => return Err(Failure::new(
                Exit::Failed,
                "the second signal came before the node had heard what was printed",
            )),
        };
        let verdicts = verdicts.map_err(|error| failure(error, self.queue))?;
        let mut late = false;
        for (message, verdict) in messages.iter().zip(verdicts) {
            if verdict != Verdict::Ok {
                let what = "printed, but its lease had ended by then: it may be received again";
                Failure::new(Exit::Failed, what).about(&message.id).report();
                late = true;
            }
        }
        Ok(late)
    }
}

impl Form {
    fn of(self, message: &Message) -> Vec<u8> {
        let mut bytes = match self {
            Form::Json => document(message).to_string().into_bytes(),
            Form::Body | Form::Line => message.body.to_vec(),
        };
        if self != Form::Body && !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        bytes
    }
}

fn receipts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|it| it.receipt.as_str()).collect()
}

/// A message as the node's HTTP has it.
fn document(message: &Message) -> Value {
    let mut document = json!({
        "id": message.id,
        "receipt": message.receipt,
        "attempt": message.attempt,
        "enqueued_at": date(message.enqueued_at),
        "body": BASE64_STANDARD.encode(&message.body),
    });
    if !message.history.is_empty() {
        let attempt = |it: &Attempt| {
            json!({
                "leased_at": date(it.leased_at),
                "ended_at": date(it.ended_at),
                "end": if it.nacked { "nacked" } else { "expired" },
            })
        };
        document["history"] = message.history.iter().map(attempt).collect();
    }
    document
}

fn date(date: SystemTime) -> Option<String> {
    rfc3339(&humantime::format_rfc3339_millis(date))
}
