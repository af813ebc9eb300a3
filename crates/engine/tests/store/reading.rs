//! Reads: verified pieces, shared memory, and its return to the budget.

use std::sync::Arc;

use bytes::Bytes;
use micronode_engine::{DeleteError, GetError, NotFound, Store};
use micronode_protocol::{Address, Manifest};

use crate::{GROUP, MIB, assert_empty, at, cost, put, read, read_all, sample, store};

#[test]
fn a_range_comes_in_one_piece_per_group_it_touches() {
    let store = store(MIB);
    let bytes = sample(3 * GROUP + 10, 0);
    let address = put(&store, at(0), &bytes).unwrap().address;
    let object = store.get(at(0), &address).unwrap();
    let group = GROUP as u64;
    for (range, groups) in [
        (0..object.size(), 4),
        (0..0, 0),
        (object.size()..object.size(), 0),
        (0..1, 1),
        (group - 1..group, 1),
        (group - 1..group + 1, 2),
        (group..2 * group, 1),
        (1..3 * group, 3),
        (3 * group + 9..3 * group + 10, 1),
    ] {
        let before = store.stats().groups_read;
        let mut reader = object.read(range.clone());
        let mut read = Vec::new();
        let mut pieces = 0;
        while let Some(piece) = reader.next_piece().unwrap() {
            assert!(!piece.is_empty() && piece.len() <= GROUP);
            pieces += 1;
            read.extend_from_slice(&piece);
            assert_eq!(
                reader.remaining(),
                range.end - range.start - read.len() as u64
            );
        }
        assert_eq!(read, bytes[range.start as usize..range.end as usize]);
        assert_eq!(
            (pieces, store.stats().groups_read - before),
            (groups, groups)
        );
    }
}

#[test]
#[should_panic(expected = "within the object")]
fn a_range_behind_the_end_is_a_bug() {
    let store = store(MIB);
    let address = put(&store, at(0), b"four").unwrap().address;
    store.get(at(0), &address).unwrap().read(0..5);
}

#[test]
fn reading_copies_nothing() {
    let store = store(MIB);
    let address = put(&store, at(0), &sample(GROUP, 0)).unwrap().address;
    let object = store.get(at(0), &address).unwrap();
    let first = object.read(0..object.size()).next_piece().unwrap().unwrap();
    let second = object.read(10..20).next_piece().unwrap().unwrap();
    assert_eq!(second.as_ptr(), first[10..].as_ptr());
}

#[test]
fn the_manifest_goes_out_as_it_is() {
    for len in [0, GROUP, GROUP + 1] {
        let store = store(MIB);
        let address = put(&store, at(0), &sample(len, 0)).unwrap().address;
        let object = store.get(at(0), &address).unwrap();
        let wire = object.encoded_manifest().concat();
        assert_eq!(wire, object.manifest().encode());
        assert!(Manifest::decode(&wire).unwrap().validate(address).is_ok());
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let store = store(MIB);
    let address = Address::of(b"nothing");
    assert_eq!(
        store.get(at(0), &address).err(),
        Some(GetError::NotFound(NotFound))
    );
    assert!(!store.has(at(0), &address));
    assert_eq!(store.delete(at(0), &address), Err(DeleteError::NotFound));
}

#[test]
fn deleting_gives_the_memory_back() {
    let store = store(MIB);
    let address = put(&store, at(0), &sample(2 * GROUP, 0)).unwrap().address;
    assert!(store.has(at(0), &address));
    store.delete(at(0), &address).unwrap();
    assert!(!store.has(at(0), &address));
    assert_eq!(store.delete(at(0), &address), Err(DeleteError::NotFound));
    assert_empty(&store);
}

#[test]
fn readers_outlive_the_object_and_keep_it_charged() {
    let store = store(MIB);
    let bytes = sample(2 * GROUP, 0);
    let address = put(&store, at(0), &bytes).unwrap().address;
    let object = store.get(at(0), &address).unwrap();
    let mut reader = object.read(0..object.size());
    drop(object);
    let first: Bytes = reader.next_piece().unwrap().unwrap();
    store.delete(at(0), &address).unwrap();

    assert_eq!(store.stats().objects, 0, "gone at once");
    assert_eq!(
        store.budget().committed(),
        cost(2 * GROUP as u64, None),
        "but still in memory"
    );
    let second = reader.next_piece().unwrap().unwrap();
    drop(reader);
    assert_eq!([&first[..], &second[..]].concat(), bytes);
    drop(second);
    assert_ne!(
        store.budget().committed(),
        0,
        "a piece is being written out"
    );
    drop(first);
    assert_empty(&store);
}

#[test]
fn clearing_removes_everything() {
    let store = store(MIB);
    for seed in 0..200 {
        put(&store, at(0), &sample(100, seed)).unwrap();
    }
    let held = store.get(at(0), &Address::of(&sample(100, 7))).unwrap();
    store.clear();
    assert_eq!(store.stats().objects, 0);
    assert_eq!(read_all(&held).unwrap(), sample(100, 7));
    drop(held);
    assert_empty(&store);
}

#[test]
fn clones_share_one_store_between_threads() {
    fn assert_shareable<T: Send + Sync + Clone + 'static>(_: &T) {}
    let store: Store = store(MIB);
    assert_shareable(&store);
    let clone = store.clone();
    let address = put(&store, at(0), b"shared").unwrap().address;
    let object = clone.get(at(0), &address).unwrap();
    assert_eq!(read(&Arc::clone(&object), 2..6).unwrap(), b"ared");
}
