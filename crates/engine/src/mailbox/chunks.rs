//! A list that grows and shrinks by chunks, each paid for before it is allocated. Nothing in it
//! moves when it grows, so that a queue's lock is never held while a million messages are copied.

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

/// By default one without a place, which costs nothing.
pub(super) struct Chunk<T> {
    /// Never longer than the capacity that it was made with.
    pub(super) items: Vec<T>,
    _charge: Option<Charge>,
}

impl<T> Default for Chunk<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            _charge: None,
        }
    }
}

impl<T> Chunk<T> {
    /// The chunk of that number.
    pub(super) fn new(number: usize, budget: &Budget) -> Result<Self, OverBudget> {
        let places = places(number);
        let charge = budget.charge(MemoryKind::Messages, (places * size_of::<T>()) as u64)?;
        Ok(Self {
            items: Vec::with_capacity(places),
            _charge: Some(charge),
        })
    }
}

/// How many items the chunk of a number has room for.
#[inline]
pub(super) const fn places(number: usize) -> usize {
    if number < SMALL {
        FIRST << number
    } else {
        MOST
    }
}

/// The index with which the chunk of a number begins.
#[inline]
pub(super) const fn first(number: usize) -> usize {
    if number < SMALL {
        (FIRST << number) - FIRST
    } else {
        (number + 1 - SMALL) * MOST - FIRST
    }
}

/// The chunk in which an index is, and where in it.
#[inline]
pub(super) fn place(index: usize) -> (usize, usize) {
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
            let number = self.chunks.len();
            self.chunks.push(Chunk::new(number, budget)?);
            self.capacity += places(number);
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

    /// Gives up the last chunk if there is room for `len` items, as many as there are or more,
    /// without it and another one; of an empty list all but the first. The caller drops it once it
    /// holds no lock.
    #[inline]
    pub(super) fn trim(&mut self, len: usize) -> Option<Chunk<T>> {
        let spare = if len == 0 { FIRST } else { 2 * MOST - 1 };
        if self.capacity <= len + spare {
            return None;
        }
        self.capacity -= places(self.chunks.len() - 1);
        self.chunks.pop()
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
            assert_eq!(first(expected.0) + expected.1, index);
            assert_eq!(super::places(expected.0), places);
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
    }

    #[test]
    fn what_is_not_needed_is_given_up_but_for_a_chunk() {
        let budget = Budget::new(1 << 20);
        let mut list = Chunks::new();
        list.reserve(3000, &budget).unwrap();
        (0..3000_u32).for_each(|item| list.push(item));
        while list.pop().is_some() {
            drop(list.trim(list.len()));
            let spare = list.capacity - list.len();
            assert!((1..2 * MOST).contains(&spare), "{spare}");
            assert_eq!(budget.committed(), list.capacity as u64 * 4);
        }
        while list.trim(0).is_some() {}
        assert_eq!(budget.committed(), FIRST as u64 * 4);
        // Room for others than those in the list is kept.
        list.reserve(3000, &budget).unwrap();
        while list.trim(2000).is_some() {}
        assert!((2000..2000 + 2 * MOST).contains(&list.capacity));
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
