//! What a receiver is given.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use super::receipt::Receipt;

/// A message's name: the same over all its deliveries, and nobody else's. Written as 22
/// characters that need no escaping in a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// Derived from the node's key, so that ids of another queue or another start differ.
    pub(super) queue: u64,
    /// Counts the messages of the queue.
    pub(super) sequence: u64,
}

impl MessageId {
    /// As it is written.
    pub fn text(self) -> Text {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.queue.to_be_bytes());
        bytes[8..].copy_from_slice(&self.sequence.to_be_bytes());
        Text::of(&bytes)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text())
    }
}

/// An id or a receipt as it is written, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    digits: [u8; TEXT_CHARS],
    length: usize,
}

/// Base64url of 28 bytes.
const TEXT_CHARS: usize = 38;

impl Text {
    /// Up to 28 bytes as base64url.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut digits = [0; TEXT_CHARS];
        let length = URL_SAFE_NO_PAD.encode_slice(bytes, &mut digits);
        let length = length.expect("no more than 28 bytes");
        Self { digits, length }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.digits[..self.length]).expect("base64url is ASCII")
    }
}

/// A message that is leased to whoever was given this.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message's id.
    pub id: MessageId,
    /// For the ack, the nack or the extension of this delivery.
    pub receipt: Receipt,
    /// Deliveries since the message was sent or redriven, this one included.
    pub attempt: u32,
    /// When the message was sent, in milliseconds since the Unix epoch.
    pub enqueued_wall_ms: u64,
    /// The bytes that were sent; wiped when the last clone goes.
    pub body: Bytes,
    /// Deliveries that failed; `None` if none has.
    pub history: Option<Arc<[Attempt]>>,
}

/// A delivery that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When the lease began, in milliseconds since the Unix epoch.
    pub leased_wall_ms: u64,
    /// When it ended.
    pub ended_wall_ms: u64,
    /// How it ended.
    pub end: AttemptEnd,
}

/// How a delivery failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The lease ran out.
    Expired,
    /// The message was given back.
    Nacked,
}
