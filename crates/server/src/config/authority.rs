//! Whose grants the node takes (`[[issuers]]`), and which of them not any more (`auth.deny`).
//!
//! In one line of text, as variables have it, an issuer is its fields in the order of
//! [`Issuer::FIELDS`] with `:` between them. Not for what a grant is, or when one counts.

use std::fmt;

use micronode_protocol::capability::grant::{IssuerId, IssuerKey, Nonce};
use micronode_protocol::limits::CAPABILITY_LOCATION_BYTES;

use super::list::{ItemProblems, parse_all};
use super::problem::Reason;

/// An issuer whose grants are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// For people to read, where one was given.
    pub name: Option<String>,
    /// Its public keys.
    pub key: IssuerKey,
}

impl Issuer {
    /// The keys of an entry of `[[issuers]]`.
    pub(super) const FIELDS: &[&str] = &["name", "ed25519", "mldsa65"];

    /// Whether `text` will do for this field.
    pub(super) fn check_field(field: &str, text: &str) -> Result<(), Reason> {
        match field {
            "name" => check_name(text),
            "ed25519" => Ok(IssuerKey::parse_ed25519(text).map(drop)?),
            _ => Ok(IssuerKey::parse_mldsa65(text).map(drop)?),
        }
    }

    /// All of them, no two with the same keys.
    pub(super) fn parse_all(items: &[&str]) -> Result<Vec<Self>, ItemProblems> {
        parse_all(items, Self::parse, |earlier, issuer| {
            (earlier.key == issuer.key).then_some(Reason::SameIssuer)
        })
    }

    fn parse(text: &str) -> Result<Self, Reason> {
        let fields: Vec<&str> = text.split(':').collect();
        let [name, ed25519, mldsa65] = fields[..] else {
            return Err(Reason::Fields);
        };
        for (field, text) in [("ed25519", ed25519), ("mldsa65", mldsa65)] {
            if text.is_empty() {
                return Err(Reason::Missing { field });
            }
        }
        if !name.is_empty() {
            check_name(name)?;
        }
        Ok(Self {
            name: (!name.is_empty()).then(|| name.to_owned()),
            key: IssuerKey::parse(ed25519, mldsa65)?,
        })
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or_default();
        let (ed25519, mldsa65) = (self.key.ed25519_text(), self.key.mldsa65_text());
        write!(f, "{name}:{ed25519}:{mldsa65}")
    }
}

/// A name is 1 to [`CAPABILITY_LOCATION_BYTES`] of these characters, so that it needs no quoting anywhere.
pub(super) fn check_name(text: &str) -> Result<(), Reason> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=CAPABILITY_LOCATION_BYTES).contains(&text.len()) && text.bytes().all(is_allowed) {
        Ok(())
    } else {
        let given = text.to_owned();
        Err(Reason::Name { given })
    }
}

/// Grants and issuers that count no more, sorted. A few thousand are looked up in well under a
/// microsecond.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deny {
    grants: Vec<Nonce>,
    issuers: Vec<IssuerId>,
}

impl Deny {
    /// Whether the grant with this nonce is denied.
    pub fn grant(&self, nonce: &Nonce) -> bool {
        self.grants.binary_search(nonce).is_ok()
    }

    /// Whether all grants of this issuer are.
    pub fn issuer(&self, id: &IssuerId) -> bool {
        self.issuers.binary_search(id).is_ok()
    }

    /// Those whose digits the items have; the same twice is the same once.
    pub(super) fn parse(items: &[&str]) -> Result<Self, ItemProblems> {
        let (mut deny, mut problems) = (Self::default(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            if let Some(nonce) = from_hex(item) {
                deny.grants.push(nonce);
            } else if let Some(id) = from_hex(item) {
                deny.issuers.push(id);
            } else {
                let length = item.chars().count();
                problems.push((index, Reason::Denied { length }));
            }
        }
        deny.grants.sort_unstable();
        deny.grants.dedup();
        deny.issuers.sort_unstable();
        deny.issuers.dedup();
        if problems.is_empty() {
            Ok(deny)
        } else {
            Err(problems)
        }
    }

    /// The digits of each.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        let grants = self.grants.iter().map(|nonce| to_hex(nonce));
        grants.chain(self.issuers.iter().map(|id| to_hex(id)))
    }
}

/// `N` bytes of two digits each, in either case.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            *byte = *byte << 4 | char::from(*digit).to_digit(16)? as u8;
        }
    }
    Some(bytes)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
