//! Objects that are pinned stay, whatever their time and the need for room.

use micronode_engine::{DeleteError, Eviction, NotFound, PutError, PutHead};
use micronode_protocol::Address;

use crate::{
    MIB, WALL_MS, assert_empty, at, cost, put, put_ttl, read_all, sample, store, store_of,
};

#[test]
fn a_pinned_object_outlives_its_time_and_goes_with_its_last_pin() {
    let store = store(MIB);
    let address = put_ttl(&store, at(0), b"kept", 10).unwrap().address;
    let first = store.pin(at(9), &address).unwrap();
    let second = store.pin(at(9), &address).unwrap();
    assert_eq!(first.address(), &address);
    assert_eq!(store.next_expiry(), None);

    drop(first);
    let swept = store.expire(at(1000));
    assert_eq!((swept.removed, swept.more), (0, false));
    assert!(store.has(at(1000), &address));
    assert_eq!(
        read_all(&store.get(at(1000), &address).unwrap()).unwrap(),
        b"kept"
    );
    let third = store.pin(at(1000), &address).unwrap();
    drop(second);
    assert_eq!(store.next_expiry(), None);
    drop(third);

    assert_eq!(store.next_expiry(), Some(10));
    assert!(!store.has(at(1000), &address), "gone before the sweep");
    assert_eq!(store.delete(at(1000), &address), Err(DeleteError::NotFound));
    assert_eq!(store.expire(at(1000)).removed, 1);
    assert_empty(&store);
}

#[test]
fn a_pin_that_goes_early_leaves_the_time_as_it_was() {
    let store = store(MIB);
    let address = put_ttl(&store, at(0), b"kept", 100).unwrap().address;
    drop(store.pin(at(1), &address).unwrap());
    assert_eq!(store.next_expiry(), Some(100));
    assert!(store.has(at(99), &address));
    assert_eq!(store.expire(at(100)).removed, 1);
}

#[test]
fn putting_a_pinned_object_again_moves_its_time() {
    let store = store(MIB);
    let address = put_ttl(&store, at(0), b"kept", 10).unwrap().address;
    let pin = store.pin(at(0), &address).unwrap();
    let again = put_ttl(&store, at(50), b"kept", 10).unwrap();
    assert!(again.existed, "it had not expired");
    assert_eq!(again.expires_at_wall_ms, Some(WALL_MS + 60));
    assert_eq!(store.next_expiry(), None);
    drop(pin);
    assert_eq!(store.next_expiry(), Some(60));
    assert!(store.has(at(59), &address));
    assert_eq!(store.expire(at(60)).removed, 1);
    assert_empty(&store);
}

#[test]
fn what_is_not_there_cannot_be_pinned() {
    let store = store(MIB);
    let absent = Address::of(b"absent");
    assert_eq!(store.pin(at(0), &absent).err(), Some(NotFound));

    let expired = put_ttl(&store, at(0), b"brief", 10).unwrap().address;
    assert_eq!(store.pin(at(10), &expired).err(), Some(NotFound));

    let damaged = put(&store, at(0), b"damaged").unwrap().address;
    store.corrupt(&damaged, 0);
    read_all(&store.get(at(0), &damaged).unwrap()).unwrap_err();
    assert_eq!(store.pin(at(0), &damaged).err(), Some(NotFound));
    assert_eq!(store.stats().pinned_bytes, 0);
}

#[test]
fn a_pinned_object_is_not_deleted() {
    let store = store(MIB);
    let address = put(&store, at(0), b"kept").unwrap().address;
    let pins = [(); 2].map(|()| store.pin(at(0), &address).unwrap());
    for pin in pins {
        assert_eq!(store.delete(at(0), &address), Err(DeleteError::Pinned));
        drop(pin);
    }
    store.delete(at(0), &address).unwrap();
    assert_empty(&store);
}

#[test]
fn eviction_passes_over_what_is_pinned() {
    let store = store_of(Eviction::Lru, 3 * cost(1000, None));
    let [oldest, middle, newest] = [0, 1, 2].map(|seed| {
        let stored = put(&store, at(seed), &sample(1000, seed as u8)).unwrap();
        stored.address
    });
    let pin = store.pin(at(5), &oldest).unwrap();
    assert_eq!(store.stats().pinned_bytes, cost(1000, None));
    put(&store, at(10), &sample(1000, 3)).unwrap();
    assert!(store.has(at(10), &oldest) && !store.has(at(10), &middle));

    // A pin is no use: the object is back where its last access puts it.
    drop(pin);
    put(&store, at(11), &sample(1000, 4)).unwrap();
    assert!(!store.has(at(11), &oldest) && store.has(at(11), &newest));
    assert_eq!(store.stats().pinned_bytes, 0);
}

#[test]
fn what_cannot_fit_beside_the_pinned_evicts_nothing() {
    let store = store_of(Eviction::Lru, 3 * cost(1000, None));
    let pinned = put(&store, at(0), &sample(1000, 0)).unwrap().address;
    let _pin = store.pin(at(0), &pinned).unwrap();
    put(&store, at(1), &sample(1000, 1)).unwrap();
    put(&store, at(2), &sample(1000, 2)).unwrap();

    let bytes = (2 * cost(1000, None) - cost(0, None)) as usize;
    let missing_one = PutError::OverBudget(micronode_engine::OverBudget { missing: 1 });
    let head = |len: usize| PutHead {
        declared: Some(len as u64),
        ..PutHead::default()
    };
    let refused = store.begin_put(at(3), head(bytes + 1)).err();
    assert_eq!(refused, Some(missing_one));
    assert_eq!(store.stats().objects, 3);
    put(&store, at(3), &sample(bytes, 3)).unwrap();
    assert_eq!(store.stats().objects, 2);
    assert!(store.has(at(3), &pinned));
}

#[test]
fn healing_keeps_the_pins() {
    let store = store_of(Eviction::Lru, MIB);
    let address = put_ttl(&store, at(0), b"bytes", 10).unwrap().address;
    let pins = [(); 2].map(|()| store.pin(at(0), &address).unwrap());
    store.corrupt(&address, 0);
    read_all(&store.get(at(0), &address).unwrap()).unwrap_err();
    assert_eq!(store.pin(at(0), &address).err(), Some(NotFound));
    assert_eq!(
        store.delete(at(0), &address),
        Err(DeleteError::Pinned),
        "somebody may put it again"
    );

    // Its time has passed, but a pinned object has none.
    let healed = put_ttl(&store, at(20), b"bytes", 10).unwrap();
    assert!(!healed.existed);
    let [first, second] = pins;
    drop(first);
    assert_eq!(store.expire(at(1000)).removed, 0);
    assert_eq!(
        read_all(&store.get(at(1000), &address).unwrap()).unwrap(),
        b"bytes"
    );
    assert_eq!(store.stats().pinned_bytes, cost(5, None));
    drop(second);
    assert_eq!(store.next_expiry(), Some(30));
    assert_eq!(store.expire(at(1000)).removed, 1);
    assert_empty(&store);
}

#[test]
fn clearing_takes_the_pinned_too() {
    let store = store_of(Eviction::Lru, MIB);
    let address = put_ttl(&store, at(0), b"kept", 10).unwrap().address;
    let pin = store.pin(at(0), &address).unwrap();
    store.clear();
    assert_empty(&store);
    put_ttl(&store, at(0), b"kept", 10).unwrap();
    drop(pin);
    assert_eq!(store.expire(at(10)).removed, 1);
    assert_empty(&store);
}
