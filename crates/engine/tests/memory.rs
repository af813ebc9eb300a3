//! What the process really holds for stored objects and names, against what is promised.
//!
//! Alone in its process, because it reads the process's resident set.
#![allow(clippy::unwrap_used)]

use micronode_engine::names::Expected;
use micronode_engine::{Budget, Eviction, MemoryKind, Names, Now, PutHead, Store, StoreConfig};

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
