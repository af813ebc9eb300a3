//! `micronode mbox`: queues of messages.

mod exec;
mod print;
mod recv;
mod signals;

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use clap::{Args, Subcommand};
use futures_util::FutureExt;
use micronode_client::{Client, Error, Key, ReceiveOptions, SendOptions, Verdict};
use micronode_protocol::limits::{MESSAGE_BYTES_MAX, VISIBILITY, WAIT_MAX};
use micronode_server::config::duration;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::failure::{Exit, Failure};
use crate::output;
use print::{Form, Printer};

/// Send messages to queues, receive them, and look after the queues
///
/// A queue is there as soon as it is sent to. A message that was received is nobody else's until
/// its lease ends; who does not acknowledge it by then, or returns it, will see it again, and after
/// a few times it is among the dead letters, which are the queue QUEUE.dlq.
#[derive(Args)]
pub(super) struct Mbox {
    #[command(subcommand)]
    verb: MboxVerb,
}

#[derive(Subcommand)]
enum MboxVerb {
    Send(Send),
    Recv(recv::Recv),
    Ack(Ack),
    Nack(Nack),
    Stats(Stats),
    Purge(Purge),
    Redrive(Redrive),
    Tail(Tail),
}

/// Send a message and print its id
#[derive(Args)]
#[command(after_help = "Examples:
  echo 'build 7' | micronode mbox send jobs
  micronode mbox send jobs order.json --key order-7
  micronode mbox send reminders note.txt --delay 10m")]
struct Send {
    /// The queue, which begins with its first message
    #[arg(value_name = "QUEUE")]
    queue: String,
    /// The message; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Send only once under this key: again within ten minutes, it is the message that was sent
    /// first [default: a new one, so that a repeated attempt sends one message]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Nobody receives it before this time has passed, such as 5s
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    delay: Option<Duration>,
}

/// Acknowledge messages: they are done, and gone
///
/// Exit code 3 when the lease of any had ended, or never was.
#[derive(Args)]
#[command(after_help = "Examples:
  micronode mbox ack jobs RECEIPT
  micronode mbox ack jobs $(micronode mbox recv jobs --max 9 --json | jq -r .receipt)")]
struct Ack {
    /// The queue that they were received from
    #[arg(value_name = "QUEUE")]
    queue: String,
    /// As `recv --json` prints them
    #[arg(required = true, value_name = "RECEIPT")]
    receipts: Vec<String>,
}

/// Return messages to their queue
///
/// Exit code 3 when the lease of any had ended, or never was.
#[derive(Args)]
#[command(after_help = "Examples:
  micronode mbox nack jobs RECEIPT
  micronode mbox nack jobs RECEIPT --delay 1m")]
struct Nack {
    /// The queue that they were received from
    #[arg(value_name = "QUEUE")]
    queue: String,
    /// As `recv --json` prints them
    #[arg(required = true, value_name = "RECEIPT")]
    receipts: Vec<String>,
    /// Nobody receives them before this time has passed, such as 5s
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    delay: Option<Duration>,
}

/// Count the messages of a queue
#[derive(Args)]
#[command(after_help = "Examples:
  micronode mbox stats jobs
  micronode mbox stats jobs.dlq --json")]
struct Stats {
    /// The queue, or its dead letters as QUEUE.dlq
    #[arg(value_name = "QUEUE")]
    queue: String,
}

/// Remove all messages of a queue, also those that somebody is at work on
#[derive(Args)]
#[command(after_help = "Examples:
  micronode mbox purge jobs
  micronode mbox purge jobs.dlq")]
struct Purge {
    /// The queue, or its dead letters as QUEUE.dlq
    #[arg(value_name = "QUEUE")]
    queue: String,
}

/// Move dead letters back into their queue, the oldest first
#[derive(Args)]
#[command(after_help = "Examples:
  micronode mbox redrive jobs
  micronode mbox redrive jobs --limit 10")]
struct Redrive {
    /// The queue that they came from
    #[arg(value_name = "QUEUE")]
    queue: String,
    /// Move at most so many [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

/// Receive messages for ever, print and acknowledge them, until interrupted
///
/// Each message ends with a line feed, which is added where it has none. When nobody reads them any
/// more, that is the end, too; what was received and not printed whole goes back to its queue.
#[derive(Args)]
#[command(after_help = "Examples:
  micronode mbox tail log
  micronode mbox tail log --json")]
struct Tail {
    /// The queue
    #[arg(value_name = "QUEUE")]
    queue: String,
}

impl Mbox {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Result<Exit, Failure> {
        match self.verb {
            MboxVerb::Send(send) => send.run(client, as_json).await,
            MboxVerb::Recv(recv) => {
                let received = recv.run(client, as_json).await;
                received.or_else(Failure::unless_reader_gone)
            }
            MboxVerb::Ack(ack) => {
                let verdicts = client.ack(&ack.queue, &ack.receipts).await;
                print_verdicts(&ack.queue, &ack.receipts, verdicts, as_json)
            }
            MboxVerb::Nack(nack) => {
                let delay = nack.delay.unwrap_or_default();
                let verdicts = client.nack(&nack.queue, delay, &nack.receipts).await;
                print_verdicts(&nack.queue, &nack.receipts, verdicts, as_json)
            }
            MboxVerb::Stats(stats) => stats.run(client, as_json).await,
            MboxVerb::Purge(purge) => purge.run(client, as_json).await,
            MboxVerb::Redrive(redrive) => redrive.run(client, as_json).await,
            MboxVerb::Tail(tail) => {
                let ended = tail.run(client, as_json).await;
                ended.or_else(Failure::unless_reader_gone)
            }
        }
    }
}

/// How what is asked of a queue fails.
fn failure(error: Error, queue: &str) -> Failure {
    let hint = match error.status() {
        Some(404) => {
            "a queue is there once it is sent to, and is forgotten after 10 minutes without messages"
        }
        Some(413) => {
            "the node's limits.mailbox.max_body bounds the size of messages: put it as an object, \
             and send its address"
        }
        _ => return Failure::from(error).about(queue),
    };
    Failure::from(error).about(queue).hint(hint)
}

impl Send {
    async fn run(self, client: &Client, as_json: bool) -> Result<Exit, Failure> {
        let body = self.body().await?;
        let options = SendOptions {
            key: self.key.map_or(Key::Random, Key::Given),
            delay: self.delay,
        };
        let sent = client.send(&self.queue, body.into(), &options).await;
        let sent = sent.map_err(|error| failure(error, &self.queue))?;
        output::line(
            as_json,
            || sent.id.clone(),
            || json!({"id": sent.id, "duplicate": sent.duplicate}),
        )?;
        Ok(Exit::Done)
    }

    async fn body(&self) -> Result<Vec<u8>, Failure> {
        let local = |error| Failure::local(self.file.display(), &error);
        let body = if self.file.as_os_str() == OsStr::new("-") {
            read(tokio::io::stdin()).await
        } else {
            read(tokio::fs::File::open(&self.file).await.map_err(local)?).await
        };
        let body = body.map_err(local)?;
        if body.len() > MESSAGE_BYTES_MAX {
            let what = "it is larger than a message may be: 1 MiB, or less as the node is set up";
            return Err(Failure::new(Exit::Refused, what)
                .about(self.file.display())
                .or_hint("put it as an object, and send its address"));
        }
        Ok(body)
    }
}

/// Reads a message, or enough to see that it is too long to be one.
async fn read(from: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut from = from.take(MESSAGE_BYTES_MAX as u64 + 1);
    from.read_to_end(&mut body).await?;
    Ok(body)
}

fn print_verdicts(
    queue: &str,
    receipts: &[String],
    verdicts: Result<Vec<Verdict>, Error>,
    as_json: bool,
) -> Result<Exit, Failure> {
    let verdicts = verdicts.map_err(|error| failure(error, queue))?;
    let mut exit = Exit::Done;
    for (receipt, verdict) in receipts.iter().zip(verdicts) {
        let code = verdict.as_str();
        output::line(
            as_json,
            || format!("{receipt}  {code}"),
            || json!({"receipt": receipt, "code": code}),
        )?;
        if verdict != Verdict::Ok {
            exit = Exit::NotFound;
        }
    }
    Ok(exit)
}

impl Stats {
    async fn run(self, client: &Client, as_json: bool) -> Result<Exit, Failure> {
        let stats = client.queue_stats(&self.queue).await;
        let stats = stats.map_err(|error| failure(error, &self.queue))?;
        let rows = [
            ("ready", stats.ready),
            ("leased", stats.leased),
            ("delayed", stats.delayed),
            ("dead", stats.dead),
            ("bytes", stats.bytes),
        ];
        output::line(
            as_json,
            || {
                rows.map(|(name, count)| format!("{name:<8} {count}"))
                    .join("\n")
            },
            || {
                let mut document = json!({"queue": self.queue});
                for (name, count) in rows {
                    document[name] = count.into();
                }
                document
            },
        )?;
        Ok(Exit::Done)
    }
}

impl Purge {
    async fn run(self, client: &Client, as_json: bool) -> Result<Exit, Failure> {
        let removed = client.purge(&self.queue).await;
        let removed = removed.map_err(|error| failure(error, &self.queue))?;
        output::line(
            as_json,
            || format!("{removed} removed"),
            || json!({"queue": self.queue, "removed": removed}),
        )?;
        Ok(Exit::Done)
    }
}

impl Redrive {
    async fn run(self, client: &Client, as_json: bool) -> Result<Exit, Failure> {
        let redriven = client.redrive(&self.queue, self.limit.unwrap_or(0)).await;
        let redriven = redriven.map_err(|error| failure(error, &self.queue))?;
        let (moved, left) = (redriven.moved, redriven.left);
        output::line(
            as_json,
            || format!("{moved} moved, {left} left"),
            || json!({"queue": self.queue, "moved": moved, "left": left}),
        )?;
        Ok(Exit::Done)
    }
}

impl Tail {
    /// One message at a time is leased, and the next when that one is printed and acknowledged:
    /// whoever reads may go at any time, and each message that is held then has been delivered once
    /// more, however it is given back. So one costs two round trips instead of one, which is still
    /// faster than anybody reads; who wants more at once has `recv`.
    async fn run(self, client: &Client, as_json: bool) -> Result<Exit, Failure> {
        let form = if as_json { Form::Json } else { Form::Line };
        let mut printer = Printer::new(client, &self.queue, form, true)?;
        let mut exit = Exit::Done;
        let options = ReceiveOptions {
            max: 1,
            wait: WAIT_MAX,
            visibility: VISIBILITY,
        };
        let mut reader_gone = pin!(output::reader_gone());
        while (&mut reader_gone).now_or_never().is_none() {
            let received = tokio::select! {
                // What has been received is printed, or given back.
                biased;
                received = client.receive(&self.queue, &options) => received,
                () = printer.signals.next() => break,
                () = &mut reader_gone => break,
            };
            let messages = received.map_err(|error| failure(error, &self.queue))?;
            let printed = printer.print(&messages).await?;
            if printed.late {
                exit = Exit::Failed;
            }
            if printer.signals.stopping {
                break;
            }
        }
        Ok(exit)
    }
}
