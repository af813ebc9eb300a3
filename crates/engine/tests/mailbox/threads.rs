//! Many threads at few queues.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use micronode_engine::mailbox::{MailboxConfig, MessageId, Verdict};
use parking_lot::Mutex;

use crate::{CONFIG, assert_empty, at, mailbox_of, plain, queue};

const THREADS: u64 = 4;
const MESSAGES: u64 = 12_000;
const NAMES: [&str; 3] = ["jobs", "mail", "tiles"];

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
    let acked: Mutex<HashMap<MessageId, u64>> = Mutex::default();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (mailbox, clock, sent, acked) = (&mailbox, &clock, &sent, &acked);
            scope.spawn(move || {
                let mut random = 0x9e37_79b9_7f4a_7c15 ^ (thread + 1);
                while (acked.lock().len() as u64) < MESSAGES {
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
                            mailbox.receive(now, queue(name), 3, visibility_ms, &mut got);
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
                                    *acked.lock().entry(delivery.id).or_default() += 1;
                                }
                            }
                        }
                    }
                }
            });
        }
    });
    let acked = acked.into_inner();
    assert!(acked.values().all(|times| *times == 1));
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
