//! Idempotency keys of a queue: which message was sent under which.
//!
//! Kept as hashes, so that a key costs the same whatever its length, and nobody's key can be read
//! from memory. A key is kept for the window that was configured when it was used, and for as long
//! as those before it: they are forgotten in the order in which they came.

use std::collections::{HashMap, VecDeque};

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

#[derive(Default)]
pub(super) struct Keys {
    /// In the order in which they are forgotten.
    kept: VecDeque<Kept>,
    /// Positions in `kept`, counted from the first that ever was there.
    by_key: HashMap<[u8; 32], u64>,
    forgotten: u64,
    charge: Option<Charge>,
}

struct Kept {
    fingerprint: Fingerprint,
    sequence: u64,
    expires_ms: u64,
}

impl Keys {
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// When the next key is forgotten.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.kept.front().map(|kept| kept.expires_ms)
    }

    /// Forgets up to `most` keys whose time is over.
    pub(super) fn expire(&mut self, now: Now, most: usize) {
        for _ in 0..most {
            if self.next_expiry().is_none_or(|next| now.mono_ms < next) {
                return;
            }
            let Some(kept) = self.kept.pop_front() else {
                return;
            };
            // It may have been used again since its time was over.
            let key = &kept.fingerprint.key;
            if self.by_key.get(key) == Some(&self.forgotten) {
                self.by_key.remove(key);
            }
            self.forgotten += 1;
            self.pay();
        }
    }

    /// The message that was sent under the key, if any; its sequence.
    ///
    /// # Errors
    ///
    /// If that was another.
    pub(super) fn find(&self, now: Now, of: &Fingerprint) -> Result<Option<u64>, SendError> {
        let position = self.by_key.get(&of.key);
        let kept = position.and_then(|at| self.kept.get((at - self.forgotten) as usize));
        match kept {
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
        if self.kept.len() >= IDEMPOTENCY_KEYS {
            return Err(SendError::Quota(Quota::Keys));
        }
        let bytes = (self.kept.len() as u64 + 1) * IDEMPOTENCY_KEY_CHARGE;
        match &mut self.charge {
            Some(charge) => charge.resize(bytes)?,
            None => self.charge = Some(budget.charge(MemoryKind::Messages, bytes)?),
        }
        Ok(())
    }

    /// Remembers a key that was paid for and is not there.
    pub(super) fn insert(&mut self, now: Now, of: Fingerprint, sequence: u64, window_ms: u64) {
        let last = self.kept.back().map_or(0, |kept| kept.expires_ms);
        let position = self.forgotten + self.kept.len() as u64;
        self.by_key.insert(of.key, position);
        self.kept.push_back(Kept {
            fingerprint: of,
            sequence,
            expires_ms: last.max(now.mono_ms.saturating_add(window_ms)),
        });
    }

    /// Makes the charge one for what is kept; the memory of a table that is empty goes, too.
    pub(super) fn pay(&mut self) {
        if self.kept.is_empty() {
            *self = Self {
                forgotten: self.forgotten,
                ..Self::default()
            };
        } else if let Some(charge) = &mut self.charge {
            let shrunk = charge.resize(self.kept.len() as u64 * IDEMPOTENCY_KEY_CHARGE);
            debug_assert!(shrunk.is_ok(), "less always fits");
        }
    }
}
