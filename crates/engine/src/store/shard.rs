//! The maps from addresses to objects.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use micronode_protocol::Address;
use micronode_protocol::limits::STORE_SHARDS;
use parking_lot::RwLock;

use super::object::Object;

// Every shard is reached by the first byte of an address.
const _: () = assert!(STORE_SHARDS.is_power_of_two() && STORE_SHARDS <= 256);

/// All maps, each behind a lock of its own.
pub(super) struct Shards([Shard; STORE_SHARDS]);

/// On a cache line of its own, so that the locks of two shards do not slow each other down.
#[repr(align(64))]
#[derive(Default)]
struct Shard(RwLock<Objects>);

/// The objects of one shard, at most one per address. An entry takes 9 bytes: the address is in
/// the object. Hashing is keyed, because peers choose what they store.
#[derive(Default)]
pub(super) struct Objects(HashSet<ByAddress>);

struct ByAddress(Arc<Object>);

impl Shards {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Shard::default()))
    }

    /// Any bits of an address are as good as others. A peer that searches for contents to crowd
    /// one shard gains little: readers share its lock, and the map in it is keyed.
    pub(super) fn of(&self, address: &Address) -> &RwLock<Objects> {
        &self.0[usize::from(address.as_bytes()[0]) % STORE_SHARDS].0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &RwLock<Objects>> {
        self.0.iter().map(|Shard(objects)| objects)
    }
}

impl Objects {
    pub(super) fn get(&self, address: &Address) -> Option<&Arc<Object>> {
        self.0.get(address).map(|ByAddress(object)| object)
    }

    /// Whether this very object is there, not just one of the same address.
    pub(super) fn holds(&self, object: &Arc<Object>) -> bool {
        self.get(object.address())
            .is_some_and(|present| Arc::ptr_eq(present, object))
    }

    pub(super) fn insert(&mut self, object: Arc<Object>) {
        let new = self.0.insert(ByAddress(object));
        debug_assert!(new, "what is replaced is removed first");
    }

    /// The caller keeps the object alive until the shard is unlocked.
    pub(super) fn remove(&mut self, object: &Arc<Object>) {
        debug_assert!(self.holds(object));
        self.0.remove(object.address());
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.0.iter().map(|ByAddress(object)| object)
    }
}

impl Borrow<Address> for ByAddress {
    fn borrow(&self) -> &Address {
        self.0.address()
    }
}

impl Hash for ByAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.address().hash(state);
    }
}

impl PartialEq for ByAddress {
    fn eq(&self, other: &Self) -> bool {
        self.0.address() == other.0.address()
    }
}

impl Eq for ByAddress {}
