//! What a node writes into the tokens that it makes: which key, which token, and which grant it
//! came from. No field is secret, and all are covered by the signature.
//!
//! ```text
//! "v1"  key id [8]  nonce [16]  grant nonce [16]  issuer [16]  subject [16]
//! ```
//!
//! A token that came from no grant has zeros in the last three. `issuer` is the beginning of the
//! issuer's id, so that revoking an issuer reaches its tokens without any table of them; `subject`
//! is the beginning of a hash of issuer and subject, which stays the same when a client exchanges
//! again, so that what belongs to a holder is still theirs.

use crate::limits::CAPABILITY_IDENTIFIER_BYTES;

const VERSION: &[u8; 2] = b"v1";

/// Bytes of an identifier.
const BYTES: usize = VERSION.len() + 8 + 4 * 16;
const _: () = assert!(BYTES <= CAPABILITY_IDENTIFIER_BYTES);

/// Names a key of a node.
pub type KeyId = [u8; 8];
/// Tells tokens apart that are otherwise the same.
pub type Nonce = [u8; 16];

/// The grant that a token came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrantRef {
    /// The grant's own.
    pub nonce: Nonce,
    /// The first half of its issuer's id.
    pub issuer: [u8; 16],
    /// Its holder: see [`GrantRef::subject`].
    pub subject: [u8; 16],
}

impl GrantRef {
    /// The reference to a grant.
    pub fn new(nonce: Nonce, issuer: &[u8; 32], subject: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("micronode 2026 holder of a grant");
        hasher.update(issuer).update(subject.as_bytes());
        Self {
            nonce,
            issuer: half(issuer),
            subject: half(hasher.finalize().as_bytes()),
        }
    }

    /// Whether the grant was signed by the issuer with this id.
    pub fn is_by(&self, issuer: &[u8; 32]) -> bool {
        self.issuer == half(issuer)
    }
}

fn half(hash: &[u8; 32]) -> [u8; 16] {
    *hash.first_chunk().expect("16 of 32 bytes")
}

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identifier {
    /// The key at the root of the token's chain.
    pub key_id: KeyId,
    /// The token's own.
    pub nonce: Nonce,
    /// Where it came from.
    pub grant: Option<GrantRef>,
}

impl Identifier {
    /// Who holds the token, for what is theirs alone: the holder of a grant stays the same over
    /// exchanges, any other is known by their token.
    pub fn holder(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("micronode 2026 holder of a token");
        match &self.grant {
            Some(grant) => hasher.update(&grant.issuer).update(&grant.subject),
            None => hasher.update(&self.encode()),
        };
        *hasher.finalize().as_bytes()
    }

    /// The bytes.
    pub fn encode(&self) -> [u8; BYTES] {
        let grant = self.grant.map_or([[0; 16]; 3], |grant| {
            [grant.nonce, grant.issuer, grant.subject]
        });
        let mut bytes = [0; BYTES];
        let mut rest = &mut bytes[..];
        for field in [
            &VERSION[..],
            &self.key_id,
            &self.nonce,
            grant.as_flattened(),
        ] {
            let (place, behind) = rest.split_at_mut(field.len());
            place.copy_from_slice(field);
            rest = behind;
        }
        bytes
    }

    /// Reads one; `None` for anything that [`encode`](Self::encode) does not write.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(VERSION)?;
        let (key_id, rest) = rest.split_first_chunk()?;
        let (fields, rest) = rest.as_chunks::<16>();
        let [nonce, grant, issuer, subject] = fields.try_into().ok().filter(|_| rest.is_empty())?;
        let grant = (fields[1..] != [[0; 16]; 3]).then_some(GrantRef {
            nonce: grant,
            issuer,
            subject,
        });
        Some(Self {
            key_id: *key_id,
            nonce,
            grant,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_reads_back_and_nothing_else_does() {
        let grant = GrantRef::new([3; 16], &[4; 32], "ci");
        for grant in [None, Some(grant)] {
            let identifier = Identifier {
                key_id: [1; 8],
                nonce: [2; 16],
                grant,
            };
            let bytes = identifier.encode();
            assert_eq!(Identifier::parse(&bytes), Some(identifier));
            assert_eq!(bytes.len(), 74);
            assert_eq!(Identifier::parse(&bytes[..73]), None);
            assert_eq!(Identifier::parse(&[&bytes[..], &[0]].concat()), None);
            assert_eq!(Identifier::parse(&[b"v2", &bytes[2..]].concat()), None);
        }
        assert_eq!(Identifier::parse(b""), None);
    }

    #[test]
    fn a_holder_is_an_issuer_and_a_subject() {
        let of = |issuer: u8, subject| GrantRef::new([0; 16], &[issuer; 32], subject).subject;
        assert_eq!(of(1, "a"), of(1, "a"));
        assert_ne!(of(1, "a"), of(1, "b"));
        assert_ne!(of(1, "a"), of(2, "a"));
        assert!(GrantRef::new([0; 16], &[1; 32], "a").is_by(&[1; 32]));
    }
}
