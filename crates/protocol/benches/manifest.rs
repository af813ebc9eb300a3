//! What verification costs: one group, and a whole manifest.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use micronode_protocol::group::{self, ChainingValue};
use micronode_protocol::limits::GROUP_BYTES;
use micronode_protocol::{Address, Manifest};

/// One chunk group: as part of a tree, and as a whole object (a plain hash, the line to compare).
fn hash_group(c: &mut Criterion) {
    let bytes = vec![0x5a; GROUP_BYTES];
    let mut bench = c.benchmark_group("hash_group");
    bench.throughput(Throughput::Bytes(GROUP_BYTES as u64));
    bench.bench_function("chaining_value", |b| {
        b.iter(|| group::chaining_value(black_box(1), black_box(&bytes)));
    });
    bench.bench_function("plain", |b| b.iter(|| Address::of(black_box(&bytes))));
    bench.finish();
}

/// Decoding and validating the manifest of an object; its data is not touched.
fn validate_manifest(c: &mut Criterion) {
    let mut bench = c.benchmark_group("validate_manifest");
    for mib in [1_u64, 16, 256, 1024] {
        let size = mib << 20;
        // Any values merge to some address; there need not be an object.
        let values: Vec<ChainingValue> = (0..group::chaining_value_count(size))
            .map(|i| *Address::of(&i.to_le_bytes()).as_bytes())
            .collect();
        let address = group::root(&values);
        let wire = [b"B3M1", &size.to_be_bytes()[..], values.as_flattened()].concat();
        bench.throughput(Throughput::Bytes(wire.len() as u64));
        bench.bench_function(BenchmarkId::from_parameter(format!("{mib}MiB")), |b| {
            b.iter(|| {
                let manifest = Manifest::decode(black_box(&wire)).expect("well-formed");
                manifest.validate(address).expect("made for this address")
            });
        });
    }
    bench.finish();
}

/// The textual form, which every response carries and every request brings.
fn address_text(c: &mut Criterion) {
    let address = Address::of(b"");
    let text = address.to_text();
    c.bench_function("address/to_text", |b| {
        b.iter(|| black_box(&address).to_text());
    });
    c.bench_function("address/parse", |b| {
        b.iter(|| Address::parse(black_box(&text)));
    });
}

criterion_group!(benches, hash_group, validate_manifest, address_text);
criterion_main!(benches);
