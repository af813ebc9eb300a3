//! What is lost with the power.

use super::file::Content;
use super::{Directory, State, parent};

/// What is lost of what was written and not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: the process was killed, and the system lives.
    None,
    /// Any part of it: each block of a file and each change of a directory by itself.
    Some,
    /// All of it.
    All,
}

/// Decides what survives: the same again for the same seed.
pub(super) struct Chance {
    loss: Loss,
    state: u64,
}

impl Chance {
    pub(super) fn new(loss: Loss, seed: u64) -> Self {
        Self { loss, state: seed }
    }

    pub(super) fn survives(&mut self) -> bool {
        match self.loss {
            Loss::None => true,
            Loss::Some => self.next() >> 63 == 1,
            Loss::All => false,
        }
    }

    /// SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The disk after the restart, which nobody uses.
pub(super) fn survivors(before: &State, loss: Loss, seed: u64) -> State {
    if loss == Loss::None {
        return State {
            files: before.files.clone(),
            seen: before.seen.clone(),
            durable: before.durable.clone(),
            pending: before.pending.clone(),
            seed,
            ..State::default()
        };
    }
    let mut chance = Chance::new(loss, seed);
    let mut kept = before.durable.clone();
    for (_, entry) in &before.pending {
        if chance.survives() {
            kept.apply(entry);
        }
    }
    let directories = kept.directories;
    kept.files
        .retain(|path, _| parent(path).is_empty() || directories.contains(parent(path)));
    let mut state = State {
        seed,
        ..State::default()
    };
    for (path, file) in kept.files {
        state.seen.files.insert(path, state.files.len());
        let bytes = before.files[file].survivor(&mut chance);
        state.files.push(Content::new(bytes));
    }
    state.seen.directories = directories;
    state.durable = Directory::clone(&state.seen);
    state
}
