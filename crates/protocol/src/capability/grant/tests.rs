#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, ML_DSA_65_SIGNING, PqdsaKeyPair};
use proptest::prelude::*;

use super::*;

/// An issuer as its owner has it.
struct Signer {
    ed25519: Ed25519KeyPair,
    mldsa65: PqdsaKeyPair,
    key: IssuerKey,
}

static SIGNERS: LazyLock<[Signer; 2]> = LazyLock::new(|| [1, 2].map(Signer::new));

impl Signer {
    fn new(seed: u8) -> Self {
        let ed25519 = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let mldsa65 = PqdsaKeyPair::from_seed(&ML_DSA_65_SIGNING, &[seed; 32]).unwrap();
        let key = IssuerKey::new(
            ed25519.public_key().as_ref().try_into().unwrap(),
            Box::new(mldsa65.public_key().as_ref().try_into().unwrap()),
        );
        Self {
            ed25519,
            mldsa65,
            key,
        }
    }

    fn ed25519(&self, message: &[u8]) -> [u8; 64] {
        self.ed25519.sign(message).as_ref().try_into().unwrap()
    }

    fn mldsa65(&self, message: &[u8]) -> [u8; 3309] {
        let mut signature = [0; 3309];
        self.mldsa65.sign(message, &mut signature).unwrap();
        signature
    }

    fn sign(&self, statement: &Statement<'_>) -> Vec<u8> {
        let to_sign = statement.to_sign(self.key.id()).unwrap();
        let message = to_sign.message();
        let (ed25519, mldsa65) = (self.ed25519(message), self.mldsa65(message));
        to_sign.signed(&ed25519, &mldsa65)
    }
}

fn statement() -> Statement<'static> {
    Statement {
        audience: "cache-1",
        subject: "a runner",
        not_before: 1000,
        not_after: 2000,
        nonce: [7; 16],
        caveats: vec!["op = get,head", "name ^ builds/"],
    }
}

/// A grant with nobody's signatures.
fn unsigned(statement: &Statement<'_>) -> Vec<u8> {
    statement
        .to_sign(&[3; 32])
        .unwrap()
        .signed(&[4; 64], &[5; 3309])
}

/// What becomes of bytes that may be a grant of the first signer.
fn judge(bytes: &[u8]) -> Result<(), GrantError> {
    SignedGrant::parse(bytes)?.verify(&SIGNERS[0].key)
}

#[test]
fn what_was_signed_is_read_and_verifies() {
    let [signer, other] = &*SIGNERS;
    let bytes = signer.sign(&statement());
    let grant = SignedGrant::parse(&bytes).unwrap();
    assert_eq!(grant.issuer(), signer.key.id());
    assert!(*grant.statement() == statement());
    assert_eq!(grant.verify(&signer.key), Ok(()));
    assert_eq!(grant.verify(&other.key), Err(GrantError::Signature));
}

/// Every combination of right, wrong, missing and foreign signatures but the one that is right
/// twice, and both answer alike.
#[test]
fn both_signatures_have_to_be_those_of_the_issuer() {
    let [signer, other] = &*SIGNERS;
    let to_sign = || statement().to_sign(signer.key.id()).unwrap();
    let message = to_sign().message().to_vec();
    let unprefixed = &message[CONTEXT.len()..];
    let ed25519 = [
        signer.ed25519(&message),
        signer.ed25519(unprefixed),
        other.ed25519(&message),
        [0; 64],
    ];
    let mldsa65 = [
        signer.mldsa65(&message),
        signer.mldsa65(unprefixed),
        other.mldsa65(&message),
        [0; 3309],
    ];
    for (i, ed25519) in ed25519.iter().enumerate() {
        for (j, mldsa65) in mldsa65.iter().enumerate() {
            let expected = if (i, j) == (0, 0) {
                Ok(())
            } else {
                Err(GrantError::Signature)
            };
            assert_eq!(judge(&to_sign().signed(ed25519, mldsa65)), expected);
        }
    }
}

/// A key half of somebody else's beside one's own is another issuer.
#[test]
fn an_issuer_is_both_of_its_keys() {
    let [signer, other] = &*SIGNERS;
    let mixed = IssuerKey::new(*signer.key.ed25519(), Box::new(*other.key.mldsa65()));
    assert_ne!(mixed.id(), signer.key.id());
    // Signed by exactly these two, under the name of the first.
    let to_sign = statement().to_sign(signer.key.id()).unwrap();
    let message = to_sign.message().to_vec();
    let bytes = to_sign.signed(&signer.ed25519(&message), &other.mldsa65(&message));
    let grant = SignedGrant::parse(&bytes).unwrap();
    assert_eq!(grant.verify(&mixed), Err(GrantError::Signature));
}

#[test]
fn every_single_bit_counts() {
    let bytes = SIGNERS[0].sign(&statement());
    let mut flipped = bytes.clone();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            flipped[at] ^= 1 << bit;
            assert!(judge(&flipped).is_err(), "bit {bit} of byte {at}");
            flipped[at] = bytes[at];
        }
    }
    assert_eq!(judge(&flipped), Ok(()));
}

#[test]
fn a_part_of_a_grant_is_cut_short_and_more_than_one_is_none() {
    let bytes = unsigned(&statement());
    for length in 0..bytes.len() {
        let error = SignedGrant::parse(&bytes[..length]).unwrap_err();
        assert_eq!(error, GrantError::Truncated, "{length}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(
        SignedGrant::parse(&longer).unwrap_err(),
        GrantError::Trailing(1)
    );
    let mut other = bytes;
    other[3] = b'2';
    assert_eq!(SignedGrant::parse(&other).unwrap_err(), GrantError::Magic);
}

/// A statement's error when it is made is its error when it is read.
fn assert_refused(statement: &Statement<'_>, expected: GrantError) {
    assert_eq!(statement.to_sign(&[3; 32]).err(), Some(expected));
    let bytes = statement.encode(&[3; 32]).signed(&[4; 64], &[5; 3309]);
    assert_eq!(SignedGrant::parse(&bytes).err(), Some(expected));
}

#[test]
fn every_field_is_taken_up_to_its_cap() {
    let text = "x".repeat(GRANT_CAVEAT_BYTES + 1);
    let named = |length: usize| &text[..length];
    let audience = |length| Statement {
        audience: named(length),
        ..statement()
    };
    unsigned(&audience(GRANT_NAME_BYTES));
    let too_long = GrantError::NameTooLong("audience");
    assert_refused(&audience(GRANT_NAME_BYTES + 1), too_long);
    let subject = |length| Statement {
        subject: named(length),
        ..statement()
    };
    unsigned(&subject(GRANT_NAME_BYTES));
    let too_long = GrantError::NameTooLong("subject");
    assert_refused(&subject(GRANT_NAME_BYTES + 1), too_long);
    let caveats = |count: usize, length: usize| Statement {
        caveats: vec![named(length); count],
        ..statement()
    };
    unsigned(&caveats(GRANT_CAVEATS, 100));
    assert_refused(
        &caveats(GRANT_CAVEATS + 1, 100),
        GrantError::TooManyCaveats(GRANT_CAVEATS + 1),
    );
    unsigned(&caveats(1, GRANT_CAVEAT_BYTES));
    assert_refused(
        &caveats(1, GRANT_CAVEAT_BYTES + 1),
        GrantError::CaveatTooLong,
    );
    let full = GRANT_CAVEATS_BYTES / GRANT_CAVEAT_BYTES;
    let mut fitting = caveats(full, GRANT_CAVEAT_BYTES);
    unsigned(&fitting);
    fitting.caveats.push("x");
    assert_refused(&fitting, GrantError::CaveatsTooLong);
}

#[test]
fn the_longest_grant_is_shorter_than_its_cap() {
    let name = "x".repeat(GRANT_NAME_BYTES);
    let caveat = "x".repeat(GRANT_CAVEATS_BYTES / GRANT_CAVEATS);
    let longest = unsigned(&Statement {
        audience: &name,
        subject: &name,
        caveats: vec![&caveat; GRANT_CAVEATS],
        ..statement()
    });
    assert!(longest.len() <= GRANT_BYTES);
    let with_rest = |total: usize| {
        let mut bytes = longest.clone();
        bytes.resize(total, 0);
        SignedGrant::parse(&bytes).map(|_| ()).unwrap_err()
    };
    let rest = GRANT_BYTES - longest.len();
    assert_eq!(with_rest(GRANT_BYTES), GrantError::Trailing(rest));
    assert_eq!(with_rest(GRANT_BYTES + 1), GrantError::TooLong);
}

#[test]
fn a_grant_is_valid_for_at_least_a_second() {
    let window = |not_before, not_after| Statement {
        not_before,
        not_after,
        ..statement()
    };
    unsigned(&window(0, 1));
    unsigned(&window(u64::MAX - 1, u64::MAX));
    for (not_before, not_after) in [(0, 0), (1, 0), (u64::MAX, u64::MAX)] {
        assert_refused(&window(not_before, not_after), GrantError::NeverValid);
    }
}

#[test]
fn a_text_that_is_not_utf8_is_named() {
    for (text, what) in [
        ("cache-1", "audience"),
        ("a runner", "subject"),
        ("op = get,head", "caveat"),
    ] {
        let mut bytes = unsigned(&statement());
        let at = bytes
            .windows(text.len())
            .position(|window| window == text.as_bytes());
        bytes[at.unwrap()] = 0xff;
        assert_eq!(
            SignedGrant::parse(&bytes).unwrap_err(),
            GrantError::NotUtf8(what)
        );
    }
}

#[test]
fn a_grant_counts_in_its_time_and_on_its_node() {
    use GrantError::{Audience, Expired, NotYet};
    let anywhere = Statement {
        audience: "",
        ..statement()
    };
    for (statement, node, now, expected) in [
        (statement(), "cache-1", 999, Err(NotYet)),
        (statement(), "cache-1", 1000, Ok(())),
        (statement(), "cache-1", 1999, Ok(())),
        (statement(), "cache-1", 2000, Err(Expired)),
        (statement(), "cache-2", 1000, Err(Audience)),
        (statement(), "Cache-1", 1000, Err(Audience)),
        (statement(), "", 1000, Err(Audience)),
        (anywhere.clone(), "cache-2", 1000, Ok(())),
        (anywhere, "", 2000, Err(Expired)),
    ] {
        assert_eq!(statement.check_use(node, now), expected, "{node} {now}");
    }
}

#[test]
fn keys_have_one_text_and_no_other_length() {
    let key = &SIGNERS[0].key;
    let (ed25519, mldsa65) = (key.ed25519_text(), key.mldsa65_text());
    assert_eq!(IssuerKey::parse(&ed25519, &mldsa65).as_ref(), Ok(key));
    for (ed25519, mldsa65, bytes) in [
        ("", &mldsa65[..], 32),
        (&ed25519[..42], &mldsa65, 32),
        (&format!("{ed25519}="), &mldsa65, 32),
        (&mldsa65, &mldsa65, 32),
        (&ed25519, "", 1952),
        (&ed25519, &ed25519, 1952),
        (&ed25519, &format!("{mldsa65}AA"), 1952),
    ] {
        let error = IssuerKey::parse(ed25519, mldsa65).unwrap_err();
        assert_eq!(error, InvalidIssuerKey { bytes });
    }
}

#[test]
fn a_grant_is_not_printed() {
    let bytes = unsigned(&statement());
    let grant = SignedGrant::parse(&bytes).unwrap();
    assert_eq!(format!("{grant:?}"), "SignedGrant(…)");
    assert_eq!(format!("{:?}", grant.statement()), "Statement(…)");
}

proptest! {
    #[test]
    fn what_can_be_stated_is_read_again(
        audience in "\\PC{0,60}",
        subject in "\\PC{0,60}",
        window: (u64, u64),
        nonce: [u8; 16],
        caveats in proptest::collection::vec("\\PC{0,40}", 0..=GRANT_CAVEATS),
        issuer: [u8; 32],
    ) {
        prop_assume!(window.0 != window.1);
        let statement = Statement {
            audience: &audience,
            subject: &subject,
            not_before: window.0.min(window.1),
            not_after: window.0.max(window.1),
            nonce,
            caveats: caveats.iter().map(String::as_str).collect(),
        };
        let bytes = statement.to_sign(&issuer).unwrap().signed(&[4; 64], &[5; 3309]);
        let grant = SignedGrant::parse(&bytes).unwrap();
        prop_assert_eq!(grant.issuer(), &issuer);
        prop_assert!(*grant.statement() == statement);
    }

    /// Mutated grants reach further than arbitrary bytes.
    #[test]
    fn a_grant_has_one_spelling(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = unsigned(&statement());
        let head = bytes.len() - SIGNATURES_BYTES;
        for (at, byte) in changes {
            bytes[at.index(head)] = byte;
        }
        if let Ok(grant) = SignedGrant::parse(&bytes) {
            let again = grant.statement().to_sign(grant.issuer()).unwrap();
            prop_assert_eq!(again.signed(grant.ed25519, grant.mldsa65), bytes);
        }
    }
}
