//! One stored object: immutable bytes in chunk groups, and what is known about them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use micronode_protocol::group::{chaining_value_count, group_count};
use micronode_protocol::limits::OBJECT_OVERHEAD_BYTES;
use micronode_protocol::{Address, Manifest, VerifiedManifest};

use super::counters::Counters;
use super::reader::Reader;
use super::{IntegrityError, expiry_wall_ms};
use crate::Now;
use crate::budget::{Charge, MemoryKind, OverBudget};
use crate::wiped::WipedBytes;

/// The deadline of an object that does not expire.
pub(super) const NEVER: u64 = u64::MAX;

/// What an object of `size` bytes with a media type of `media_type_len` bytes is charged: its
/// bytes, per group of several a chaining value and a pointer, and a flat amount for its entries.
pub(super) const fn cost(size: u64, media_type_len: usize) -> u64 {
    let per_group = 32 + size_of::<WipedBytes>() as u64;
    let beyond = per_group * chaining_value_count(size) + media_type_len as u64;
    size.saturating_add(beyond + OBJECT_OVERHEAD_BYTES)
}

/// The bytes of an object. Most objects have one group; they are spared an allocation.
pub(super) enum Groups {
    One(WipedBytes),
    Many(Box<[WipedBytes]>),
}

impl Groups {
    fn get(&self, index: u64) -> &[u8] {
        match self {
            Self::One(group) if index == 0 => group,
            Self::One(_) => &[],
            Self::Many(groups) => groups.get(index as usize).map_or(&[], |group| group),
        }
    }
}

/// A stored object. Its bytes come out only through [`Object::read`], which verifies them.
///
/// Whoever holds one keeps its memory, and the charge for it, also after it was deleted.
pub struct Object {
    manifest: VerifiedManifest,
    groups: Groups,
    media_type: Option<Box<str>>,
    /// This and the times below are set when it is stored, see [`Object::date`].
    stored_at_wall_ms: u64,
    /// Deadline on the monotonic clock, or [`NEVER`]. Changed under the order lock only, so that
    /// it is always the key under which the object is found there.
    expires_ms: AtomicU64,
    /// Last access on the monotonic clock, stored by readers without a lock.
    accessed_ms: AtomicU64,
    /// The key in the order of eviction; guarded by the order lock. Lags behind `accessed_ms`.
    ordered_ms: AtomicU64,
    /// A group did not match. Never cleared: healing replaces the object.
    quarantined: AtomicBool,
    /// How many keep it in the store. Changed under the shard's exclusive lock only, so that it is
    /// stable for who holds that lock in either way.
    pins: AtomicU32,
    counters: Arc<Counters>,
    #[cfg(feature = "faults")]
    damage: parking_lot::Mutex<Option<Box<(u64, WipedBytes)>>>,
    /// Last, so that it is given back after the memory is gone.
    charge: Charge,
}

impl Object {
    pub(super) fn new(
        manifest: VerifiedManifest,
        groups: Groups,
        media_type: Option<Box<str>>,
        counters: Arc<Counters>,
        charge: Charge,
    ) -> Self {
        Self {
            manifest,
            groups,
            media_type,
            stored_at_wall_ms: 0,
            expires_ms: AtomicU64::new(NEVER),
            accessed_ms: AtomicU64::new(0),
            ordered_ms: AtomicU64::new(0),
            quarantined: AtomicBool::new(false),
            pins: AtomicU32::new(0),
            counters,
            #[cfg(feature = "faults")]
            damage: parking_lot::Mutex::new(None),
            charge,
        }
    }

    /// Says when it is stored, and until when. For an object that nobody else has seen.
    pub(super) fn date(&mut self, now: Now, stored_at_wall_ms: u64, expires_ms: u64) {
        self.stored_at_wall_ms = stored_at_wall_ms;
        self.expires_ms = AtomicU64::new(expires_ms);
        self.accessed_ms = AtomicU64::new(now.mono_ms);
        self.ordered_ms = AtomicU64::new(now.mono_ms);
        self.charge.move_to(MemoryKind::Objects);
    }

    /// The object's address.
    pub fn address(&self) -> &Address {
        self.manifest.address()
    }

    /// The object's size in bytes.
    pub fn size(&self) -> u64 {
        self.manifest.size()
    }

    /// The media type of the first put, if it gave one.
    pub fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// When the object was stored, in milliseconds since the Unix epoch.
    pub const fn stored_at_wall_ms(&self) -> u64 {
        self.stored_at_wall_ms
    }

    /// When the object expires, in milliseconds since the Unix epoch; `None` for never. If it is
    /// pinned beyond its time, now: that is how soon it may go.
    pub fn expires_at_wall_ms(&self, now: Now) -> Option<u64> {
        expiry_wall_ms(self.expires_ms(), now)
    }

    /// The object's manifest.
    pub fn manifest(&self) -> &Manifest {
        self.manifest.manifest()
    }

    /// The wire form of the manifest, its head and its chaining values, without copying the latter.
    pub fn encoded_manifest(self: &Arc<Self>) -> [Bytes; 2] {
        struct ChainingValues(Arc<Object>);
        impl AsRef<[u8]> for ChainingValues {
            fn as_ref(&self) -> &[u8] {
                self.0.manifest().chaining_values().as_flattened()
            }
        }
        let head = Bytes::copy_from_slice(&self.manifest().encode_head());
        [head, Bytes::from_owner(ChainingValues(Arc::clone(self)))]
    }

    /// Reads `range`, offsets in bytes, in verified pieces.
    ///
    /// # Panics
    ///
    /// If the range is not within the object: the caller resolves what a peer asked for.
    pub fn read(self: &Arc<Self>, range: Range<u64>) -> Reader {
        assert!(
            range.start <= range.end && range.end <= self.size(),
            "range within the object"
        );
        Reader::new(Arc::clone(self), range)
    }

    /// Hashes a group and compares it, before any of its bytes are used. The first mismatch
    /// quarantines the object and is counted.
    pub(super) fn verify(&self, index: u64) -> Result<(), IntegrityError> {
        debug_assert!(index < group_count(self.size()));
        if self.is_quarantined() {
            return Err(IntegrityError);
        }
        self.counters.group_read();
        if self.group_matches(index) {
            return Ok(());
        }
        if !self.quarantined.swap(true, Relaxed) {
            self.counters.integrity_failure();
        }
        Err(IntegrityError)
    }

    fn group_matches(&self, index: u64) -> bool {
        #[cfg(feature = "faults")]
        if let Some(damage) = self
            .damage
            .lock()
            .as_ref()
            .filter(|damage| damage.0 == index)
        {
            return self.manifest.verify_group(index, &damage.1).is_ok();
        }
        self.manifest.verify_group(index, self.group(index)).is_ok()
    }

    /// The bytes of a group, unverified.
    pub(super) fn group(&self, index: u64) -> &[u8] {
        self.groups.get(index)
    }

    pub(super) fn is_quarantined(&self) -> bool {
        self.quarantined.load(Relaxed)
    }

    pub(super) fn expires_ms(&self) -> u64 {
        self.expires_ms.load(Relaxed)
    }

    /// Only for the holder of the order lock, or of an object that nobody else has seen.
    pub(super) fn set_expires_ms(&self, deadline: u64) {
        self.expires_ms.store(deadline, Relaxed);
    }

    /// Whether its time is over and nothing pins it.
    pub(super) fn is_expired(&self, now: Now) -> bool {
        self.expires_ms() <= now.mono_ms && !self.is_pinned()
    }

    pub(super) fn is_pinned(&self) -> bool {
        self.pins.load(Relaxed) > 0
    }

    /// How many pins there are now. Only for the holder of the shard's exclusive lock.
    pub(super) fn add_pin(&self) -> u32 {
        self.pins.fetch_add(1, Relaxed) + 1
    }

    /// See [`add_pin`](Self::add_pin); there must be one.
    pub(super) fn remove_pin(&self) -> u32 {
        self.pins.fetch_sub(1, Relaxed) - 1
    }

    pub(super) fn accessed_ms(&self) -> u64 {
        self.accessed_ms.load(Relaxed)
    }

    /// One relaxed store per millisecond at most, so that readers on different cores do not pull
    /// the cache line from each other on every access.
    pub(super) fn touch(&self, now: Now) {
        if self.accessed_ms() < now.mono_ms {
            self.accessed_ms.store(now.mono_ms, Relaxed);
        }
    }

    pub(super) fn ordered_ms(&self) -> u64 {
        self.ordered_ms.load(Relaxed)
    }

    /// Only for the holder of the order lock.
    pub(super) fn set_ordered_ms(&self, access: u64) {
        self.ordered_ms.store(access, Relaxed);
    }

    /// Bytes that go back to the budget with the object.
    pub(super) fn charged(&self) -> u64 {
        self.charge.bytes()
    }

    /// Takes over what was known about the damaged copy that this object replaces: the first
    /// media type, the later expiry, and the pins. For an object that nobody else has seen.
    pub(super) fn inherit(&mut self, damaged: &Self) -> Result<(), OverBudget> {
        // Same bytes, same media type: the same cost.
        self.charge.resize(damaged.charge.bytes())?;
        self.media_type.clone_from(&damaged.media_type);
        self.set_expires_ms(self.expires_ms().max(damaged.expires_ms()));
        self.pins = AtomicU32::new(damaged.pins.load(Relaxed));
        Ok(())
    }

    /// Flips one bit of what readers see as the byte at `offset`.
    #[cfg(feature = "faults")]
    pub(super) fn corrupt(&self, offset: u64) -> bool {
        use crate::wiped::WipedBuffer;
        use micronode_protocol::limits::GROUP_BYTES;

        if offset >= self.size() {
            return false;
        }
        let index = offset / GROUP_BYTES as u64;
        let mut group = self.group(index).to_vec();
        group[(offset % GROUP_BYTES as u64) as usize] ^= 1;
        let mut copy = WipedBuffer::with_capacity(group.len());
        copy.extend(&group);
        crate::wiped::wipe(&mut group);
        *self.damage.lock() = Some(Box::new((index, copy.freeze())));
        true
    }
}
