//! Reading an object: verified, group by group, without copying.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use micronode_protocol::group::{GroupSlice, GroupSlices};

use super::IntegrityError;
use super::object::Object;

/// Yields the bytes of a range of an object in order, a piece per chunk group that it touches.
///
/// Each group is hashed right before its piece comes out, so a reader pays only for what it
/// reads, and nothing unverified is ever seen.
pub struct Reader {
    object: Arc<Object>,
    rest: GroupSlices,
}

/// Keeps the object, and so its memory and charge, until the piece has been written out.
struct Piece {
    object: Arc<Object>,
    slice: GroupSlice,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.object.group(self.slice.index)[self.slice.within.clone()]
    }
}

impl Reader {
    pub(super) fn new(object: Arc<Object>, range: Range<u64>) -> Self {
        Self {
            object,
            rest: GroupSlices::new(range),
        }
    }

    /// Bytes of the range that have not come out.
    pub const fn remaining(&self) -> u64 {
        self.rest.remaining()
    }

    /// The object that is read.
    pub const fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// The next piece, at most 64 KiB; `None` at the end of the range. Takes one hash over the
    /// group and one small allocation.
    ///
    /// # Errors
    ///
    /// If the stored bytes do not match the address. The reader stays where it is and keeps
    /// failing; the object is quarantined.
    pub fn next_piece(&mut self) -> Result<Option<Bytes>, IntegrityError> {
        let mut rest = self.rest.clone();
        let Some(slice) = rest.next() else {
            return Ok(None);
        };
        self.object.verify(slice.index)?;
        self.rest = rest;
        Ok(Some(Bytes::from_owner(Piece {
            object: Arc::clone(&self.object),
            slice,
        })))
    }
}
