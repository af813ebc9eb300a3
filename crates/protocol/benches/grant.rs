//! What a grant costs the node that it is presented to: reading it, each signature, and both.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

use std::hint::black_box;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, ML_DSA_65_SIGNING, PqdsaKeyPair};
use criterion::{Criterion, criterion_group, criterion_main};
use micronode_protocol::capability::grant::{
    IssuerKey, MLDSA65_SIGNATURE_BYTES, SignedGrant, Statement, verify_ed25519, verify_mldsa65,
};

fn grant(c: &mut Criterion) {
    let ed25519 = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).expect("a seed");
    let mldsa65 = PqdsaKeyPair::from_seed(&ML_DSA_65_SIGNING, &[1; 32]).expect("a seed");
    let key = IssuerKey::new(
        ed25519.public_key().as_ref().try_into().expect("a key"),
        Box::new(mldsa65.public_key().as_ref().try_into().expect("a key")),
    );
    let statement = Statement {
        audience: "cache-1",
        subject: "a runner",
        not_before: 1_795_478_400,
        not_after: 1_798_070_400,
        nonce: [7; 16],
        caveats: vec!["op = get,head", "name ^ builds/", "max-bytes = 65536"],
    };
    let to_sign = statement.to_sign(key.id()).expect("within its caps");
    let message = to_sign.message().to_vec();
    let ed25519 = ed25519.sign(&message).as_ref().try_into().expect("64");
    let mut signature = [0; MLDSA65_SIGNATURE_BYTES];
    mldsa65.sign(&message, &mut signature).expect("room for it");
    let bytes = to_sign.signed(&ed25519, &signature);
    let parsed = SignedGrant::parse(&bytes).expect("well-formed");
    assert_eq!(parsed.verify(&key), Ok(()));

    let mut bench = c.benchmark_group("grant");
    bench.bench_function("parse", |b| {
        b.iter(|| SignedGrant::parse(black_box(&bytes)).map(|grant| *grant.issuer()));
    });
    bench.bench_function("verify/ed25519", |b| {
        b.iter(|| verify_ed25519(key.ed25519(), black_box(&message), &ed25519));
    });
    bench.bench_function("verify/mldsa65", |b| {
        b.iter(|| verify_mldsa65(key.mldsa65(), black_box(&message), &signature));
    });
    bench.bench_function("verify/both", |b| {
        b.iter(|| black_box(&parsed).verify(&key).is_ok());
    });
    bench.finish();
}

criterion_group!(benches, grant);
criterion_main!(benches);
