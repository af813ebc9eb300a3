//! A list that grows by chunks, each paid for before it is allocated. Nothing in it moves when it
//! grows, so that a queue's lock is never held while a million messages are copied.

use std::ops::{Index, IndexMut};

use crate::budget::{Budget, Charge, MemoryKind, OverBudget};

/// Most queues are short: the first chunk has so many places, each of the next twice as many ...
const FIRST: usize = 16;
/// ... until they have so many.
const MOST: usize = 512;
/// Chunks with fewer than [`MOST`] places.
const SMALL: usize = (MOST / FIRST).ilog2() as usize;

const _: () = assert!(FIRST.is_power_of_two() && MOST.is_power_of_two());

pub(super) struct Chunks<T> {
    chunks: Vec<Chunk<T>>,
    len: usize,
    capacity: usize,
}

pub(super) struct Chunk<T> {
    /// Never longer than the capacity that it was made with.
    items: Vec<T>,
    _charge: Charge,
}

/// The chunk in which an index is, and where in it.
#[inline]
fn place(index: usize) -> (usize, usize) {
    let index = index + FIRST;
    if index >= MOST {
        (SMALL - 1 + index / MOST, index % MOST)
    } else {
        let power = index.ilog2();
        ((power - FIRST.ilog2()) as usize, index - (1_usize << power))
    }
}

impl<T> Chunks<T> {
    pub(super) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
            capacity: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Room for `len` items in all.
    pub(super) fn reserve(&mut self, len: usize, budget: &Budget) -> Result<(), OverBudget> {
        while self.capacity < len {
            let places = (FIRST << self.chunks.len().min(SMALL)).min(MOST);
            let charge = budget.charge(MemoryKind::Messages, (places * size_of::<T>()) as u64)?;
            self.chunks.push(Chunk {
                items: Vec::with_capacity(places),
                _charge: charge,
            });
            self.capacity += places;
        }
        Ok(())
    }

    /// The room was reserved.
    pub(super) fn push(&mut self, item: T) {
        debug_assert!(self.len < self.capacity, "reserved before");
        let (chunk, _) = place(self.len);
        self.chunks[chunk].items.push(item);
        self.len += 1;
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let (chunk, _) = place(self.len.checked_sub(1)?);
        self.len -= 1;
        self.chunks[chunk].items.pop()
    }

    pub(super) fn get(&self, index: u32) -> Option<&T> {
        let (chunk, at) = place(index as usize);
        self.chunks.get(chunk)?.items.get(at)
    }

    /// Gives up all items, and all chunks but for the first `keep`. The caller drops them once it
    /// holds no lock.
    pub(super) fn clear(&mut self, keep: usize) -> Vec<Chunk<T>> {
        self.len = 0;
        let gone = self.chunks.split_off(keep.min(self.chunks.len()));
        for chunk in &mut self.chunks {
            chunk.items.clear();
        }
        self.capacity = self.chunks.iter().map(|chunk| chunk.items.capacity()).sum();
        gone
    }

    pub(super) const fn is_small(&self) -> bool {
        self.chunks.len() <= 1
    }
}

impl<T> Index<u32> for Chunks<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        let (chunk, at) = place(index as usize);
        &self.chunks[chunk].items[at]
    }
}

impl<T> IndexMut<u32> for Chunks<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        let (chunk, at) = place(index as usize);
        &mut self.chunks[chunk].items[at]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_index_has_a_place_of_its_own_in_order() {
        let mut expected = (0, 0);
        let mut places = FIRST;
        for index in 0..20_000 {
            assert_eq!(place(index), expected, "{index}");
            expected.1 += 1;
            if expected.1 == places {
                expected = (expected.0 + 1, 0);
                places = (places * 2).min(MOST);
            }
        }
    }

    #[test]
    fn what_is_pushed_is_found_popped_and_paid_for() {
        let budget = Budget::new(1 << 20);
        let mut list = Chunks::new();
        for item in 0..3000_u32 {
            list.reserve(list.len() + 1, &budget).unwrap();
            list.push(item);
            assert!(budget.committed() >= list.len() as u64 * 4);
        }
        assert!(budget.committed() <= 3000 * 4 + MOST as u64 * 4);
        for item in (0..3000).rev() {
            assert_eq!((list[item], list.get(item + 1)), (item, None));
            assert_eq!(list.pop(), Some(item));
        }
        assert_eq!(list.pop(), None);

        assert!(!list.is_small());
        drop(list.clear(1));
        assert!(list.is_small());
        assert_eq!(budget.committed(), FIRST as u64 * 4);
        drop(list.clear(0));
        assert_eq!(budget.committed(), 0);
    }

    #[test]
    fn a_chunk_that_the_budget_has_no_room_for_changes_nothing() {
        let budget = Budget::new(FIRST as u64 * 4);
        let mut list = Chunks::new();
        list.reserve(FIRST, &budget).unwrap();
        (0..FIRST as u32).for_each(|item| list.push(item));
        assert_eq!(
            list.reserve(FIRST + 1, &budget).unwrap_err().missing,
            FIRST as u64 * 8
        );
        assert_eq!((list.len(), list[FIRST as u32 - 1]), (FIRST, 15));
    }
}
