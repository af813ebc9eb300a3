//! The messages of a queue, or its dead letters: which are visible, in the order in which they
//! were sent, and how many are not.

use super::heap::Heap;
use super::slab::{NONE, Slab, State};
use super::waiters::Waiters;
use crate::Now;
use crate::budget::Budget;

/// A message that becomes visible after all others before it goes to the end of a list. One that
/// comes back, and so belongs further to the front, goes to a heap beside it. Both are in order,
/// and so is what is taken from whichever begins earlier.
pub(super) struct Lane {
    first: u32,
    last: u32,
    returned: Heap,
    pub(super) ready: u64,
    pub(super) leased: u64,
    pub(super) delayed: u64,
    /// Bytes of the bodies of all of them.
    pub(super) bytes: u64,
    pub(super) waiters: Waiters,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self {
            first: NONE,
            last: NONE,
            returned: Heap::new(),
            ready: 0,
            leased: 0,
            delayed: 0,
            bytes: 0,
            waiters: Waiters::default(),
        }
    }

    pub(super) const fn messages(&self) -> u64 {
        self.ready + self.leased + self.delayed
    }

    /// The visible message that was sent first.
    pub(super) fn first(&self, slots: &Slab) -> Option<u32> {
        match self.returned.first() {
            Some((sequence, slot)) if !self.begins_before(slots, sequence) => Some(slot),
            _ => (self.first != NONE).then_some(self.first),
        }
    }

    fn begins_before(&self, slots: &Slab, sequence: u64) -> bool {
        self.first != NONE && slots[self.first].sequence < sequence
    }

    /// Makes a message visible that is in no list and no heap.
    pub(super) fn show(&mut self, slots: &mut Slab, slot: u32, now: Now, budget: &Budget) {
        self.ready += 1;
        let sequence = slots[slot].sequence;
        slots[slot].at_ms = now.mono_ms;
        if self.last == NONE || slots[self.last].sequence < sequence {
            self.append(slots, slot);
        } else if self
            .returned
            .reserve(self.returned.len() + 1, budget)
            .is_ok()
        {
            slots[slot].state = State::Returned;
            self.returned.push(slots, sequence, slot);
        } else {
            // Out of its order, which is better than out of reach.
            self.append(slots, slot);
        }
    }

    fn append(&mut self, slots: &mut Slab, slot: u32) {
        let previous = std::mem::replace(&mut self.last, slot);
        if previous == NONE {
            self.first = slot;
        } else {
            slots[previous].next = slot;
        }
        let added = &mut slots[slot];
        added.state = State::Listed;
        (added.previous, added.next) = (previous, NONE);
    }

    /// Takes a visible message out of the order.
    pub(super) fn hide(&mut self, slots: &mut Slab, slot: u32) {
        self.ready -= 1;
        if slots[slot].state == State::Returned {
            self.returned.remove(slots, slot);
            return;
        }
        let (previous, next) = (slots[slot].previous, slots[slot].next);
        match previous {
            NONE => self.first = next,
            _ => slots[previous].next = next,
        }
        match next {
            NONE => self.last = previous,
            _ => slots[next].previous = previous,
        }
    }

    /// The heap of those that came back, to be emptied with the queue's other storage.
    pub(super) fn returned(&mut self) -> &mut Heap {
        &mut self.returned
    }

    /// For how long the message that was sent first has been visible.
    pub(super) fn oldest_ready_ms(&self, slots: &Slab, now: Now) -> Option<u64> {
        let since = slots[self.first(slots)?].at_ms;
        Some(now.mono_ms.saturating_sub(since))
    }
}
