//! Which object expires next, and which was used least recently.
//!
//! Both orders are trees from which an object is removed exactly, so no sequence of puts and
//! deletes leaves anything behind; an entry is 16 bytes. One lock guards both. It is taken for
//! objects that expire or may be evicted, never by readers, and no other lock is taken under it.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::object::{NEVER, Object};
use crate::Now;

/// An object at a point of the monotonic clock, ordered by time, then address.
struct Timed {
    ms: u64,
    object: Arc<Object>,
}

impl Ord for Timed {
    fn cmp(&self, other: &Self) -> Ordering {
        self.ms
            .cmp(&other.ms)
            .then_with(|| self.object.address().cmp(other.object.address()))
    }
}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Timed {}

/// The answer to [`Order::pop_least_recent`].
pub(super) enum LeastRecent {
    /// The object whose last access is the longest ago; it has left the order.
    Victim(Arc<Object>),
    /// The order was brought up to date in part; ask again.
    Unsettled,
    /// There is no object.
    Nothing,
}

/// Stale entries corrected under one hold of the lock: some tens of microseconds.
const CORRECTIONS: usize = 128;

pub(super) struct Order {
    by_expiry: BTreeSet<Timed>,
    /// Keyed by the access known when the object was last placed. `None` when nothing is evicted.
    by_access: Option<BTreeSet<Timed>>,
}

impl Order {
    pub(super) fn new(evicts: bool) -> Self {
        Self {
            by_expiry: BTreeSet::new(),
            by_access: evicts.then(BTreeSet::new),
        }
    }

    pub(super) fn insert(&mut self, object: &Arc<Object>) {
        self.insert_expiry(object);
        self.insert_access(object);
    }

    pub(super) fn remove(&mut self, object: &Arc<Object>) {
        self.remove_expiry(object);
        self.remove_access(object);
    }

    /// Moves the object's expiry to `deadline` or leaves it where it is, whichever is later. For
    /// the holder of its shard lock, under which pins are stable: what is pinned stays out.
    pub(super) fn extend_expiry(&mut self, object: &Arc<Object>, deadline: u64) {
        if deadline > object.expires_ms() {
            self.remove_expiry(object);
            object.set_expires_ms(deadline);
            if !object.is_pinned() {
                self.insert_expiry(object);
            }
        }
    }

    /// Moves the object to the place of its last access, whether it has one already or not.
    pub(super) fn reinsert_access(&mut self, object: &Arc<Object>) {
        self.remove_access(object);
        self.insert_access(object);
    }

    /// Places the object, which is not in the order of access, by its last access.
    fn insert_access(&mut self, object: &Arc<Object>) {
        if let Some(by_access) = &mut self.by_access {
            let ms = object.accessed_ms();
            object.set_ordered_ms(ms);
            by_access.insert(Timed {
                ms,
                object: Arc::clone(object),
            });
        }
    }

    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.by_expiry.first().map(|first| first.ms)
    }

    /// Takes an object whose time is over out of the order of expiry.
    pub(super) fn pop_expired(&mut self, now: Now) -> Option<Arc<Object>> {
        if self.next_expiry()? > now.mono_ms {
            return None;
        }
        self.by_expiry.pop_first().map(|first| first.object)
    }

    /// Takes the least recently used object out of the order of access.
    ///
    /// Readers do not reorder anything, so the first entry may be stale. It is then put where it
    /// belongs: since an entry's key is never later than its object's last access, the first
    /// entry that is not stale is the least recent of all. Each correction was paid for by a read.
    pub(super) fn pop_least_recent(&mut self) -> LeastRecent {
        for _ in 0..CORRECTIONS {
            let Some(first) = self.by_access.as_mut().and_then(BTreeSet::pop_first) else {
                return LeastRecent::Nothing;
            };
            if first.object.accessed_ms() <= first.ms {
                return LeastRecent::Victim(first.object);
            }
            self.insert_access(&first.object);
        }
        LeastRecent::Unsettled
    }

    /// Takes the entry with the earliest access that the order knows of, stale or not.
    pub(super) fn pop_earliest(&mut self) -> Option<Arc<Object>> {
        let first = self.by_access.as_mut().and_then(BTreeSet::pop_first)?;
        Some(first.object)
    }

    fn remove_access(&mut self, object: &Arc<Object>) {
        if let Some(by_access) = &mut self.by_access {
            by_access.remove(&Timed {
                ms: object.ordered_ms(),
                object: Arc::clone(object),
            });
        }
    }

    fn insert_expiry(&mut self, object: &Arc<Object>) {
        let ms = object.expires_ms();
        if ms != NEVER {
            self.by_expiry.insert(Timed {
                ms,
                object: Arc::clone(object),
            });
        }
    }

    fn remove_expiry(&mut self, object: &Arc<Object>) {
        let ms = object.expires_ms();
        if ms != NEVER {
            self.by_expiry.remove(&Timed {
                ms,
                object: Arc::clone(object),
            });
        }
    }
}
