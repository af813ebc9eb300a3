//! The keys of a node: making tokens, and telling its own from others.
//!
//! The *operator's* key lives as long as the process; the token that is printed at the start hangs
//! on it. All other tokens hang on an *epoch* key. A new one takes over every `key_ttl`, and the
//! one before is accepted for another `token_ttl`, so that a token made in its last moment lives
//! as long as others. So nothing but the operator's key is ever older than both together.
//!
//! Ages are on a clock that does not jump (milliseconds, `mono_ms`); what a token says of time is
//! wall time (since the Unix epoch).

use std::num::NonZeroU32;
use std::time::Duration;

use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::caveat::Caveat;
use super::identifier::{GrantRef, Identifier, KeyId, Nonce};
use super::macaroon::{Builder, Macaroon, MacaroonError, RootKey};
use super::rights::Rights;
use crate::limits::CAPABILITY_CAVEATS;

/// Random bytes that a key is made of: its name and its secret.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Fresh {
    /// How tokens name it.
    pub id: KeyId,
    /// What makes it a key.
    pub secret: [u8; 32],
}

/// Why a token is not one of this node's, or is one no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[repr(u8)]
pub enum Invalid {
    /// Not a macaroon, or not in its one spelling.
    #[error("not a capability")]
    Malformed,
    /// Longer than a token may be.
    #[error("longer than a capability")]
    TooLong,
    /// More caveats than a token may have.
    #[error("more caveats than a capability may have")]
    TooManyCaveats,
    /// Made by a node of another name.
    #[error("made by another node")]
    Location,
    /// Under a key that this node does not have, or has no longer.
    #[error("under a key that is not known, or is no longer")]
    Key,
    /// The chain does not end in its signature.
    #[error("the signature does not match")]
    Signature,
}

impl From<MacaroonError> for Invalid {
    fn from(error: MacaroonError) -> Self {
        match error {
            MacaroonError::TooLong => Self::TooLong,
            MacaroonError::Malformed => Self::Malformed,
            MacaroonError::TooManyCaveats => Self::TooManyCaveats,
        }
    }
}

/// How long things live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives {
    /// Tokens are made with a key for so long.
    pub key: Duration,
    /// Tokens live so long unless it is said otherwise, and their key as long after its own end.
    pub token: Duration,
}

#[derive(Clone, Debug)]
struct Key {
    id: KeyId,
    root: RootKey,
}

impl Key {
    fn new(fresh: &Fresh) -> Self {
        Self {
            id: fresh.id,
            root: RootKey::of(&fresh.secret),
        }
    }
}

#[derive(Clone, Debug)]
struct Epoch {
    key: Key,
    began_ms: u64,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct KeyRing {
    location: Box<str>,
    lives: Lives,
    operator: Key,
    current: Epoch,
    previous: Option<Epoch>,
}

/// A token that is one of this node's.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What it says of itself.
    pub identifier: Identifier,
    /// What its caveats leave.
    pub rights: Rights,
    /// Its rates, and for each the name of its bucket.
    pub rates: Vec<(BucketId, NonZeroU32)>,
    /// When its key dies, on the clock that does not jump; `None` for the operator's.
    pub key_dies_ms: Option<u64>,
}

/// Names the bucket of a rate: a hash of the signature over its caveat, which everything made of
/// the token from there on shares. (The signature itself would let later caveats be left out.)
pub type BucketId = u128;

/// Why no token was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MintError {
    /// The caveat at this position is none that the node knows.
    #[error("caveat {} is not one that this node knows", .0 + 1)]
    Caveat(usize),
    /// It would have more caveats, or more bytes, than a token may have.
    #[error("the token would have more than 32 caveats or 8 KiB")]
    TooLong,
}

impl From<MacaroonError> for MintError {
    fn from(_: MacaroonError) -> Self {
        Self::TooLong
    }
}

/// What a new token is to be.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Makes the token one of its own.
    pub nonce: Nonce,
    /// Where it came from.
    pub grant: Option<GrantRef>,
    /// Caveats of the token that it is made of, taken over as they stand.
    pub inherited: &'a [&'a [u8]],
    /// Caveats that it is asked to have.
    pub caveats: &'a [&'a [u8]],
    /// How long it may live.
    pub life: Duration,
}

impl KeyRing {
    /// The keys of a node named `location` that starts at `mono_ms`.
    pub fn new(
        location: &str,
        lives: Lives,
        mono_ms: u64,
        operator: &Fresh,
        first: &Fresh,
    ) -> Self {
        Self {
            location: location.into(),
            lives,
            operator: Key::new(operator),
            current: Epoch {
                key: Key::new(first),
                began_ms: mono_ms,
            },
            previous: None,
        }
    }

    /// When [`rotate`](Self::rotate) has something to do.
    pub fn next_rotation_ms(&self) -> u64 {
        let ends = self.current.began_ms.saturating_add(millis(self.lives.key));
        match &self.previous {
            Some(previous) => ends.min(self.dies_ms(previous)),
            None => ends,
        }
    }

    /// Lets a new key take over if it is time, and drops one that has died.
    pub fn rotate(&mut self, mono_ms: u64, fresh: impl FnOnce() -> Fresh) {
        if mono_ms.saturating_sub(self.current.began_ms) >= millis(self.lives.key) {
            let next = Epoch {
                key: Key::new(&fresh()),
                began_ms: mono_ms,
            };
            self.previous = Some(std::mem::replace(&mut self.current, next));
        }
        let dies_ms = self.previous.as_ref().map(|epoch| self.dies_ms(epoch));
        if dies_ms.is_some_and(|dies_ms| dies_ms <= mono_ms) {
            self.previous = None;
        }
    }

    /// How old the current epoch's key is, and the one before it while it is still accepted.
    pub fn ages_ms(&self, mono_ms: u64) -> (u64, Option<u64>) {
        let age = |epoch: &Epoch| mono_ms.saturating_sub(epoch.began_ms);
        (age(&self.current), self.previous.as_ref().map(age))
    }

    fn dies_ms(&self, epoch: &Epoch) -> u64 {
        let life = millis(self.lives.key).saturating_add(millis(self.lives.token));
        epoch.began_ms.saturating_add(life)
    }

    /// The operator's token: everything, as long as the process lives.
    pub fn operator_token(&self, nonce: Nonce) -> Vec<u8> {
        let identifier = Identifier {
            key_id: self.operator.id,
            nonce,
            grant: None,
        };
        Builder::new(
            &self.operator.root,
            self.location.as_bytes(),
            &identifier.encode(),
        )
        .finish()
        .expect("an identifier and a name fit a token")
    }

    /// Makes a token. It ends when it is asked to, or with its key if that is earlier.
    pub fn mint(
        &self,
        mono_ms: u64,
        wall_ms: u64,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<u8>, MintError> {
        check(wanted.caveats)?;
        let identifier = Identifier {
            key_id: self.current.key.id,
            nonce: wanted.nonce,
            grant: wanted.grant,
        };
        let root = &self.current.key.root;
        let mut builder = Builder::new(root, self.location.as_bytes(), &identifier.encode());
        for caveat in wanted.inherited.iter().chain(wanted.caveats) {
            builder.caveat(caveat)?;
        }
        let key_life = self.dies_ms(&self.current).saturating_sub(mono_ms);
        let expires_ms = wall_ms.saturating_add(millis(wanted.life).min(key_life));
        builder.caveat(before(expires_ms).as_bytes())?;
        Ok(builder.finish()?)
    }

    /// Whether a token is one of this node's: parse, key, signature. What its caveats say is told,
    /// not judged.
    pub fn verify(&self, token: &Macaroon<'_>, mono_ms: u64) -> Result<Verified, Invalid> {
        if token.location() != self.location.as_bytes() {
            return Err(Invalid::Location);
        }
        let identifier = Identifier::parse(token.identifier()).ok_or(Invalid::Key)?;
        let (root, key_dies_ms) = self.key(&identifier.key_id, mono_ms).ok_or(Invalid::Key)?;
        let mut rights = Rights::default();
        let mut rates = Vec::new();
        let is_genuine = token.verify(root, |index, signature| {
            let caveat = Caveat::parse(token.caveats()[index]);
            if let Some(Caveat::Rps(rate)) = &caveat {
                let hash = blake3::hash(&**signature);
                let id = *hash.as_bytes().first_chunk().expect("16 of 32 bytes");
                rates.push((u128::from_le_bytes(id), *rate));
            }
            rights.narrow(caveat.as_ref());
        });
        if !is_genuine {
            return Err(Invalid::Signature);
        }
        Ok(Verified {
            identifier,
            rights,
            rates,
            key_dies_ms,
        })
    }

    /// A key that is alive, and when it dies. Key ids are no secret, so how they are compared does
    /// not matter.
    fn key(&self, id: &KeyId, mono_ms: u64) -> Option<(&RootKey, Option<u64>)> {
        if *id == self.operator.id {
            return Some((&self.operator.root, None));
        }
        let epochs = std::iter::once(&self.current).chain(&self.previous);
        let epoch = epochs.into_iter().find(|epoch| epoch.key.id == *id)?;
        let dies_ms = self.dies_ms(epoch);
        (mono_ms < dies_ms).then_some((&epoch.key.root, Some(dies_ms)))
    }
}

/// Whether a node knows all of these caveats: what it makes is to be good for something.
pub fn check(caveats: &[&[u8]]) -> Result<(), MintError> {
    if caveats.len() > CAPABILITY_CAVEATS {
        return Err(MintError::TooLong);
    }
    let unknown = |caveat: &&[u8]| Caveat::parse(caveat).is_none();
    let unknown = caveats.iter().position(unknown);
    unknown.map_or(Ok(()), |index| Err(MintError::Caveat(index)))
}

/// The caveat that ends a token, at a millisecond after the Unix epoch.
pub fn before(expires_ms: u64) -> String {
    let at = std::time::UNIX_EPOCH + Duration::from_millis(expires_ms);
    format!("before = {}", humantime::format_rfc3339_millis(at))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
