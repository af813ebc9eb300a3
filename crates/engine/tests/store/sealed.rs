//! An object between its upload and the moment when it can be found.

use micronode_engine::{
    Eviction, GetError, IntegrityError, MemoryKind, NotFound, PutError, PutHead, Sealed, Store,
};
use micronode_protocol::Address;
use micronode_protocol::limits::OBJECT_OVERHEAD_BYTES;

use crate::{GROUP, MIB, WALL_MS, assert_empty, at, cost, put, read_all, sample, store, store_of};

fn seal(store: &Store, head: PutHead<'_>, bytes: &[u8]) -> Result<Sealed, PutError> {
    let mut upload = store.begin_put(at(0), head)?;
    upload.write(bytes)?;
    upload.seal()
}

#[test]
fn nobody_finds_what_is_sealed_and_it_leaves_nothing() {
    let store = store(MIB);
    let bytes = sample(2 * GROUP + 5, 1);
    let sealed = seal(&store, PutHead::default(), &bytes).unwrap();
    let address = Address::of(&bytes);
    assert_eq!(*sealed.address(), address);
    assert_eq!(sealed.size(), bytes.len() as u64);
    assert!(!store.has(at(0), &address));
    assert!(store.delete(at(0), &address).is_err());
    assert_eq!(store.stats().objects, 0);
    let charged = cost(sealed.size(), None);
    assert_eq!(store.budget().used(MemoryKind::Uploads), charged);
    assert_eq!(store.budget().committed(), charged);
    drop(sealed);
    assert_empty(&store);
}

#[test]
fn its_pieces_are_its_bytes_on_another_thread_too() {
    for len in [0, 1, GROUP, GROUP + 1, 3 * GROUP] {
        let store = store(MIB);
        let bytes = sample(len, 2);
        let sealed = seal(&store, PutHead::default(), &bytes).unwrap();
        let (sealed, copied) = std::thread::spawn(move || {
            let pieces: Result<Vec<&[u8]>, IntegrityError> = sealed.pieces().collect();
            let copied = pieces.unwrap().concat();
            (sealed, copied)
        })
        .join()
        .unwrap();
        assert_eq!(copied, bytes);
        let address = sealed.insert(at(3), Some(9)).unwrap().address;
        let object = store.get(at(3), &address).unwrap();
        assert_eq!(read_all(&object).unwrap(), bytes);
        assert_eq!(store.budget().used(MemoryKind::Uploads), 0);
        assert_eq!(
            store.budget().used(MemoryKind::Objects),
            cost(len as u64, None)
        );
    }
}

/// However long its bytes took to be kept.
#[test]
fn its_time_begins_when_it_can_be_found() {
    let store = store(MIB);
    let head = PutHead {
        ttl_ms: Some(10),
        ..PutHead::default()
    };
    let sealed = seal(&store, head, b"1").unwrap();
    let stored = sealed.insert(at(500), None).unwrap();
    assert_eq!(stored.expires_at_wall_ms, Some(WALL_MS + 510));
    let object = store.get(at(509), &stored.address).unwrap();
    assert_eq!(object.stored_at_wall_ms(), WALL_MS + 500);
    let gone = store.get(at(510), &stored.address).map(drop);
    assert_eq!(gone, Err(GetError::NotFound(NotFound)));
}

#[test]
fn of_two_that_are_sealed_one_was_there() {
    let store = store(MIB);
    let sealed = [0, 1].map(|_| seal(&store, PutHead::default(), b"same").unwrap());
    let existed = sealed.map(|it| it.insert(at(1), None).unwrap().existed);
    assert_eq!(existed, [false, true]);
    assert_eq!(store.stats().objects, 1);
    assert_eq!(store.budget().committed(), 4 + OBJECT_OVERHEAD_BYTES);
}

#[test]
fn what_was_not_announced_is_not_sealed() {
    let store = store(MIB);
    let expecting = PutHead {
        expected: Some(Address::of(b"1")),
        ..PutHead::default()
    };
    let other = seal(&store, expecting, b"2").map(drop);
    assert_eq!(other, Err(PutError::DigestMismatch));
    let longer = PutHead {
        declared: Some(3),
        ..PutHead::default()
    };
    let short = seal(&store, longer, b"2").map(drop);
    assert_eq!(short, Err(PutError::LengthMismatch));
    assert_empty(&store);
}

/// It is nobody's to evict, and does not count as if it were.
#[test]
fn what_is_sealed_makes_no_room() {
    let limit = 2 * (1000 + OBJECT_OVERHEAD_BYTES);
    let store = store_of(Eviction::Lru, limit);
    let sealed = [1, 2].map(|seed| seal_declared(&store, &sample(1000, seed)).unwrap());
    assert!(matches!(
        put(&store, at(1), &sample(10, 3)),
        Err(PutError::OverBudget(_))
    ));
    for sealed in sealed {
        sealed.insert(at(2), None).unwrap();
    }
    assert_eq!(store.stats().objects, 2);
    put(&store, at(3), &sample(10, 3)).unwrap();
    assert_eq!(store.stats().evicted_lru, 1);
}

fn seal_declared(store: &Store, bytes: &[u8]) -> Result<Sealed, PutError> {
    let head = PutHead {
        declared: Some(bytes.len() as u64),
        ..PutHead::default()
    };
    seal(store, head, bytes)
}
