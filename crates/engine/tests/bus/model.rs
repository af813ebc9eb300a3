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
    /// How many of all events it has seen or missed; `None` if it came from another bus.
    seen: Option<usize>,
    /// How many of them had gone when it came.
    late: usize,
    woken: Arc<Woken>,
    waker: std::task::Waker,
    waits: bool,
    wakes: usize,
}

fn follower(cursor: Cursor, seen: Option<usize>, events: usize) -> Follower {
    let (woken, waker) = waker();
    Follower {
        cursor,
        seen,
        late: events.saturating_sub(BUS_EVENTS),
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
                Command::Subscribe => {
                    let seen = Some(events.len());
                    followers.push(follower(bus.subscribe(), seen, events.len()));
                }
                Command::Resume(after) => {
                    // Also numbers that were not given out.
                    let after = after.index(events.len() + 3);
                    let seen = Some(after).filter(|after| *after <= events.len());
                    let after = (after < events.len() + 2).then_some(after as u64);
                    followers.push(follower(bus.resume(after), seen, events.len()));
                }
                Command::Poll(which, times) if !followers.is_empty() => {
                    let which = which.index(followers.len());
                    let follower = &mut followers[which];
                    for _ in 0..times {
                        let item = follower.cursor.poll_next(&follower.waker);
                        let gone = events.len().saturating_sub(BUS_EVENTS);
                        let seen = follower.seen.unwrap_or(gone);
                        if follower.seen.is_none_or(|seen| seen < gone) {
                            let missed = (gone - seen) as u64;
                            prop_assert_eq!(item, std::task::Poll::Ready(Item::Lagged(missed)));
                            let in_time = follower.seen.unwrap_or(0).max(follower.late);
                            lagged += (gone - in_time) as u64;
                            follower.seen = Some(gone);
                        } else if let Some(number) = events.get(seen) {
                            follower.seen = Some(seen + 1);
                            let expected = Item::Event(seen as u64 + 1, Arc::new(event(*number)));
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
