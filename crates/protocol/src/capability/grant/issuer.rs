//! Who signs grants, as a node knows them: two public keys.

use std::fmt;

use thiserror::Error;

use super::{ED25519_KEY_BYTES, MLDSA65_KEY_BYTES};
use crate::capability::base64url;

/// `BLAKE3(ed25519 ‖ mldsa65)`: both keys of an issuer, by one name.
pub type IssuerId = [u8; 32];

/// The public keys of an issuer.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuerKey {
    ed25519: [u8; ED25519_KEY_BYTES],
    mldsa65: Box<[u8; MLDSA65_KEY_BYTES]>,
    id: IssuerId,
}

/// A text that is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "expected the {bytes} bytes of a public key as base64url without padding; copy what `micronode issuer show` prints"
)]
pub struct InvalidIssuerKey {
    /// How long the key would be.
    pub bytes: usize,
}

impl IssuerKey {
    /// The issuer with these keys. Any bytes are keys; those of nobody verify nothing.
    pub fn new(ed25519: [u8; ED25519_KEY_BYTES], mldsa65: Box<[u8; MLDSA65_KEY_BYTES]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&ed25519).update(&mldsa65[..]);
        Self {
            ed25519,
            mldsa65,
            id: hasher.finalize().into(),
        }
    }

    /// From the texts of the two keys.
    ///
    /// # Errors
    ///
    /// If one of them is not that many bytes in base64url.
    pub fn parse(ed25519: &str, mldsa65: &str) -> Result<Self, InvalidIssuerKey> {
        Ok(Self::new(
            *Self::parse_ed25519(ed25519)?,
            Self::parse_mldsa65(mldsa65)?,
        ))
    }

    /// The Ed25519 half of [`IssuerKey::parse`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn parse_ed25519(text: &str) -> Result<Box<[u8; ED25519_KEY_BYTES]>, InvalidIssuerKey> {
        parse(text)
    }

    /// The ML-DSA-65 half of [`IssuerKey::parse`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn parse_mldsa65(text: &str) -> Result<Box<[u8; MLDSA65_KEY_BYTES]>, InvalidIssuerKey> {
        parse(text)
    }

    /// What names the issuer in a grant.
    pub const fn id(&self) -> &IssuerId {
        &self.id
    }

    /// The Ed25519 key.
    pub const fn ed25519(&self) -> &[u8; ED25519_KEY_BYTES] {
        &self.ed25519
    }

    /// The ML-DSA-65 key.
    pub const fn mldsa65(&self) -> &[u8; MLDSA65_KEY_BYTES] {
        &self.mldsa65
    }

    /// The text of the Ed25519 key.
    pub fn ed25519_text(&self) -> String {
        base64url::encode(&self.ed25519)
    }

    /// The text of the ML-DSA-65 key.
    pub fn mldsa65_text(&self) -> String {
        base64url::encode(&self.mldsa65[..])
    }
}

fn parse<const N: usize>(text: &str) -> Result<Box<[u8; N]>, InvalidIssuerKey> {
    base64url::decode(text.as_bytes(), N)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(InvalidIssuerKey { bytes: N })
}

impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuerKey({})", blake3::Hash::from_bytes(self.id))
    }
}
