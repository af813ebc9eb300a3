//! Putting back queues that were kept, before anybody uses the mailbox. Nothing of it is told to
//! the journal.
//!
//! A message is in its queue again, or among its dead letters, with its id, its deliveries and what
//! is left of its delay. A lease is not: whoever had it cannot settle it any more, because receipts
//! come from another key at every start.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use thiserror::Error;

use super::directory::Entry;
use super::effects::Effects;
use super::{Mailbox, SendError, body};
use crate::Now;
use crate::journal::{KeptKey, MessageState};

/// A queue that is being put back. It is complete when this is dropped.
#[must_use = "nothing but the queue itself is there yet"]
pub struct Restoring {
    mailbox: Mailbox,
    entry: Arc<Entry>,
    now: Now,
    last_sequence: u64,
    /// The message that was put back last.
    restored: u64,
}

/// Why something was not put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RestoreError {
    /// It cannot have been so: a queue of that name is there, or messages are not in the order in
    /// which they were sent.
    #[error("what was kept of a queue contradicts itself")]
    Inconsistent,
    /// There is no room for it. The configured bounds of queues do not apply: what was taken once
    /// is kept.
    #[error(transparent)]
    NoRoom(#[from] SendError),
}

impl Mailbox {
    /// Puts back a queue, to which messages were sent, the last of them with `last_sequence`.
    ///
    /// # Errors
    ///
    /// If a queue of that name is there, or it is one too many or not within the memory budget.
    pub fn restore_queue(
        &self,
        now: Now,
        number: u64,
        name: &str,
        last_sequence: u64,
    ) -> Result<Restoring, RestoreError> {
        self.restore_numbers(number.saturating_add(1));
        let (shard, hash) = self.shared.directory.of(name);
        let mut queues = shard.write();
        if queues.get(name, hash).is_some() {
            return Err(RestoreError::Inconsistent);
        }
        let entry = self.create(&mut queues, (name, hash), now, || number)?;
        drop(queues);
        entry.queue.lock().restore(last_sequence);
        Ok(Restoring {
            mailbox: self.clone(),
            entry,
            now,
            last_sequence,
            restored: 0,
        })
    }

    /// Gives no new queue a number below `next`: there was one with it.
    pub fn restore_numbers(&self, next: u64) {
        self.shared.next_queue.fetch_max(next, Relaxed);
    }
}

impl Restoring {
    /// Puts back a message, of which the bytes are copied; those that were sent earlier come
    /// earlier.
    ///
    /// # Errors
    ///
    /// If it does not come after the one before it, or there is no memory for it.
    pub fn message(
        &mut self,
        sequence: u64,
        body: &[u8],
        sent_wall_ms: u64,
        state: &MessageState,
    ) -> Result<(), RestoreError> {
        if sequence <= self.restored || sequence > self.last_sequence {
            return Err(RestoreError::Inconsistent);
        }
        let terms = self.mailbox.terms(self.now);
        let bytes = body.len() as u64;
        let body = body::copy(terms.budget, body).map_err(SendError::from)?;
        let mut queue = self.entry.queue.lock();
        queue.restore_message(&terms, sequence, body, sent_wall_ms, state)?;
        self.mailbox.shared.totals.restore_message(bytes);
        self.restored = sequence;
        Ok(())
    }

    /// Puts back an idempotency key; those that are forgotten earlier come earlier.
    ///
    /// # Errors
    ///
    /// If its message was never sent, there are as many keys as there may be, or there is no memory
    /// for it.
    pub fn key(&mut self, kept: KeptKey) -> Result<(), RestoreError> {
        if !(1..=self.last_sequence).contains(&kept.sequence) {
            return Err(RestoreError::Inconsistent);
        }
        let terms = self.mailbox.terms(self.now);
        self.entry.queue.lock().restore_key(&terms, &kept)?;
        Ok(())
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        let queue = self.entry.queue.lock();
        self.mailbox.finish(&self.entry, queue, Effects::default());
    }
}
