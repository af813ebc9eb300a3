//! Setting and deleting, and what may be expected.

use micronode_engine::names::{Expected, NameChange, NameSet, RemoveError, SetError, Tag};
use micronode_protocol::Address;

use crate::{MIB, at, index, put, set, unheard};

#[test]
fn every_change_takes_the_next_revision_and_is_published() {
    let (names, store) = index(MIB);
    let [one, two] = [b"1", b"2"].map(|bytes| put(&store, bytes));
    assert_eq!(names.revision(), 0);
    let changes = [
        ("a", Some(one)),
        ("b", Some(one)),
        ("a", Some(two)),
        // A change all the same.
        ("a", Some(two)),
        ("a", None),
        ("a", Some(one)),
    ];
    for ((name, address), revision) in changes.into_iter().zip(1..) {
        let mut published = None;
        let before = names.get(name).map(|(address, _)| address);
        let mut publish = |change: &NameChange<'_>| {
            assert_eq!((change.name, change.address), (name, address));
            assert_eq!(change.before, before);
            assert_eq!(published.replace(change.revision), None);
        };
        if let Some(address) = &address {
            let set = names.set(at(0), name, address, &Expected::Any, &mut publish);
            let created = before.is_none();
            assert_eq!(set, Ok(NameSet { revision, created }));
        } else {
            let deleted = names.delete(name, &Expected::Any, &mut publish);
            assert_eq!(deleted, Ok(revision));
        }
        assert_eq!(published, Some(revision));
        assert_eq!(names.revision(), revision);
        let now = names.get(name);
        assert_eq!(now, address.map(|address| (address, revision)));
    }
    assert_eq!(names.get("b"), Some((one, 2)));
    assert_eq!(names.len(), 2);
}

#[test]
fn what_is_expected_must_hold() {
    let one_of = |tags: &[Tag]| Expected::OneOf(tags.to_vec());
    let here = Tag::Address(Address::of(b"here"));
    let there = Tag::Address(Address::of(b"there"));
    let revision = Tag::Revision;
    // Whether it holds of no name, and of one that points `here` with revision 1.
    let table = [
        (Expected::Any, true, true),
        (Expected::Absent, true, false),
        (Expected::Exists, false, true),
        (one_of(&[]), false, false),
        (one_of(&[revision(0)]), false, false),
        (one_of(&[revision(1)]), false, true),
        (one_of(&[revision(2)]), false, false),
        (one_of(&[here]), false, true),
        (one_of(&[there]), false, false),
        (one_of(&[revision(7), here]), false, true),
        (one_of(&[there, revision(1)]), false, true),
    ];
    for (expected, of_none, of_one) in table {
        let with = |exists: bool| {
            let (names, store) = index(MIB);
            let [here, there] = [&b"here"[..], b"there"].map(|bytes| put(&store, bytes));
            if exists {
                set(&names, "name", &here).unwrap();
            }
            (names, there)
        };
        for (exists, holds) in [(false, of_none), (true, of_one)] {
            let (names, there) = with(exists);
            let before = (names.get("name"), names.revision());
            let outcome = names.set(at(0), "name", &there, &expected, unheard);
            if holds {
                let revision = before.1 + 1;
                let created = !exists;
                assert_eq!(outcome, Ok(NameSet { revision, created }), "{expected:?}");
            } else {
                assert_eq!(outcome, Err(SetError::Precondition), "{expected:?}");
                assert_eq!((names.get("name"), names.revision()), before);
            }
        }
        let (names, _) = with(true);
        let outcome = names.delete("name", &expected, unheard);
        if of_one {
            assert_eq!(outcome, Ok(2), "{expected:?}");
        } else {
            assert_eq!(outcome, Err(RemoveError::Precondition), "{expected:?}");
            assert_eq!((names.len(), names.revision()), (1, 1));
        }
    }
}

#[test]
fn deleting_what_is_not_there_finds_nothing_whatever_is_expected() {
    let (names, _store) = index(MIB);
    for expected in [
        Expected::Any,
        Expected::Absent,
        Expected::Exists,
        Expected::OneOf(vec![Tag::Revision(1)]),
    ] {
        let deleted = names.delete("name", &expected, unheard);
        assert_eq!(deleted, Err(RemoveError::NotFound), "{expected:?}");
    }
    assert_eq!(names.revision(), 0);
}
