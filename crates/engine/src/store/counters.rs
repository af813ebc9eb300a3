//! What the store counts, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::object::Object;

/// The store's counters and gauges, shared with its objects. All relaxed: they guard nothing.
#[derive(Debug, Default)]
pub(super) struct Counters {
    objects: AtomicU64,
    object_bytes: AtomicU64,
    pinned_bytes: AtomicU64,
    evicted_lru: AtomicU64,
    evicted_expired: AtomicU64,
    integrity_failures: AtomicU64,
    groups_read: AtomicU64,
    groups_written: AtomicU64,
}

/// A reading of the store's counters. Each is exact; together they are not one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Objects that can be named in a request, quarantined ones included.
    pub objects: u64,
    /// The sum of their sizes in bytes.
    pub object_bytes: u64,
    /// Bytes charged for objects that are pinned, and so make no room.
    pub pinned_bytes: u64,
    /// Objects removed to make room, since the start.
    pub evicted_lru: u64,
    /// Objects removed because their time was over, since the start.
    pub evicted_expired: u64,
    /// Objects found not to match their address, since the start.
    pub integrity_failures: u64,
    /// Chunk groups verified for reading, since the start.
    pub groups_read: u64,
    /// Chunk groups hashed for writing, since the start.
    pub groups_written: u64,
}

impl Counters {
    /// An object is in the maps, pinned or not.
    pub(super) fn added(&self, object: &Object) {
        self.objects.fetch_add(1, Relaxed);
        self.object_bytes.fetch_add(object.size(), Relaxed);
        if object.is_pinned() {
            self.pinned(object);
        }
    }

    /// An object has left the maps, pinned or not.
    pub(super) fn removed(&self, object: &Object) {
        self.objects.fetch_sub(1, Relaxed);
        self.object_bytes.fetch_sub(object.size(), Relaxed);
        if object.is_pinned() {
            self.unpinned(object);
        }
    }

    pub(super) fn pinned(&self, object: &Object) {
        self.pinned_bytes.fetch_add(object.charged(), Relaxed);
    }

    pub(super) fn unpinned(&self, object: &Object) {
        self.pinned_bytes.fetch_sub(object.charged(), Relaxed);
    }

    pub(super) fn pinned_bytes(&self) -> u64 {
        self.pinned_bytes.load(Relaxed)
    }

    pub(super) fn evicted_lru(&self) {
        self.evicted_lru.fetch_add(1, Relaxed);
    }

    pub(super) fn evicted_expired(&self) {
        self.evicted_expired.fetch_add(1, Relaxed);
    }

    pub(super) fn integrity_failure(&self) {
        self.integrity_failures.fetch_add(1, Relaxed);
    }

    pub(super) fn group_read(&self) {
        self.groups_read.fetch_add(1, Relaxed);
    }

    pub(super) fn group_written(&self) {
        self.groups_written.fetch_add(1, Relaxed);
    }

    pub(super) fn snapshot(&self) -> Stats {
        Stats {
            objects: self.objects.load(Relaxed),
            object_bytes: self.object_bytes.load(Relaxed),
            pinned_bytes: self.pinned_bytes(),
            evicted_lru: self.evicted_lru.load(Relaxed),
            evicted_expired: self.evicted_expired.load(Relaxed),
            integrity_failures: self.integrity_failures.load(Relaxed),
            groups_read: self.groups_read.load(Relaxed),
            groups_written: self.groups_written.load(Relaxed),
        }
    }
}
