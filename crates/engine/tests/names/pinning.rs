//! A name keeps its object.

use micronode_engine::names::{Expected, NameChange, SetError};
use micronode_engine::{DeleteError, Names};
use micronode_protocol::Address;

use crate::{MIB, at, index, put, put_ttl, set, unheard};

#[test]
fn an_object_stays_until_no_name_points_at_it() {
    let (names, store) = index(MIB);
    let kept = put_ttl(&store, at(0), b"kept", Some(10));
    let other = put(&store, b"other");
    set(&names, "one", &kept).unwrap();
    set(&names, "two", &kept).unwrap();
    assert_eq!(store.expire(at(100)).removed, 0);

    // One name goes, the other points elsewhere.
    names.delete("one", &Expected::Any, unheard).unwrap();
    assert_eq!(store.delete(at(100), &kept), Err(DeleteError::Pinned));
    set(&names, "two", &other).unwrap();
    assert!(!store.has(at(100), &kept));
    assert_eq!(store.expire(at(100)).removed, 1);
    assert_eq!(store.delete(at(100), &other), Err(DeleteError::Pinned));
    drop(names);
    store.delete(at(100), &other).unwrap();
    assert_eq!(store.budget().committed(), 0);
}

#[test]
fn a_name_that_is_set_to_its_own_object_keeps_it() {
    let (names, store) = index(MIB);
    let kept = put(&store, b"kept");
    for _ in 0..3 {
        set(&names, "name", &kept).unwrap();
    }
    assert_eq!(store.delete(at(0), &kept), Err(DeleteError::Pinned));
    names.delete("name", &Expected::Any, unheard).unwrap();
    store.delete(at(0), &kept).unwrap();
}

#[test]
fn a_name_never_points_at_nothing() {
    let (names, store) = index(MIB);
    let absent = Address::of(b"absent");
    let expired = put_ttl(&store, at(0), b"brief", Some(10));
    let try_set =
        |names: &Names, now, address| names.set(at(now), "name", address, &Expected::Any, unheard);
    assert_eq!(try_set(&names, 0, &absent), Err(SetError::NoObject));
    assert_eq!(try_set(&names, 10, &expired), Err(SetError::NoObject));
    assert_eq!((names.len(), names.revision()), (0, 0));
    try_set(&names, 9, &expired).unwrap();
}

#[test]
fn a_change_that_is_refused_pins_nothing() {
    let (names, store) = index(MIB);
    let [here, there] = [b"1", b"2"].map(|bytes| put(&store, bytes));
    set(&names, "name", &here).unwrap();
    let refused = names.set(at(0), "name", &there, &Expected::Absent, unheard);
    assert_eq!(refused, Err(SetError::Precondition));
    store.delete(at(0), &there).unwrap();
    assert_eq!(store.delete(at(0), &here), Err(DeleteError::Pinned));
}

#[test]
fn who_publishes_may_drop_what_uses_the_index() {
    /// As a woken waiter may.
    struct UsesIndex(Names);
    impl Drop for UsesIndex {
        fn drop(&mut self) {
            self.0.len();
        }
    }
    let (names, store) = index(MIB);
    let address = put(&store, b"1");
    let publish = |_: &NameChange<'_>| UsesIndex(names.clone());
    names
        .set(at(0), "name", &address, &Expected::Any, publish)
        .unwrap();
    names.delete("name", &Expected::Any, publish).unwrap();
}
