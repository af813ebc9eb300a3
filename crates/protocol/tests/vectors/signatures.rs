//! Ed25519 and ML-DSA-65 as others have tested them: Project Wycheproof, and NIST's ACVP
//! (`mldsa65_acvp.json`). They run against the functions that grants are verified with.

use aws_lc_rs::signature::{KeyPair, ML_DSA_65_SIGNING, PqdsaKeyPair};
use micronode_protocol::capability::grant::{verify_ed25519, verify_mldsa65};
use serde::Deserialize;
use wycheproof::{TestResult, eddsa, mldsa_verify};

use super::hex;

/// What Wycheproof says of a signature; it calls none of these merely acceptable.
fn is_valid(result: TestResult) -> bool {
    assert_ne!(result, TestResult::Acceptable);
    result == TestResult::Valid
}

#[test]
fn ed25519_agrees_with_wycheproof() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in set.test_groups {
        let key = group.key.pk[..].try_into().unwrap();
        for test in group.tests {
            let verifies = verify_ed25519(key, &test.msg, &test.sig);
            assert_eq!(verifies, is_valid(test.result), "{test:?}");
            *if verifies { &mut valid } else { &mut invalid } += 1;
        }
    }
    assert_eq!((valid, invalid), (88, 63));
}

/// Cases with a context are none of ours: grants have an empty one. What is signed under another
/// must not verify, whatever Wycheproof says of it under its own.
#[test]
fn mldsa65_agrees_with_wycheproof() {
    let set = mldsa_verify::TestSet::load(mldsa_verify::TestName::MlDsa65Verify).unwrap();
    let (mut valid, mut invalid, mut other_lengths) = (0, 0, 0);
    for group in set.test_groups {
        let Ok(key) = group.pubkey[..].try_into() else {
            // No key of this length gets as far as verification.
            other_lengths += group.tests.len();
            assert!(group.tests.iter().all(|test| !is_valid(test.result)));
            continue;
        };
        for test in group.tests {
            let has_context = test.ctx.is_some_and(|context| !context.is_empty());
            let verifies = verify_mldsa65(key, &test.msg, &test.sig);
            let expected = is_valid(test.result) && !has_context;
            assert_eq!(verifies, expected, "case {}: {}", test.tc_id, test.comment);
            *if verifies { &mut valid } else { &mut invalid } += 1;
        }
    }
    assert_eq!((valid, invalid, other_lengths), (77, 129, 4));
}

#[derive(Deserialize)]
struct Acvp {
    key_generation: Vec<KeyGeneration>,
    verification: Vec<Verification>,
}

#[derive(Deserialize)]
struct KeyGeneration {
    case: u32,
    seed: String,
    pk: String,
}

#[derive(Deserialize)]
struct Verification {
    case: u32,
    pk: String,
    context: String,
    message: String,
    signature: String,
    valid: bool,
}

fn acvp() -> Acvp {
    serde_json::from_str(include_str!("../../vectors/mldsa65_acvp.json")).unwrap()
}

#[test]
fn mldsa65_agrees_with_nist() {
    let cases = acvp().verification;
    let mut valid = 0;
    for case in &cases {
        let key = hex(&case.pk);
        let verifies = verify_mldsa65(
            key[..].try_into().unwrap(),
            &hex(&case.message),
            &hex(&case.signature),
        );
        let expected = case.valid && case.context.is_empty();
        assert_eq!(verifies, expected, "case {}", case.case);
        valid += u32::from(verifies);
    }
    assert_eq!((cases.len(), valid), (17, 2));
}

/// How the keys of an issuer come from its seed.
#[test]
fn mldsa65_keys_from_seeds_are_those_of_nist() {
    let cases = acvp().key_generation;
    assert_eq!(cases.len(), 25);
    for case in cases {
        let pair = PqdsaKeyPair::from_seed(&ML_DSA_65_SIGNING, &hex(&case.seed)).unwrap();
        assert_eq!(
            pair.public_key().as_ref(),
            hex(&case.pk),
            "case {}",
            case.case
        );
    }
}
