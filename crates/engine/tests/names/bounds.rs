//! What names may take: their number, and memory.

use micronode_engine::names::{Expected, SetError};
use micronode_engine::{Budget, MemoryKind, Names, OverBudget};
use micronode_protocol::limits::{NAME_OVERHEAD_BYTES, NAMES};

use crate::{MIB, index, put, set, store, unheard};

#[test]
fn a_name_is_charged_its_bytes_and_a_flat_amount() {
    let (names, store) = index(MIB);
    let [one, two] = [b"1", b"2"].map(|bytes| put(&store, bytes));
    let used = || store.budget().used(MemoryKind::Names);
    set(&names, "some/name", &one).unwrap();
    assert_eq!(used(), 9 + NAME_OVERHEAD_BYTES);
    set(&names, "some/name", &two).unwrap();
    assert_eq!(used(), 9 + NAME_OVERHEAD_BYTES);
    set(&names, "b", &two).unwrap();
    assert_eq!(used(), 10 + 2 * NAME_OVERHEAD_BYTES);
    names.delete("some/name", &Expected::Any, unheard).unwrap();
    assert_eq!(used(), 1 + NAME_OVERHEAD_BYTES);
    drop(names);
    assert_eq!(used(), 0);
}

#[test]
fn a_name_that_does_not_fit_the_budget_changes_nothing() {
    let store = store(MIB);
    let [one, two] = [b"1", b"2"].map(|bytes| put(&store, bytes));
    let budget = Budget::new(4 + NAME_OVERHEAD_BYTES);
    let names = Names::new(store.clone(), budget.clone());
    let over = Err(SetError::OverBudget(OverBudget { missing: 1 }));
    assert_eq!(set(&names, "12345", &one), over);
    assert_eq!((names.len(), names.revision()), (0, 0));
    store.delete(crate::at(0), &one).unwrap();

    set(&names, "1234", &two).unwrap();
    assert_eq!(budget.free(), 0);
    set(&names, "1234", &two).unwrap();
    names.delete("1234", &Expected::Any, unheard).unwrap();
    assert_eq!(budget.committed(), 0);
}

#[test]
fn as_many_names_as_there_may_be_and_no_more() {
    let store = store(MIB);
    let one = put(&store, b"1");
    let names = Names::new(store, Budget::new(u64::MAX));
    for number in 0..NAMES {
        set(&names, &format!("{number:07}"), &one).unwrap();
    }
    assert_eq!(names.len(), NAMES);
    assert_eq!(set(&names, "one-more", &one), Err(SetError::Full));
    assert_eq!(names.revision(), NAMES as u64);

    // What is there may change, and make room.
    set(&names, "0000000", &one).unwrap();
    names.delete("0000000", &Expected::Any, unheard).unwrap();
    set(&names, "one-more", &one).unwrap();
    assert_eq!(set(&names, "0000000", &one), Err(SetError::Full));
}
