//! The fields of the operations on queues.
//!
//! Whether a text names a queue at all is asked with [`crate::name`]; here it has only a longest
//! length.

use bytes::BufMut;

use super::fields::{Field, FieldsError, Parsed, Reader, fields, front, whole};
use crate::limits::{IDEMPOTENCY_KEY_BYTES, RECEIPT_CHARS};
use crate::name::QueueRef;

fields! {
    /// In front of a message to *send*.
    SendRequest<'a> {
        /// The queue.
        queue: &'a str as queue,
        /// The idempotency key; empty for none.
        key: &'a str as idempotency_key,
        /// How long nobody receives it, in milliseconds.
        delay_ms: u32 as u32,
    }

    /// What became of a message.
    SendReply<'a> {
        /// Its id.
        id: &'a str as receipt,
        /// It had been sent before, under the same key.
        duplicate: bool as flag,
    }

    /// Of a *receive*.
    ReceiveRequest<'a> {
        /// The queue.
        queue: &'a str as queue,
        /// Most messages.
        max: u16 as u16,
        /// How long to wait for the first of them, in milliseconds.
        wait_ms: u32 as u32,
        /// How long they are nobody else's, in milliseconds; 0 for the default.
        visibility_ms: u32 as u32,
    }

    /// In front of the receipts of an *ack*.
    AckRequest<'a> {
        /// The queue.
        queue: &'a str as queue,
    }

    /// In front of the receipts of a *nack*.
    NackRequest<'a> {
        /// The queue.
        queue: &'a str as queue,
        /// How long nobody receives them, in milliseconds.
        delay_ms: u32 as u32,
    }

    /// In front of the receipts of an *extend*.
    ExtendRequest<'a> {
        /// The queue.
        queue: &'a str as queue,
        /// For how long from now on, in milliseconds; 0 for the default.
        visibility_ms: u32 as u32,
    }

    /// Of *stats* and of a *purge*.
    QueueRequest<'a> {
        /// The queue.
        queue: &'a str as queue,
    }

    /// Of a *subscribe*.
    SubscribeRequest<'a> {
        /// The queue.
        queue: &'a str as queue,
        /// Most messages that are leased through it at once.
        credit: u16 as u16,
        /// How long each is nobody else's, in milliseconds; 0 for the default.
        visibility_ms: u32 as u32,
    }

    /// What a *purge* has done.
    PurgeReply {
        /// Messages removed.
        removed: u64 as u64,
    }

    /// Of a *redrive*.
    RedriveRequest<'a> {
        /// The queue whose dead letters move back to it.
        queue: &'a str as queue,
        /// Most of them; 0 for all.
        limit: u32 as u32,
    }

    /// What a *redrive* has done.
    RedriveReply {
        /// Messages moved.
        moved: u32 as u32,
        /// Dead letters that are still there.
        left: u32 as u32,
    }
}

impl SendRequest<'_> {
    /// Most bytes that the fields take.
    pub const BYTES_MAX: usize = 2 + QueueRef::BYTES_MAX + 2 + IDEMPOTENCY_KEY_BYTES + 4;
}

macro_rules! with_receipts {
    ($($request:ident)*) => { $(
        impl<'a> $request<'a> {
            /// Reads a payload that is these fields and receipts, at most [`RECEIPTS`](crate::limits::RECEIPTS).
            ///
            /// # Errors
            ///
            /// If it is something else.
            pub fn decode_with_receipts(
                payload: &'a [u8],
            ) -> Result<(Self, Vec<&'a str>), FieldsError> {
                let (request, length) = Self::parse(payload)?.ok_or(FieldsError::Truncated)?;
                Ok((request, decode_receipts(&payload[length..])?))
            }
        }
    )* };
}

with_receipts! { AckRequest NackRequest ExtendRequest }

/// Writes one receipt. Receipts follow each other, to the end of the payload.
pub fn encode_receipt(receipt: &str, buffer: &mut impl BufMut) {
    receipt.put(buffer);
}

fn decode_receipts(payload: &[u8]) -> Result<Vec<&str>, FieldsError> {
    whole(payload, |payload| front(payload, Reader::receipts))
}

/// What became of one receipt; as a number, what it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// Done as asked.
    Ok = 0,
    /// The lease had run out.
    Late = 1,
    /// No such receipt.
    Unknown = 2,
}

impl Verdict {
    /// The word for it in HTTP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Late => "late",
            Self::Unknown => "unknown",
        }
    }
}

/// The answer to an *ack*, *nack* or *extend*: one byte for each receipt.
///
/// # Errors
///
/// If one is something else.
pub fn decode_verdicts(payload: &[u8]) -> Result<Vec<Verdict>, FieldsError> {
    let verdict = |byte: &u8| match byte {
        0 => Ok(Verdict::Ok),
        1 => Ok(Verdict::Late),
        2 => Ok(Verdict::Unknown),
        _ => Err(FieldsError::Value),
    };
    payload.iter().map(verdict).collect()
}

/// A message as it is delivered. Those of a *receive* follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The message.
    pub id: &'a str,
    /// This delivery of it.
    pub receipt: &'a str,
    /// Which one it is, from 1.
    pub attempt: u32,
    /// When it was sent.
    pub enqueued_ms: u64,
    /// The message's bytes.
    pub body: &'a [u8],
}

impl<'a> Delivery<'a> {
    /// Most bytes in front of the body: two texts and three numbers.
    pub const HEAD_BYTES_MAX: usize = 2 * (2 + RECEIPT_CHARS) + 4 + 8 + 4;

    /// Writes what stands in front of the body, its length too. The body is left to the caller, who
    /// may have it without a copy.
    pub fn encode(&self, buffer: &mut impl BufMut) {
        self.id.put(buffer);
        self.receipt.put(buffer);
        self.attempt.put(buffer);
        self.enqueued_ms.put(buffer);
        let length = u32::try_from(self.body.len());
        length.expect("a message within its cap").put(buffer);
    }

    /// Reads the delivery at the front of a payload, its body too.
    ///
    /// # Errors
    ///
    /// If more bytes would not help.
    pub fn parse(payload: &'a [u8]) -> Parsed<Self> {
        front(payload, |reader| {
            Ok(Self {
                id: reader.receipt()?,
                receipt: reader.receipt()?,
                attempt: reader.u32()?,
                enqueued_ms: reader.u64()?,
                body: reader.message()?,
            })
        })
    }
}

#[cfg(test)]
#[path = "mailbox_tests.rs"]
mod tests;
