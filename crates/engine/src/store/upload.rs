//! Writing an object: admitted, charged and hashed while it arrives.

use std::sync::Arc;

use micronode_protocol::group::group_len;
use micronode_protocol::limits::{GROUP_BYTES, RESERVE_AHEAD_BYTES};
use micronode_protocol::{Address, ObjectHasher};

use super::object::{Groups, Object, cost};
use super::{PutError, PutHead, Sealed, Store, Stored};
use crate::Now;
use crate::budget::{MemoryKind, Reservation};
use crate::wiped::{WipedBuffer, WipedBytes};

/// An object on its way in. Dropped unfinished, it leaves nothing: its bytes are wiped and given
/// back.
///
/// Holds what has arrived, and of the budget at most [`RESERVE_AHEAD_BYTES`] more than that.
pub struct Upload {
    store: Store,
    /// For what has expired when more room is needed.
    began: Now,
    expected: Option<Address>,
    declared: Option<u64>,
    ttl_ms: Option<u64>,
    media_type: Option<Box<str>>,
    hasher: ObjectHasher,
    groups: Vec<WipedBytes>,
    /// The group being filled. It stays here when it is full as long as it may be the only one.
    open: Option<WipedBuffer>,
    /// Bytes that have arrived.
    size: u64,
    /// Object bytes that the reservation pays for; at least `size`.
    covered: u64,
    /// Why a write failed; the upload cannot be finished any more.
    failed: Option<PutError>,
    /// Last, so that it is given back after the memory is gone.
    reservation: Reservation,
}

impl Upload {
    pub(super) fn begin(store: &Store, now: Now, head: PutHead<'_>) -> Result<Self, PutError> {
        let mut upload = Self {
            store: store.clone(),
            began: now,
            expected: head.expected,
            declared: head.declared,
            ttl_ms: head.ttl_ms,
            media_type: head.media_type.map(Box::from),
            hasher: ObjectHasher::new(),
            groups: Vec::new(),
            open: None,
            size: 0,
            covered: 0,
            failed: None,
            reservation: store.budget().reserve(MemoryKind::Uploads, 0)?,
        };
        if let Some(declared) = head.declared {
            store.check_size(declared)?;
            store.check_room(now, upload.cost(declared))?;
        }
        upload.cover(head.declared.unwrap_or(0).min(RESERVE_AHEAD_BYTES as u64))?;
        Ok(upload)
    }

    /// Bytes that have arrived.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes of the object, any number of them.
    ///
    /// # Errors
    ///
    /// If the object becomes longer than declared or allowed, or does not fit the memory budget.
    /// After an error the upload cannot be finished; drop it.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), PutError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let written = self.write_all(bytes);
        self.failed = written.err();
        written
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), PutError> {
        let end = self.size.saturating_add(bytes.len() as u64);
        if self.declared.is_some_and(|declared| end > declared) {
            return Err(PutError::LengthMismatch);
        }
        self.store.check_size(end)?;
        while !bytes.is_empty() {
            let mut group = match self.open.take() {
                Some(open) if open.room() > 0 => open,
                full => {
                    if let Some(only) = full {
                        // More follows, so it was not the only group.
                        self.keep(only, false);
                    }
                    self.open_group()?
                }
            };
            let (now, later) = bytes.split_at(bytes.len().min(group.room()));
            group.extend(now);
            bytes = later;
            self.size += now.len() as u64;
            self.reservation.fill(now.len() as u64);
            self.close_or_keep(group);
        }
        Ok(())
    }

    /// Allocates the next group: exact where the length is known.
    fn open_group(&mut self) -> Result<WipedBuffer, PutError> {
        let group = GROUP_BYTES as u64;
        let (len, ahead) = match self.declared {
            Some(declared) => {
                let ahead = declared.min(self.size + RESERVE_AHEAD_BYTES as u64);
                (group_len(declared, self.size / group), ahead)
            }
            None => (GROUP_BYTES, self.size + group),
        };
        if self.covered < self.size + len as u64 {
            self.cover(ahead)?;
        }
        Ok(WipedBuffer::with_capacity(len))
    }

    /// Hashes the group if it is full and its place in the tree is known.
    fn close_or_keep(&mut self, group: WipedBuffer) {
        let only = self.declared == Some(self.size) && self.hasher.size() == 0;
        let one_of_several =
            self.hasher.size() > 0 || self.declared.is_some_and(|d| d > GROUP_BYTES as u64);
        if group.room() == 0 && (only || one_of_several) {
            self.keep(group, only);
        } else {
            self.open = Some(group);
        }
    }

    /// Hashes and keeps a group. A last one of undeclared length moves to memory of its size; the
    /// two copies exist for the time of the copy only, at most one a thread, and are not charged.
    fn keep(&mut self, group: WipedBuffer, only: bool) {
        if only {
            self.hasher.push_only(group.filled());
        } else {
            self.hasher.push(group.filled());
        }
        self.store.counters().group_written();
        self.groups.push(group.freeze());
    }

    /// Makes the reservation pay for an object of `size` bytes.
    fn cover(&mut self, size: u64) -> Result<(), PutError> {
        let more = self.cost(size) - self.reservation.reserved();
        self.store
            .reserve(self.began, &mut self.reservation, more)?;
        self.covered = size;
        Ok(())
    }

    fn cost(&self, size: u64) -> u64 {
        cost(
            size,
            self.media_type
                .as_ref()
                .map_or(0, |media_type| media_type.len()),
        )
    }

    /// Makes the object readable, if it is what was announced and is not there already.
    ///
    /// # Errors
    ///
    /// As [`seal`](Self::seal), and as [`Sealed::insert`]. Nothing is kept then.
    pub fn finish(self, now: Now) -> Result<Stored, PutError> {
        self.seal()?.insert(now, None)
    }

    /// Ends the upload, if it is what was announced. Its bytes are complete and have their address,
    /// and are not to be found under it yet.
    ///
    /// # Errors
    ///
    /// If a write had failed, the length is not the declared one, or the bytes do not hash to the
    /// expected address. Nothing is kept then.
    pub fn seal(mut self) -> Result<Sealed, PutError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        if self.declared.is_some_and(|declared| declared != self.size) {
            return Err(PutError::LengthMismatch);
        }
        if let Some(last) = self.open.take() {
            let only = self.hasher.size() == 0;
            self.keep(last, only);
        }
        let rest = self.cost(self.size) - self.reservation.filled();
        self.reservation.fill(rest);

        let manifest = self.hasher.finish();
        if self
            .expected
            .is_some_and(|expected| expected != *manifest.address())
        {
            return Err(PutError::DigestMismatch);
        }
        let groups = match self.groups.len() {
            0 => Groups::One(WipedBuffer::with_capacity(0).freeze()),
            1 => Groups::One(self.groups.remove(0)),
            _ => Groups::Many(self.groups.into_boxed_slice()),
        };
        let counters = Arc::clone(self.store.counters());
        let object = Object::new(
            manifest,
            groups,
            self.media_type,
            counters,
            self.reservation.settle(),
        );
        Ok(Sealed::new(self.store, self.ttl_ms, object))
    }
}
