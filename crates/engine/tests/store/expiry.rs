//! Objects whose time is limited.

use micronode_engine::{DeleteError, GetError, NotFound};
use micronode_protocol::limits::{SWEEP_BYTES, SWEEP_OBJECTS};

use crate::{MIB, WALL_MS, assert_empty, at, cost, put, put_ttl, sample, store};

#[test]
fn an_object_is_gone_at_its_time_even_before_the_sweep() {
    let store = store(MIB);
    let stored = put_ttl(&store, at(100), b"brief", 50).unwrap();
    let address = stored.address;
    assert_eq!(stored.expires_at_wall_ms, Some(WALL_MS + 150));
    assert_eq!(store.next_expiry(), Some(150));
    let object = store.get(at(149), &address).unwrap();
    assert_eq!(object.expires_at_wall_ms(at(149)), Some(WALL_MS + 150));
    assert!(store.has(at(149), &address));
    drop(object);

    assert!(!store.has(at(150), &address));
    assert_eq!(
        store.get(at(150), &address).err(),
        Some(GetError::NotFound(NotFound))
    );
    assert_eq!(store.delete(at(150), &address), Err(DeleteError::NotFound));
    assert_eq!(store.stats().objects, 1);

    let early = store.expire(at(149));
    assert_eq!((early.removed, early.more), (0, false));
    let swept = store.expire(at(150));
    assert_eq!((swept.removed, swept.more), (1, false));
    assert_eq!(store.stats().evicted_expired, 1);
    assert_empty(&store);
}

#[test]
fn putting_again_moves_the_expiry_only_later() {
    let store = store(MIB);
    let expiry = |ttl| {
        put_ttl(&store, at(0), b"same", ttl)
            .unwrap()
            .expires_at_wall_ms
    };
    assert_eq!(expiry(100), Some(WALL_MS + 100));
    assert_eq!(expiry(50), Some(WALL_MS + 100));
    assert_eq!(expiry(200), Some(WALL_MS + 200));
    assert_eq!(store.next_expiry(), Some(200));
    let forever = put(&store, at(0), b"same").unwrap();
    assert_eq!((forever.existed, forever.expires_at_wall_ms), (true, None));
    assert_eq!(expiry(300), None);
    assert_eq!(store.next_expiry(), None);
    assert_eq!(store.expire(at(1000)).removed, 0);
    assert!(store.has(at(1000), &forever.address));
}

#[test]
fn putting_an_expired_object_stores_it_anew() {
    let store = store(MIB);
    put_ttl(&store, at(0), b"again", 10).unwrap();
    let stored = put_ttl(&store, at(10), b"again", 10).unwrap();
    assert_eq!(
        (stored.existed, stored.expires_at_wall_ms),
        (false, Some(WALL_MS + 20))
    );
    assert_eq!(store.stats().evicted_expired, 1);
    assert_eq!(store.budget().committed(), cost(5, None));
    assert_eq!(store.expire(at(20)).removed, 1);
    assert_empty(&store);
}

#[test]
fn the_longest_time_to_live_is_not_for_ever() {
    let store = store(MIB);
    let stored = put_ttl(&store, at(1000), b"long", u64::MAX).unwrap();
    assert!(stored.expires_at_wall_ms.is_some());
    assert!(store.has(at(u64::MAX - 2), &stored.address));
    assert_eq!(store.expire(at(u64::MAX - 1)).removed, 1);
}

#[test]
fn a_sweep_stops_after_so_many_objects() {
    let store = store(16 * MIB);
    for i in 0..=SWEEP_OBJECTS {
        put_ttl(&store, at(0), &i.to_le_bytes(), 10).unwrap();
    }
    let first = store.expire(at(10));
    assert_eq!((first.removed, first.more), (SWEEP_OBJECTS, true));
    let second = store.expire(at(10));
    assert_eq!((second.removed, second.more), (1, false));
    assert_empty(&store);
}

#[test]
fn a_sweep_stops_after_so_many_bytes() {
    let store = store(SWEEP_BYTES + 8 * MIB);
    let sized = (SWEEP_BYTES / MIB) as usize;
    for seed in 0..=sized {
        put_ttl(&store, at(0), &sample(MIB as usize, seed as u8), 10).unwrap();
    }
    let first = store.expire(at(10));
    assert_eq!((first.removed, first.more), (sized, true));
    assert_eq!(store.expire(at(10)).removed, 1);
}

#[test]
fn a_full_sweep_of_exactly_the_bound_needs_no_second() {
    let store = store(16 * MIB);
    for i in 0..SWEEP_OBJECTS {
        put_ttl(&store, at(0), &i.to_le_bytes(), 10).unwrap();
    }
    put_ttl(&store, at(0), b"later", 11).unwrap();
    let swept = store.expire(at(10));
    assert_eq!((swept.removed, swept.more), (SWEEP_OBJECTS, false));
}

#[test]
fn expired_objects_make_room_without_a_sweep() {
    let bytes = sample(1000, 0);
    let store = store(cost(1000, None));
    put_ttl(&store, at(0), &sample(1000, 1)[..500], 10).unwrap();
    assert!(put(&store, at(9), &bytes).is_err());
    assert!(put(&store, at(10), &bytes).is_ok());
    assert_eq!(store.stats().objects, 1);
}
