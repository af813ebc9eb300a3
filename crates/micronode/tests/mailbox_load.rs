//! Many producers and consumers on one queue, the consumers killed at any moment: what was sent is
//! acknowledged in the end, and what is acknowledged does not come again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use support::oap::{ACK, RECEIVE, SEND, STATS, receive, send, settle, str16};
use support::{Node, Oap, Random};

const QUEUE: &str = "load";
/// As many of each.
const CLIENTS: u64 = 8;
/// Messages, unless MICRO_MESSAGES says otherwise.
const MESSAGES: u64 = 20_000;
/// Sends that a producer has on their way, and messages that a consumer takes at once.
const BATCH: usize = 50;
/// A consumer is killed at one batch in so many: half of them with the messages, half with the
/// answer to its ack on its way.
const KILLS: u64 = 15;
/// What a killed consumer has taken comes back after this.
const VISIBILITY_MS: u32 = 2_000;
const BODY_BYTES: usize = 256;
/// A minute for each hundred thousand, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// What became of each message, by number.
struct Ledger {
    started: Instant,
    /// When its ack was known to the consumer, in microseconds; 0: not yet.
    acked: Vec<AtomicU64>,
    /// Acks whose answer was lost.
    maybe_acked: Vec<AtomicBool>,
    deliveries: AtomicU64,
    kills: AtomicU64,
    /// All is acknowledged.
    is_over: AtomicBool,
}

impl Ledger {
    fn new(messages: u64) -> Self {
        Self {
            started: Instant::now(),
            acked: (0..messages).map(|_| AtomicU64::new(0)).collect(),
            maybe_acked: (0..messages).map(|_| AtomicBool::new(false)).collect(),
            deliveries: AtomicU64::new(0),
            kills: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    /// Microseconds, and never 0.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap() + 1
    }
}

fn body(number: u64) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(BODY_BYTES, number as u8);
    body
}

fn number(bytes: &[u8]) -> usize {
    let number = u64::from_be_bytes(bytes[..8].try_into().unwrap());
    assert!(
        bytes == body(number),
        "message {number} is not as it was sent"
    );
    usize::try_from(number).unwrap()
}

/// Sends `numbers`, some at a time; the ids that they got.
fn produce(node: &Node, numbers: std::ops::Range<u64>) -> Vec<String> {
    let mut client = node.greet();
    let numbers: Vec<u64> = numbers.collect();
    let mut ids = Vec::new();
    for batch in numbers.chunks(BATCH) {
        let one = |number: &u64| client.ask(SEND, &send(QUEUE, "", 0, &body(*number)));
        let asked: Vec<u64> = batch.iter().map(one).collect();
        for id in asked {
            let (id, duplicate) = client.reply(id).sent();
            assert!(!duplicate);
            ids.push(id);
        }
    }
    ids
}

/// Takes and acknowledges until all is over, or it is killed.
fn consume(node: &Node, ledger: &Ledger, random: &mut Random) {
    let mut client = node.greet();
    while !ledger.is_over.load(SeqCst) {
        let began = ledger.now();
        let ask = receive(QUEUE, BATCH as u16, 100, VISIBILITY_MS);
        let taken = client.call(RECEIVE, &ask).deliveries();
        ledger.deliveries.fetch_add(taken.len() as u64, SeqCst);
        let numbers: Vec<usize> = taken.iter().map(|it| number(&it.body)).collect();
        for number in &numbers {
            let acked = ledger.acked[*number].load(SeqCst);
            assert!(
                acked == 0 || acked > began,
                "message {number}, acked at {acked} µs, came to a receive of {began} µs"
            );
        }
        if taken.is_empty() {
            continue;
        }
        let receipts: Vec<&str> = taken.iter().map(|it| &*it.receipt).collect();
        let ack = settle(QUEUE, None, &receipts);
        if random.one_in(KILLS) {
            ledger.kills.fetch_add(1, SeqCst);
            if random.one_in(2) {
                for number in numbers {
                    ledger.maybe_acked[number].store(true, SeqCst);
                }
                client.ask(ACK, &ack);
            }
            return;
        }
        let verdicts = client.call(ACK, &ack).payload();
        let now = ledger.now();
        for (number, verdict) in numbers.into_iter().zip(verdicts) {
            // A machine that is busy may have let the lease run out, which leaves it to another.
            if verdict == 0 {
                let before = ledger.acked[number].swap(now, SeqCst);
                assert_eq!(before, 0, "message {number} was acked twice");
            }
        }
    }
}

fn stats(client: &mut Oap) -> serde_json::Value {
    serde_json::from_slice(&client.call(STATS, &str16(QUEUE)).payload()).unwrap()
}

#[test]
fn what_many_send_is_acknowledged_by_many_that_are_killed() {
    let messages = std::env::var("MICRO_MESSAGES").map_or(MESSAGES, |it| it.parse().unwrap());
    let share = messages / CLIENTS;
    let messages = share * CLIENTS;
    let node = Node::start();
    let ledger = Ledger::new(messages);
    let ids: Vec<String> = std::thread::scope(|scope| {
        let (node, ledger) = (&node, &ledger);
        for consumer in 0..CLIENTS {
            scope.spawn(move || {
                let mut random = Random::seeded(consumer);
                while !ledger.is_over.load(SeqCst) {
                    consume(node, ledger, &mut random);
                }
            });
        }
        let producers: Vec<_> = (0..CLIENTS)
            .map(|it| scope.spawn(move || produce(node, it * share..(it + 1) * share)))
            .collect();
        let ids = producers.into_iter().flat_map(|it| it.join().unwrap());
        let ids = ids.collect();
        let mut client = node.greet();
        let begun = Instant::now();
        let empty = serde_json::json!(
            { "ready": 0, "leased": 0, "delayed": 0, "dead": 0, "bytes": 0 }
        );
        let mut last = stats(&mut client);
        while last != empty && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(50));
            last = stats(&mut client);
        }
        ledger.is_over.store(true, SeqCst);
        assert_eq!(last, empty, "everything was to be taken");
        ids
    });
    let took = ledger.started.elapsed();
    assert_eq!(ids.len() as u64, messages);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len() as u64, messages);
    let is_acked = |number: &usize| {
        ledger.acked[*number].load(SeqCst) != 0 || ledger.maybe_acked[*number].load(SeqCst)
    };
    let lost: Vec<usize> = (0..ledger.acked.len()).filter(|it| !is_acked(it)).collect();
    assert!(lost.is_empty(), "nobody acknowledged {lost:?}");
    let (deliveries, kills) = (ledger.deliveries.load(SeqCst), ledger.kills.load(SeqCst));
    println!("{messages} messages, {deliveries} deliveries, {kills} consumers killed, {took:.1?}");
    assert!(kills > 0 && deliveries > messages, "nobody was killed");
    // What is left of it is an empty queue, with its smallest lists.
    assert!(node.memory_of("messages") < 4096);
}
