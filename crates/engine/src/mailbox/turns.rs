//! What takes many holds of a queue's lock: the caller does other things between two turns.

use std::sync::Arc;

use super::Mailbox;
use super::directory::Entry;
use crate::Now;

/// A purge that has begun; see [`Mailbox::purge`]. What it has not come to stays if it is dropped.
#[must_use = "nothing is removed before its turns"]
pub struct Purge {
    mailbox: Mailbox,
    entry: Arc<Entry>,
    is_dead: bool,
    /// The last message that there was when it began.
    horizon: u64,
    /// The slot to go on with.
    from: u32,
    removed: u64,
}

impl Purge {
    pub(super) const fn new(
        mailbox: Mailbox,
        entry: Arc<Entry>,
        is_dead: bool,
        horizon: u64,
    ) -> Self {
        Self {
            mailbox,
            entry,
            is_dead,
            horizon,
            from: 0,
            removed: 0,
        }
    }

    /// Goes on for a bounded time; how many messages were removed in all once it is done.
    pub fn turn(&mut self, now: Now) -> Option<u64> {
        let terms = self.mailbox.terms(now);
        let turn = self.mailbox.with(&self.entry, &terms, |queue, effects| {
            queue.purge(self.is_dead, self.from, self.horizon, effects)
        });
        // A queue that was forgotten meanwhile was empty.
        let (removed, next) = turn.unwrap_or((0, None));
        self.removed += removed;
        match next {
            Some(next) => {
                self.from = next;
                None
            }
            None => Some(self.removed),
        }
    }
}

/// A redrive that has begun; see [`Mailbox::redrive`]. What it has not come to stays if it is
/// dropped.
#[must_use = "nothing is moved before its turns"]
pub struct Redrive {
    mailbox: Mailbox,
    entry: Arc<Entry>,
    /// How many more are to be moved.
    most: u64,
    moved: u64,
}

/// The outcome of a redrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Messages that were moved back.
    pub moved: u32,
    /// Dead letters that are left.
    pub left: u32,
}

impl Redrive {
    pub(super) const fn new(mailbox: Mailbox, entry: Arc<Entry>, most: u64) -> Self {
        Self {
            mailbox,
            entry,
            most,
            moved: 0,
        }
    }

    /// Goes on for a bounded time; the outcome once it is done.
    pub fn turn(&mut self, now: Now) -> Option<Redriven> {
        let terms = self.mailbox.terms(now);
        let turn = self.mailbox.with(&self.entry, &terms, |queue, effects| {
            let moved = queue.redrive(&terms, self.most, effects);
            (moved, queue.lane(true).messages())
        });
        let (moved, left) = turn.unwrap_or_default();
        self.most -= moved;
        self.moved += moved;
        // Nothing is moved once nothing may be: none is left, or the queue is full.
        (moved == 0 || self.most == 0).then_some(Redriven {
            moved: self.moved as u32,
            left: left as u32,
        })
    }
}
