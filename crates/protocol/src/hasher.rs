//! Hashing an object group by group, in one pass, to its address and manifest.

use crate::group::{self, ChainingValue};
use crate::limits::GROUP_BYTES;
use crate::{Address, VerifiedManifest};

/// Hashes the groups of an object in order.
///
/// The only group of an object is hashed as the root of the tree ([`push_only`]), the first of
/// several as a part of it ([`push`]); which of the two applies is known once a second group
/// follows or the object ends. A caller that does not know the length beforehand keeps its first
/// group back until then, and so never hashes a byte twice.
///
/// Holds no object bytes: 32 bytes per group.
///
/// [`push`]: ObjectHasher::push
/// [`push_only`]: ObjectHasher::push_only
#[derive(Clone, Debug, Default)]
pub struct ObjectHasher {
    size: u64,
    values: Vec<ChainingValue>,
    root: Option<Address>,
}

impl ObjectHasher {
    /// A hasher that has seen nothing: the empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes hashed so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Hashes the next group of an object that has more than one.
    ///
    /// # Panics
    ///
    /// If the group is empty or oversized, or follows a short or an only group.
    pub fn push(&mut self, group: &[u8]) {
        assert!(
            self.root.is_none() && self.size.is_multiple_of(GROUP_BYTES as u64),
            "only the last group may be short"
        );
        self.values
            .push(group::chaining_value(self.values.len() as u64, group));
        self.size += group.len() as u64;
    }

    /// Hashes the group of an object that has only this one: a plain BLAKE3 hash.
    ///
    /// # Panics
    ///
    /// If it is not the first group, or oversized.
    pub fn push_only(&mut self, group: &[u8]) {
        assert!(
            self.size == 0 && group.len() <= GROUP_BYTES,
            "an only group is the whole object"
        );
        self.root = Some(Address::of(group));
        self.size = group.len() as u64;
    }

    /// The address and manifest of the object.
    ///
    /// # Panics
    ///
    /// If a single group was given to [`push`](Self::push) instead of
    /// [`push_only`](Self::push_only).
    pub fn finish(self) -> VerifiedManifest {
        let address = self.root.unwrap_or_else(|| {
            if self.size == 0 {
                Address::of(b"")
            } else {
                group::root(&self.values)
            }
        });
        VerifiedManifest::hashed(address, self.size, self.values.into_boxed_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "two children")]
    fn a_single_group_pushed_as_one_of_several_is_a_bug() {
        let mut hasher = ObjectHasher::new();
        hasher.push(b"alone");
        hasher.finish();
    }

    #[test]
    #[should_panic(expected = "only the last group may be short")]
    fn a_group_after_a_short_one_is_a_bug() {
        let mut hasher = ObjectHasher::new();
        hasher.push(b"short");
        hasher.push(b"next");
    }

    #[test]
    #[should_panic(expected = "only the last group may be short")]
    fn a_group_after_an_only_one_is_a_bug() {
        let mut hasher = ObjectHasher::new();
        hasher.push_only(&[7; GROUP_BYTES]);
        hasher.push(b"next");
    }
}
