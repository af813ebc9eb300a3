//! What a node costs over OAP when there is no network: small reads, many in flight, and objects
//! streamed both ways through a connection in memory. Client and node share one thread, so times
//! are those of both.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

#[path = "../tests/support/wire.rs"]
mod wire;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use micronode_protocol::limits::{GROUP_BYTES, OAP_STREAMS};
use micronode_protocol::operation::Operation;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use wire::{Wire, get_fields, object};

const STREAMED_BYTES: usize = 16 << 20;

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().build().expect("a runtime")
}

/// As many reads of 1 KiB as a connection may have in flight, written together.
fn small_gets(c: &mut Criterion) {
    let runtime = runtime();
    let mut wire = runtime.block_on(Wire::open());
    let address = runtime.block_on(wire.put(&object(1024), 1024));
    let fields = get_fields(address);
    let mut group = c.benchmark_group("get_1KiB");
    group.throughput(Throughput::Elements(OAP_STREAMS as u64));
    group.bench_function("64_in_flight", |b| {
        b.iter(|| {
            runtime.block_on(async {
                for corr_id in 1..=OAP_STREAMS as u64 {
                    wire.ask(Operation::ObjectGet, corr_id, &fields);
                }
                wire.flush().await;
                for _ in 0..OAP_STREAMS {
                    assert_eq!(wire.frame().await.header.code, 200);
                }
            });
        });
    });
    group.finish();
}

/// One object, in chunks.
fn streamed(c: &mut Criterion) {
    let runtime = runtime();
    let mut wire = runtime.block_on(Wire::open());
    let object = object(STREAMED_BYTES);
    let mut group = c.benchmark_group("stream_16MiB");
    group
        .throughput(Throughput::Bytes(STREAMED_BYTES as u64))
        .measurement_time(Duration::from_secs(5))
        .sample_size(20);
    group.bench_function("put", |b| {
        b.iter(|| runtime.block_on(wire.put(&object, GROUP_BYTES)));
    });
    let address = runtime.block_on(wire.put(&object, GROUP_BYTES));
    group.bench_function("get", |b| {
        b.iter(|| runtime.block_on(wire.get(address)));
    });
    group.finish();
}

criterion_group!(benches, small_gets, streamed);
criterion_main!(benches);
