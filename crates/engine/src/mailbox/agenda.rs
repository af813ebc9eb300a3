//! Which queue has something to do next, of all queues.
//!
//! A queue is here under a time that is not later than its next deadline, and moves only to become
//! earlier: a lease that is acknowledged in time never comes here. When its time has come, the
//! sweep finds out when it really has something to do. So queues meet at this lock rarely.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use super::directory::Entry;

#[derive(Default)]
pub(super) struct Agenda {
    /// By time, then by the number of the queue.
    queues: BTreeMap<(u64, u64), Arc<Entry>>,
    earlier: Option<Waker>,
}

impl Agenda {
    pub(super) fn next(&self) -> Option<u64> {
        self.queues.keys().next().map(|(at_ms, _)| *at_ms)
    }

    /// Up to `most` queues, those that are looked after next.
    pub(super) fn first(&self, most: usize) -> Vec<Arc<Entry>> {
        self.queues.values().take(most).cloned().collect()
    }

    /// Moves a queue from one time to an earlier one. The waker to be woken if it is the first now.
    #[must_use]
    pub(super) fn advance(
        &mut self,
        entry: &Arc<Entry>,
        from_ms: u64,
        to_ms: u64,
    ) -> Option<Waker> {
        self.remove(entry, from_ms);
        let is_first = self.next().is_none_or(|next| to_ms < next);
        self.queues.insert((to_ms, entry.number), Arc::clone(entry));
        self.earlier.take_if(|_| is_first)
    }

    pub(super) fn remove(&mut self, entry: &Entry, at_ms: u64) {
        self.queues.remove(&(at_ms, entry.number));
    }

    /// The next queue that is due, which leaves, and the time under which it was here.
    pub(super) fn pop_due(&mut self, now_ms: u64) -> Option<(u64, Arc<Entry>)> {
        let first = self.queues.first_entry()?;
        let (at_ms, _) = *first.key();
        (at_ms <= now_ms).then(|| (at_ms, first.remove()))
    }

    /// The waker that was there, to be dropped once the lock is released.
    #[must_use]
    pub(super) fn wake_when_earlier(&mut self, waker: &Waker) -> Option<Waker> {
        self.earlier.replace(waker.clone())
    }
}
