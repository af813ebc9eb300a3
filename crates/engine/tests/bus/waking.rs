//! Who waits is woken, once, and never under the lock of the bus.

use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use micronode_engine::Bus;
use micronode_engine::bus::Cursor;
use parking_lot::Mutex;

use crate::{event, is_event, next, publish, waker};

#[test]
fn who_has_caught_up_is_woken_once_by_the_next_event() {
    let bus = Bus::new();
    let mut cursor = bus.subscribe();
    let (woken, waker) = waker();
    assert_eq!(cursor.poll_next(&waker), Poll::Pending);
    assert_eq!(woken.count(), 0);
    publish(&bus, 3);
    assert_eq!(woken.count(), 1);
    for number in 1..=3 {
        assert_eq!(next(&mut cursor), is_event(number));
    }
    assert_eq!(cursor.poll_next(&waker), Poll::Pending);
    publish(&bus, 1);
    assert_eq!(woken.count(), 2);
}

#[test]
fn who_has_not_asked_is_not_woken() {
    let bus = Bus::new();
    let mut cursor = bus.subscribe();
    let (woken, waker) = waker();
    publish(&bus, 2);
    // There was something, so it does not wait.
    assert!(cursor.poll_next(&waker).is_ready());
    publish(&bus, 1);
    assert_eq!((woken.count(), Arc::strong_count(&woken)), (0, 2));
}

#[test]
fn the_last_waker_counts() {
    let bus = Bus::new();
    let mut cursor = bus.subscribe();
    let ((first, first_waker), (second, second_waker)) = (waker(), waker());
    assert_eq!(cursor.poll_next(&first_waker), Poll::Pending);
    assert_eq!(cursor.poll_next(&second_waker), Poll::Pending);
    assert_eq!(Arc::strong_count(&first), 2, "the bus has let go of it");
    publish(&bus, 1);
    assert_eq!((first.count(), second.count()), (0, 1));
}

#[test]
fn a_dropped_cursor_leaves_nothing_behind() {
    let bus = Bus::new();
    let (woken, waker) = waker();
    let mut others: Vec<Cursor> = (0..3).map(|_| bus.subscribe()).collect();
    for round in 0..100 {
        for other in &mut others {
            assert_eq!(other.poll_next(Waker::noop()), Poll::Pending);
        }
        let mut cursor = bus.subscribe();
        assert_eq!(cursor.poll_next(&waker), Poll::Pending);
        if round % 3 == 0 {
            // After it was woken, its place may be another's.
            publish(&bus, 1);
            for other in &mut others {
                assert_eq!(next(other), is_event(bus.last()));
            }
        }
        drop(cursor);
        assert_eq!(Arc::strong_count(&woken), 2);
    }
    let before = woken.count();
    publish(&bus, 1);
    assert_eq!(woken.count(), before);
}

#[test]
fn dropping_one_cursor_leaves_the_others_where_they_wait() {
    let bus = Bus::new();
    let mut waiting: Vec<_> = (0..10)
        .map(|_| {
            let mut cursor = bus.subscribe();
            let (woken, waker) = waker();
            assert_eq!(cursor.poll_next(&waker), Poll::Pending);
            (cursor, woken)
        })
        .collect();
    // Places that have become free, and are taken again.
    for index in [7, 2, 4] {
        drop(waiting.remove(index));
    }
    for _ in 0..2 {
        let mut cursor = bus.subscribe();
        let (woken, waker) = waker();
        assert_eq!(cursor.poll_next(&waker), Poll::Pending);
        waiting.push((cursor, woken));
    }
    publish(&bus, 1);
    for (mut cursor, woken) in waiting {
        assert_eq!(woken.count(), 1);
        assert_eq!(next(&mut cursor), is_event(1));
    }
}

#[test]
fn an_appended_event_is_there_before_anybody_is_woken() {
    let bus = Bus::new();
    let mut cursor = bus.subscribe();
    let (woken, waker) = waker();
    assert_eq!(cursor.poll_next(&waker), Poll::Pending);
    let appended = bus.append(event(1));
    assert_eq!((appended.number(), bus.last(), woken.count()), (1, 1, 0));
    assert_eq!(next(&mut cursor), is_event(1));
    drop(appended);
    assert_eq!(woken.count(), 1);
}

/// Uses the bus when it is woken, and when it is dropped.
struct Busy {
    bus: Bus,
    cursor: Mutex<Option<Cursor>>,
}

impl Wake for Busy {
    fn wake(self: Arc<Self>) {
        if self.bus.last() < 5 {
            publish(&self.bus, 1);
        }
        drop(self.cursor.lock().take());
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.bus.subscribe();
    }
}

/// A waker may belong to a task whose last owner it is, and which holds a cursor itself.
#[test]
fn a_waker_may_use_the_bus_when_it_is_called_or_dropped() {
    let bus = Bus::new();
    let busy = || {
        let mut cursor = bus.subscribe();
        assert_eq!(cursor.poll_next(Waker::noop()), Poll::Pending);
        Waker::from(Arc::new(Busy {
            bus: bus.clone(),
            cursor: Mutex::new(Some(cursor)),
        }))
    };
    let mut cursor = bus.subscribe();
    // Replaced by another, which is called; one left by its cursor.
    assert_eq!(cursor.poll_next(&busy()), Poll::Pending);
    assert_eq!(cursor.poll_next(&busy()), Poll::Pending);
    let mut leaves = bus.subscribe();
    assert_eq!(leaves.poll_next(&busy()), Poll::Pending);
    drop(leaves);
    publish(&bus, 1);
    assert_eq!(bus.last(), 2, "published by the waker");
    assert_eq!(next(&mut cursor), is_event(1));
}
