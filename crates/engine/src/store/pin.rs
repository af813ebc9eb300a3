//! Pins: what keeps an object whatever its time and the need for room.

use micronode_protocol::Address;

use super::{NotFound, Object, Store};
use crate::Now;

/// Keeps the object at an address: it neither expires nor makes room nor can be deleted until the
/// last pin of it has been dropped. Several may be held of one object; they survive its healing.
///
/// Dropping it takes the lock of the object's shard. An object whose time has passed meanwhile is
/// gone at once, and removed by the next sweep.
#[must_use = "dropping a pin lets go of the object"]
pub struct Pinned {
    store: Store,
    address: Address,
}

impl Pinned {
    /// The address of the object.
    pub const fn address(&self) -> &Address {
        &self.address
    }
}

impl Store {
    /// Pins the object at `address`. Does not count as an access.
    ///
    /// # Errors
    ///
    /// If [`has`](Self::has) would not find it.
    pub fn pin(&self, now: Now, address: &Address) -> Result<Pinned, NotFound> {
        self.pin_if(address, |object| {
            !object.is_expired(now) && !object.is_quarantined()
        })
    }

    /// Pins an object that was restored, also if its time is over: it was pinned when it ended.
    pub(crate) fn pin_restored(&self, address: &Address) -> Result<Pinned, NotFound> {
        self.pin_if(address, |_| true)
    }

    fn pin_if(
        &self,
        address: &Address,
        may_be_pinned: impl FnOnce(&Object) -> bool,
    ) -> Result<Pinned, NotFound> {
        let objects = self.shared.shards.of(address).write();
        let object = objects.get(address).ok_or(NotFound)?;
        if !may_be_pinned(object) {
            return Err(NotFound);
        }
        // Asked before the first pin, which is what takes it out of the orders.
        let leaves_order = self.is_ordered(object);
        if object.add_pin() == 1 {
            self.shared.counters.pinned(object);
        }
        if leaves_order {
            self.shared.order.lock().remove(object);
        }
        Ok(Pinned {
            store: self.clone(),
            address: *address,
        })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let shared = &self.store.shared;
        let objects = shared.shards.of(&self.address).write();
        // Not there, or not pinned, only after the store was cleared.
        let pinned = objects
            .get(&self.address)
            .filter(|object| object.is_pinned());
        let Some(object) = pinned else { return };
        if object.remove_pin() == 0 {
            shared.counters.unpinned(object);
            if self.store.is_ordered(object) {
                shared.order.lock().insert(object);
            }
        }
    }
}
