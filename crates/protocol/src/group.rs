//! Chunk groups: the 64 KiB pieces of an object and their hashes.
//!
//! A group of [`GROUP_BYTES`] is a complete subtree of BLAKE3's tree (64 chunks of 1 KiB), so its
//! *chaining value* depends only on its bytes and its position. Merging the chaining values of
//! all groups, left subtree as large a power of two as fits, gives the plain hash of the object:
//! no second tree and no second hash of the data is needed. An object of at most one group has no
//! chaining value; its group is the root and is checked against the address itself.
//!
//! Source: section 2 of the BLAKE3 paper (tree structure) and `blake3::hazmat`.

use std::ops::Range;

use blake3::Hasher;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use crate::Address;
use crate::limits::GROUP_BYTES;

/// The hash of one group as a non-root node of the tree.
pub type ChainingValue = [u8; 32];

/// [`GROUP_BYTES`] in the unit of object sizes.
const GROUP: u64 = GROUP_BYTES as u64;

/// Groups in an object of `size` bytes; an empty object has none.
pub const fn group_count(size: u64) -> u64 {
    size.div_ceil(GROUP)
}

/// Chaining values in the manifest of an object of `size` bytes: one per group, none for an
/// object of at most one group.
pub const fn chaining_value_count(size: u64) -> u64 {
    if size <= GROUP { 0 } else { group_count(size) }
}

/// Length in bytes of group `index` of an object of `size` bytes; 0 behind the end.
pub const fn group_len(size: u64, index: u64) -> usize {
    let rest = size.saturating_sub(index.saturating_mul(GROUP));
    if rest < GROUP {
        rest as usize
    } else {
        GROUP_BYTES
    }
}

/// The chaining value of group `index` of an object with more than one group.
///
/// # Panics
///
/// If the group is empty or larger than [`GROUP_BYTES`]: no such node exists in the tree.
pub fn chaining_value(index: u64, group: &[u8]) -> ChainingValue {
    assert!(
        !group.is_empty() && group.len() <= GROUP_BYTES,
        "a group has 1..=GROUP_BYTES bytes"
    );
    let mut hasher = Hasher::new();
    hasher.set_input_offset(index * GROUP).update(group);
    hasher.finalize_non_root()
}

/// The address of the object whose groups have these chaining values.
///
/// # Panics
///
/// With fewer than two values: an object of one group is hashed as the root itself.
pub fn root(values: &[ChainingValue]) -> Address {
    let (left, right) = halves(values);
    let hash = merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash);
    Address::from_bytes(*hash.as_bytes())
}

/// Depth is log2 of the number of groups: at most 48 for any `u64` size.
fn subtree(values: &[ChainingValue]) -> ChainingValue {
    if let [value] = values {
        return *value;
    }
    let (left, right) = halves(values);
    merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
}

/// BLAKE3's split: the left subtree is the largest power of two that leaves something on the right.
fn halves(values: &[ChainingValue]) -> (&[ChainingValue], &[ChainingValue]) {
    assert!(values.len() >= 2, "a parent node has two children");
    values.split_at(values.len().div_ceil(2).next_power_of_two())
}

/// The part of one group that a byte range covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSlice {
    /// Which group of the object.
    pub index: u64,
    /// Offsets within the group, in bytes; never empty, at most [`GROUP_BYTES`].
    pub within: Range<usize>,
}

/// Iterates over the groups that a byte range of an object touches, in order.
///
/// To verify the range, hash exactly these groups; its bytes are the slices in sequence.
#[derive(Clone, Debug)]
pub struct GroupSlices {
    rest: Range<u64>,
}

impl GroupSlices {
    /// Splits `range`, offsets into an object in bytes. An empty range touches no group.
    pub const fn new(range: Range<u64>) -> Self {
        Self { rest: range }
    }

    /// Bytes of the range that have not been yielded.
    pub const fn remaining(&self) -> u64 {
        self.rest.end.saturating_sub(self.rest.start)
    }
}

impl Iterator for GroupSlices {
    type Item = GroupSlice;

    fn next(&mut self) -> Option<GroupSlice> {
        if self.rest.is_empty() {
            return None;
        }
        let index = self.rest.start / GROUP;
        let start = self.rest.start % GROUP;
        let end = GROUP.min(start + self.remaining());
        self.rest.start += end - start;
        Some(GroupSlice {
            index,
            within: start as usize..end as usize,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_at_the_boundaries() {
        for (size, groups, values) in [
            (0, 0, 0),
            (1, 1, 0),
            (GROUP - 1, 1, 0),
            (GROUP, 1, 0),
            (GROUP + 1, 2, 2),
            (2 * GROUP, 2, 2),
            (2 * GROUP + 1, 3, 3),
        ] {
            assert_eq!(group_count(size), groups, "{size}");
            assert_eq!(chaining_value_count(size), values, "{size}");
        }
        assert_eq!(group_count(u64::MAX), 1 << 48);
    }

    #[test]
    fn lengths_of_groups() {
        assert_eq!(group_len(0, 0), 0);
        assert_eq!(group_len(GROUP, 0), GROUP_BYTES);
        assert_eq!(group_len(GROUP + 1, 1), 1);
        assert_eq!(group_len(GROUP + 1, 2), 0);
        assert_eq!(group_len(GROUP, u64::MAX), 0);
    }

    #[test]
    #[should_panic(expected = "1..=GROUP_BYTES")]
    fn an_oversized_group_is_a_bug() {
        chaining_value(0, &[0; GROUP_BYTES + 1]);
    }

    #[test]
    #[should_panic(expected = "two children")]
    fn a_root_of_one_value_is_a_bug() {
        root(&[[0; 32]]);
    }

    proptest! {
        #[test]
        fn slices_tile_the_range(start in 0..8 * GROUP, len in 0..8 * GROUP) {
            let mut slices = GroupSlices::new(start..start + len);
            prop_assert_eq!(slices.remaining(), len);
            let mut at = start;
            while let Some(GroupSlice { index, within }) = slices.next() {
                prop_assert!(!within.is_empty() && within.end <= GROUP_BYTES);
                prop_assert_eq!(index * GROUP + within.start as u64, at);
                at += within.len() as u64;
                prop_assert!(within.end == GROUP_BYTES || at == start + len);
                prop_assert_eq!(slices.remaining(), start + len - at);
            }
            prop_assert_eq!(at, start + len);
        }
    }
}
