//! The object store: immutable bytes under the hash of their content, in memory.
//!
//! An object is admitted against the memory budget before its bytes are taken, hashed while it
//! arrives, and verified again, group by group, on every read. It goes when it is deleted, when
//! its time is over, or, if the operator chose so, when it makes room as the least recently used;
//! its memory is wiped and its charge given back when the last reader is done with it.
//!
//! Objects are spread over sharded maps. A read takes one shard's lock shared, for the lookup
//! alone. Locks nest in one way only, shard before order, and nothing is freed under either.
//!
//! What is pinned stays, whatever its time and the need for room: see [`Pinned`]. What comes and
//! goes is told to an observer, see [`Store::observed`], and to a journal, see
//! [`Store::journaled`].
//!
//! Not here: the names that pin objects, where objects are kept, who may do what.

mod counters;
mod event;
mod object;
mod order;
mod pin;
mod reader;
mod record;
mod room;
mod sealed;
mod shard;
mod upload;

use std::sync::Arc;

use micronode_protocol::Address;
use parking_lot::Mutex;
use thiserror::Error;

pub use counters::Stats;
pub use event::{StoreEvent, Why};
pub use object::Object;
pub use pin::Pinned;
pub use reader::Reader;
pub use sealed::{Restored, Sealed};
pub use upload::Upload;

use crate::Now;
use crate::budget::{Budget, OverBudget};
use crate::journal::{Change, Journal};
use counters::Counters;
use object::NEVER;
use order::Order;
use shard::{Objects, Shards};

/// What happens when the budget is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eviction {
    /// Uploads are refused; nothing stored is ever dropped to make room.
    #[default]
    Refuse,
    /// The least recently used objects make room.
    Lru,
}

/// What the operator chose for the store.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// What happens when the budget is full.
    pub eviction: Eviction,
    /// Largest object in bytes.
    pub max_object_bytes: u64,
}

/// What is known about an upload before its bytes arrive.
#[derive(Clone, Copy, Debug, Default)]
pub struct PutHead<'a> {
    /// The address that the bytes must hash to.
    pub expected: Option<Address>,
    /// The length that the bytes must have.
    pub declared: Option<u64>,
    /// Time to live in milliseconds, from the end of the upload; `None` for ever.
    pub ttl_ms: Option<u64>,
    /// Kept with the object as it is; the caller bounds its length.
    pub media_type: Option<&'a str>,
}

/// The outcome of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where the object is to be found.
    pub address: Address,
    /// Its size in bytes.
    pub size: u64,
    /// The same bytes were there, and readable, already.
    pub existed: bool,
    /// When it expires, in milliseconds since the Unix epoch; `None` for never. See
    /// [`Object::expires_at_wall_ms`].
    pub expires_at_wall_ms: Option<u64>,
}

/// Why an upload failed. Nothing of it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PutError {
    /// Larger than the largest object allowed.
    #[error("larger than {max_object_bytes} bytes")]
    TooLarge {
        /// The largest object allowed, in bytes.
        max_object_bytes: u64,
    },
    /// Does not fit the memory budget.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// Longer or shorter than declared.
    #[error("not of the declared length")]
    LengthMismatch,
    /// The bytes hash to another address than expected.
    #[error("the bytes do not hash to the expected address")]
    DigestMismatch,
}

/// The object is not there, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no such object")]
pub struct NotFound;

/// Why an object was not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DeleteError {
    /// It is not there, or not any more.
    #[error("no such object")]
    NotFound,
    /// It is [pinned](Pinned).
    #[error("the object is pinned")]
    Pinned,
}

/// Stored bytes do not match their address. The object is quarantined until it is put again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("stored bytes do not match their address")]
pub struct IntegrityError;

/// Why an object cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GetError {
    /// See [`NotFound`].
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// See [`IntegrityError`].
    #[error(transparent)]
    Integrity(#[from] IntegrityError),
}

/// The outcome of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Objects removed.
    pub removed: usize,
    /// The sweep stopped at its bound; sweep again soon.
    pub more: bool,
}

/// The object store. Clones share it.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    config: StoreConfig,
    budget: Budget,
    counters: Arc<Counters>,
    shards: Shards,
    order: Mutex<Order>,
    observer: Option<Box<event::Observer>>,
    journal: Option<Arc<dyn Journal>>,
}

/// When `expires_ms` of the monotonic clock is on the wall clock.
fn expiry_wall_ms(expires_ms: u64, now: Now) -> Option<u64> {
    (expires_ms != NEVER).then(|| now.wall_at(expires_ms))
}

impl Store {
    /// An empty store that takes its memory from `budget`.
    pub fn new(config: StoreConfig, budget: Budget) -> Self {
        let shared = Shared {
            config,
            budget,
            counters: Arc::default(),
            shards: Shards::new(),
            order: Mutex::new(Order::new(config.eviction == Eviction::Lru)),
            observer: None,
            journal: None,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Admits an upload.
    ///
    /// # Errors
    ///
    /// If the declared length is over the largest object, or more than the budget has left.
    pub fn begin_put(&self, now: Now, head: PutHead<'_>) -> Result<Upload, PutError> {
        Upload::begin(self, now, head)
    }

    /// The object at `address`, which counts as an access. No allocation.
    ///
    /// # Errors
    ///
    /// If it is not there, or is known not to match its address.
    pub fn get(&self, now: Now, address: &Address) -> Result<Arc<Object>, GetError> {
        let shard = self.shared.shards.of(address).read();
        let object = shard.get(address).ok_or(NotFound)?;
        if object.is_expired(now) {
            return Err(NotFound.into());
        }
        if object.is_quarantined() {
            return Err(IntegrityError.into());
        }
        object.touch(now);
        Ok(Arc::clone(object))
    }

    /// Whether [`get`](Self::get) would succeed. Does not count as an access.
    pub fn has(&self, now: Now, address: &Address) -> bool {
        let shard = self.shared.shards.of(address).read();
        shard
            .get(address)
            .is_some_and(|object| !object.is_expired(now) && !object.is_quarantined())
    }

    /// Removes the object at `address`, quarantined or not. Readers finish; its memory is wiped
    /// after the last of them.
    ///
    /// # Errors
    ///
    /// If it is not there, or pinned.
    pub fn delete(&self, now: Now, address: &Address) -> Result<(), DeleteError> {
        // Declared before the lock, and so dropped (and wiped) after it.
        let removed;
        {
            let mut objects = self.shared.shards.of(address).write();
            let object = objects.get(address).ok_or(DeleteError::NotFound)?;
            if object.is_expired(now) {
                return Err(DeleteError::NotFound);
            }
            if object.is_pinned() {
                return Err(DeleteError::Pinned);
            }
            removed = Arc::clone(object);
            self.remove(&mut objects, &removed);
        }
        self.tell_deleted(&removed, Why::Deleted);
        Ok(())
    }

    /// When the next object expires, in milliseconds of the monotonic clock.
    pub fn next_expiry(&self) -> Option<u64> {
        self.shared.order.lock().next_expiry()
    }

    /// Removes everything, also what is pinned, and tells neither the observer nor the journal. For
    /// the end of a store's life: a pin that outlives it must not meet another pin of the same
    /// address.
    pub fn clear(&self) {
        for shard in self.shared.shards.iter() {
            // Declared before the lock, and so dropped (and wiped) after it.
            let removed: Vec<Arc<Object>>;
            let mut objects = shard.write();
            removed = objects.iter().cloned().collect();
            for object in &removed {
                self.unlink(&mut objects, object);
            }
        }
    }

    /// What is stored and what has happened.
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot()
    }

    /// The budget that the store takes its memory from.
    pub fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    /// Flips a bit of the stored byte at `offset`, as failing memory would, also for readers in
    /// progress. False if there is no such byte.
    #[cfg(feature = "faults")]
    pub fn corrupt(&self, address: &Address, offset: u64) -> bool {
        let shard = self.shared.shards.of(address).read();
        shard
            .get(address)
            .is_some_and(|object| object.corrupt(offset))
    }

    /// Makes an uploaded object readable, unless the same bytes are there already.
    fn insert(&self, now: Now, mut object: Object, place: Option<u64>) -> Result<Stored, PutError> {
        let address = *object.address();
        let size = object.size();
        // Declared before the lock, and so dropped (and wiped) after it, as is `object`.
        let present;
        let mut objects = self.shared.shards.of(&address).write();
        present = objects.get(&address).cloned();
        let mut expired = None;

        if let Some(present) = &present {
            if present.is_expired(now) {
                self.shared.counters.evicted_expired();
                expired = Some(present);
            } else if present.is_quarantined() {
                object.inherit(present)?;
            } else {
                self.extend_expiry(now, present, object.expires_ms());
                present.touch(now);
                let expires_at_wall_ms = present.expires_at_wall_ms(now);
                return Ok(Stored {
                    address,
                    size,
                    existed: true,
                    expires_at_wall_ms,
                });
            }
            self.unlink(&mut objects, present);
        }

        let object = Arc::new(object);
        let expires_at_wall_ms = object.expires_at_wall_ms(now);
        self.link(&mut objects, &object);
        // Of what it replaces there is no record of its own: nobody finds the address empty.
        self.record(|| Change::ObjectStored {
            object,
            place,
            expires_at_wall_ms,
        });
        drop(objects);
        if let Some(expired) = expired {
            self.tell_deleted(expired, Why::Expired);
        }
        self.tell(StoreEvent::Put { address, size });
        Ok(Stored {
            address,
            size,
            existed: false,
            expires_at_wall_ms,
        })
    }

    /// For the holder of the object's shard lock.
    fn extend_expiry(&self, now: Now, object: &Arc<Object>, deadline: u64) {
        if deadline > object.expires_ms() {
            self.shared.order.lock().extend_expiry(object, deadline);
            self.record(|| Change::ObjectExtended {
                address: *object.address(),
                expires_at_wall_ms: object.expires_at_wall_ms(now),
            });
        }
    }

    /// Puts an object into the maps, in which there is none of its address.
    fn link(&self, objects: &mut Objects, object: &Arc<Object>) {
        if self.is_ordered(object) {
            self.shared.order.lock().insert(object);
        }
        self.shared.counters.added(object);
        objects.insert(Arc::clone(object));
    }

    /// Lets an object go for good. The caller keeps it alive until the shard is unlocked.
    fn remove(&self, objects: &mut Objects, object: &Arc<Object>) {
        self.unlink(objects, object);
        self.record(|| Change::ObjectRemoved {
            address: *object.address(),
        });
    }

    /// Takes an object out of the maps. The caller keeps it alive until the shard is unlocked.
    fn unlink(&self, objects: &mut Objects, object: &Arc<Object>) {
        objects.remove(object);
        if self.is_ordered(object) {
            self.shared.order.lock().remove(object);
        }
        self.shared.counters.removed(object);
    }

    /// Whether the order knows the object. Stable under the object's shard lock.
    fn is_ordered(&self, object: &Object) -> bool {
        let may_go = self.shared.config.eviction == Eviction::Lru || object.expires_ms() != NEVER;
        may_go && !object.is_pinned()
    }

    /// Refuses an object over the configured size.
    fn check_size(&self, size: u64) -> Result<(), PutError> {
        let max_object_bytes = self.shared.config.max_object_bytes;
        if size > max_object_bytes {
            Err(PutError::TooLarge { max_object_bytes })
        } else {
            Ok(())
        }
    }

    fn counters(&self) -> &Arc<Counters> {
        &self.shared.counters
    }
}
