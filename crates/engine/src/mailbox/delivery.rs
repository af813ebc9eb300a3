//! What a receiver is given.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::receipt::Receipt;
use super::text::Text;

/// A message's name: the same over all its deliveries, and nobody else's. Written as 22
/// characters that need no escaping in a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// Derived from the node's lasting key, so that ids of another queue or another node differ.
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
