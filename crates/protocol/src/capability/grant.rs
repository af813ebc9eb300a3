//! Grants: long-lived statements of an issuer, exchanged at a node for a short capability.
//!
//! ```text
//! "MNG1"  issuer[32]  audience: str16  subject: str16  not_before: u64  not_after: u64
//! nonce[16]  n: u8  n × caveat: str16  ed25519[64]  mldsa65[3309]
//! ```
//!
//! Numbers are big-endian, a `str16` is a `u16` of length and as many bytes of UTF-8, times are
//! Unix seconds. Both signatures are over [`CONTEXT`] and everything that stands before them, and
//! both have to verify: a grant is forged only by who breaks both schemes. The issuer is the hash
//! of its two public keys, so that no half of it can be replaced.
//!
//! A grant is a bearer secret, which is why nothing here prints one. Not here: how keys are made
//! and kept (the client's `Issuer` signs), what caveats mean, and whether a grant has been denied.

mod issuer;
mod statement;
mod verify;

pub use issuer::{InvalidIssuerKey, IssuerId, IssuerKey};
pub use statement::{Nonce, Statement, ToSign};
pub use verify::{verify_ed25519, verify_mldsa65};

use std::fmt;

use thiserror::Error;

use crate::limits::{
    GRANT_BYTES, GRANT_CAVEAT_BYTES, GRANT_CAVEATS, GRANT_CAVEATS_BYTES, GRANT_NAME_BYTES,
};

/// What stands before the statement where it is signed: no other signature of the same keys can
/// pass for one of a grant.
pub const CONTEXT: &[u8] = b"micronode-grant-v1\0";

const MAGIC: &[u8; 4] = b"MNG1";

/// Bytes of an Ed25519 public key.
pub const ED25519_KEY_BYTES: usize = 32;
/// Bytes of an Ed25519 signature.
pub const ED25519_SIGNATURE_BYTES: usize = 64;
/// Bytes of an ML-DSA-65 public key.
pub const MLDSA65_KEY_BYTES: usize = 1952;
/// Bytes of an ML-DSA-65 signature.
pub const MLDSA65_SIGNATURE_BYTES: usize = 3309;

const SIGNATURES_BYTES: usize = ED25519_SIGNATURE_BYTES + MLDSA65_SIGNATURE_BYTES;

// Whatever keeps to the caps of its fields keeps to that of the whole.
const _: () = assert!(
    MAGIC.len()
        + 32
        + 2 * (2 + GRANT_NAME_BYTES)
        + 2 * 8
        + 16
        + 1
        + 2 * GRANT_CAVEATS
        + GRANT_CAVEATS_BYTES
        + SIGNATURES_BYTES
        <= GRANT_BYTES
);

/// Why something is not a grant, or not one that counts here and now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GrantError {
    /// It does not start with `MNG1`.
    #[error("not a grant: it does not start with MNG1")]
    Magic,
    /// It ends before its last field does.
    #[error("the grant is cut short; copy all of it")]
    Truncated,
    /// Bytes after the last field.
    #[error("{0} bytes follow the grant; present the grant alone")]
    Trailing(usize),
    /// Longer than any grant.
    #[error("a grant has at most {GRANT_BYTES} bytes")]
    TooLong,
    /// An audience or subject over its cap.
    #[error("the {0} has more than {GRANT_NAME_BYTES} bytes; shorten it")]
    NameTooLong(&'static str),
    /// A text that is not UTF-8.
    #[error("the {0} is not UTF-8")]
    NotUtf8(&'static str),
    /// Too many caveats.
    #[error("{0} caveats are more than {GRANT_CAVEATS}; leave some to the tokens made from it")]
    TooManyCaveats(usize),
    /// A caveat over its cap.
    #[error("a caveat has more than {GRANT_CAVEAT_BYTES} bytes; shorten it")]
    CaveatTooLong,
    /// Caveats that no capability has room for.
    #[error("the caveats have more than {GRANT_CAVEATS_BYTES} bytes together; shorten them")]
    CaveatsTooLong,
    /// It ends before it starts.
    #[error("the grant ends before it starts: not_before has to be less than not_after")]
    NeverValid,
    /// Signed by somebody else, or not at all; not said which signature is to blame.
    #[error("the grant is not signed by this issuer")]
    Signature,
    /// For other nodes.
    #[error("the grant is for another audience than this node")]
    Audience,
    /// Its time has not come.
    #[error("the grant is not valid yet")]
    NotYet,
    /// Its time is over.
    #[error("the grant has expired; ask its issuer for another")]
    Expired,
}

/// A well-formed grant, which proves nothing until it is [verified](SignedGrant::verify).
#[derive(Clone, PartialEq, Eq)]
pub struct SignedGrant<'a> {
    issuer: IssuerId,
    statement: Statement<'a>,
    /// What the signatures are over, without [`CONTEXT`].
    signed: &'a [u8],
    ed25519: &'a [u8; ED25519_SIGNATURE_BYTES],
    mldsa65: &'a [u8; MLDSA65_SIGNATURE_BYTES],
}

impl<'a> SignedGrant<'a> {
    /// Reads a grant. Its texts stay where they are; only the list of caveats is allocated.
    ///
    /// # Errors
    ///
    /// If `bytes` are not exactly one grant within its caps.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, GrantError> {
        if bytes.len() > GRANT_BYTES {
            return Err(GrantError::TooLong);
        }
        let mut rest = bytes;
        if take(&mut rest)? != MAGIC {
            return Err(GrantError::Magic);
        }
        let issuer = *take(&mut rest)?;
        let statement = Statement::parse(&mut rest)?;
        let signed = &bytes[..bytes.len() - rest.len()];
        let ed25519 = take(&mut rest)?;
        let mldsa65 = take(&mut rest)?;
        if !rest.is_empty() {
            return Err(GrantError::Trailing(rest.len()));
        }
        Ok(Self {
            issuer,
            statement,
            signed,
            ed25519,
            mldsa65,
        })
    }

    /// Who is said to have signed it.
    pub const fn issuer(&self) -> &IssuerId {
        &self.issuer
    }

    /// What it states.
    pub const fn statement(&self) -> &Statement<'a> {
        &self.statement
    }

    /// Checks both signatures, about 100 µs, and that they are of the issuer that is named.
    ///
    /// # Errors
    ///
    /// [`GrantError::Signature`], whatever is wrong: both signatures are looked at in any case, so
    /// that neither the answer nor the time it takes tells which of them failed.
    pub fn verify(&self, key: &IssuerKey) -> Result<(), GrantError> {
        let message = [CONTEXT, self.signed].concat();
        let is_issuer = self.issuer == *key.id();
        let ed25519 = verify_ed25519(key.ed25519(), &message, self.ed25519);
        let mldsa65 = verify_mldsa65(key.mldsa65(), &message, self.mldsa65);
        if is_issuer & ed25519 & mldsa65 {
            Ok(())
        } else {
            Err(GrantError::Signature)
        }
    }
}

impl fmt::Debug for SignedGrant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedGrant(…)")
    }
}

/// The next `N` bytes.
fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], GrantError> {
    let (bytes, after) = rest.split_first_chunk().ok_or(GrantError::Truncated)?;
    *rest = after;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
