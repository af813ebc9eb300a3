//! Grants: any bytes are one or a typed error, one has one spelling, and only what its issuer has
//! signed verifies.
//!
//! The first byte of an input, modulo 3, says what the rest is: a grant; changes to a signed one,
//! each a position (two bytes, little endian) and what is added to the byte there by exclusive or;
//! or a statement, which is signed if it can be.
#![no_main]

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use micronode_client::{Issuer, Seed};
use micronode_protocol::capability::grant::{GrantError, SignedGrant, Statement};
use micronode_protocol::limits::{
    GRANT_BYTES, GRANT_CAVEAT_BYTES, GRANT_CAVEATS, GRANT_CAVEATS_BYTES, GRANT_NAME_BYTES,
};

const SIGNATURES_BYTES: usize = 64 + 3309;

static ISSUER: LazyLock<Issuer> = LazyLock::new(|| Issuer::from_seed(&Seed::new([1; 32])));

static SIGNED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let statement = Statement {
        audience: "cache-1",
        subject: "a runner",
        not_before: 1,
        not_after: 2,
        nonce: [7; 16],
        caveats: vec!["op = get,head", "name ^ builds/"],
    };
    ISSUER.grant(&statement).expect("within its caps")
});

/// Audience, subject, start, end, nonce and caveats.
type Said<'a> = (&'a str, &'a str, u64, u64, [u8; 16], Vec<&'a str>);

fuzz_target!(|input: &[u8]| {
    let Some((how, rest)) = input.split_first() else {
        return;
    };
    match how % 3 {
        0 => read(rest),
        1 => change(rest),
        _ => {
            if let Ok(said) = Said::arbitrary(&mut Unstructured::new(rest)) {
                sign(said);
            }
        }
    }
});

fn read(bytes: &[u8]) {
    let Ok(grant) = SignedGrant::parse(bytes) else {
        return;
    };
    let statement = grant.statement();
    assert!(bytes.len() <= GRANT_BYTES && is_within_its_caps(statement));
    let again = statement.to_sign(grant.issuer()).expect("it was read");
    let signatures = &bytes[bytes.len() - SIGNATURES_BYTES..];
    let (ed25519, mldsa65) = signatures.split_first_chunk().expect("64 bytes");
    let again = again.signed(ed25519, mldsa65.try_into().expect("3309 bytes"));
    assert_eq!(again, bytes, "a grant has one spelling");
}

fn change(changes: &[u8]) {
    let mut bytes = SIGNED.clone();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let at = at % bytes.len();
        bytes[at] ^= change[2];
    }
    let judged = SignedGrant::parse(&bytes).and_then(|grant| grant.verify(ISSUER.key()));
    assert_eq!(judged.is_ok(), bytes == *SIGNED, "{judged:?}");
}

fn sign((audience, subject, not_before, not_after, nonce, caveats): Said<'_>) {
    let statement = Statement {
        audience,
        subject,
        not_before,
        not_after,
        nonce,
        caveats,
    };
    let signed = ISSUER.grant(&statement);
    assert_eq!(signed.is_ok(), is_within_its_caps(&statement));
    let Ok(signed) = signed else { return };
    let grant = SignedGrant::parse(&signed).expect("it was signed");
    assert!(*grant.statement() == statement);
    assert_eq!(grant.verify(ISSUER.key()), Ok(()));
    let before = not_before.checked_sub(1);
    assert!(before.is_none_or(|now| check(&statement, now) == Err(GrantError::NotYet)));
    assert_eq!(check(&statement, not_before), Ok(()));
    assert_eq!(check(&statement, not_after), Err(GrantError::Expired));
}

fn check(statement: &Statement<'_>, now: u64) -> Result<(), GrantError> {
    statement.check_use(statement.audience, now)
}

/// The caps, written out from their documentation.
fn is_within_its_caps(statement: &Statement<'_>) -> bool {
    let lengths = || statement.caveats.iter().map(|caveat| caveat.len());
    statement.audience.len() <= GRANT_NAME_BYTES
        && statement.subject.len() <= GRANT_NAME_BYTES
        && statement.not_before < statement.not_after
        && statement.caveats.len() <= GRANT_CAVEATS
        && lengths().all(|length| length <= GRANT_CAVEAT_BYTES)
        && lengths().sum::<usize>() <= GRANT_CAVEATS_BYTES
}
