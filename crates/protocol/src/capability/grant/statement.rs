//! What an issuer states: before it is signed, and as it is read from a grant.

use std::fmt;

use super::{
    CONTEXT, ED25519_SIGNATURE_BYTES, GrantError, IssuerId, MAGIC, MLDSA65_SIGNATURE_BYTES, take,
};
use crate::limits::{GRANT_CAVEAT_BYTES, GRANT_CAVEATS, GRANT_CAVEATS_BYTES, GRANT_NAME_BYTES};

/// 16 random bytes that tell a grant from all others; what a node is told to deny it by.
pub type Nonce = [u8; 16];

/// Everything in a grant between its issuer and its signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The name of the node that it is for; empty for any.
    pub audience: &'a str,
    /// Whom it is given to, for people to read.
    pub subject: &'a str,
    /// Unix seconds from which on it counts.
    pub not_before: u64,
    /// Unix seconds from which on it counts no more.
    pub not_after: u64,
    /// Of this grant alone.
    pub nonce: Nonce,
    /// What the capabilities that it is exchanged for are bound by.
    pub caveats: Vec<&'a str>,
}

/// A statement in the form that is signed.
pub struct ToSign(Vec<u8>);

impl<'a> Statement<'a> {
    /// Whether it counts at `now`, in Unix seconds, on the node of this name.
    ///
    /// # Errors
    ///
    /// [`GrantError::Audience`], [`GrantError::NotYet`] or [`GrantError::Expired`].
    pub fn check_use(&self, node: &str, now: u64) -> Result<(), GrantError> {
        if !self.audience.is_empty() && self.audience != node {
            Err(GrantError::Audience)
        } else if now < self.not_before {
            Err(GrantError::NotYet)
        } else if now >= self.not_after {
            Err(GrantError::Expired)
        } else {
            Ok(())
        }
    }

    /// What `issuer` has to sign.
    ///
    /// # Errors
    ///
    /// If a field is over its cap, or the statement is never valid.
    pub fn to_sign(&self, issuer: &IssuerId) -> Result<ToSign, GrantError> {
        self.check()?;
        Ok(self.encode(issuer))
    }

    /// As [`Statement::to_sign`], of a statement that has been checked.
    pub(super) fn encode(&self, issuer: &IssuerId) -> ToSign {
        let mut bytes = [CONTEXT, MAGIC, issuer].concat();
        push_str16(&mut bytes, self.audience);
        push_str16(&mut bytes, self.subject);
        bytes.extend(self.not_before.to_be_bytes());
        bytes.extend(self.not_after.to_be_bytes());
        bytes.extend(self.nonce);
        bytes.push(self.caveats.len() as u8);
        for caveat in &self.caveats {
            push_str16(&mut bytes, caveat);
        }
        ToSign(bytes)
    }

    /// Takes a statement off `rest`, which is no longer than a grant.
    pub(super) fn parse(rest: &mut &'a [u8]) -> Result<Self, GrantError> {
        let mut statement = Self {
            audience: take_str16(rest, "audience")?,
            subject: take_str16(rest, "subject")?,
            not_before: u64::from_be_bytes(*take(rest)?),
            not_after: u64::from_be_bytes(*take(rest)?),
            nonce: *take(rest)?,
            caveats: Vec::new(),
        };
        let [count] = *take(rest)?;
        for _ in 0..count {
            statement.caveats.push(take_str16(rest, "caveat")?);
        }
        statement.check()?;
        Ok(statement)
    }

    /// What holds for every statement, made or read.
    fn check(&self) -> Result<(), GrantError> {
        for (what, name) in [("audience", self.audience), ("subject", self.subject)] {
            if name.len() > GRANT_NAME_BYTES {
                return Err(GrantError::NameTooLong(what));
            }
        }
        if self.not_before >= self.not_after {
            return Err(GrantError::NeverValid);
        }
        if self.caveats.len() > GRANT_CAVEATS {
            return Err(GrantError::TooManyCaveats(self.caveats.len()));
        }
        let lengths = || self.caveats.iter().map(|caveat| caveat.len());
        if lengths().any(|length| length > GRANT_CAVEAT_BYTES) {
            return Err(GrantError::CaveatTooLong);
        }
        if lengths().sum::<usize>() > GRANT_CAVEATS_BYTES {
            return Err(GrantError::CaveatsTooLong);
        }
        Ok(())
    }
}

impl fmt::Debug for Statement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Statement(…)")
    }
}

impl ToSign {
    /// What both signatures are over.
    pub fn message(&self) -> &[u8] {
        &self.0
    }

    /// The grant, with both signatures.
    pub fn signed(
        mut self,
        ed25519: &[u8; ED25519_SIGNATURE_BYTES],
        mldsa65: &[u8; MLDSA65_SIGNATURE_BYTES],
    ) -> Vec<u8> {
        self.0.drain(..CONTEXT.len());
        self.0.extend(ed25519);
        self.0.extend(mldsa65);
        self.0
    }
}

/// The next text; `what` it is.
fn take_str16<'a>(rest: &mut &'a [u8], what: &'static str) -> Result<&'a str, GrantError> {
    let length = u16::from_be_bytes(*take(rest)?);
    let (text, after) = rest
        .split_at_checked(length.into())
        .ok_or(GrantError::Truncated)?;
    *rest = after;
    std::str::from_utf8(text).map_err(|_| GrantError::NotUtf8(what))
}

/// A checked text is shorter than its length can say.
fn push_str16(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend(text.as_bytes());
}
