//! Somebody who waits.

use std::sync::Arc;
use std::task::Waker;

use super::directory::Entry;
use super::effects::Effects;
use super::{Delivery, Mailbox};
use crate::Now;

/// A long-poll or a subscription at one queue. Dropping it passes on a wake that it did not use;
/// what it has leased stays leased.
pub struct Receiver {
    mailbox: Mailbox,
    entry: Arc<Entry>,
    is_dead: bool,
    number: u64,
}

impl Receiver {
    pub(super) const fn new(
        mailbox: Mailbox,
        entry: Arc<Entry>,
        is_dead: bool,
        number: u64,
    ) -> Self {
        Self {
            mailbox,
            entry,
            is_dead,
            number,
        }
    }

    /// Whether a message is visible, and there is credit for it. If not, `waker` is woken when
    /// that has changed: whoever came first is first, and keeps that place until it has received
    /// something.
    pub fn poll_ready(&mut self, now: Now, waker: &Waker) -> bool {
        let terms = self.mailbox.terms(now);
        let ready = self.mailbox.with(&self.entry, &terms, |queue, effects| {
            let lane = queue.lane(self.is_dead);
            let visible = lane.ready > 0;
            lane.waiters.poll(self.number, visible, waker, effects)
        });
        ready.unwrap_or(false)
    }

    /// Leases up to `max` messages that are visible now, within the credit.
    pub fn receive(&mut self, now: Now, max: usize, visibility_ms: u64, out: &mut Vec<Delivery>) {
        let terms = self.mailbox.terms(now);
        let before = out.len();
        self.mailbox.with(&self.entry, &terms, |queue, effects| {
            let waiters = &queue.lane(self.is_dead).waiters;
            let (most, is_counted) = waiters.credit(self.number, max);
            let receiver = if is_counted { self.number } else { 0 };
            let count = queue.receive(&terms, self.is_dead, receiver, most, visibility_ms, out);
            let waiters = &mut queue.lane(self.is_dead).waiters;
            waiters.received(self.number, count, effects);
        });
        self.entry.seal(self.is_dead, &mut out[before..]);
    }

    /// Passes its turn on, as long as it could do nothing with a message: the next one in order is
    /// woken instead. It keeps its place, and is not woken itself before it has polled again.
    pub fn decline(&mut self) {
        let mut effects = Effects::default();
        let mut queue = self.entry.queue.lock();
        let waiters = &mut queue.lane(self.is_dead).waiters;
        waiters.decline(self.number, &mut effects);
        self.mailbox.finish(&self.entry, queue, effects);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut effects = Effects::default();
        let mut queue = self.entry.queue.lock();
        let waiters = &mut queue.lane(self.is_dead).waiters;
        waiters.leave(self.number, &mut effects);
        let may_be_forgotten = queue.may_be_forgotten(0);
        self.mailbox.finish(&self.entry, queue, effects);
        if may_be_forgotten {
            self.mailbox.forget(&self.entry, 0);
        }
    }
}
