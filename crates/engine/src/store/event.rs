//! What the store tells an observer: which objects come and go.

use std::sync::Arc;

use micronode_protocol::Address;

use super::Store;
use super::object::Object;

/// An object has become visible, or has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreEvent {
    /// An object is there that was not, or could not be read, before.
    Put {
        /// Its address.
        address: Address,
        /// Its size in bytes.
        size: u64,
    },
    /// An object is there no more.
    Deleted {
        /// Its address.
        address: Address,
        /// What took it away.
        why: Why,
    },
}

/// Why an object has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Somebody deleted it.
    Deleted,
    /// Its time was over.
    Expired,
    /// It made room for others.
    Evicted,
}

impl Why {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::Evicted => "evicted",
        }
    }
}

pub(super) type Observer = dyn Fn(StoreEvent) + Send + Sync;

impl Store {
    /// Tells `observer` of every object that becomes visible or goes, on the thread that brought
    /// it about and after all locks were released. What two threads do to one object at once may
    /// therefore be told in either order.
    ///
    /// # Panics
    ///
    /// If the store has clones already, which might have gone unobserved.
    #[must_use]
    pub fn observed(mut self, observer: impl Fn(StoreEvent) + Send + Sync + 'static) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("observed before it is shared");
        shared.observer = Some(Box::new(observer));
        self
    }

    /// For who holds no lock.
    pub(super) fn tell(&self, event: StoreEvent) {
        if let Some(observer) = &self.shared.observer {
            observer(event);
        }
    }

    /// See [`tell`](Self::tell).
    pub(super) fn tell_deleted(&self, object: &Object, why: Why) {
        let address = *object.address();
        self.tell(StoreEvent::Deleted { address, why });
    }
}
