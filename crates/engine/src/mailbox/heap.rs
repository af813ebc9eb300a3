//! A heap of slots in which every slot knows its position, so that any of them can leave it at any
//! time: nothing stale stays behind, and nothing is looked at before it is due.
//!
//! Four children a node: half the depth of a binary heap, and the children of a node are next to
//! each other in memory.

use super::chunks::{Chunk, Chunks};
use super::slab::Slab;
use crate::budget::{Budget, OverBudget};

const CHILDREN: u32 = 4;

pub(super) struct Heap {
    entries: Chunks<Entry>,
}

/// The key is kept here and not looked up in the slot: comparing touches the heap alone.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    key: u64,
    slot: u32,
}

impl Heap {
    pub(super) const fn new() -> Self {
        Self {
            entries: Chunks::new(),
        }
    }

    /// Room for `len` slots in all.
    pub(super) fn reserve(&mut self, len: usize, budget: &Budget) -> Result<(), OverBudget> {
        self.entries.reserve(len, budget)
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// The least key, and its slot.
    #[inline]
    pub(super) fn first(&self) -> Option<(u64, u32)> {
        self.entries.get(0).map(|entry| (entry.key, entry.slot))
    }

    /// The room was reserved.
    pub(super) fn push(&mut self, slots: &mut Slab, key: u64, slot: u32) {
        let position = self.entries.len() as u32;
        let entry = Entry { key, slot };
        self.entries.push(entry);
        self.rise(slots, position, entry);
    }

    pub(super) fn remove(&mut self, slots: &mut Slab, slot: u32) {
        let position = slots[slot].position;
        debug_assert_eq!(self.entries[position].slot, slot);
        let Some(last) = self.entries.pop() else {
            return;
        };
        if position < self.entries.len() as u32 {
            self.settle(slots, position, last);
        }
    }

    /// Gives a slot that is in the heap another key.
    pub(super) fn rekey(&mut self, slots: &mut Slab, slot: u32, key: u64) {
        self.settle(slots, slots[slot].position, Entry { key, slot });
    }

    /// See [`Chunks::trim`]; room for `len` slots in all stays.
    pub(super) fn trim(&mut self, len: usize) -> Option<Chunk<Entry>> {
        self.entries.trim(len.max(self.entries.len()))
    }

    /// Puts `entry` where the order wants it, given that `position` is free.
    fn settle(&mut self, slots: &mut Slab, position: u32, entry: Entry) {
        if position > 0 && entry.key < self.entries[(position - 1) / CHILDREN].key {
            self.rise(slots, position, entry);
        } else {
            self.sink(slots, position, entry);
        }
    }

    fn rise(&mut self, slots: &mut Slab, mut position: u32, entry: Entry) {
        while position > 0 {
            let parent = (position - 1) / CHILDREN;
            let above = self.entries[parent];
            if above.key <= entry.key {
                break;
            }
            self.put(slots, position, above);
            position = parent;
        }
        self.put(slots, position, entry);
    }

    fn sink(&mut self, slots: &mut Slab, mut position: u32, entry: Entry) {
        let len = self.entries.len() as u32;
        loop {
            let children = position * CHILDREN + 1..(position * CHILDREN + 1 + CHILDREN).min(len);
            let Some(least) = children.min_by_key(|child| self.entries[*child].key) else {
                break;
            };
            let below = self.entries[least];
            if entry.key <= below.key {
                break;
            }
            self.put(slots, position, below);
            position = least;
        }
        self.put(slots, position, entry);
    }

    fn put(&mut self, slots: &mut Slab, position: u32, entry: Entry) {
        self.entries[position] = entry;
        slots[entry.slot].position = position;
    }
}
