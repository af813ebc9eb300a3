//! Many threads on one index.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use micronode_engine::names::{Expected, NameChange, SetError, Tag};
use parking_lot::Mutex;

use crate::{MIB, at, index, put, set, unheard};

const THREADS: usize = 64;

/// What 64 threads of this name see, win at most one of.
fn race(expected: impl Fn(u64) -> Expected + Sync, from_scratch: bool) {
    let (names, store) = index(MIB);
    let address = put(&store, b"1");
    for _ in 0..50 {
        let revision = if from_scratch {
            let _ = names.delete("name", &Expected::Any, unheard);
            0
        } else {
            set(&names, "name", &address).unwrap().revision
        };
        let (winners, start) = (AtomicUsize::new(0), Barrier::new(THREADS));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let expected = expected(revision);
                    start.wait();
                    match names.set(at(0), "name", &address, &expected, unheard) {
                        Ok(_) => drop(winners.fetch_add(1, Relaxed)),
                        Err(error) => assert_eq!(error, SetError::Precondition),
                    }
                });
            }
        });
        assert_eq!(winners.into_inner(), 1);
    }
}

#[test]
fn of_64_that_expect_one_revision_one_wins() {
    race(
        |revision| Expected::OneOf(vec![Tag::Revision(revision)]),
        false,
    );
}

#[test]
fn of_64_that_create_a_name_one_wins() {
    race(|_| Expected::Absent, true);
}

#[test]
fn changes_are_published_in_the_order_of_their_revisions() {
    let (names, store) = index(MIB);
    let addresses = [b"1", b"2", b"3"].map(|bytes| put(&store, bytes));
    let published = Mutex::new(Vec::new());
    let publish = |change: &NameChange<'_>| published.lock().push(change.revision);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (names, addresses, publish) = (&names, &addresses, &publish);
            scope.spawn(move || {
                for round in 0..500 {
                    let name = ["a", "b", "c"][(thread + round) % 3];
                    let address = &addresses[round % 3];
                    if round % 4 == 3 {
                        // Another thread may have done it.
                        let _ = names.delete(name, &Expected::Any, publish);
                    } else {
                        let set = names.set(at(0), name, address, &Expected::Any, publish);
                        set.unwrap();
                    }
                }
            });
        }
    });
    let published = published.into_inner();
    assert!(published.iter().copied().eq(1..=names.revision()));
    // Every pin has found its way back.
    for name in ["a", "b", "c"] {
        let _ = names.delete(name, &Expected::Any, unheard);
    }
    assert_eq!(store.stats().pinned_bytes, 0);
    for address in &addresses {
        store.delete(at(0), address).unwrap();
    }
}
