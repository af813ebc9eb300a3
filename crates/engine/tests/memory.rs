//! What the process really holds for stored objects, names and keys, against what is promised.
//!
//! Alone in its process, because it reads the process's resident set.
#![allow(clippy::unwrap_used)]

use micronode_engine::mailbox::{Idempotency, Mailbox, MailboxConfig, MailboxKeys, Send};
use micronode_engine::names::Expected;
use micronode_engine::{Budget, Eviction, MemoryKind, Names, Now, PutHead, Store, StoreConfig};
use micronode_protocol::limits::IDEMPOTENCY_KEYS;
use micronode_protocol::name::QueueRef;

const NOW: Now = Now {
    mono_ms: 1,
    wall_ms: 1,
};

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

fn store() -> Store {
    let config = StoreConfig {
        eviction: Eviction::Lru,
        max_object_bytes: 1 << 30,
    };
    Store::new(config, Budget::new(1 << 30))
}

/// One after the other, and each keeps what it made: memory that was freed would be taken again
/// without being seen.
#[test]
fn what_is_held_takes_what_is_promised() {
    let store = store();
    let _names = names_take_no_more_than_they_are_charged(&store);
    stored_objects_take_what_is_promised(&store);
    forgotten_keys_take_nothing();
}

/// Whatever the order that they come in: it decides how full the nodes of the index are.
fn names_take_no_more_than_they_are_charged(store: &Store) -> Vec<Names> {
    const COUNT: u64 = 200_000;
    let orders: [fn(u64) -> u64; 3] = [
        |i| i,
        |i| COUNT - 1 - i,
        // Every number below the count, all over the place.
        |i| i * 61_957 % COUNT,
    ];
    let upload = store.begin_put(NOW, PutHead::default()).unwrap();
    let address = upload.finish(NOW).unwrap().address;
    let fill = |order: fn(u64) -> u64| {
        let before = resident_bytes();
        let budget = Budget::new(1 << 30);
        let names = Names::new(store.clone(), budget.clone());
        for i in 0..COUNT {
            let name = format!("tiles/{:06}", order(i));
            let set = names.set(NOW, &name, &address, &Expected::Absent, |_| ());
            set.unwrap();
        }
        let taken = resident_bytes() - before;
        let charged = budget.used(MemoryKind::Names);
        assert!(taken <= charged, "{taken} taken, {charged} charged");
        names
    };
    orders.map(fill).into()
}

/// The tables of idempotency keys kept their memory until the last key was gone, while less and
/// less was charged for it: what other queues then needed came on top.
fn forgotten_keys_take_nothing() {
    const WINDOW_MS: u64 = 1000;
    let budget = Budget::new(1 << 30);
    let config = MailboxConfig {
        max_messages: u64::MAX,
        max_bytes: u64::MAX,
        max_messages_total: u64::MAX,
        max_bytes_total: u64::MAX,
        max_body: 1,
        max_deliveries: 1,
        window_ms: WINDOW_MS,
    };
    let mailbox = Mailbox::new(config, budget.clone(), MailboxKeys::new([1; 32], [2; 32]));
    let mut now = NOW;
    let mut fill = |names: [&str; 2]| {
        let before = resident_bytes();
        for queue in names {
            let of = QueueRef {
                queue,
                is_dead: false,
            };
            for i in 0..IDEMPOTENCY_KEYS {
                // The last key stays.
                now.mono_ms += u64::from(i == IDEMPOTENCY_KEYS - 1);
                let idempotency = Idempotency {
                    holder: [0; 32],
                    key: &i.to_string(),
                };
                let message = Send {
                    body: &[],
                    delay_ms: 0,
                    idempotency: Some(idempotency),
                };
                mailbox.send(now, queue, message).unwrap();
                if i.is_multiple_of(100) {
                    let mut purge = mailbox.purge(now, of).unwrap();
                    while purge.turn(now).is_none() {}
                }
            }
            now.mono_ms += WINDOW_MS - 1;
            while mailbox.sweep(now) {}
        }
        resident_bytes() - before
    };
    let first = fill(["a", "b"]);
    let second = fill(["c", "d"]);
    assert!(second < first / 2, "{second} after {first}");
    assert!(budget.committed() < 1 << 20);
}

/// At most 1.05 × the bytes and 300 bytes per object, and never more than what is charged for
/// them plus that same twentieth (which the allocator's own rounding takes).
fn stored_objects_take_what_is_promised(store: &Store) {
    for (count, len) in [(50_000_u64, 256_usize), (20_000, 1500), (300, 200_000)] {
        let before = resident_bytes();
        for i in 0..count {
            let mut bytes = vec![(i % 251) as u8; len];
            bytes[..8].copy_from_slice(&i.to_le_bytes());
            let declared = i.is_multiple_of(2).then_some(len as u64);
            let head = PutHead {
                declared,
                ttl_ms: Some(1000),
                ..PutHead::default()
            };
            let mut upload = store.begin_put(NOW, head).unwrap();
            upload.write(&bytes).unwrap();
            assert!(!upload.finish(NOW).unwrap().existed);
        }
        let taken = resident_bytes() - before;
        let promised = count * len as u64 * 21 / 20 + count * 300;
        assert!(
            taken <= promised,
            "{count} × {len}: {taken} taken, {promised} promised"
        );
    }
}
