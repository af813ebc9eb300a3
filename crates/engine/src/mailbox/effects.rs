//! What a command leaves to be done once no lock is held: freeing, wiping and waking take time,
//! and whoever is woken may come back at once.

use std::task::Waker;

use smallvec::SmallVec;

use super::chunks::Chunk;
use super::heap::Entry;
use super::slab::{Content, Slot};

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
    /// Emptied storage.
    pub(super) slots: Vec<Chunk<Slot>>,
    pub(super) entries: Vec<Chunk<Entry>>,
}

impl Effects {
    /// Frees, and wakes last.
    pub(super) fn run(self) {
        let Self { woken, .. } = self;
        for waker in woken {
            waker.wake();
        }
    }
}
