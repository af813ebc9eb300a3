//! What the store adds to hashing: verified reads and puts, beside one plain hash of the bytes.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use micronode_engine::{Budget, Eviction, Now, PutHead, Store, StoreConfig};
use micronode_protocol::Address;

const NOW: Now = Now {
    mono_ms: 1000,
    wall_ms: 1_700_000_000_000,
};

const SIZES: [(&str, usize); 3] = [("1KiB", 1 << 10), ("64KiB", 1 << 16), ("1MiB", 1 << 20)];

fn store() -> Store {
    let config = StoreConfig {
        eviction: Eviction::Refuse,
        max_object_bytes: 1 << 30,
    };
    Store::new(config, Budget::new(1 << 30))
}

fn put(store: &Store, bytes: &[u8]) -> Address {
    let head = PutHead {
        declared: Some(bytes.len() as u64),
        ..PutHead::default()
    };
    let mut upload = store.begin_put(NOW, head).expect("fits");
    // As from a socket: in pieces of 16 KiB.
    for piece in bytes.chunks(16 << 10) {
        upload.write(piece).expect("fits");
    }
    upload.finish(NOW).expect("complete").address
}

fn get(c: &mut Criterion) {
    let mut bench = c.benchmark_group("get");
    for (name, size) in SIZES {
        let bytes = vec![0x5a; size];
        let store = store();
        let address = put(&store, &bytes);
        bench.throughput(Throughput::Bytes(size as u64));
        bench.bench_function(BenchmarkId::new("verified", name), |b| {
            b.iter(|| {
                let object = store.get(NOW, black_box(&address)).expect("stored");
                let mut reader = object.read(0..object.size());
                while let Some(piece) = reader.next_piece().expect("intact") {
                    black_box(piece);
                }
            });
        });
        bench.bench_function(BenchmarkId::new("plain_hash", name), |b| {
            b.iter(|| Address::of(black_box(&bytes)));
        });
    }
    bench.finish();
}

fn put_and_delete(c: &mut Criterion) {
    let mut bench = c.benchmark_group("put_and_delete");
    for (name, size) in SIZES {
        let bytes = vec![0x5a; size];
        let store = store();
        bench.throughput(Throughput::Bytes(size as u64));
        bench.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                let address = put(&store, black_box(&bytes));
                store.delete(NOW, &address).expect("just stored");
            });
        });
    }
    bench.finish();
}

criterion_group!(benches, get, put_and_delete);
criterion_main!(benches);
