//! What is asked of queues.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Method, header};
use micronode_protocol::limits::{ONE_SHOT_BYTES, RECEIPTS, RECEIVE_MESSAGES};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::NOT_OF_A_QUEUE;
use super::{Http, ms, value};
use crate::mailbox::Settle;
use crate::{Attempt, Error, Message, QueueStats, Redriven, Sent, Verdict};

/// Bytes of an answer with a few numbers or names.
const SHORT_BYTES: usize = 4096;

/// Bytes of an answer with messages: of their bodies, one-shot in all, as base64, and of what is
/// around each of them. Dead letters have their history there.
const MESSAGES_BYTES: usize = 2 * ONE_SHOT_BYTES + RECEIVE_MESSAGES * 16 * 1024;

/// Bytes of an answer with a verdict on each receipt.
const VERDICTS_BYTES: usize = RECEIPTS * 256 + 1024;

#[derive(Deserialize)]
struct SentDocument {
    id: String,
    duplicate: bool,
}

#[derive(Deserialize)]
struct MessagesDocument<'a> {
    #[serde(borrow)]
    messages: Vec<MessageDocument<'a>>,
}

#[derive(Deserialize)]
struct MessageDocument<'a> {
    id: String,
    receipt: String,
    attempt: u32,
    #[serde(borrow)]
    enqueued_at: Cow<'a, str>,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(borrow, default)]
    history: Vec<AttemptDocument<'a>>,
}

#[derive(Deserialize)]
struct AttemptDocument<'a> {
    #[serde(borrow)]
    leased_at: Cow<'a, str>,
    #[serde(borrow)]
    ended_at: Cow<'a, str>,
    #[serde(borrow)]
    end: Cow<'a, str>,
}

#[derive(Deserialize)]
struct VerdictsDocument {
    results: Vec<VerdictDocument>,
}

#[derive(Deserialize)]
struct VerdictDocument {
    receipt: String,
    code: String,
}

#[derive(Deserialize)]
struct RemovedDocument {
    removed: u64,
}

impl Http {
    pub(in crate::transport) async fn send(
        &self,
        queue: &str,
        key: &str,
        delay: Duration,
        body: Bytes,
    ) -> Result<Sent, Error> {
        let name = header::HeaderName::from_static;
        let path = format!("/mbox/{queue}/send");
        let mut request = self.request(Method::POST, &path).bytes(body);
        if !key.is_empty() {
            request = request.header(name("idempotency-key"), value(key));
        }
        if !delay.is_zero() {
            request = request.header(name("delay"), value(ms(delay)));
        }
        let answer = self.answer(request).await?;
        let sent: SentDocument = answer.document(SHORT_BYTES, NOT_OF_A_QUEUE).await?;
        Ok(Sent {
            id: sent.id,
            duplicate: sent.duplicate,
        })
    }

    pub(in crate::transport) async fn receive(
        &self,
        queue: &str,
        max: u16,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>, Error> {
        let (waits, visible) = (ms(wait), ms(visibility));
        let path = format!("/mbox/{queue}/recv?max={max}&wait={waits}&visibility={visible}");
        let mut request = self.request(Method::POST, &path);
        request.wait = wait;
        let answer = self.answer(request).await?.collect(MESSAGES_BYTES).await?;
        let document: MessagesDocument<'_> =
            serde_json::from_slice(&answer).map_err(|_| NOT_OF_A_QUEUE)?;
        let messages: Option<Vec<_>> = document.messages.into_iter().map(message).collect();
        let messages = messages.ok_or(NOT_OF_A_QUEUE)?;
        if messages.len() > max.into() {
            return Err(NOT_OF_A_QUEUE);
        }
        Ok(messages)
    }

    pub(in crate::transport) async fn settle(
        &self,
        queue: &str,
        settle: Settle,
        receipts: &[&str],
    ) -> Result<Vec<Verdict>, Error> {
        let mut document = json!({"receipts": receipts});
        let verb = match settle {
            Settle::Ack => "ack",
            Settle::Nack { delay } => {
                if !delay.is_zero() {
                    document["delay"] = Value::from(ms(delay));
                }
                "nack"
            }
            Settle::Extend { visibility } => {
                document["visibility"] = Value::from(ms(visibility));
                "extend"
            }
        };
        let path = format!("/mbox/{queue}/{verb}");
        let answer = self.answer(self.request(Method::POST, &path).json(&document));
        let answer: VerdictsDocument = answer
            .await?
            .document(VERDICTS_BYTES, NOT_OF_A_QUEUE)
            .await?;
        let verdict = |(result, receipt): (&VerdictDocument, &&str)| {
            let all = [Verdict::Ok, Verdict::Late, Verdict::Unknown];
            let verdict = all.into_iter().find(|it| it.as_str() == result.code);
            verdict.filter(|_| result.receipt == *receipt)
        };
        let verdicts = answer.results.iter().zip(receipts).map(verdict);
        verdicts.collect::<Option<_>>().ok_or(NOT_OF_A_QUEUE)
    }

    pub(in crate::transport) async fn queue_stats(&self, queue: &str) -> Result<QueueStats, Error> {
        let answer = self.call(Method::GET, &format!("/mbox/{queue}")).await?;
        answer.document(SHORT_BYTES, NOT_OF_A_QUEUE).await
    }

    pub(in crate::transport) async fn purge(&self, queue: &str) -> Result<u64, Error> {
        let answer = self.call(Method::DELETE, &format!("/mbox/{queue}")).await?;
        let removed: RemovedDocument = answer.document(SHORT_BYTES, NOT_OF_A_QUEUE).await?;
        Ok(removed.removed)
    }

    pub(in crate::transport) async fn redrive(
        &self,
        queue: &str,
        limit: u32,
    ) -> Result<Redriven, Error> {
        let path = match limit {
            0 => format!("/mbox/{queue}/redrive"),
            limit => format!("/mbox/{queue}/redrive?limit={limit}"),
        };
        let answer = self.call(Method::POST, &path).await?;
        answer.document(SHORT_BYTES, NOT_OF_A_QUEUE).await
    }
}

fn message(document: MessageDocument<'_>) -> Option<Message> {
    let body = BASE64_STANDARD.decode(document.body.as_bytes());
    let history: Option<_> = document.history.iter().map(attempt).collect();
    Some(Message {
        id: document.id,
        receipt: document.receipt,
        attempt: document.attempt,
        enqueued_at: humantime::parse_rfc3339(&document.enqueued_at).ok()?,
        body: body.ok()?.into(),
        history: history?,
    })
}

fn attempt(document: &AttemptDocument<'_>) -> Option<Attempt> {
    Some(Attempt {
        leased_at: humantime::parse_rfc3339(&document.leased_at).ok()?,
        ended_at: humantime::parse_rfc3339(&document.ended_at).ok()?,
        nacked: document.end == "nacked",
    })
}
