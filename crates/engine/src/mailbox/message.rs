//! What is sent, and what comes of that.

use thiserror::Error;

use super::delivery::MessageId;
use super::stats::Quota;
use crate::budget::OverBudget;

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

/// Why a message, or a receiver, was not taken. Nothing has changed then.
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
