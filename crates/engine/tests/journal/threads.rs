//! Many threads on the same objects, names and queues. What is recorded must be in the order in
//! which it happened. The journal is slow, so that a change that was recorded after its lock was
//! released is overtaken by what another thread does to the same.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use micronode_engine::Eviction;
use micronode_engine::names::Expected;
use micronode_protocol::Address;

use crate::compare::{Lease, assert_survives};
use crate::node::{Node, Setup};
use crate::{NAMES, QUEUES, lanes};

const THREADS: u64 = 8;
const ROUNDS: u64 = 6000;
const OBJECTS: [&[u8]; 3] = [b"1", b"22", b"333"];
const KEYS: [&str; 3] = ["x", "y", "z"];

/// xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 32
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.next() as usize % choices.len()]
    }
}

/// Lets threads run `turn`, each with a random sequence of its own and a time that goes on for all
/// of them together. Then asserts that the records say what the node is.
fn race(turn: impl Fn(&Node, &mut Random, &mut Vec<Lease>) + Sync) {
    let mut node = Node::new(Setup::new(Eviction::Refuse));
    node.journal.hesitates.store(true, Relaxed);
    let ticks = AtomicU64::new(0);
    let begin = node.now;
    let mut leases: Vec<Lease> = Vec::new();
    std::thread::scope(|scope| {
        let run = |thread: u64| {
            let (mut node, ticks, turn) = (node.clone(), &ticks, &turn);
            scope.spawn(move || {
                let mut random = Random((thread + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let mut leases = Vec::new();
                for _ in 0..ROUNDS {
                    let tick = ticks.fetch_add(1, Relaxed) / 16;
                    node.now = begin;
                    node.advance(tick);
                    turn(&node, &mut random, &mut leases);
                }
                leases
            })
        };
        let threads: Vec<_> = (0..THREADS).map(run).collect();
        for thread in threads {
            leases.extend(thread.join().unwrap());
        }
    });
    node.advance(ticks.into_inner() / 16 + 1);
    let addresses = OBJECTS.map(Address::of);
    let keys = QUEUES.into_iter().flat_map(|queue| {
        let keyed = |key: &&str| ((queue, (*key).to_owned()), b"body".to_vec());
        KEYS.iter().map(keyed).collect::<Vec<_>>()
    });
    let keys: BTreeMap<_, _> = keys.collect();
    assert_survives(node, &leases, &addresses, &keys, 7);
}

#[test]
fn objects_and_names_are_recorded_in_the_order_in_which_they_changed() {
    race(|node, random, _| {
        let bytes = random.of(&OBJECTS);
        let address = Address::of(bytes);
        let name = random.of(&NAMES);
        match random.next() % 8 {
            0..3 => {
                let ttl_ms = random.of(&[None, Some(1), Some(20)]);
                node.put(bytes, ttl_ms, None, None).unwrap();
            }
            3..5 => drop(node.store.delete(node.now, &address)),
            5 => drop(node.name(name, &address)),
            6 => drop(node.names.delete(name, &Expected::Any, |_| ())),
            _ => node.sweep(),
        }
    });
}

#[test]
fn messages_are_recorded_in_the_order_in_which_they_changed() {
    race(|node, random, leases| {
        let name = random.of(&QUEUES);
        let lane = lanes().nth(random.next() as usize % 4).unwrap();
        match random.next() % 32 {
            0..10 => {
                let key = random.of(&[None, Some("x"), Some("y"), Some("z")]);
                // It may be full, or the key used for another.
                let _ = node.send(name, b"body", random.of(&[0, 0, 3]), key);
            }
            10..18 => {
                let got = node.receive(lane, 2, random.of(&[0, 3, 30]));
                leases.extend(got.into_iter().map(|delivery| (lane, delivery)));
            }
            18..29 => {
                if let Some((of, delivery)) = leases.pop() {
                    match random.next() % 2 {
                        0 => node.ack(of, &delivery),
                        _ => node.nack(of, &delivery, random.of(&[0, 0, 3])),
                    };
                }
            }
            29 => drop(node.redrive(name, 2)),
            30 => drop(node.purge(lane)),
            _ => node.sweep(),
        }
    });
}
