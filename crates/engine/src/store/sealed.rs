//! What an upload ends in: an object that nobody can find yet.
//!
//! Between the two there is time to keep its bytes elsewhere, so that whoever finds the object can
//! rely on that. It holds its memory and its charge, and may move to another thread.
//!
//! Not here: the upload itself, what an object is once it is stored.

use std::sync::Arc;

use micronode_protocol::Address;
use micronode_protocol::group::group_count;

use super::object::{NEVER, Object};
use super::{IntegrityError, PutError, Store, Stored};
use crate::Now;

/// An object with all its bytes that is not in the store yet. Dropped, it leaves nothing: its
/// bytes are wiped and given back.
#[must_use = "nobody finds the object before it is inserted"]
pub struct Sealed {
    store: Store,
    ttl_ms: Option<u64>,
    object: Object,
}

/// What has become of an object that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It can be read.
    Readable,
    /// Its time is over. It is there all the same, because a name may keep it (see
    /// [`Names::restore`](crate::Names::restore)); if none does, the next sweep removes it.
    Expired,
}

impl Sealed {
    pub(super) const fn new(store: Store, ttl_ms: Option<u64>, object: Object) -> Self {
        Self {
            store,
            ttl_ms,
            object,
        }
    }

    /// Where the object will be found.
    pub fn address(&self) -> &Address {
        self.object.address()
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.object.size()
    }

    /// The media type that the upload gave.
    pub fn media_type(&self) -> Option<&str> {
        self.object.media_type()
    }

    /// Its bytes in order, in pieces of at most 64 KiB. Each is hashed right before it comes out,
    /// as for a [`Reader`](super::Reader). After an error the object is not worth inserting.
    pub fn pieces(&self) -> impl Iterator<Item = Result<&[u8], IntegrityError>> {
        let groups = 0..group_count(self.size());
        groups.map(|index| {
            self.object.verify(index)?;
            Ok(self.object.group(index))
        })
    }

    /// Makes the object readable, if it is not there already. `place` is where its bytes are kept,
    /// for the journal: it is not taken if there is an error, or if they
    /// [were there](Stored::existed).
    ///
    /// # Errors
    ///
    /// If it replaces a damaged copy whose longer media type does not fit the memory budget.
    pub fn insert(mut self, now: Now, place: Option<u64>) -> Result<Stored, PutError> {
        let expires_ms = self
            .ttl_ms
            .map_or(NEVER, |ttl| now.mono_ms.saturating_add(ttl).min(NEVER - 1));
        self.object.date(now, now.wall_ms, expires_ms);
        self.store.insert(now, self.object, place)
    }

    /// Puts back an object that was kept, of which neither the observer nor the journal is told. It
    /// counts as used now. What is there already stays as it is.
    ///
    /// The upload may have made room for it as any other does, and of that both are told. So names
    /// follow the object that they point at, lest it make room for the next.
    pub fn restore(
        mut self,
        now: Now,
        stored_at_wall_ms: u64,
        expires_at_wall_ms: Option<u64>,
    ) -> Restored {
        let expires_ms =
            expires_at_wall_ms.map_or(NEVER, |wall_ms| now.mono_at(wall_ms).min(NEVER - 1));
        self.object.date(now, stored_at_wall_ms, expires_ms);
        self.store.restore(now, self.object)
    }
}

impl Store {
    /// See [`Sealed::restore`].
    fn restore(&self, now: Now, object: Object) -> Restored {
        let address = *object.address();
        // Declared before the lock, and so dropped (and wiped) after it.
        let object = Arc::new(object);
        let mut objects = self.shared.shards.of(&address).write();
        let restored = objects.get(&address).unwrap_or(&object);
        let outcome = if restored.is_expired(now) {
            Restored::Expired
        } else {
            Restored::Readable
        };
        if Arc::ptr_eq(restored, &object) {
            self.link(&mut objects, &object);
        }
        outcome
    }
}
