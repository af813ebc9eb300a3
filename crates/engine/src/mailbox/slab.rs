//! Where the messages of a queue are. A message stays in its slot until it is gone, whatever
//! happens to it in between: being leased, given back or found dead moves no bytes.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use bytes::Bytes;

use super::chunks::{Chunk, Chunks};
use super::delivery::Attempt;
use crate::budget::{Budget, Charge, MemoryKind, OverBudget};

/// The number of no slot.
pub(super) const NONE: u32 = u32::MAX;

/// The part of a message that takes time to free.
pub(super) struct Content {
    pub(super) body: Bytes,
    /// Of most messages there is none.
    pub(super) history: Option<Box<History>>,
}

/// The deliveries of a message that have failed.
pub(super) struct History {
    pub(super) attempts: Arc<[Attempt]>,
    charge: Charge,
}

/// Where in the queue's order a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Visible, in the list of its lane.
    Listed,
    /// Visible, in the heap of its lane.
    Returned,
    /// Received; among the deadlines.
    Leased,
    /// Not visible yet; among the deadlines.
    Delayed,
}

pub(super) struct Slot {
    /// `None`: the slot is vacant, and nothing else in it means anything but `next` and `delivery`.
    content: Option<Content>,
    pub(super) sequence: u64,
    pub(super) enqueued_wall_ms: u64,
    /// The end of the lease or of the delay; for a visible message since when it is.
    pub(super) at_ms: u64,
    /// The number of the latest delivery, which its receipt names.
    pub(super) delivery: u64,
    pub(super) leased_wall_ms: u64,
    /// The receiver whose credit the lease uses; 0 for none.
    pub(super) receiver: u64,
    pub(super) attempts: u32,
    /// In the heap that `state` says.
    pub(super) position: u32,
    pub(super) previous: u32,
    /// In the list of its lane, or of vacant slots.
    pub(super) next: u32,
    pub(super) state: State,
    pub(super) is_dead: bool,
}

pub(super) struct Slab {
    slots: Chunks<Slot>,
    vacant: u32,
}

impl Slot {
    pub(super) const fn is_vacant(&self) -> bool {
        self.content.is_none()
    }

    /// Of a slot that is not vacant.
    pub(super) fn content(&mut self) -> &mut Content {
        self.content.as_mut().expect("the slot holds a message")
    }

    pub(super) fn bytes(&self) -> u64 {
        self.content.as_ref().map_or(0, |it| it.body.len() as u64)
    }
}

impl Content {
    /// Adds a failed delivery. One that the budget has no room for is left out: the number of
    /// attempts is kept elsewhere.
    pub(super) fn record(&mut self, attempt: Attempt, budget: &Budget) {
        let before = self.history.as_deref();
        let attempts: Arc<[Attempt]> = before
            .map_or(&[][..], |history| &history.attempts)
            .iter()
            .copied()
            .chain([attempt])
            .collect();
        let bytes = (size_of::<History>() + 16 + size_of_val(&*attempts)) as u64;
        match &mut self.history {
            Some(history) => {
                if history.charge.resize(bytes).is_ok() {
                    history.attempts = attempts;
                }
            }
            None => {
                if let Ok(charge) = budget.charge(MemoryKind::Messages, bytes) {
                    self.history = Some(Box::new(History { attempts, charge }));
                }
            }
        }
    }
}

impl Slab {
    pub(super) const fn new() -> Self {
        Self {
            slots: Chunks::new(),
            vacant: NONE,
        }
    }

    /// Slots, vacant ones included.
    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Room for one more message.
    pub(super) fn reserve(&mut self, budget: &Budget) -> Result<(), OverBudget> {
        if self.vacant == NONE {
            self.slots.reserve(self.slots.len() + 1, budget)?;
        }
        Ok(())
    }

    /// The room was reserved. The slot is in no list and no heap.
    pub(super) fn insert(&mut self, body: Bytes, sequence: u64, enqueued_wall_ms: u64) -> u32 {
        let slot = Slot {
            content: Some(Content {
                body,
                history: None,
            }),
            sequence,
            enqueued_wall_ms,
            at_ms: 0,
            delivery: 0,
            leased_wall_ms: 0,
            receiver: 0,
            attempts: 0,
            position: NONE,
            previous: NONE,
            next: NONE,
            state: State::Delayed,
            is_dead: false,
        };
        if self.vacant == NONE {
            self.slots.push(slot);
            return self.slots.len() as u32 - 1;
        }
        let index = self.vacant;
        self.vacant = self.slots[index].next;
        self.slots[index] = slot;
        index
    }

    /// What was in the slot, which is in no list and no heap any more.
    pub(super) fn remove(&mut self, index: u32) -> Option<Content> {
        let slot = &mut self.slots[index];
        slot.next = self.vacant;
        self.vacant = index;
        slot.content.take()
    }

    pub(super) fn get(&self, index: u32) -> Option<&Slot> {
        self.slots.get(index)
    }

    /// See [`Chunks::clear`].
    pub(super) fn clear(&mut self, keep: usize) -> Vec<Chunk<Slot>> {
        self.vacant = NONE;
        self.slots.clear(keep)
    }

    pub(super) const fn is_small(&self) -> bool {
        self.slots.is_small()
    }
}

impl Index<u32> for Slab {
    type Output = Slot;

    #[inline]
    fn index(&self, index: u32) -> &Slot {
        &self.slots[index]
    }
}

impl IndexMut<u32> for Slab {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut Slot {
        &mut self.slots[index]
    }
}
