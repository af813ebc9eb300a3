//! Making room: by age of last access, or not at all.

use micronode_engine::{Eviction, PutError, PutHead, Store};
use micronode_protocol::Address;

use crate::{GROUP, MIB, assert_empty, at, cost, put, put_ttl, read_all, sample, store_of};

fn address(seed: u8) -> Address {
    Address::of(&sample(1000, seed))
}

/// A store that is full with the objects `0..count`, stored in that order at 0, 1, …
fn full_of(count: u8) -> Store {
    let store = store_of(Eviction::Lru, u64::from(count) * cost(1000, None));
    for seed in 0..count {
        put(&store, at(seed.into()), &sample(1000, seed)).unwrap();
    }
    store
}

#[test]
fn a_full_store_refuses_by_default() {
    let store = store_of(Eviction::Refuse, 3 * cost(1000, None));
    for seed in 0..3 {
        put(&store, at(0), &sample(1000, seed)).unwrap();
    }
    let refused = put(&store, at(0), &sample(1000, 3)).unwrap_err();
    assert!(matches!(refused, PutError::OverBudget(over) if over.missing == cost(1000, None)));
    assert!((0..3).all(|seed| store.has(at(0), &address(seed))));
    assert_eq!(store.stats().evicted_lru, 0);
}

#[test]
fn the_least_recently_used_object_goes_first() {
    let store = full_of(4);
    store.get(at(10), &address(1)).unwrap();
    store.get(at(11), &address(0)).unwrap();
    assert!(
        store.has(at(12), &address(2)),
        "asking whether it is there is no use of it"
    );
    for (round, next) in [2, 3, 1, 0].into_iter().enumerate() {
        assert!(store.has(at(20), &address(next)));
        put(&store, at(20), &sample(1000, 100 + round as u8)).unwrap();
        assert!(
            !store.has(at(20), &address(next)),
            "{next} was to go in round {round}"
        );
    }
    let stats = store.stats();
    assert_eq!((stats.objects, stats.evicted_lru), (4, 4));
}

#[test]
fn putting_again_is_a_use() {
    let store = full_of(2);
    // Declared, so that the room for a second copy is needed while it arrives.
    let head = PutHead {
        declared: Some(1000),
        ..PutHead::default()
    };
    store.delete(at(5), &address(1)).unwrap();
    let mut upload = store.begin_put(at(5), head).unwrap();
    upload.write(&sample(1000, 0)).unwrap();
    assert!(upload.finish(at(6)).unwrap().existed);
    put(&store, at(5), &sample(1000, 1)).unwrap();
    put(&store, at(7), &sample(1000, 2)).unwrap();
    assert!(store.has(at(7), &address(0)));
    assert!(!store.has(at(7), &address(1)));
}

#[test]
fn more_stale_entries_than_one_hold_of_the_lock_corrects() {
    let store = full_of(250);
    for seed in 1..250 {
        store
            .get(at(1000 + u64::from(seed)), &address(seed))
            .unwrap();
    }
    store.get(at(2000), &address(0)).unwrap();
    put(&store, at(3000), &sample(1000, 250)).unwrap();
    assert!(
        !store.has(at(3000), &address(1)),
        "every other was used after it"
    );
    assert_eq!(store.stats().objects, 250);
}

#[test]
fn as_many_go_as_are_needed() {
    let store = full_of(10);
    // 3 × 1300 < 2500 + overhead is false: the third is needed, the fourth is not.
    put(&store, at(20), &sample(3000, 0)).unwrap();
    assert_eq!(store.stats().evicted_lru, 3);
    assert!(store.has(at(20), &address(3)));
}

#[test]
fn what_can_never_fit_evicts_nothing() {
    let store = full_of(10);
    let limit = store.budget().limit();
    let head = PutHead {
        declared: Some(limit),
        ..PutHead::default()
    };
    assert!(matches!(
        store.begin_put(at(20), head),
        Err(PutError::OverBudget(_))
    ));
    assert_eq!(store.stats().objects, 10);
}

#[test]
fn objects_that_are_being_read_do_not_make_room() {
    let store = full_of(2);
    let held = [0, 1].map(|seed| store.get(at(5), &address(seed)).unwrap());
    assert!(matches!(
        put(&store, at(6), &sample(1000, 9)),
        Err(PutError::OverBudget(_))
    ));
    for (seed, object) in held.iter().enumerate() {
        assert_eq!(read_all(object).unwrap(), sample(1000, seed as u8));
    }
    drop(held);
    put(&store, at(7), &sample(1000, 9)).unwrap();
    assert_eq!(store.stats().objects, 1);
}

#[test]
fn expired_objects_go_before_those_in_use() {
    let store = store_of(Eviction::Lru, 2 * cost(1000, None));
    put(&store, at(0), &sample(1000, 0)).unwrap();
    put_ttl(&store, at(1), &sample(600, 1), 10).unwrap();
    put(&store, at(20), &sample(1000, 2)).unwrap();
    let stats = store.stats();
    assert_eq!((stats.evicted_expired, stats.evicted_lru), (1, 0));
    assert!(store.has(at(20), &address(0)));
}

#[test]
fn a_stream_of_unknown_length_makes_room_as_it_grows() {
    let store = store_of(Eviction::Lru, 8 * cost(GROUP as u64, None));
    for seed in 0..8 {
        put(&store, at(seed.into()), &sample(GROUP, seed)).unwrap();
    }
    let bytes = sample(5 * GROUP, 77);
    let mut upload = store.begin_put(at(10), PutHead::default()).unwrap();
    let mut objects = store.stats().objects;
    for group in bytes.chunks(GROUP) {
        upload.write(group).unwrap();
        let left = store.stats().objects;
        assert!(objects - left <= 2, "no more than the next group needs");
        objects = left;
    }
    let stored = upload.finish(at(11)).unwrap();
    assert!(store.has(at(11), &stored.address));
    assert!(store.budget().committed() <= store.budget().limit());
}

#[test]
fn putting_and_deleting_for_ever_leaves_nothing_behind() {
    let store = store_of(Eviction::Lru, MIB);
    for round in 0..2000_u64 {
        let stored = put_ttl(&store, at(round), &sample(100, (round % 7) as u8), 1000).unwrap();
        store.delete(at(round), &stored.address).unwrap();
    }
    assert_empty(&store);
    assert_eq!(store.expire(at(u64::MAX)).removed, 0);
}

/// The first eviction after a long time of reads alone corrected every entry of the order before
/// it took one: a tenth of a second for a million objects, on the thread of one unlucky upload.
#[test]
fn an_eviction_after_very_many_reads_takes_one_object_and_gives_up_on_order() {
    const OBJECTS: u32 = 10_000;
    let bytes = |seed: u32| seed.to_le_bytes();
    let store = store_of(Eviction::Lru, u64::from(OBJECTS) * cost(4, None));
    for seed in 0..OBJECTS {
        put(&store, at(1), &bytes(seed)).unwrap();
    }
    for seed in 0..OBJECTS {
        store
            .get(at(2 + u64::from(seed)), &Address::of(&bytes(seed)))
            .unwrap();
    }
    put(&store, at(100_000), &bytes(OBJECTS)).unwrap();
    let stats = store.stats();
    assert_eq!((stats.objects, stats.evicted_lru), (u64::from(OBJECTS), 1));
    // The order has lost track of nothing: everything else can still be evicted.
    for seed in 0..OBJECTS {
        put(&store, at(200_000), &bytes(OBJECTS + 1 + seed)).unwrap();
    }
    assert_eq!(store.stats().objects, u64::from(OBJECTS));
    assert_eq!(store.stats().evicted_lru, u64::from(OBJECTS) + 1);
}
