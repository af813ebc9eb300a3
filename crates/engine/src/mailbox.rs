//! Queues with at-least-once delivery, in memory.
#![allow(
    unused_variables,
    clippy::needless_pass_by_value,
    clippy::ptr_arg,
    reason = "signatures first, for those who build on them"
)]

mod delivery;
mod receipt;
mod receiver;
mod stats;

use std::task::Waker;

use micronode_protocol::name::QueueRef;
use thiserror::Error;
use zeroize::Zeroizing;

pub use delivery::{Attempt, AttemptEnd, Delivery, MessageId};
pub use receipt::{Receipt, Verdict};
pub use receiver::Receiver;
pub use stats::{Depths, MailboxCounters, QueueDepth, QueueStats, Quota};

use crate::Now;
use crate::budget::{Budget, OverBudget};

/// What the operator chose for queues. Dead letters count for the queue that they came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxConfig {
    /// Messages of one queue.
    pub max_messages: u64,
    /// Bytes of the bodies of one queue.
    pub max_bytes: u64,
    /// Messages of all queues.
    pub max_messages_total: u64,
    /// Bytes of the bodies of all queues.
    pub max_bytes_total: u64,
    /// Largest body in bytes.
    pub max_body: usize,
    /// A message whose delivery failed so often is a dead letter.
    pub max_deliveries: u32,
    /// How long an idempotency key is remembered, in milliseconds.
    pub window_ms: u64,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Send<'a> {
    /// Copied into memory that is wiped.
    pub body: &'a [u8],
    /// The message is visible after so many milliseconds.
    pub delay_ms: u64,
    /// Under this, the message is sent once, however often it is tried.
    pub idempotency: Option<Idempotency<'a>>,
}

/// An idempotency key, and whose it is: another holder's same key is another key.
#[derive(Clone, Copy, Debug)]
pub struct Idempotency<'a> {
    /// Stands for the holder; the caller derives it from what the holder presented.
    pub holder: [u8; 32],
    /// The holder's key.
    pub key: &'a str,
}

/// The outcome of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The message's id; that of the first send for a duplicate.
    pub id: MessageId,
    /// The message had been sent under the same key before.
    pub duplicate: bool,
}

/// Why a message was not taken. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The body is longer than `max_body`.
    #[error("longer than the longest message allowed")]
    TooLarge,
    /// A bound of the queue or of all queues is reached.
    #[error("the quota of {} is exhausted", .0.as_str())]
    Quota(Quota),
    /// Does not fit the memory budget.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// The key was used for another body.
    #[error("the idempotency key was used for another body")]
    KeyReused,
}

/// There are as many queues as there may be, or there is no memory for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no room for another queue")]
pub struct TooManyQueues;

/// The outcome of a redrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Messages that were moved back.
    pub moved: u32,
    /// Dead letters that are left.
    pub left: u32,
}

/// The queues of a node. Clones share them.
#[derive(Clone)]
pub struct Mailbox {
    _key: Zeroizing<[u8; 32]>,
}

impl Mailbox {
    /// A mailbox without queues that takes its memory from `budget`. Receipts are made with `key`.
    pub fn new(config: MailboxConfig, budget: Budget, key: [u8; 32]) -> Self {
        Self {
            _key: Zeroizing::new(key),
        }
    }

    /// Changes the bounds from now on. What is there already stays.
    pub fn configure(&self, config: MailboxConfig) {}

    /// Sends a message; the queue need not exist.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn send(&self, now: Now, queue: &str, message: Send<'_>) -> Result<Sent, SendError> {
        Err(SendError::Quota(Quota::Queues))
    }

    /// Somebody who waits for messages of `queue`.
    ///
    /// # Errors
    ///
    /// If the queue is new and one too many.
    pub fn receiver(
        &self,
        now: Now,
        queue: QueueRef<'_>,
        credit: Option<u16>,
    ) -> Result<Receiver, TooManyQueues> {
        Err(TooManyQueues)
    }

    /// Leases up to `max` messages that are visible now.
    pub fn receive(
        &self,
        now: Now,
        queue: QueueRef<'_>,
        max: usize,
        visibility_ms: u64,
        out: &mut Vec<Delivery>,
    ) {
    }

    /// Removes messages.
    pub fn ack(&self, now: Now, queue: QueueRef<'_>, receipts: &[&str], out: &mut Vec<Verdict>) {
        out.extend(receipts.iter().map(|_| Verdict::Unknown));
    }

    /// Gives messages back.
    pub fn nack(
        &self,
        now: Now,
        queue: QueueRef<'_>,
        delay_ms: u64,
        receipts: &[&str],
        out: &mut Vec<Verdict>,
    ) {
        out.extend(receipts.iter().map(|_| Verdict::Unknown));
    }

    /// Lets leases end `visibility_ms` from now.
    pub fn extend(
        &self,
        now: Now,
        queue: QueueRef<'_>,
        visibility_ms: u64,
        receipts: &[&str],
        out: &mut Vec<Verdict>,
    ) {
        out.extend(receipts.iter().map(|_| Verdict::Unknown));
    }

    /// What a queue holds; `None` if it was never sent to, or was forgotten.
    pub fn stats(&self, now: Now, queue: QueueRef<'_>) -> Option<QueueStats> {
        None
    }

    /// Removes all messages of a queue; how many there were.
    pub fn purge(&self, now: Now, queue: QueueRef<'_>) -> Option<u64> {
        None
    }

    /// Moves up to `limit` dead letters back, the oldest first; all of them for 0.
    pub fn redrive(&self, now: Now, queue: &str, limit: u32) -> Option<Redriven> {
        None
    }

    /// When [`sweep`](Self::sweep) has something to do, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        None
    }

    /// Wakes `waker`, once, when [`next_deadline`](Self::next_deadline) has become earlier.
    pub fn wake_when_earlier(&self, waker: &Waker) {}

    /// Does what is due. True if more is: call again soon.
    pub fn sweep(&self, now: Now) -> bool {
        false
    }

    /// What each of the first `most` queues by name holds, and all others together.
    pub fn depths(&self, now: Now, most: usize) -> Depths {
        Depths::default()
    }

    /// What has happened since the start.
    pub fn counters(&self) -> MailboxCounters {
        MailboxCounters::default()
    }

    /// Removes everything.
    pub fn clear(&self) {}
}
