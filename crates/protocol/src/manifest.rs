//! Manifests: what it takes to verify any part of an object.
//!
//! A manifest is the object's size and the chaining values of its [groups](crate::group), 32
//! bytes per 64 KiB. Wire form, all of it fixed:
//!
//! ```text
//! "B3M1"  size: u64 big-endian  chaining values, 32 bytes each, in order
//! ```
//!
//! A [`Manifest`] may come from anywhere and proves nothing. [`Manifest::validate`] checks it
//! against an address, by hashing the chaining values alone, and gives a [`VerifiedManifest`],
//! which checks groups. Validity never depends on the object's data being at hand.
//!
//! Not here: how data or manifests are transported or kept.

use thiserror::Error;

use crate::Address;
use crate::group::{self, ChainingValue};

const MAGIC: [u8; 4] = *b"B3M1";

/// Bytes of the wire form before the chaining values.
pub const MANIFEST_HEAD_BYTES: usize = 12;

/// The size of an object and the chaining values of its groups, not yet checked against an
/// address. Their number always fits the size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    size: u64,
    values: Box<[ChainingValue]>,
}

/// Bytes that are not the wire form of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeManifestError {
    /// Shorter than the fixed head.
    #[error("a manifest has at least {MANIFEST_HEAD_BYTES} bytes")]
    Truncated,
    /// Does not start with `B3M1`.
    #[error("not a manifest: wrong magic")]
    Magic,
    /// The number of chaining values, or a stray byte, does not fit the size.
    #[error("the number of chaining values does not fit the size")]
    Count,
}

/// The manifest is not that of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the manifest does not belong to the address")]
pub struct ManifestMismatch;

/// The bytes are not those of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the bytes of group {index} do not match the manifest")]
pub struct GroupMismatch {
    /// The group that does not match.
    pub index: u64,
}

impl Manifest {
    /// Bytes of the wire form for an object of `size` bytes. A receiver that knows the largest
    /// object it accepts knows from this the longest manifest that it need read.
    pub const fn encoded_len(size: u64) -> u64 {
        MANIFEST_HEAD_BYTES as u64 + 32 * group::chaining_value_count(size)
    }

    /// The object's size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The chaining values: one per group, none for an object of at most one group.
    pub const fn chaining_values(&self) -> &[ChainingValue] {
        &self.values
    }

    /// The first [`MANIFEST_HEAD_BYTES`] of the wire form; the chaining values follow as they are.
    pub fn encode_head(&self) -> [u8; MANIFEST_HEAD_BYTES] {
        let mut head = [0; MANIFEST_HEAD_BYTES];
        head[..4].copy_from_slice(&MAGIC);
        head[4..].copy_from_slice(&self.size.to_be_bytes());
        head
    }

    /// The wire form.
    pub fn encode(&self) -> Vec<u8> {
        [&self.encode_head()[..], self.values.as_flattened()].concat()
    }

    /// Parses the wire form. Allocates no more than `wire` is long, after its length was checked
    /// against the size that it declares.
    ///
    /// # Errors
    ///
    /// Anything that [`Manifest::encode`] would not have written.
    pub fn decode(wire: &[u8]) -> Result<Self, DecodeManifestError> {
        let (head, values) = wire
            .split_first_chunk::<MANIFEST_HEAD_BYTES>()
            .ok_or(DecodeManifestError::Truncated)?;
        let [m0, m1, m2, m3, size @ ..] = *head;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(DecodeManifestError::Magic);
        }
        let size = u64::from_be_bytes(size);
        if wire.len() as u64 != Self::encoded_len(size) {
            return Err(DecodeManifestError::Count);
        }
        let (values, rest) = values.as_chunks::<32>();
        debug_assert!(rest.is_empty(), "the length was checked");
        Ok(Self {
            size,
            values: values.into(),
        })
    }

    /// Checks that this is the manifest of the object at `address`.
    ///
    /// Costs one 64-byte compression per chaining value and touches no data. What it cannot see
    /// is a wrong length of the last group: that shows when the last group is verified, which for
    /// an object of one group is the only one.
    ///
    /// # Errors
    ///
    /// If the chaining values do not merge to the address.
    pub fn validate(self, address: Address) -> Result<VerifiedManifest, ManifestMismatch> {
        let matches = match group::group_count(self.size) {
            // No group will ever be verified, so the address has to be that of nothing.
            0 => Address::of(b"") == address,
            // The group is the root; its bytes are checked against the address itself.
            1 => true,
            _ => group::root(&self.values) == address,
        };
        if matches {
            Ok(VerifiedManifest {
                address,
                manifest: self,
            })
        } else {
            Err(ManifestMismatch)
        }
    }
}

/// A manifest known to belong to its address: what a reader needs to verify any range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedManifest {
    address: Address,
    manifest: Manifest,
}

impl VerifiedManifest {
    /// For a hasher that has seen all the data, and merged `values` to `address` itself.
    pub(crate) fn hashed(address: Address, size: u64, values: Box<[ChainingValue]>) -> Self {
        debug_assert_eq!(values.len() as u64, group::chaining_value_count(size));
        Self {
            address,
            manifest: Manifest { size, values },
        }
    }

    /// The address that the manifest belongs to.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The object's size in bytes.
    pub const fn size(&self) -> u64 {
        self.manifest.size
    }

    /// The manifest itself, for sending it on.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Checks that `bytes` are exactly group `index` of the object. One hash over the bytes.
    ///
    /// # Errors
    ///
    /// If the length, the position or any bit differs, or if the object has no such group.
    pub fn verify_group(&self, index: u64, bytes: &[u8]) -> Result<(), GroupMismatch> {
        let mismatch = GroupMismatch { index };
        if bytes.is_empty() || bytes.len() != group::group_len(self.size(), index) {
            return Err(mismatch);
        }
        // More than one group: the value at its index. One group: the bytes are the object.
        let matches = match self.manifest.values.get(index as usize) {
            Some(expected) => group::chaining_value(index, bytes) == *expected,
            None => Address::of(bytes) == self.address,
        };
        if matches { Ok(()) } else { Err(mismatch) }
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
