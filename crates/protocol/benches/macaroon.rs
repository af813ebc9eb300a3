//! What a token costs every request that it comes with: reading it, walking its chain and asking
//! what it allows. Beside that, one HMAC, of which the chain has one more than caveats, and what a
//! holder pays for a narrower token.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use micronode_protocol::Address;
use micronode_protocol::capability::caveat::{Op, Ops};
use micronode_protocol::capability::macaroon::RootKey;
use micronode_protocol::capability::{Access, Fresh, KeyRing, Lives, Macaroon, Resource};
use micronode_protocol::limits::TOKEN_TTL;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// 2026-11-24.
const NOW: Duration = Duration::from_secs(1_795_478_400);

/// The keys of a node.
fn keys() -> KeyRing {
    let fresh = |seed| Fresh {
        id: [seed; 8],
        secret: [seed; 32],
    };
    let lives = Lives {
        key: Duration::from_secs(24 * 60 * 60),
        token: TOKEN_TTL,
    };
    KeyRing::new("micronode", lives, 0, &fresh(1), &fresh(2))
}

/// A token for reading `object`; of many caveats, each kind in turn.
fn token(keys: &KeyRing, object: &Address, count: usize) -> Vec<u8> {
    let obj = format!("obj = {object}");
    let caveats = [
        "op = get,head",
        &obj,
        "before = 2030-01-01T00:00:00Z",
        "max-bytes = 65536",
        "peer = 127.0.0.0/8",
        "after = 2026-01-01T00:00:00Z",
        "rps = 1000",
        "op = get",
    ];
    let caveats = caveats.iter().cycle().take(count);
    caveats.fold(keys.operator_token([3; 16]), |token, caveat| {
        let token = Macaroon::parse(&token).expect("well-formed");
        token.attenuate(caveat.as_bytes()).expect("room for it")
    })
}

/// All that a request asks of a token.
fn judge(keys: &KeyRing, token: &[u8], access: &Access<'_>) -> bool {
    let token = Macaroon::parse(token).expect("well-formed");
    let verified = keys.verify(&token, 0).expect("made under one of its keys");
    verified.rights.hold(NOW, PEER).is_ok() && verified.rights.allow(access).is_ok()
}

fn macaroon(c: &mut Criterion) {
    let (keys, object) = (keys(), Address::of(b"an object"));
    let access = Access {
        ops: Ops::of(&[Op::Get]),
        resource: Resource::Object(&object),
        body: 0,
    };
    let mut bench = c.benchmark_group("macaroon");
    bench.bench_function("hmac", |b| b.iter(|| RootKey::of(black_box(&[7; 32]))));
    for count in [1, 3, 8, 32] {
        let token = token(&keys, &object, count);
        assert!(judge(&keys, &token, &access));
        bench.bench_function(BenchmarkId::new("parse", count), |b| {
            b.iter(|| Macaroon::parse(black_box(&token)).is_ok());
        });
        bench.bench_function(BenchmarkId::new("verify", count), |b| {
            b.iter(|| judge(&keys, black_box(&token), black_box(&access)));
        });
    }
    let token = token(&keys, &object, 2);
    bench.bench_function("attenuate", |b| {
        b.iter(|| {
            let token = Macaroon::parse(black_box(&token)).expect("well-formed");
            token.attenuate(black_box(b"before = 2030-01-01T00:00:00Z"))
        });
    });
    bench.finish();
}

criterion_group!(benches, macaroon);
criterion_main!(benches);
