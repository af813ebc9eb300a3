//! An issuer of grants, with its private keys. It works offline: nodes know only its public keys.
//!
//! Both key pairs come from one [`Seed`], so that an issuer is one secret to keep, and one file.
//! Not here: what a grant is and how a node verifies it (`protocol::capability::grant`).

mod seed;

pub use seed::{Seed, SeedError};

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, ML_DSA_65_SIGNING, PqdsaKeyPair};
use micronode_protocol::capability::grant::{
    GrantError, IssuerKey, MLDSA65_SIGNATURE_BYTES, Nonce, Statement,
};
use zeroize::Zeroizing;

/// A seed of its own for each scheme: were one of them to leak its seed, the other would still
/// stand. The texts are part of what a seed means, and never change.
const ED25519_CONTEXT: &str = "micronode 2026-11-24 issuer seed of Ed25519";
const MLDSA65_CONTEXT: &str = "micronode 2026-11-24 issuer seed of ML-DSA-65";

/// Signs grants. Its `Debug` form has the public keys' hash alone.
pub struct Issuer {
    ed25519: Ed25519KeyPair,
    mldsa65: PqdsaKeyPair,
    key: IssuerKey,
}

impl Issuer {
    /// The issuer of this seed, the same one every time. Takes well under a millisecond.
    pub fn from_seed(seed: &Seed) -> Self {
        let derived = |context| Zeroizing::new(blake3::derive_key(context, seed.bytes()));
        let ed25519 = Ed25519KeyPair::from_seed_unchecked(&derived(ED25519_CONTEXT)[..]);
        let mldsa65 = PqdsaKeyPair::from_seed(&ML_DSA_65_SIGNING, &derived(MLDSA65_CONTEXT)[..]);
        let ed25519 = ed25519.expect("any 32 bytes are a seed");
        let mldsa65 = mldsa65.expect("any 32 bytes are a seed");
        let key = IssuerKey::new(public_key(&ed25519), Box::new(public_key(&mldsa65)));
        Self {
            ed25519,
            mldsa65,
            key,
        }
    }

    /// What nodes are configured with.
    pub const fn key(&self) -> &IssuerKey {
        &self.key
    }

    /// A grant that says `statement`, signed with both keys.
    ///
    /// # Errors
    ///
    /// If a field is over its cap, or the statement is never valid.
    pub fn grant(&self, statement: &Statement<'_>) -> Result<Vec<u8>, GrantError> {
        let to_sign = statement.to_sign(self.key.id())?;
        let ed25519 = self.ed25519.sign(to_sign.message());
        let ed25519 = ed25519.as_ref().try_into().expect("the scheme's length");
        let mut mldsa65 = [0; MLDSA65_SIGNATURE_BYTES];
        self.mldsa65
            .sign(to_sign.message(), &mut mldsa65)
            .expect("a key pair signs any message, if the system has random numbers");
        Ok(to_sign.signed(ed25519, &mldsa65))
    }

    /// A nonce for a new grant.
    pub fn nonce() -> Nonce {
        let mut nonce = Nonce::default();
        getrandom::fill(&mut nonce).expect("the system has random numbers");
        nonce
    }
}

fn public_key<const N: usize>(pair: &impl KeyPair) -> [u8; N] {
    let bytes = pair.public_key().as_ref().try_into();
    bytes.expect("the scheme's length")
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Issuer").field(&self.key).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use micronode_protocol::capability::base64url;
    use micronode_protocol::capability::grant::SignedGrant;
    use micronode_protocol::limits::GRANT_NAME_BYTES;

    use super::*;

    fn statement(subject: &str) -> Statement<'_> {
        Statement {
            audience: "",
            subject,
            not_before: 1,
            not_after: 2,
            nonce: Issuer::nonce(),
            caveats: vec!["op = get"],
        }
    }

    /// The keys in the golden vector were derived from its seed by an implementation in Python.
    #[test]
    fn a_seed_gives_the_keys_of_the_golden_vector() {
        let file = include_str!("../../protocol/vectors/grant.json");
        let vector: serde_json::Value = serde_json::from_str(file).unwrap();
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = &vector["seed"].as_str().unwrap()[2 * index..][..2];
            *byte = u8::from_str_radix(digits, 16).unwrap();
        }
        let issuer = Issuer::from_seed(&Seed::new(bytes));
        assert_eq!(issuer.key().ed25519_text(), vector["ed25519"]);
        assert_eq!(issuer.key().mldsa65_text(), vector["mldsa65"]);
        let grant = vector["grant"].as_str().unwrap().as_bytes();
        let grant = base64url::decode(grant, grant.len()).unwrap();
        let grant = SignedGrant::parse(&grant).unwrap();
        assert_eq!(grant.verify(issuer.key()), Ok(()));
    }

    #[test]
    fn what_an_issuer_grants_verifies_under_its_own_key_only() {
        let [one, other] =
            [Seed::generate(), Seed::generate()].map(|seed| Issuer::from_seed(&seed));
        let statement = statement("a runner");
        let bytes = one.grant(&statement).unwrap();
        let grant = SignedGrant::parse(&bytes).unwrap();
        assert!(*grant.statement() == statement);
        assert_eq!(grant.verify(one.key()), Ok(()));
        assert_eq!(grant.verify(other.key()), Err(GrantError::Signature));
        // Another time, another signature; the statement may be the same.
        assert_ne!(one.grant(&statement).unwrap(), bytes);
    }

    /// RustCrypto's ML-DSA, which shares no code with the one that signs here.
    #[test]
    fn another_implementation_verifies_what_is_signed_here() {
        use ml_dsa::{EncodedVerifyingKey, MlDsa65, Signature, VerifyingKey};
        let issuer = Issuer::from_seed(&Seed::generate());
        let key = EncodedVerifyingKey::<MlDsa65>::try_from(&issuer.key().mldsa65()[..]).unwrap();
        let key = VerifyingKey::<MlDsa65>::decode(&key);
        let statement = statement("a runner");
        let bytes = issuer.grant(&statement).unwrap();
        let message = statement.to_sign(issuer.key().id()).unwrap();
        let signature = &bytes[bytes.len() - MLDSA65_SIGNATURE_BYTES..];
        let signature = Signature::<MlDsa65>::try_from(signature).unwrap();
        assert!(key.verify_with_context(message.message(), &[], &signature));
        assert!(!key.verify_with_context(&message.message()[1..], &[], &signature));
    }

    #[test]
    fn a_statement_over_its_caps_is_not_signed() {
        let issuer = Issuer::from_seed(&Seed::generate());
        let subject = "x".repeat(GRANT_NAME_BYTES + 1);
        assert_eq!(
            issuer.grant(&statement(&subject)),
            Err(GrantError::NameTooLong("subject"))
        );
        assert!(issuer.grant(&statement(&subject[1..])).is_ok());
    }

    #[test]
    fn nonces_differ() {
        assert_ne!(Issuer::nonce(), Issuer::nonce());
    }
}
