//! One publisher and many subscribers, each on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Poll, Wake, Waker};
use std::thread::Thread;

use micronode_engine::Bus;
use micronode_engine::bus::{Cursor, Item};

use crate::event;

const SUBSCRIBERS: usize = 64;
const EVENTS: u64 = 20_000;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The next item. A wake that does not come would leave it here for ever.
fn wait(cursor: &mut Cursor, waker: &Waker) -> Item {
    loop {
        match cursor.poll_next(waker) {
            Poll::Ready(item) => return item,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn nothing_is_lost_that_is_not_told() {
    let bus = Bus::new();
    let missed_by_all = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for subscriber in 0..SUBSCRIBERS {
            let (mut cursor, missed_by_all) = (bus.subscribe(), &missed_by_all);
            scope.spawn(move || {
                let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
                let (mut last, mut missed) = (0, 0);
                while last < EVENTS {
                    match wait(&mut cursor, &waker) {
                        Item::Event(number, event) => {
                            assert_eq!((number, event.at_wall_ms), (last + 1, last + 1));
                            last = number;
                        }
                        Item::Lagged(more) => {
                            assert!(more > 0);
                            last += more;
                            missed += more;
                        }
                    }
                    if subscriber % 4 == 0 && last % 1000 < 10 {
                        // A slow one.
                        std::thread::yield_now();
                    }
                }
                missed_by_all.fetch_add(missed, Relaxed);
            });
        }
        for number in 1..=EVENTS {
            assert_eq!(bus.publish(event(number)), number);
        }
    });
    assert_eq!(bus.lagged(), missed_by_all.into_inner());
    assert_eq!(bus.published(), EVENTS);
}
