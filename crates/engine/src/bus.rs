//! The bus: the latest events of the node, in a ring, for whoever wants to follow.
//!
//! Publishing never waits for anybody: a cursor that is too slow finds that events have left the
//! ring, is told how many, and goes on with the oldest that is there. The bus keeps nothing for a
//! cursor but the waker of one that has caught up, so slow ones cost a publisher nothing.
//!
//! One short lock guards the ring. Wakers are called, and whatever may run code of others is
//! dropped, after it was released.
//!
//! Not here: who may see which event, and effects that must not be missed.

mod event;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Poll, Waker};

use micronode_protocol::limits::BUS_EVENTS;
use parking_lot::Mutex;

pub use event::{Event, EventKind};

/// A bounded broadcast of events, numbered from 1. Clones share it.
#[derive(Clone, Default)]
pub struct Bus {
    ring: Arc<Mutex<Ring>>,
}

#[derive(Default)]
struct Ring {
    /// The latest events, at most [`BUS_EVENTS`].
    events: VecDeque<Arc<Event>>,
    /// The number of the last event.
    last: u64,
    /// Events that cursors were too slow for.
    lagged: u64,
    parked: Parked,
}

/// The cursors that wait for the next event.
#[derive(Default)]
struct Parked {
    wakers: Vec<Option<Waker>>,
    /// Indices of places that their cursors have left.
    free: Vec<usize>,
}

impl Parked {
    fn park(&mut self, waker: Waker) -> usize {
        if let Some(index) = self.free.pop() {
            self.wakers[index] = Some(waker);
            index
        } else {
            self.wakers.push(Some(waker));
            self.wakers.len() - 1
        }
    }

    fn leave(&mut self, index: usize) -> Option<Waker> {
        self.free.push(index);
        self.wakers[index].take()
    }
}

/// An event that is on the bus, whose waiters have not been woken. Dropping it wakes them, so it
/// is dropped where no lock is held.
#[must_use = "dropping it wakes whoever waits for it"]
pub struct Appended {
    number: u64,
    parked: Parked,
    /// What has left the ring for it, kept until the ring is unlocked.
    _oldest: Option<Arc<Event>>,
}

impl Appended {
    /// The number of the event.
    pub const fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Appended {
    fn drop(&mut self) {
        for waker in self.parked.wakers.drain(..).flatten() {
            waker.wake();
        }
    }
}

/// What a cursor comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An event, and its number.
    Event(u64, Arc<Event>),
    /// So many events have been missed, or 0 if nobody knows how many. The next is the oldest that
    /// is there.
    Lagged(u64),
}

/// A place in the sequence of events. Dropping it leaves nothing behind.
pub struct Cursor {
    bus: Bus,
    /// The number of the next event to come to; 0 for one that has no place on the bus.
    next: u64,
    /// Events that had left the ring before it came: it was late for them, not slow.
    late: u64,
    /// Where its waker is, if it waits.
    parked: Option<usize>,
}

impl Ring {
    /// The number of the oldest event that is there, or will be.
    fn oldest(&self) -> u64 {
        self.last + 1 - self.events.len() as u64
    }
}

impl Bus {
    /// A bus on which nothing has happened.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an event on the bus, and wakes whoever waits for it. Its number.
    pub fn publish(&self, event: Event) -> u64 {
        self.append(event).number()
    }

    /// Puts an event on the bus; whoever waits for it is woken when the result is dropped. For
    /// callers that hold a lock now.
    pub fn append(&self, event: Event) -> Appended {
        let event = Arc::new(event);
        let mut ring = self.ring.lock();
        let is_full = ring.events.len() == BUS_EVENTS;
        let oldest = is_full.then(|| ring.events.pop_front()).flatten();
        ring.events.push_back(event);
        ring.last += 1;
        Appended {
            number: ring.last,
            parked: std::mem::take(&mut ring.parked),
            _oldest: oldest,
        }
    }

    /// A cursor that begins with the next event.
    pub fn subscribe(&self) -> Cursor {
        self.cursor(|ring| ring.last + 1)
    }

    /// A cursor that goes on after the event of number `after`. For `None`, and a number that was
    /// not given out, nobody knows what was missed: that is told first, and then all that is there.
    pub fn resume(&self, after: Option<u64>) -> Cursor {
        self.cursor(|ring| {
            let known = after.filter(|after| *after <= ring.last);
            known.map_or(0, |after| after + 1)
        })
    }

    fn cursor(&self, next: impl FnOnce(&Ring) -> u64) -> Cursor {
        let ring = self.ring.lock();
        let next = next(&ring);
        Cursor {
            bus: self.clone(),
            next,
            late: ring.oldest().saturating_sub(next),
            parked: None,
        }
    }

    /// The number of the last event; 0 before the first.
    pub fn last(&self) -> u64 {
        self.ring.lock().last
    }

    /// Events published since the start.
    pub fn published(&self) -> u64 {
        self.last()
    }

    /// Events that cursors were too slow for, since the start. What had been forgotten before they
    /// came is none of them.
    pub fn lagged(&self) -> u64 {
        self.ring.lock().lagged
    }
}

impl Cursor {
    /// The next event, or how many are missing before it. When there is none, `waker` is called
    /// after the next event was published.
    pub fn poll_next(&mut self, waker: &Waker) -> Poll<Item> {
        // Declared before the lock, and so dropped after it.
        let _replaced;
        let mut ring = self.bus.ring.lock();
        let oldest = ring.oldest();
        if self.next < oldest {
            let missed = oldest - self.next;
            ring.lagged += missed - std::mem::take(&mut self.late);
            let has_place = std::mem::replace(&mut self.next, oldest) > 0;
            self.parked = None;
            return Poll::Ready(Item::Lagged(if has_place { missed } else { 0 }));
        }
        if let Some(event) = ring.events.get((self.next - oldest) as usize) {
            let item = Item::Event(self.next, Arc::clone(event));
            self.next += 1;
            self.parked = None;
            return Poll::Ready(item);
        }
        // Nothing was published since it parked, if it did, so its place is still its own.
        if let Some(index) = self.parked {
            _replaced = ring.parked.wakers[index].replace(waker.clone());
        } else {
            self.parked = Some(ring.parked.park(waker.clone()));
        }
        Poll::Pending
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        // Declared before the lock, and so dropped after it.
        let _left;
        let Some(index) = self.parked else { return };
        let mut ring = self.bus.ring.lock();
        // Otherwise its waker left the ring with the event that came.
        if ring.last < self.next {
            _left = ring.parked.leave(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_cursors_that_have_gone_are_taken_again() {
        let bus = Bus::new();
        let mut stays = bus.subscribe();
        for _ in 0..100 {
            let mut goes = bus.subscribe();
            assert!(stays.poll_next(Waker::noop()).is_pending());
            assert!(goes.poll_next(Waker::noop()).is_pending());
        }
        assert_eq!(bus.ring.lock().parked.wakers.len(), 2);
    }
}
