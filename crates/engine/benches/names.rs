//! The index with a million names in it: lookups, changes and pages.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use micronode_engine::names::Expected;
use micronode_engine::{Budget, Eviction, Names, Now, PutHead, Store, StoreConfig};
use micronode_protocol::Address;

const NOW: Now = Now {
    mono_ms: 1000,
    wall_ms: 1_700_000_000_000,
};

const NAMES: u64 = 1_000_000;
const OBJECTS: u64 = 1000;

fn name(number: u64) -> String {
    format!("tiles/{:04}/{:04}.pbf", number / 1000, number % 1000)
}

/// Every number below [`NAMES`], in an order that no cache foresees.
fn shuffled() -> impl Iterator<Item = u64> {
    (0..NAMES).cycle().map(|i| i * 611_953 % NAMES)
}

fn filled() -> (Names, Vec<Address>) {
    let config = StoreConfig {
        eviction: Eviction::Refuse,
        max_object_bytes: 1 << 20,
    };
    let store = Store::new(config, Budget::new(1 << 30));
    let put = |number: u64| {
        let mut upload = store.begin_put(NOW, PutHead::default()).expect("fits");
        upload.write(&number.to_le_bytes()).expect("fits");
        upload.finish(NOW).expect("complete").address
    };
    let addresses: Vec<Address> = (0..OBJECTS).map(put).collect();
    let names = Names::new(store.clone(), store.budget().clone());
    for number in shuffled().take(NAMES as usize) {
        let address = &addresses[(number % OBJECTS) as usize];
        names
            .set(NOW, &name(number), address, &Expected::Absent, |_| ())
            .expect("fits");
    }
    (names, addresses)
}

fn a_million_names(c: &mut Criterion) {
    let (names, addresses) = filled();
    // Made before, so that the figures are the index's own.
    let spelled: Vec<String> = shuffled().take(1 << 16).map(name).collect();
    let mut bench = c.benchmark_group("a_million_names");

    let mut next = spelled.iter().cycle();
    bench.bench_function("get", |b| {
        b.iter(|| names.get(black_box(next.next().expect("endless"))));
    });

    let mut next = spelled.iter().zip(addresses.iter().cycle()).cycle();
    bench.bench_function("set", |b| {
        b.iter(|| {
            let (name, address) = next.next().expect("endless");
            names.set(NOW, name, black_box(address), &Expected::Exists, |_| ())
        });
    });

    let mut next = spelled.iter().zip(addresses.iter().cycle()).cycle();
    bench.bench_function("delete_and_create", |b| {
        b.iter(|| {
            let (name, address) = next.next().expect("endless");
            names.delete(name, &Expected::Any, |_| ()).expect("there");
            names.set(NOW, name, black_box(address), &Expected::Absent, |_| ())
        });
    });

    for limit in [100, 1000] {
        let mut next = spelled.iter().cycle();
        let mut page = Vec::with_capacity(limit);
        bench.throughput(Throughput::Elements(limit as u64));
        bench.bench_function(BenchmarkId::new("list", limit), |b| {
            b.iter(|| {
                page.clear();
                let after = next.next().expect("endless");
                names.list("tiles/", black_box(after), limit, &mut page)
            });
        });
    }
    bench.finish();
}

criterion_group!(benches, a_million_names);
criterion_main!(benches);
