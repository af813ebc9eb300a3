//! What a command leaves to be done once no lock is held: freeing, wiping and waking take time,
//! and whoever is woken may come back at once.

use std::task::Waker;

use smallvec::SmallVec;

use super::chunks::Chunk;
use super::heap::{Entry, Heap};
use super::keys::Keys;
use super::lane::Lane;
use super::slab::{Content, History, Slab, Slot};

/// Most commands remove at most one message and wake at most one receiver.
#[derive(Default)]
pub(super) struct Effects {
    /// To be woken.
    pub(super) woken: SmallVec<[Waker; 1]>,
    /// To be dropped, which may run whatever the waker belongs to.
    pub(super) unused: SmallVec<[Waker; 1]>,
    /// What was in messages that are gone.
    pub(super) gone: SmallVec<[Content; 1]>,
    /// Those messages, and bytes of their bodies.
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Of messages that begin anew.
    pub(super) histories: SmallVec<[Box<History>; 1]>,
    /// Emptied storage.
    pub(super) slots: Vec<Chunk<Slot>>,
    pub(super) entries: Vec<Chunk<Entry>>,
    /// All that a queue had.
    pub(super) storage: Option<Box<Storage>>,
}

/// Where a queue keeps what is in it.
pub(super) struct Storage {
    pub(super) _slots: Slab,
    pub(super) _deadlines: Heap,
    pub(super) _lanes: [Lane; 2],
    pub(super) _keys: Keys,
}

impl Effects {
    /// Wakes, and then wipes and frees: nobody has to wait for that.
    pub(super) fn run(self) {
        for waker in self.woken {
            waker.wake();
        }
    }
}
