//! What a node pays for a grant: the whole exchange, from a frame that has come to the token on its
//! way, through a connection in memory. Beside it what is refused before any signature is verified.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

#[path = "../tests/support/wire.rs"]
#[allow(dead_code, reason = "shared with the test of allocations")]
mod wire;

use criterion::{Criterion, criterion_group, criterion_main};
use micronode_client::{Issuer, Seed};
use micronode_protocol::capability::grant::Statement;
use micronode_protocol::limits::EXCHANGES_PER_SECOND_MAX;
use micronode_protocol::operation::Operation;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use wire::Wire;

/// How long `work` takes `count` times, no more often than grants may be exchanged. It is waited
/// without sleeping, which would make what comes next slower.
#[allow(clippy::disallowed_methods, reason = "a bench looks at the clock")]
fn paced(count: u64, mut work: impl FnMut()) -> Duration {
    let pace = Duration::from_secs(1) / EXCHANGES_PER_SECOND_MAX as u32;
    let mut took = Duration::ZERO;
    for _ in 0..count {
        let started = Instant::now();
        work();
        took += started.elapsed();
        while started.elapsed() <= pace {
            std::hint::spin_loop();
        }
    }
    took
}

fn exchange(c: &mut Criterion) {
    let [known, unknown] = [1, 2].map(|seed| Issuer::from_seed(&Seed::new([seed; 32])));
    let statement = Statement {
        audience: "",
        subject: "a runner",
        not_before: 1,
        not_after: u64::from(u32::MAX),
        nonce: [7; 16],
        caveats: vec!["op = get,head", "name ^ builds/", "max-bytes = 65536"],
    };
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let (ed25519, mldsa65) = (known.key().ed25519_text(), known.key().mldsa65_text());
    let issuers = format!("[[issuers]]\ned25519 = \"{ed25519}\"\nmldsa65 = \"{mldsa65}\"\n");
    std::fs::write(file.path(), issuers).expect("room for it");

    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    let file = Some(file.path().to_owned());
    let rate = EXCHANGES_PER_SECOND_MAX.to_string();
    let flags = [("auth.exchange_rps", &*rate)];
    let mut wire = runtime.block_on(Wire::open_with(file, &flags));
    let mut bench = c.benchmark_group("exchange");
    for (name, issuer, code) in [("granted", known, 200), ("unknown_issuer", unknown, 401)] {
        let grant = issuer.grant(&statement).expect("within its caps");
        let mut exchange = || {
            runtime.block_on(async {
                wire.ask(Operation::Exchange, 1, &grant);
                wire.flush().await;
                assert_eq!(wire.frame().await.header.code, code);
            });
        };
        bench.bench_function(name, |b| b.iter_custom(|count| paced(count, &mut exchange)));
    }
    bench.finish();
}

criterion_group!(benches, exchange);
criterion_main!(benches);
