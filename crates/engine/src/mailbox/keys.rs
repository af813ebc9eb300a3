//! Idempotency keys of a queue: which message was sent under which.
//!
//! Kept as hashes, so that a key costs the same whatever its length, and nobody's key can be read
//! from memory. A key is kept for the window that was configured when it was used, and for as long
//! as those before it: they are forgotten in the order in which they came.
//!
//! All of it grows and shrinks in small pieces. A hash map would move what it has whenever it
//! doubles, which for as many keys as there may be took milliseconds under the queue's lock; a tree
//! costs some hundred instructions more for each key.

use std::collections::{BTreeMap, VecDeque};

use micronode_protocol::limits::{IDEMPOTENCY_KEY_CHARGE, IDEMPOTENCY_KEYS};

use super::SendError;
use super::stats::Quota;
use crate::Now;
use crate::budget::{Budget, Charge, MemoryKind};

/// What a key and a body are known by.
#[derive(Clone, Copy)]
pub(super) struct Fingerprint {
    /// Of the holder and the key.
    pub(super) key: [u8; 32],
    pub(super) body: [u8; 32],
}

/// Keys are freed so many at a time.
const BLOCK: u64 = 128;

#[derive(Default)]
pub(super) struct Keys {
    /// In the order in which they are forgotten, in blocks that are full but for the last. Those
    /// at the front of the first may be forgotten already.
    kept: VecDeque<Vec<Kept>>,
    /// The numbers of the keys, counted from the first that ever was there.
    by_key: BTreeMap<[u8; 32], u64>,
    /// The number of the first key that is not forgotten, and of the next that comes.
    first: u64,
    next: u64,
    charge: Option<Charge>,
}

struct Kept {
    fingerprint: Fingerprint,
    sequence: u64,
    expires_ms: u64,
}

impl Keys {
    pub(super) const fn is_empty(&self) -> bool {
        self.first == self.next
    }

    /// When the next key is forgotten.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        // Most queues have none.
        if self.is_empty() {
            return None;
        }
        self.get(self.first).map(|kept| kept.expires_ms)
    }

    /// Blocks begin with multiples of their length.
    fn get(&self, number: u64) -> Option<&Kept> {
        let block = number / BLOCK - self.first / BLOCK;
        self.kept
            .get(block as usize)?
            .get((number % BLOCK) as usize)
    }

    /// Forgets up to `most` keys whose time is over, and tells which.
    pub(super) fn expire(&mut self, now: Now, most: usize, forgotten: impl Fn([u8; 32])) {
        for _ in 0..most {
            if self
                .next_expiry()
                .is_none_or(|expires_ms| now.mono_ms < expires_ms)
            {
                return;
            }
            let Some(kept) = self.get(self.first) else {
                return;
            };
            let key = kept.fingerprint.key;
            // It may have been used again since its time was over.
            if self.by_key.get(&key) == Some(&self.first) {
                self.by_key.remove(&key);
                forgotten(key);
            }
            self.first += 1;
            if self.is_empty() {
                *self = Self::default();
            } else if self.first.is_multiple_of(BLOCK) {
                self.kept.pop_front();
                let cost = self.cost();
                let shrunk = self.charge.as_mut().map(|charge| charge.resize(cost));
                debug_assert_eq!(shrunk, Some(Ok(())), "less always fits");
            }
        }
    }

    /// The message that was sent under the key, if any; its sequence.
    ///
    /// # Errors
    ///
    /// If that was another.
    pub(super) fn find(&self, now: Now, of: &Fingerprint) -> Result<Option<u64>, SendError> {
        let number = self.by_key.get(&of.key);
        match number.and_then(|number| self.get(*number)) {
            Some(kept) if now.mono_ms < kept.expires_ms => {
                if kept.fingerprint.body == of.body {
                    Ok(Some(kept.sequence))
                } else {
                    Err(SendError::KeyReused)
                }
            }
            _ => Ok(None),
        }
    }

    /// Pays for one key more.
    ///
    /// # Errors
    ///
    /// If there are as many as there may be, or there is no memory for it.
    pub(super) fn reserve(&mut self, budget: &Budget) -> Result<(), SendError> {
        if self.next - self.first >= IDEMPOTENCY_KEYS as u64 {
            return Err(SendError::Quota(Quota::Keys));
        }
        let bytes = self.cost() + IDEMPOTENCY_KEY_CHARGE;
        match &mut self.charge {
            Some(charge) => charge.resize(bytes)?,
            None => self.charge = Some(budget.charge(MemoryKind::Messages, bytes)?),
        }
        Ok(())
    }

    /// Remembers a key that was paid for and is not there, until `until_ms` or, if that is later,
    /// for as long as the one before it; until when.
    pub(super) fn insert(&mut self, of: Fingerprint, sequence: u64, until_ms: u64) -> u64 {
        let last = self.kept.back().and_then(|block| block.last());
        let expires_ms = last.map_or(until_ms, |kept| kept.expires_ms.max(until_ms));
        let kept = Kept {
            fingerprint: of,
            sequence,
            expires_ms,
        };
        self.by_key.insert(of.key, self.next);
        match self.kept.back_mut() {
            Some(block) if block.len() < BLOCK as usize => block.push(kept),
            _ => self.kept.push_back(vec![kept]),
        }
        self.next += 1;
        expires_ms
    }

    /// Keys that are kept, and those that are forgotten and whose block is still there.
    const fn cost(&self) -> u64 {
        (self.next - self.first / BLOCK * BLOCK) * IDEMPOTENCY_KEY_CHARGE
    }
}
