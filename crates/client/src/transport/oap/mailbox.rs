//! What is asked of queues.

use std::time::Duration;

use bytes::Bytes;
use micronode_protocol::limits::{ONE_SHOT_BYTES, RECEIPT_CHARS, RECEIVE_MESSAGES};
use micronode_protocol::operation::{
    AckRequest, Delivery, ExtendRequest, NackRequest, Operation, PurgeReply, QueueRequest,
    ReceiveRequest, RedriveReply, RedriveRequest, SendReply, SendRequest, Verdict, decode_verdicts,
    encode_receipt,
};

use super::super::NOT_OF_A_QUEUE;
use super::Oap;
use super::stream::Request;
use crate::mailbox::Settle;
use crate::{Error, Message, QueueStats, Redriven, Sent, clock};

/// Bytes of the statistics of a queue, with room for white space and members to come.
const STATS_BYTES: usize = 4096;

impl Oap {
    pub(in crate::transport) async fn send(
        &self,
        queue: &str,
        key: &str,
        delay: Duration,
        body: Bytes,
    ) -> Result<Sent, Error> {
        let mut fields = Vec::new();
        let delay_ms = ms(delay);
        SendRequest {
            queue,
            key,
            delay_ms,
        }
        .encode(&mut fields);
        let limit = 2 + RECEIPT_CHARS + 1;
        let answer = self.ask(Operation::Send, fields, body, limit).await?;
        let reply = SendReply::decode(&answer).map_err(|_| NOT_OF_A_QUEUE)?;
        Ok(Sent {
            id: reply.id.to_owned(),
            duplicate: reply.duplicate,
        })
    }

    pub(in crate::transport) async fn receive(
        &self,
        queue: &str,
        max: u16,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>, Error> {
        let mut fields = Vec::new();
        ReceiveRequest {
            queue,
            max,
            wait_ms: ms(wait),
            visibility_ms: ms(visibility),
        }
        .encode(&mut fields);
        let request = Request {
            operation: Operation::Receive,
            fields,
            body: Bytes::new(),
            last: true,
            // The bodies of several messages are one-shot in all, and so is the body of one.
            allowed: ONE_SHOT_BYTES + RECEIVE_MESSAGES * Delivery::HEAD_BYTES_MAX,
            room: None,
        };
        let mut answer = self.ask_for(request, wait).await?;
        let mut messages = Vec::new();
        while !answer.is_empty() && messages.len() < max.into() {
            messages.push(message(&mut answer)?);
        }
        if !answer.is_empty() {
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
        let mut fields = Vec::new();
        let operation = match settle {
            Settle::Ack => {
                AckRequest { queue }.encode(&mut fields);
                Operation::Ack
            }
            Settle::Nack { delay } => {
                let delay_ms = ms(delay);
                NackRequest { queue, delay_ms }.encode(&mut fields);
                Operation::Nack
            }
            Settle::Extend { visibility } => {
                let visibility_ms = ms(visibility);
                ExtendRequest {
                    queue,
                    visibility_ms,
                }
                .encode(&mut fields);
                Operation::Extend
            }
        };
        for receipt in receipts {
            encode_receipt(receipt, &mut fields);
        }
        let answer = self
            .ask(operation, fields, Bytes::new(), receipts.len())
            .await?;
        decode_verdicts(&answer).map_err(|_| NOT_OF_A_QUEUE)
    }

    pub(in crate::transport) async fn queue_stats(&self, queue: &str) -> Result<QueueStats, Error> {
        let mut fields = Vec::new();
        QueueRequest { queue }.encode(&mut fields);
        let answer = self
            .ask(Operation::QueueStats, fields, Bytes::new(), STATS_BYTES)
            .await?;
        serde_json::from_slice(&answer).map_err(|_| NOT_OF_A_QUEUE)
    }

    pub(in crate::transport) async fn purge(&self, queue: &str) -> Result<u64, Error> {
        let mut fields = Vec::new();
        QueueRequest { queue }.encode(&mut fields);
        let answer = self.ask(Operation::Purge, fields, Bytes::new(), 8).await?;
        let reply = PurgeReply::decode(&answer).map_err(|_| NOT_OF_A_QUEUE)?;
        Ok(reply.removed)
    }

    pub(in crate::transport) async fn redrive(
        &self,
        queue: &str,
        limit: u32,
    ) -> Result<Redriven, Error> {
        let mut fields = Vec::new();
        RedriveRequest { queue, limit }.encode(&mut fields);
        let answer = self
            .ask(Operation::Redrive, fields, Bytes::new(), 4 + 4)
            .await?;
        let reply = RedriveReply::decode(&answer).map_err(|_| NOT_OF_A_QUEUE)?;
        Ok(Redriven {
            moved: reply.moved,
            left: reply.left,
        })
    }
}

/// Takes the message at the front of a payload.
pub(super) fn message(payload: &mut Bytes) -> Result<Message, Error> {
    let parsed = Delivery::parse(payload).map_err(|_| NOT_OF_A_QUEUE)?;
    let (delivery, length) = parsed.ok_or(NOT_OF_A_QUEUE)?;
    let message = Message {
        id: delivery.id.to_owned(),
        receipt: delivery.receipt.to_owned(),
        attempt: delivery.attempt,
        enqueued_at: clock::date(delivery.enqueued_ms),
        body: payload.slice_ref(delivery.body),
        history: Vec::new(),
    };
    drop(payload.split_to(length));
    Ok(message)
}

/// A duration as its field has it; the longest for what is longer, which the node then judges.
pub(super) fn ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
