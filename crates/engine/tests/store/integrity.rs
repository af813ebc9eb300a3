//! Stored bytes that have changed are never served.

use micronode_engine::{GetError, IntegrityError, PutHead};

use crate::{
    GROUP, MIB, WALL_MS, assert_empty, at, cost, put, put_head, put_ttl, read, read_all, sample,
    store,
};

#[test]
fn any_flipped_bit_is_found_by_reading_its_group() {
    for len in [1, 1000, GROUP, GROUP + 1, 3 * GROUP + 9] {
        let bytes = sample(len, 0);
        for offset in [0, len / 2, len - 1] {
            let store = store(MIB);
            let address = put(&store, at(0), &bytes).unwrap().address;
            let object = store.get(at(0), &address).unwrap();
            assert!(store.corrupt(&address, offset as u64));
            assert_eq!(
                read(&object, offset as u64..offset as u64 + 1),
                Err(IntegrityError)
            );
            assert_eq!(store.stats().integrity_failures, 1);
        }
    }
}

#[test]
fn there_is_nothing_to_corrupt_behind_the_end() {
    let store = store(MIB);
    let address = put(&store, at(0), b"four").unwrap().address;
    assert!(store.corrupt(&address, 3));
    assert!(!store.corrupt(&address, 4));
    let empty = put(&store, at(0), b"").unwrap().address;
    assert!(!store.corrupt(&empty, 0));
}

#[test]
fn ranges_that_do_not_touch_the_group_are_served_until_it_is_found() {
    let store = store(MIB);
    let bytes = sample(3 * GROUP, 0);
    let address = put(&store, at(0), &bytes).unwrap().address;
    let object = store.get(at(0), &address).unwrap();
    store.corrupt(&address, GROUP as u64);
    assert_eq!(read(&object, 0..GROUP as u64).unwrap(), &bytes[..GROUP]);
    assert!(read_all(&object).is_err());
    assert_eq!(
        read(&object, 0..GROUP as u64),
        Err(IntegrityError),
        "quarantined as a whole"
    );
}

#[test]
fn a_stream_in_progress_is_cut_before_the_bad_group() {
    let store = store(MIB);
    let bytes = sample(3 * GROUP, 0);
    let address = put(&store, at(0), &bytes).unwrap().address;
    let object = store.get(at(0), &address).unwrap();
    let mut reader = object.read(0..object.size());
    assert_eq!(reader.next_piece().unwrap().unwrap(), &bytes[..GROUP]);
    store.corrupt(&address, 2 * GROUP as u64 + 5);
    assert_eq!(
        reader.next_piece().unwrap().unwrap(),
        &bytes[GROUP..2 * GROUP]
    );
    for _ in 0..3 {
        assert_eq!(reader.next_piece(), Err(IntegrityError));
        assert_eq!(
            reader.remaining(),
            GROUP as u64,
            "not to be mistaken for complete"
        );
    }
    assert_eq!(store.stats().integrity_failures, 1, "counted once");
}

#[test]
fn a_quarantined_object_is_neither_there_nor_gone() {
    let store = store(MIB);
    let address = put(&store, at(0), b"bytes").unwrap().address;
    store.corrupt(&address, 0);
    assert!(store.has(at(0), &address), "nobody knows yet");
    read_all(&store.get(at(0), &address).unwrap()).unwrap_err();

    assert!(!store.has(at(0), &address));
    for _ in 0..2 {
        assert_eq!(
            store.get(at(0), &address).err(),
            Some(GetError::Integrity(IntegrityError))
        );
    }
    assert_eq!(store.stats().integrity_failures, 1);
    assert_eq!(store.stats().objects, 1);
    store.delete(at(0), &address).unwrap();
    assert_empty(&store);
}

#[test]
fn putting_it_again_heals_it() {
    let store = store(2 * MIB);
    let bytes = sample(2 * GROUP, 0);
    let first = PutHead {
        media_type: Some("text/plain"),
        ttl_ms: Some(500),
        ..PutHead::default()
    };
    let address = put_head(&store, at(0), first, &bytes).unwrap().address;
    let bad = store.get(at(0), &address).unwrap();
    store.corrupt(&address, 0);
    read_all(&bad).unwrap_err();

    let stored = put_ttl(&store, at(10), &bytes, 50).unwrap();
    assert!(!stored.existed, "it could not be read");
    assert_eq!(
        stored.expires_at_wall_ms,
        Some(WALL_MS + 500),
        "the later of the two"
    );
    let healed = store.get(at(10), &address).unwrap();
    assert_eq!(read_all(&healed).unwrap(), bytes);
    assert_eq!(
        healed.media_type(),
        Some("text/plain"),
        "the first one stays"
    );
    assert_eq!(
        read_all(&bad),
        Err(IntegrityError),
        "readers of the bad copy keep failing"
    );

    let one = cost(bytes.len() as u64, Some("text/plain"));
    assert_eq!(store.budget().committed(), 2 * one);
    drop(bad);
    assert_eq!(store.budget().committed(), one);
    assert_eq!(store.stats().objects, 1);

    // It can be damaged, and found, again.
    store.corrupt(&address, 9);
    read_all(&healed).unwrap_err();
    assert_eq!(store.stats().integrity_failures, 2);
    drop(healed);
    assert_eq!(store.expire(at(500)).removed, 1);
    assert_empty(&store);
}

#[test]
fn damage_that_nobody_has_seen_does_not_survive_in_a_duplicate() {
    let store = store(MIB);
    let address = put(&store, at(0), b"bytes").unwrap().address;
    store.corrupt(&address, 0);
    // The copy that is kept is the old one: reads find out, and the next put heals.
    assert!(put(&store, at(0), b"bytes").unwrap().existed);
    assert_eq!(
        read_all(&store.get(at(0), &address).unwrap()),
        Err(IntegrityError)
    );
    assert!(!put(&store, at(0), b"bytes").unwrap().existed);
    assert_eq!(
        read_all(&store.get(at(0), &address).unwrap()).unwrap(),
        b"bytes"
    );
}
