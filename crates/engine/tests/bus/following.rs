//! Following the bus, and falling behind.

use std::sync::Arc;

use micronode_engine::Bus;
use micronode_engine::bus::{EventKind, Item};
use micronode_engine::store::Why;
use micronode_protocol::Address;
use micronode_protocol::limits::BUS_EVENTS;

use crate::{is_event, next, publish};

const RING: u64 = BUS_EVENTS as u64;

#[test]
fn a_subscriber_sees_what_is_published_from_then_on() {
    let bus = Bus::new();
    publish(&bus, 3);
    let mut cursor = bus.subscribe();
    assert_eq!(next(&mut cursor), None);
    publish(&bus, 2);
    assert_eq!(next(&mut cursor), is_event(4));
    assert_eq!(next(&mut cursor), is_event(5));
    assert_eq!(next(&mut cursor), None);
    assert_eq!((bus.last(), bus.published(), bus.lagged()), (5, 5, 0));
}

#[test]
fn who_is_as_far_behind_as_the_ring_is_long_misses_nothing() {
    let bus = Bus::new();
    let mut cursor = bus.subscribe();
    publish(&bus, RING);
    for number in 1..=RING {
        assert_eq!(next(&mut cursor), is_event(number));
    }
    assert_eq!((next(&mut cursor), bus.lagged()), (None, 0));
}

#[test]
fn who_is_one_further_behind_is_told_and_goes_on() {
    let bus = Bus::new();
    let [mut slow, mut slower] = [bus.subscribe(), bus.subscribe()];
    publish(&bus, RING + 1);
    assert_eq!(next(&mut slow), Some(Item::Lagged(1)));
    assert_eq!(next(&mut slow), is_event(2));
    publish(&bus, 10);
    assert_eq!(next(&mut slow), Some(Item::Lagged(9)));
    assert_eq!(next(&mut slow), is_event(12));
    assert_eq!(bus.lagged(), 10);
    assert_eq!(next(&mut slower), Some(Item::Lagged(11)));
    assert_eq!(next(&mut slower), is_event(12));
    assert_eq!(bus.lagged(), 21);
}

#[test]
fn who_comes_back_goes_on_where_it_was() {
    let bus = Bus::new();
    publish(&bus, RING + 10);
    // The number of the last event that was seen, and what comes next.
    let table = [
        (RING + 10, None),
        (RING + 9, is_event(RING + 10)),
        (10, is_event(11)),
        (9, Some(Item::Lagged(1))),
        (0, Some(Item::Lagged(10))),
        // Of another bus.
        (RING + 11, Some(Item::Lagged(0))),
        (u64::MAX, Some(Item::Lagged(0))),
    ];
    for (after, expected) in table {
        let mut cursor = bus.resume(Some(after));
        assert_eq!(next(&mut cursor), expected, "after {after}");
    }
    // Once, and then all that is there.
    for after in [Some(RING + 11), None] {
        let mut cursor = bus.resume(after);
        assert_eq!(next(&mut cursor), Some(Item::Lagged(0)));
        assert_eq!(next(&mut cursor), is_event(11));
    }
    let mut new = Bus::new().resume(Some(7));
    assert_eq!(next(&mut new), Some(Item::Lagged(0)));
    assert_eq!(next(&mut new), None);
}

/// Whoever came back late was counted as too slow, although nobody had been waited for.
#[test]
fn who_comes_back_late_was_not_too_slow() {
    let bus = Bus::new();
    publish(&bus, RING + 10);
    for after in [Some(9), Some(0), Some(u64::MAX), None] {
        assert!(matches!(
            next(&mut bus.resume(after)),
            Some(Item::Lagged(_))
        ));
    }
    assert_eq!(bus.lagged(), 0);
    // Late for 10, and then too slow for 5.
    let [mut late, mut lost] = [bus.resume(Some(0)), bus.resume(None)];
    publish(&bus, 5);
    assert_eq!(next(&mut late), Some(Item::Lagged(15)));
    assert_eq!(bus.lagged(), 5);
    assert_eq!(next(&mut lost), Some(Item::Lagged(0)));
    assert_eq!(bus.lagged(), 10);
    publish(&bus, RING + 1);
    assert_eq!(next(&mut late), Some(Item::Lagged(RING + 1)));
    assert_eq!(bus.lagged(), RING + 11);
}

#[test]
fn an_event_is_shared_not_copied() {
    let bus = Bus::new();
    let [mut one, mut two] = [bus.subscribe(), bus.subscribe()];
    publish(&bus, 1);
    let (Some(Item::Event(_, one)), Some(Item::Event(_, two))) = (next(&mut one), next(&mut two))
    else {
        panic!("both are there");
    };
    assert!(Arc::ptr_eq(&one, &two));
}

#[test]
fn every_kind_has_its_word() {
    let address = Address::of(b"");
    let name: Arc<str> = "name".into();
    let kinds = [
        (EventKind::ObjectPut { address, size: 0 }, "object.put"),
        (
            EventKind::ObjectDeleted {
                address,
                why: Why::Expired,
            },
            "object.deleted",
        ),
        (
            EventKind::NameSet {
                name: Arc::clone(&name),
                address,
                before: None,
                revision: 1,
            },
            "name.set",
        ),
        (
            EventKind::NameDeleted {
                name,
                before: Some(address),
                revision: 2,
            },
            "name.deleted",
        ),
        (EventKind::ConfigUpdated, "config.updated"),
        (
            EventKind::Health {
                state: "ready",
                reason: "memory",
            },
            "health",
        ),
    ];
    for (kind, word) in kinds {
        assert_eq!(kind.as_str(), word);
    }
}
