//! Random commands against a plain list of all events there ever were.

use micronode_engine::Bus;
use micronode_engine::bus::{Cursor, Item};
use micronode_protocol::limits::BUS_EVENTS;
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::Arc;

use crate::{Woken, event, waker};

#[derive(Clone, Debug)]
enum Command {
    Publish(u64),
    Subscribe,
    Resume(Index),
    Poll(Index, usize),
    Drop(Index),
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => (1..8_u64).prop_map(Command::Publish),
        1 => (1..2 * BUS_EVENTS as u64).prop_map(Command::Publish),
        1 => Just(Command::Subscribe),
        1 => any::<Index>().prop_map(Command::Resume),
        8 => (any::<Index>(), 1..20_usize).prop_map(|(which, times)| Command::Poll(which, times)),
        1 => any::<Index>().prop_map(Command::Drop),
    ]
}

struct Follower {
    cursor: Cursor,
    /// How many of all events it has seen or missed.
    seen: usize,
    woken: Arc<Woken>,
    waker: std::task::Waker,
    waits: bool,
    wakes: usize,
}

fn follower(cursor: Cursor, seen: usize) -> Follower {
    let (woken, waker) = waker();
    Follower {
        cursor,
        seen,
        woken,
        waker,
        waits: false,
        wakes: 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_bus_does_what_the_rules_say(commands in prop::collection::vec(command(), 1..80)) {
        let bus = Bus::new();
        let mut events: Vec<u64> = Vec::new();
        let mut lagged = 0;
        let mut followers: Vec<Follower> = Vec::new();
        for command in commands {
            match command {
                Command::Publish(count) => {
                    for _ in 0..count {
                        events.push(events.len() as u64 * 7);
                        let number = bus.publish(event(*events.last().unwrap()));
                        prop_assert_eq!(number, events.len() as u64);
                    }
                    for follower in &mut followers {
                        follower.wakes += usize::from(std::mem::take(&mut follower.waits));
                    }
                }
                Command::Subscribe => followers.push(follower(bus.subscribe(), events.len())),
                Command::Resume(after) => {
                    // Also numbers that were not given out.
                    let after = after.index(events.len() + 3);
                    let seen = if after <= events.len() { after } else { 0 };
                    followers.push(follower(bus.resume(after as u64), seen));
                }
                Command::Poll(which, times) if !followers.is_empty() => {
                    let which = which.index(followers.len());
                    let follower = &mut followers[which];
                    for _ in 0..times {
                        let item = follower.cursor.poll_next(&follower.waker);
                        let gone = events.len().saturating_sub(BUS_EVENTS);
                        if follower.seen < gone {
                            let missed = (gone - follower.seen) as u64;
                            prop_assert_eq!(item, std::task::Poll::Ready(Item::Lagged(missed)));
                            lagged += missed;
                            follower.seen = gone;
                        } else if let Some(number) = events.get(follower.seen) {
                            follower.seen += 1;
                            let expected = Item::Event(follower.seen as u64, Arc::new(event(*number)));
                            prop_assert_eq!(item, std::task::Poll::Ready(expected));
                        } else {
                            prop_assert!(item.is_pending());
                            follower.waits = true;
                        }
                    }
                }
                Command::Drop(which) if !followers.is_empty() => {
                    let which = which.index(followers.len());
                    let Follower { cursor, woken, waker, .. } = followers.swap_remove(which);
                    drop((cursor, waker));
                    prop_assert_eq!(Arc::strong_count(&woken), 1);
                }
                Command::Poll(..) | Command::Drop(_) => {}
            }
            prop_assert_eq!((bus.last(), bus.published()), (events.len() as u64, events.len() as u64));
            prop_assert_eq!(bus.lagged(), lagged);
            for follower in &followers {
                prop_assert_eq!(follower.woken.count(), follower.wakes);
            }
        }
    }
}
