//! Many threads at few queues.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{AcqRel, Relaxed, Release},
};
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use micronode_engine::mailbox::{MailboxConfig, MessageId, Verdict};
use parking_lot::Mutex;

use crate::{CONFIG, ack, assert_empty, at, mailbox_of, plain, queue};

const THREADS: u64 = 4;
const MESSAGES: u64 = 12_000;
const NAMES: [&str; 3] = ["jobs", "mail", "tiles"];

/// Wakes a thread that is parked, and tells it so.
struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Release);
        self.thread.unpark();
    }
}

/// Time runs while the threads do, so that leases end under them; every message is acked exactly
/// once in the end, by whoever held its last lease, and nothing is left.
#[test]
fn whatever_the_interleaving_every_message_is_acked_once() {
    let (mailbox, budget) = mailbox_of(MailboxConfig {
        // No dead letters: what fails comes back until somebody acks it.
        max_deliveries: u32::MAX,
        ..CONFIG
    });
    let clock = AtomicU64::new(1);
    let sent = AtomicU64::new(0);
    let acked: Mutex<HashSet<MessageId>> = Mutex::default();
    let acks = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (mailbox, clock, sent, acked) = (&mailbox, &clock, &sent, &acked);
            let acks = &acks;
            scope.spawn(move || {
                let mut random = 0x9e37_79b9_7f4a_7c15 ^ (thread + 1);
                while acks.load(Relaxed) < MESSAGES {
                    // xorshift64: a different path per thread, the same in every run.
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let now = at(clock.fetch_add(random % 3, Relaxed));
                    let name = NAMES[(random >> 8) as usize % NAMES.len()];
                    match random >> 16 & 15 {
                        0 => drop(mailbox.sweep(now)),
                        1..6 => {
                            if sent.fetch_add(1, Relaxed) < MESSAGES {
                                let body = [0x5a; 64];
                                let mut message = plain(&body);
                                message.delay_ms = random >> 20 & 3;
                                mailbox.send(now, name, message).unwrap();
                            }
                        }
                        _ => {
                            let mut got = Vec::new();
                            let visibility_ms = random >> 24 & 31;
                            // A copy costs too much to look each time.
                            let done = match random >> 40 & 63 {
                                0 => acked.lock().clone(),
                                _ => HashSet::new(),
                            };
                            mailbox.receive(now, queue(name), 3, visibility_ms, &mut got);
                            for delivery in &got {
                                assert!(!done.contains(&delivery.id), "gone before");
                            }
                            let receipts: Vec<String> =
                                got.iter().map(|it| it.receipt.to_string()).collect();
                            let receipts: Vec<&str> = receipts.iter().map(String::as_str).collect();
                            let now = at(clock.load(Relaxed));
                            let mut verdicts = Vec::new();
                            if random >> 32 & 7 == 0 {
                                mailbox.nack(now, queue(name), 0, &receipts, &mut verdicts);
                                continue;
                            }
                            mailbox.ack(now, queue(name), &receipts, &mut verdicts);
                            for (delivery, verdict) in got.iter().zip(verdicts) {
                                assert_eq!(delivery.body, [0x5a; 64][..]);
                                if verdict == Verdict::Ok {
                                    acks.fetch_add(1, Relaxed);
                                    assert!(acked.lock().insert(delivery.id), "acked once");
                                }
                            }
                        }
                    }
                }
            });
        }
    });
    assert_eq!(acked.into_inner().len() as u64, MESSAGES);
    let counters = mailbox.counters();
    assert_eq!((counters.sent, counters.acked), (MESSAGES, MESSAGES));
    assert!(counters.visibility_timeouts > 0 && counters.delivered > MESSAGES);
    let depths = mailbox.depths(at(clock.load(Relaxed)), 10);
    assert!(
        depths
            .queues
            .iter()
            .all(|it| it.ready + it.leased + it.delayed == 0)
    );
    mailbox.clear();
    assert_empty(&mailbox, &budget);
}

/// Threads that park until they are woken, and some of which decline or leave: a wake that is lost
/// leaves messages that nobody comes for.
#[test]
fn whoever_parks_is_woken_when_there_is_something_to_do() {
    const RECEIVERS: u64 = 6;
    const ALL: u64 = THREADS * 4000;
    let (mailbox, budget) = mailbox_of(CONFIG);
    let acked = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..RECEIVERS {
            let (mailbox, acked) = (&mailbox, &acked);
            scope.spawn(move || {
                let unpark = Arc::new(Unpark {
                    thread: std::thread::current(),
                    woken: AtomicBool::new(false),
                });
                let waker = Waker::from(Arc::clone(&unpark));
                let join = || mailbox.receiver(at(1), queue("jobs"), Some(2)).unwrap();
                let mut receiver = join();
                let mut random = 0x9e37_79b9_7f4a_7c15 ^ (thread + 1);
                while acked.load(Relaxed) < ALL {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    if !receiver.poll_ready(at(1), &waker) {
                        let (mut before, mut idle) = (acked.load(Relaxed), 0);
                        while before < ALL && !unpark.woken.swap(false, AcqRel) {
                            std::thread::park_timeout(Duration::from_millis(100));
                            let now = acked.load(Relaxed);
                            idle = if now == before { idle + 1 } else { 0 };
                            before = now;
                            assert!(idle < 200, "{now} were acked, and then nothing happened");
                        }
                        continue;
                    }
                    match random >> 32 & 7 {
                        0 => receiver.decline(),
                        1 => receiver = join(),
                        _ => {
                            let mut got = Vec::new();
                            receiver.receive(at(1), 2, 1000, &mut got);
                            for delivery in got {
                                assert_eq!(ack(mailbox, 1, queue("jobs"), &delivery), Verdict::Ok);
                                acked.fetch_add(1, Relaxed);
                            }
                        }
                    }
                }
            });
        }
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ALL / THREADS {
                    mailbox.send(at(1), "jobs", plain(b"work")).unwrap();
                }
            });
        }
    });
    assert_eq!(mailbox.counters().acked, ALL);
    mailbox.clear();
    assert_empty(&mailbox, &budget);
}
