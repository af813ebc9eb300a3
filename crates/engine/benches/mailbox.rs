//! What a message costs: sent, received and acked, by one thread or several, in one queue or many,
//! with nothing or a million others waiting, leased or delayed.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use micronode_engine::mailbox::{Mailbox, MailboxConfig, MailboxKeys, Send};
use micronode_engine::{Budget, Now};
use micronode_protocol::name::QueueRef;

const NOW: Now = Now {
    mono_ms: 1000,
    wall_ms: 1_700_000_000_000,
};
const VISIBILITY_MS: u64 = 30_000;
const BODY: [u8; 256] = [0x5a; 256];
const CROWD: usize = 1_000_000;

fn mailbox() -> Mailbox {
    let config = MailboxConfig {
        max_messages: 2_000_000,
        max_bytes: 1 << 32,
        max_messages_total: 4_000_000,
        max_bytes_total: 1 << 32,
        max_body: 256 << 10,
        max_deliveries: 5,
        window_ms: 600_000,
    };
    let keys = MailboxKeys::new([1; 32], [2; 32]);
    Mailbox::new(config, Budget::new(1 << 33), keys)
}

fn send(mailbox: &Mailbox, queue: &str, delay_ms: u64) {
    let message = Send {
        body: &BODY,
        delay_ms,
        idempotency: None,
    };
    mailbox.send(NOW, queue, message).expect("within bounds");
}

/// Sends, receives and acks one message; receipts are text, as peers write them.
fn cycle(mailbox: &Mailbox, queue: &str) {
    let of = QueueRef {
        queue,
        is_dead: false,
    };
    let (mut deliveries, mut verdicts) = (Vec::with_capacity(1), Vec::with_capacity(1));
    send(mailbox, black_box(queue), 0);
    mailbox.receive(NOW, of, 1, VISIBILITY_MS, &mut deliveries);
    let receipt = deliveries[0].receipt.text();
    mailbox.ack(NOW, of, &[&receipt], &mut verdicts);
    black_box((deliveries, verdicts));
}

fn alone(c: &mut Criterion) {
    let mut bench = c.benchmark_group("cycle");
    bench.throughput(Throughput::Elements(1));
    bench.sample_size(20);
    for crowd in ["nothing", "ready", "leased", "delayed"] {
        let mailbox = mailbox();
        let mut deliveries = Vec::new();
        for _ in 0..if crowd == "nothing" { 0 } else { CROWD } {
            send(&mailbox, "jobs", u64::from(crowd == "delayed") * 1000);
            if crowd == "leased" {
                let of = QueueRef {
                    queue: "jobs",
                    is_dead: false,
                };
                mailbox.receive(NOW, of, 1, VISIBILITY_MS, &mut deliveries);
                deliveries.clear();
            }
        }
        bench.bench_function(BenchmarkId::new("a million", crowd), |b| {
            b.iter(|| cycle(&mailbox, "jobs"));
        });
    }
    bench.finish();
}

/// The time that `threads` take for `cycles` together, in turn over `queues`.
#[expect(clippy::disallowed_methods, reason = "a measurement reads a clock")]
fn together(threads: usize, queues: &[String], cycles: u64) -> Duration {
    let mailbox = mailbox();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let mailbox = &mailbox;
            scope.spawn(move || {
                for i in 0..cycles as usize / threads {
                    // A queue of many is used by one thread at a time, mostly.
                    cycle(mailbox, &queues[(i * threads + thread) % queues.len()]);
                }
            });
        }
    });
    start.elapsed()
}

fn many(c: &mut Criterion) {
    for (name, count) in [("one queue", 1), ("1000 queues", 1000)] {
        let queues: Vec<String> = (0..count).map(|i| format!("queue-{i}")).collect();
        let mut bench = c.benchmark_group(name);
        bench.throughput(Throughput::Elements(1));
        bench.sample_size(10);
        for threads in [1, 2, 4] {
            bench.bench_function(BenchmarkId::from_parameter(threads), |b| {
                b.iter_custom(|cycles| together(threads, &queues, cycles.max(4)));
            });
        }
        bench.finish();
    }
}

criterion_group!(benches, alone, many);
criterion_main!(benches);
