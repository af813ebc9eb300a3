//! The bus seen from outside, by topic.
#![allow(clippy::unwrap_used)]

mod following;
mod model;
mod threads;
mod waking;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Poll, Wake, Waker};

use micronode_engine::Bus;
use micronode_engine::bus::{Cursor, Event, EventKind, Item};

/// An event that says which it is.
fn event(number: u64) -> Event {
    Event {
        at_wall_ms: number,
        kind: EventKind::ConfigUpdated,
    }
}

/// Publishes events that say their numbers.
fn publish(bus: &Bus, count: u64) {
    for _ in 0..count {
        let number = bus.last() + 1;
        assert_eq!(bus.publish(event(number)), number);
    }
}

/// The next item, if there is one now.
fn next(cursor: &mut Cursor) -> Option<Item> {
    match cursor.poll_next(Waker::noop()) {
        Poll::Ready(item) => Some(item),
        Poll::Pending => None,
    }
}

fn is_event(number: u64) -> Option<Item> {
    Some(Item::Event(number, Arc::new(event(number))))
}

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Woken {
    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

fn waker() -> (Arc<Woken>, Waker) {
    let woken = Arc::new(Woken::default());
    (Arc::clone(&woken), Waker::from(woken))
}
