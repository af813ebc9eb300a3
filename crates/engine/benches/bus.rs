//! What an event costs its publisher and its subscribers.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

use std::hint::black_box;
use std::task::{Poll, Waker};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use micronode_engine::Bus;
use micronode_engine::bus::{Cursor, Event, EventKind, Item};
use micronode_protocol::Address;

fn event() -> Event {
    Event {
        at_wall_ms: 1_700_000_000_000,
        kind: EventKind::ObjectPut {
            address: Address::of(b""),
            size: 0,
        },
    }
}

/// Every subscriber waits, is woken, and takes the event.
fn fan_out(c: &mut Criterion) {
    let mut bench = c.benchmark_group("fan_out");
    for subscribers in [1, 8, 64] {
        let bus = Bus::new();
        let event = event();
        let mut cursors: Vec<Cursor> = (0..subscribers).map(|_| bus.subscribe()).collect();
        let wait = |cursor: &mut Cursor| {
            assert!(cursor.poll_next(Waker::noop()).is_pending());
        };
        cursors.iter_mut().for_each(wait);
        bench.throughput(Throughput::Elements(subscribers));
        bench.bench_function(BenchmarkId::from_parameter(subscribers), |b| {
            b.iter(|| {
                bus.publish(black_box(&event).clone());
                for cursor in &mut cursors {
                    let item = cursor.poll_next(Waker::noop());
                    assert!(matches!(black_box(item), Poll::Ready(Item::Event(..))));
                    wait(cursor);
                }
            });
        });
    }
    bench.finish();
}

/// Subscribers that never ask must cost nothing.
fn publish(c: &mut Criterion) {
    let mut bench = c.benchmark_group("publish");
    for stalled in [0, 64] {
        let bus = Bus::new();
        let event = event();
        let _cursors: Vec<Cursor> = (0..stalled).map(|_| bus.subscribe()).collect();
        bench.bench_function(BenchmarkId::new("stalled", stalled), |b| {
            b.iter(|| bus.publish(black_box(&event).clone()));
        });
    }
    bench.finish();
}

criterion_group!(benches, fan_out, publish);
criterion_main!(benches);
