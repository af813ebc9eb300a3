//! What an observer is told: every object that becomes visible or goes, once.

use std::sync::{Arc, OnceLock};

use micronode_engine::{Eviction, Store, StoreEvent, Why};
use micronode_protocol::Address;
use parking_lot::Mutex;

use crate::{MIB, at, cost, put, put_ttl, read_all, sample, store_of};

fn observed(limit: u64) -> (Store, Arc<Mutex<Vec<StoreEvent>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::clone(&told);
    let store = store_of(Eviction::Lru, limit).observed(move |event| events.lock().push(event));
    (store, told)
}

fn put_event(bytes: &[u8]) -> StoreEvent {
    StoreEvent::Put {
        address: Address::of(bytes),
        size: bytes.len() as u64,
    }
}

fn deleted(bytes: &[u8], why: Why) -> StoreEvent {
    StoreEvent::Deleted {
        address: Address::of(bytes),
        why,
    }
}

#[test]
fn putting_and_deleting_are_told_once() {
    let (store, told) = observed(MIB);
    let address = put(&store, at(0), b"bytes").unwrap().address;
    put(&store, at(0), b"bytes").unwrap();
    store.delete(at(0), &address).unwrap();
    store.delete(at(0), &address).unwrap_err();
    assert_eq!(
        *told.lock(),
        [put_event(b"bytes"), deleted(b"bytes", Why::Deleted)]
    );
}

#[test]
fn a_failed_upload_is_not_told() {
    let (store, told) = observed(MIB);
    let mut upload = store.begin_put(at(0), Default::default()).unwrap();
    upload.write(b"some").unwrap();
    drop(upload);
    assert_eq!(*told.lock(), []);
}

#[test]
fn what_a_sweep_removes_is_told_and_so_is_what_a_put_replaces() {
    let (store, told) = observed(MIB);
    put_ttl(&store, at(0), b"brief", 10).unwrap();
    put_ttl(&store, at(10), b"brief", 10).unwrap();
    store.expire(at(20));
    let expected = [
        put_event(b"brief"),
        deleted(b"brief", Why::Expired),
        put_event(b"brief"),
        deleted(b"brief", Why::Expired),
    ];
    assert_eq!(*told.lock(), expected);
}

#[test]
fn what_makes_room_is_told_before_what_takes_it() {
    let (store, told) = observed(cost(1000, None));
    let [first, second] = [0, 1].map(|seed| sample(1000, seed));
    put(&store, at(0), &first).unwrap();
    put(&store, at(1), &second).unwrap();
    let expected = [
        put_event(&first),
        deleted(&first, Why::Evicted),
        put_event(&second),
    ];
    assert_eq!(*told.lock(), expected);
}

#[test]
fn healing_makes_an_object_visible_again() {
    let (store, told) = observed(MIB);
    let address = put(&store, at(0), b"bytes").unwrap().address;
    store.corrupt(&address, 0);
    read_all(&store.get(at(0), &address).unwrap()).unwrap_err();
    put(&store, at(0), b"bytes").unwrap();
    assert_eq!(*told.lock(), [put_event(b"bytes"), put_event(b"bytes")]);
}

#[test]
fn an_observer_may_use_the_store() {
    let handle: Arc<OnceLock<Store>> = Arc::default();
    let seen: Arc<Mutex<Vec<bool>>> = Arc::default();
    let (store, present) = (Arc::clone(&handle), Arc::clone(&seen));
    let store = store_of(Eviction::Lru, cost(1000, None)).observed(move |event| {
        let (StoreEvent::Put { address, .. } | StoreEvent::Deleted { address, .. }) = event;
        let store = store.get().unwrap();
        // Takes the shard's lock exclusively.
        present.lock().push(store.pin(at(0), &address).is_ok());
    });
    assert!(handle.set(store.clone()).is_ok());
    put(&store, at(0), &sample(1000, 0)).unwrap();
    let evicted = put_ttl(&store, at(1), &sample(1000, 1), 10).unwrap();
    store.delete(at(1), &evicted.address).unwrap();
    put_ttl(&store, at(1), &sample(1000, 1), 10).unwrap();
    store.expire(at(11));
    assert_eq!(*seen.lock(), [true, false, true, false, true, false]);
}

#[test]
#[should_panic(expected = "before it is shared")]
fn observing_what_others_use_already_is_a_bug() {
    let store = store_of(Eviction::Refuse, MIB);
    let _other = store.clone();
    let _ = store.observed(|_| {});
}
