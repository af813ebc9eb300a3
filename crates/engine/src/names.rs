//! Names: mutable pointers to objects, which they keep.
//!
//! A name points at one object, which is pinned as long as any name does. Every change takes a
//! revision from one counter that never goes back, deletions too: whoever has seen a revision can
//! make a change that depends on it, and no two states of the index look alike.
//!
//! All names are in one ordered map under one lock, shared for lookups and pages, exclusive for
//! changes. Pins are taken before that lock and let go of after it. Changes are told to a journal
//! under it, see [`Names::journaled`].
//!
//! Not here: how a name is spelled (`protocol::name`), who may do what, who else is told.

mod restore;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use micronode_protocol::Address;
use micronode_protocol::limits::{NAME_OVERHEAD_BYTES, NAMES};
use parking_lot::RwLock;
use thiserror::Error;

use crate::Now;
use crate::budget::{Budget, Charge, MemoryKind, OverBudget};
use crate::journal::{Change, Journal};
use crate::store::{Pinned, Store};

/// What must hold for a change to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Any,
    /// The name does not exist.
    Absent,
    /// The name exists.
    Exists,
    /// The name exists in a state that one of these describes.
    OneOf(Vec<Tag>),
}

/// Describes a state of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// It has this revision.
    Revision(u64),
    /// It points at this object, in whichever revision.
    Address(Address),
}

/// A change that has been made to the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameChange<'a> {
    /// The name.
    pub name: &'a str,
    /// Where it points now; `None` if it was deleted.
    pub address: Option<Address>,
    /// Where it pointed before; `None` if it is new.
    pub before: Option<Address>,
    /// The revision of the change.
    pub revision: u64,
}

/// One name of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameEntry {
    /// The name.
    pub name: Arc<str>,
    /// Where it points.
    pub address: Address,
    /// Its revision.
    pub revision: u64,
}

/// The outcome of setting a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameSet {
    /// The revision that the name has now.
    pub revision: u64,
    /// There was no such name before.
    pub created: bool,
}

/// Why a name was not set. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SetError {
    /// There is no readable object at the address.
    #[error("no such object")]
    NoObject,
    /// What was expected does not hold.
    #[error("the name is not in the expected state")]
    Precondition,
    /// There are [`NAMES`] names already.
    #[error("there are as many names as there may be")]
    Full,
    /// Does not fit the memory budget.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
}

/// Why a name was not deleted. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RemoveError {
    /// There is no such name, whatever was expected.
    #[error("no such name")]
    NotFound,
    /// What was expected does not hold.
    #[error("the name is not in the expected state")]
    Precondition,
}

/// The index of names. Clones share it.
#[derive(Clone)]
pub struct Names {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    journal: Option<Arc<dyn Journal>>,
    index: RwLock<Index>,
}

struct Index {
    names: BTreeMap<Arc<str>, Pointer>,
    /// The latest revision given out.
    revision: u64,
    /// For all names: one each would be a tenth of what a name takes.
    charge: Charge,
}

/// Where a name points.
struct Pointer {
    pin: Pinned,
    revision: u64,
}

/// What a name is charged.
const fn cost(name: &str) -> u64 {
    name.len() as u64 + NAME_OVERHEAD_BYTES
}

impl Expected {
    fn holds(&self, pointer: Option<&Pointer>) -> bool {
        match (self, pointer) {
            (Self::Any, _) | (Self::Absent, None) | (Self::Exists, Some(_)) => true,
            (Self::OneOf(tags), Some(pointer)) => tags.iter().any(|tag| match tag {
                Tag::Revision(revision) => *revision == pointer.revision,
                Tag::Address(address) => address == pointer.pin.address(),
            }),
            _ => false,
        }
    }
}

impl Names {
    /// An empty index of objects in `store` that takes its memory from `budget`.
    #[expect(clippy::needless_pass_by_value, reason = "as a store takes its own")]
    pub fn new(store: Store, budget: Budget) -> Self {
        let nothing = budget.charge(MemoryKind::Names, 0);
        let index = Index {
            names: BTreeMap::new(),
            revision: 0,
            charge: nothing.expect("nothing always fits"),
        };
        let shared = Shared {
            store,
            journal: None,
            index: RwLock::new(index),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Tells `journal` of every change, under the lock of the index.
    ///
    /// # Panics
    ///
    /// If the index has clones already, whose changes might have gone unrecorded.
    #[must_use]
    pub fn journaled(mut self, journal: Arc<dyn Journal>) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("journaled before it is shared");
        shared.journal = Some(journal);
        self
    }

    /// Where `name` points, and since which revision.
    pub fn get(&self, name: &str) -> Option<(Address, u64)> {
        let index = self.shared.index.read();
        let pointer = index.names.get(name)?;
        Some((*pointer.pin.address(), pointer.revision))
    }

    /// Points `name` at the object at `address`, if `expected` holds. A new name is charged its
    /// bytes and [`NAME_OVERHEAD_BYTES`], for which objects may make room; the caller bounds its
    /// length.
    ///
    /// `publish` is called with the change under the lock of the index, so that whoever listens
    /// sees changes in the order of their revisions. What it returns is dropped after the lock:
    /// that is the place to wake somebody (see [`Appended`](crate::bus::Appended)).
    ///
    /// # Errors
    ///
    /// If there is no readable object, `expected` does not hold, or a new name is over a bound.
    pub fn set<T>(
        &self,
        now: Now,
        name: &str,
        address: &Address,
        expected: &Expected,
        publish: impl FnOnce(&NameChange<'_>) -> T,
    ) -> Result<NameSet, SetError> {
        let store = &self.shared.store;
        // Held from here, lest it be what makes room for its name.
        let pin = store.pin(now, address).map_err(|_| SetError::NoObject)?;
        let mut change = Some((pin, publish));
        store.with_room(now, cost(name), || {
            match self.point(name, address, expected, &mut change) {
                Err(SetError::OverBudget(over)) => Err(over),
                done => Ok(done),
            }
        })?
    }

    /// Makes the change, which is taken if there is no error.
    fn point<T>(
        &self,
        name: &str,
        address: &Address,
        expected: &Expected,
        change: &mut Option<(Pinned, impl FnOnce(&NameChange<'_>) -> T)>,
    ) -> Result<NameSet, SetError> {
        // Declared before the lock, and so dropped after it.
        let (_replaced, _published);
        let mut index = self.shared.index.write();
        let is_full = index.names.len() >= NAMES;
        let Index {
            names,
            revision,
            charge,
        } = &mut *index;
        let present = names.get_mut(name);
        if !expected.holds(present.as_deref()) {
            return Err(SetError::Precondition);
        }
        let before = present.as_deref().map(|present| *present.pin.address());
        let created = before.is_none();
        if created && is_full {
            return Err(SetError::Full);
        }
        if created {
            charge.resize(charge.bytes() + cost(name))?;
        }
        let (pin, publish) = change.take().expect("a change is made once");
        *revision += 1;
        let revision = *revision;
        let pointer = Pointer { pin, revision };
        if let Some(present) = present {
            _replaced = std::mem::replace(present, pointer);
        } else {
            names.insert(name.into(), pointer);
        }
        if let Some(journal) = &self.shared.journal
            && let Some((name, _)) = names.get_key_value(name)
        {
            journal.record(Change::NameSet {
                name: Arc::clone(name),
                address: *address,
                revision,
            });
        }
        _published = publish(&NameChange {
            name,
            address: Some(*address),
            before,
            revision,
        });
        Ok(NameSet { revision, created })
    }

    /// Removes `name`, if `expected` holds; the revision of the deletion. `publish` is called as by
    /// [`set`](Self::set).
    ///
    /// # Errors
    ///
    /// If there is no such name, or `expected` does not hold.
    pub fn delete<T>(
        &self,
        name: &str,
        expected: &Expected,
        publish: impl FnOnce(&NameChange<'_>) -> T,
    ) -> Result<u64, RemoveError> {
        // Declared before the lock, and so dropped after it.
        let (removed, _published);
        let mut index = self.shared.index.write();
        let pointer = index.names.get(name).ok_or(RemoveError::NotFound)?;
        if !expected.holds(Some(pointer)) {
            return Err(RemoveError::Precondition);
        }
        let before = Some(*pointer.pin.address());
        removed = index.names.remove_entry(name);
        let rest = index.charge.bytes() - cost(name);
        index.charge.resize(rest).expect("less always fits");
        index.revision += 1;
        let revision = index.revision;
        if let (Some(journal), Some((name, _))) = (&self.shared.journal, &removed) {
            journal.record(Change::NameRemoved {
                name: Arc::clone(name),
                revision,
            });
        }
        _published = publish(&NameChange {
            name,
            address: None,
            before,
            revision,
        });
        Ok(revision)
    }

    /// Appends to `out` at most `limit` names that begin with `prefix` and come after `after`, in
    /// byte order. True if more follow. The caller bounds `limit`: a page is read under the lock.
    pub fn list(&self, prefix: &str, after: &str, limit: usize, out: &mut Vec<NameEntry>) -> bool {
        let start = if after < prefix {
            Bound::Included(prefix)
        } else {
            Bound::Excluded(after)
        };
        let index = self.shared.index.read();
        let mut names = index
            .names
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix));
        out.extend(names.by_ref().take(limit).map(|(name, pointer)| NameEntry {
            name: Arc::clone(name),
            address: *pointer.pin.address(),
            revision: pointer.revision,
        }));
        names.next().is_some()
    }

    /// The latest revision given out; 0 before the first.
    pub fn revision(&self) -> u64 {
        self.shared.index.read().revision
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.shared.index.read().names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
