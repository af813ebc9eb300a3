//! What the process really holds for stored objects, against what is promised.
//!
//! Alone in its process, because it reads the process's resident set.
#![allow(clippy::unwrap_used)]

use micronode_engine::{Budget, Eviction, Now, PutHead, Store, StoreConfig};

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

/// At most 1.05 × the bytes and 300 bytes per object, and never more than what is charged for
/// them plus that same twentieth (which the allocator's own rounding takes).
#[test]
fn stored_objects_take_what_is_promised() {
    let config = StoreConfig {
        eviction: Eviction::Lru,
        max_object_bytes: 1 << 30,
    };
    let store = Store::new(config, Budget::new(1 << 30));
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
