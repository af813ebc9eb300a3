//! Where the messages of a queue are. A message stays in its slot until it is gone, whatever
//! happens to it in between: being leased, given back or found dead moves no bytes.
//!
//! Slots are in blocks. Messages fill up blocks that are begun, and one that is empty is given up,
//! but for one, so that a few messages that stay for long do not keep the memory of a million that
//! were there with them.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use bytes::Bytes;

use super::chunks::{Chunk, first, place, places};
use super::delivery::Attempt;
use super::effects::Effects;
use crate::budget::{Budget, Charge, MemoryKind, OverBudget};

/// The number of no slot, and of no block.
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
    /// `None`: the slot is vacant, and nothing else in it means anything but `next`.
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
    /// In the list of its lane, or of the vacant slots of its block.
    pub(super) next: u32,
    pub(super) state: State,
    pub(super) is_dead: bool,
}

pub(super) struct Slab {
    blocks: Vec<Block>,
    /// Blocks with messages and with room for more. The first is filled up first.
    open: u32,
    /// A block without messages. The higher of two is given up, so that the first always stays.
    spare: u32,
    /// Blocks that were given up, to be made again before there are more of them.
    given_up: u32,
}

struct Block {
    slots: Chunk<Slot>,
    /// Messages in it.
    live: u32,
    /// The first of its slots that had a message and have none.
    vacant: u32,
    previous: u32,
    next: u32,
}

impl Block {
    const fn of(slots: Chunk<Slot>) -> Self {
        Self {
            slots,
            live: 0,
            vacant: NONE,
            previous: NONE,
            next: NONE,
        }
    }
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

    /// Of a slot that is not vacant.
    pub(super) fn body(&self) -> &Bytes {
        &self
            .content
            .as_ref()
            .expect("the slot holds a message")
            .body
    }

    pub(super) fn history(&self) -> Option<&Arc<[Attempt]>> {
        let history = self.content.as_ref()?.history.as_ref()?;
        Some(&history.attempts)
    }
}

impl History {
    /// A history that is paid for.
    pub(super) fn of(attempts: &Arc<[Attempt]>, budget: &Budget) -> Result<Box<Self>, OverBudget> {
        Ok(Box::new(Self {
            charge: budget.charge(MemoryKind::Messages, Self::cost(attempts))?,
            attempts: Arc::clone(attempts),
        }))
    }

    /// With the two counts of the list.
    const fn cost(attempts: &[Attempt]) -> u64 {
        (size_of::<Self>() + 16 + size_of_val(attempts)) as u64
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
        match &mut self.history {
            Some(history) => {
                if history.charge.resize(History::cost(&attempts)).is_ok() {
                    history.attempts = attempts;
                }
            }
            None => self.history = History::of(&attempts, budget).ok(),
        }
    }
}

impl Slab {
    pub(super) const fn new() -> Self {
        Self {
            blocks: Vec::new(),
            open: NONE,
            spare: NONE,
            given_up: NONE,
        }
    }

    /// No slot has this number or a higher one.
    pub(super) const fn end(&self) -> u32 {
        first(self.blocks.len()) as u32
    }

    /// Room for one more message.
    pub(super) fn reserve(&mut self, budget: &Budget) -> Result<(), OverBudget> {
        if self.open != NONE || self.spare != NONE {
            return Ok(());
        }
        let number = match self.given_up {
            NONE => self.blocks.len(),
            number => number as usize,
        };
        let block = Block::of(Chunk::new(number, budget)?);
        match self.blocks.get_mut(number) {
            Some(given_up) => self.given_up = std::mem::replace(given_up, block).next,
            None => self.blocks.push(block),
        }
        self.spare = number as u32;
        Ok(())
    }

    /// The room was reserved. The slot is in no list and no heap.
    #[inline]
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
        if self.open == NONE {
            self.open = std::mem::replace(&mut self.spare, NONE);
        }
        let number = self.open as usize;
        let block = &mut self.blocks[number];
        let slots = &mut block.slots.items;
        let begin = first(number) as u32;
        let index = if block.vacant == NONE {
            slots.push(slot);
            begin + slots.len() as u32 - 1
        } else {
            let index = block.vacant;
            let vacant = &mut slots[(index - begin) as usize];
            block.vacant = vacant.next;
            *vacant = slot;
            index
        };
        block.live += 1;
        if block.live as usize == places(number) {
            self.close(number);
        }
        index
    }

    /// Removes a message that is in no list and no heap any more.
    pub(super) fn remove(&mut self, index: u32, effects: &mut Effects) {
        let (number, at) = place(index as usize);
        let block = &mut self.blocks[number];
        let slot = &mut block.slots.items[at];
        if let Some(content) = slot.content.take() {
            effects.gone.push(content);
        }
        slot.next = block.vacant;
        block.vacant = index;
        if block.live as usize == places(number) {
            self.open(number);
        }
        let block = &mut self.blocks[number];
        block.live -= 1;
        if block.live == 0 {
            self.close(number);
            effects.slots.extend(self.give_up(number as u32));
        }
    }

    /// A block is not full any more. The one that is being filled stays the first.
    fn open(&mut self, number: usize) {
        let new = number as u32;
        if self.open == NONE {
            self.open = new;
            return;
        }
        let first = &mut self.blocks[self.open as usize];
        let next = std::mem::replace(&mut first.next, new);
        if next != NONE {
            self.blocks[next as usize].previous = new;
        }
        let block = &mut self.blocks[number];
        (block.previous, block.next) = (self.open, next);
    }

    /// An open block is full, or empty.
    fn close(&mut self, number: usize) {
        let block = &mut self.blocks[number];
        let previous = std::mem::replace(&mut block.previous, NONE);
        let next = std::mem::replace(&mut block.next, NONE);
        match previous {
            NONE => self.open = next,
            _ => self.blocks[previous as usize].next = next,
        }
        if next != NONE {
            self.blocks[next as usize].previous = previous;
        }
    }

    /// Makes a block without messages the spare one, and gives up the higher if there are two.
    fn give_up(&mut self, number: u32) -> Option<Chunk<Slot>> {
        let other = std::mem::replace(&mut self.spare, number);
        if other == NONE {
            return None;
        }
        self.spare = number.min(other);
        let number = number.max(other);
        let next = std::mem::replace(&mut self.given_up, number);
        let block = Block {
            next,
            ..Block::of(Chunk::default())
        };
        Some(std::mem::replace(&mut self.blocks[number as usize], block).slots)
    }

    /// Without messages, only the first block is left: forgets that there were others.
    pub(super) fn trim(&mut self) {
        if self.blocks.len() > 1 {
            self.blocks.truncate(1);
            self.blocks.shrink_to_fit();
            self.given_up = NONE;
        }
    }

    pub(super) fn get(&self, index: u32) -> Option<&Slot> {
        let (number, at) = place(index as usize);
        self.blocks.get(number)?.slots.items.get(at)
    }
}

impl Index<u32> for Slab {
    type Output = Slot;

    #[inline]
    fn index(&self, index: u32) -> &Slot {
        let (number, at) = place(index as usize);
        &self.blocks[number].slots.items[at]
    }
}

impl IndexMut<u32> for Slab {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut Slot {
        let (number, at) = place(index as usize);
        &mut self.blocks[number].slots.items[at]
    }
}
