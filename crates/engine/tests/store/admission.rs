//! What is let in, what it is charged, and what a refused or broken upload leaves: nothing.

use micronode_engine::{MemoryKind, PutError, PutHead};
use micronode_protocol::Address;
use micronode_protocol::limits::RESERVE_AHEAD_BYTES;

use crate::{GROUP, MIB, assert_empty, at, cost, put, put_head, read_all, sample, store};

const NOW: micronode_engine::Now = micronode_engine::Now {
    mono_ms: 5,
    wall_ms: 1_700_000_000_005,
};

#[test]
fn an_object_is_stored_under_the_hash_of_its_bytes() {
    for len in [0, 1, GROUP - 1, GROUP, GROUP + 1, 5 * GROUP + 17] {
        let store = store(16 * MIB);
        let bytes = sample(len, 0);
        for declared in [None, Some(len as u64)] {
            let head = PutHead {
                declared,
                expected: Some(Address::of(&bytes)),
                ..PutHead::default()
            };
            let stored = put_head(&store, at(5), head, &bytes).unwrap();
            assert_eq!(
                (stored.address, stored.size),
                (Address::of(&bytes), len as u64)
            );
            assert_eq!(
                stored.existed,
                declared.is_some(),
                "the second put is of the same bytes"
            );
            assert_eq!(stored.expires_at_wall_ms, None);
        }
        let object = store.get(at(5), &Address::of(&bytes)).unwrap();
        assert_eq!(read_all(&object).unwrap(), bytes);
        assert_eq!(object.stored_at_wall_ms(), NOW.wall_ms);
        assert_eq!(store.stats().objects, 1);
        assert_eq!(store.stats().object_bytes, len as u64);
        assert_eq!(
            store.stats().groups_written,
            2 * (len.div_ceil(GROUP) as u64)
        );
        assert_eq!(store.budget().committed(), cost(len as u64, None));
        assert_eq!(
            store.budget().used(MemoryKind::Objects),
            cost(len as u64, None)
        );
    }
}

#[test]
fn any_way_of_cutting_the_bytes_gives_the_same_object() {
    let bytes = sample(3 * GROUP + 5, 1);
    for piece in [1000, GROUP - 1, GROUP, GROUP + 1, 2 * GROUP, bytes.len()] {
        for declared in [None, Some(bytes.len() as u64)] {
            let store = store(16 * MIB);
            let head = PutHead {
                declared,
                ..PutHead::default()
            };
            let mut upload = store.begin_put(NOW, head).unwrap();
            for piece in bytes.chunks(piece) {
                upload.write(piece).unwrap();
                upload.write(b"").unwrap();
            }
            assert_eq!(upload.size(), bytes.len() as u64);
            assert_eq!(
                upload.finish(NOW).unwrap().address,
                Address::of(&bytes),
                "{piece}"
            );
        }
    }
}

#[test]
fn the_same_bytes_are_stored_once() {
    let store = store(16 * MIB);
    let bytes = sample(2 * GROUP, 2);
    let first = PutHead {
        media_type: Some("text/plain"),
        ..PutHead::default()
    };
    let second = PutHead {
        media_type: Some("image/png"),
        ..PutHead::default()
    };
    assert!(!put_head(&store, at(5), first, &bytes).unwrap().existed);
    assert!(put_head(&store, at(9), second, &bytes).unwrap().existed);
    let object = store.get(at(9), &Address::of(&bytes)).unwrap();
    assert_eq!(object.media_type(), Some("text/plain"));
    assert_eq!(object.stored_at_wall_ms(), at(5).wall_ms);
    assert_eq!(
        store.budget().committed(),
        cost(bytes.len() as u64, Some("text/plain"))
    );
}

#[test]
fn the_largest_object_is_let_in_and_one_byte_more_is_not() {
    let store = store(256 * MIB);
    let max_object_bytes = 64 * MIB;
    let too_large = PutError::TooLarge { max_object_bytes };
    let declare = |len| PutHead {
        declared: Some(len),
        ..PutHead::default()
    };
    assert!(store.begin_put(NOW, declare(max_object_bytes)).is_ok());
    assert_eq!(
        store.begin_put(NOW, declare(max_object_bytes + 1)).err(),
        Some(too_large)
    );
    assert_eq!(
        store.begin_put(NOW, declare(u64::MAX)).err(),
        Some(too_large)
    );

    let mib = sample(MIB as usize, 0);
    let mut upload = store.begin_put(NOW, PutHead::default()).unwrap();
    for _ in 0..64 {
        upload.write(&mib).unwrap();
    }
    assert_eq!(upload.write(b"x"), Err(too_large));
    assert_eq!(
        upload.finish(NOW),
        Err(too_large),
        "a failed upload cannot be finished"
    );
    assert_empty(&store);
}

#[test]
fn exactly_the_budget_is_let_in_and_one_byte_more_is_not() {
    for len in [0, 1, GROUP, 3 * GROUP + 1] {
        let bytes = sample(len, 3);
        let cost = cost(len as u64, None);
        assert!(put(&store(cost), NOW, &bytes).is_ok(), "{len}");
        let refused = put(&store(cost - 1), NOW, &bytes).unwrap_err();
        assert!(
            matches!(refused, PutError::OverBudget(over) if over.missing == 1),
            "{len}"
        );
    }
}

#[test]
fn a_declared_length_is_checked_at_once_against_all_that_is_free() {
    let store = store(8 * MIB);
    let head = PutHead {
        declared: Some(8 * MIB),
        ..PutHead::default()
    };
    assert!(matches!(
        store.begin_put(NOW, head),
        Err(PutError::OverBudget(_))
    ));
    assert_empty(&store);
}

#[test]
fn no_more_is_reserved_than_a_little_ahead_of_what_arrived() {
    let ahead = RESERVE_AHEAD_BYTES as u64;
    for (declared, ahead) in [(Some(5 * MIB + 99), ahead), (None, GROUP as u64)] {
        let store = store(64 * MIB);
        let bytes = sample(5 * MIB as usize + 99, 4);
        let head = PutHead {
            declared,
            ..PutHead::default()
        };
        let mut upload = store.begin_put(NOW, head).unwrap();
        for piece in bytes.chunks(10_007) {
            upload.write(piece).unwrap();
            let committed = store.budget().committed();
            assert!(committed >= cost(upload.size(), None));
            assert!(committed <= cost(upload.size() + ahead, None));
            assert_eq!(store.budget().used(MemoryKind::Uploads), upload.size());
        }
        upload.finish(NOW).unwrap();
        assert_eq!(store.budget().committed(), cost(bytes.len() as u64, None));
        assert_eq!(store.budget().used(MemoryKind::Uploads), 0);
    }
}

#[test]
fn a_small_upload_reserves_only_itself() {
    let store = store(MIB);
    let head = PutHead {
        declared: Some(10),
        ..PutHead::default()
    };
    let _upload = store.begin_put(NOW, head).unwrap();
    assert_eq!(store.budget().committed(), cost(10, None));
}

#[test]
fn uploads_that_go_wrong_leave_nothing() {
    let bytes = sample(2 * GROUP + 3, 5);
    let len = bytes.len() as u64;
    let store = store(MIB);
    let declare = |len| PutHead {
        declared: Some(len),
        ..PutHead::default()
    };

    // Dropped midway.
    let mut upload = store.begin_put(NOW, declare(len)).unwrap();
    upload.write(&bytes[..GROUP + 1]).unwrap();
    drop(upload);
    assert_empty(&store);

    // Shorter, then longer, than declared.
    assert_eq!(
        put_head(&store, NOW, declare(len + 1), &bytes),
        Err(PutError::LengthMismatch)
    );
    assert_eq!(
        put_head(&store, NOW, declare(len - 1), &bytes),
        Err(PutError::LengthMismatch)
    );
    assert_eq!(
        put_head(&store, NOW, declare(0), b"x"),
        Err(PutError::LengthMismatch)
    );
    assert_empty(&store);

    // Not what it was announced as.
    let expected = Some(Address::of(b"something else"));
    let head = PutHead {
        expected,
        ..PutHead::default()
    };
    assert_eq!(
        put_head(&store, NOW, head, &bytes),
        Err(PutError::DigestMismatch)
    );
    assert_eq!(
        put_head(&store, NOW, head, b""),
        Err(PutError::DigestMismatch)
    );
    assert_empty(&store);

    // Out of budget halfway, because its length was not known.
    let mut upload = store.begin_put(NOW, PutHead::default()).unwrap();
    let full = (0..100).find_map(|_| upload.write(&bytes).err()).unwrap();
    assert!(matches!(full, PutError::OverBudget(_)));
    assert_eq!(
        upload.write(b"x"),
        Err(full),
        "a failed upload takes no more"
    );
    assert_eq!(upload.finish(NOW), Err(full));
    assert_empty(&store);
}

#[test]
fn empty_objects_are_charged_too() {
    // A different media type does not make a different object, so these are one-byte objects.
    let store = store(10 * cost(1, None));
    let stored = (0..=u8::MAX)
        .filter(|byte| put(&store, NOW, &[*byte]).is_ok())
        .count();
    assert_eq!(stored, 10);
}
