//! What cannot be seen from outside: locks, races and turns.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::{Sources, load};
use crate::feed::Item;
use futures_util::FutureExt;
use micronode_engine::names::Expected;
use micronode_protocol::Address;
use micronode_protocol::capability::{Macaroon, base64url};
use micronode_protocol::limits::{LIST_NAMES, LIST_NAMES_DEFAULT};
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

fn node() -> Node {
    let flags = vec![("memory.budget", "64MiB".to_owned())];
    let sources = Sources {
        file: None,
        env: [],
        flags,
    };
    Node::new(&load(sources).unwrap(), None)
}

fn store(node: &Node, bytes: &[u8]) -> Address {
    let mut upload = node
        .store
        .begin_put(clock::now(), PutHead::default())
        .unwrap();
    upload.write(bytes).unwrap();
    upload.finish(clock::now()).unwrap().address
}

/// Carries out what is at hand.
fn answer(node: &Node, command: Command) -> Result<Reply, CallError> {
    super::answer(node, command).now_or_never().unwrap()
}

/// Of a token for one object.
fn scope_of(node: &Node, address: &Address) -> Scope {
    let token = base64url::decode(node.authority.operator_token().as_bytes(), 8192).unwrap();
    let caveat = format!("obj = {address}");
    let token = Macaroon::parse(&token).unwrap();
    let token = token.attenuate(caveat.as_bytes()).unwrap();
    let (auth, peer) = (&node.config.load().auth, Ipv4Addr::LOCALHOST.into());
    let holder = node.authority.holder(token.into(), auth, peer).unwrap();
    Scope::of(Some(&Arc::new(holder)))
}

fn set(node: &Node, name: &str, address: Address) {
    let set = NameSet {
        name: Name::parse(name).unwrap(),
        address,
        expected: Expected::Any,
    };
    answer(node, Command::NameSet(set)).unwrap();
}

/// Whoever listens to the bus was woken while the index was locked: a woken thread that wanted a
/// name had to wait for all of them to be woken.
#[test]
fn nobody_is_woken_before_names_can_be_read() {
    /// Reads a name when it is woken, from another thread.
    struct Reads(Arc<Node>, AtomicUsize);
    impl Wake for Reads {
        fn wake(self: Arc<Self>) {
            let (node, (told, read)) = (Arc::clone(&self.0), mpsc::sync_channel(1));
            std::thread::spawn(move || told.send(node.names.len()));
            let read = read.recv_timeout(Duration::from_secs(2));
            self.1.fetch_add(usize::from(read.is_ok()), Relaxed);
        }
    }
    let node = Arc::new(node());
    let address = store(&node, b"x");
    let reads = Arc::new(Reads(Arc::clone(&node), AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&reads));
    let mut cursor = node.events.bus.subscribe();
    let mut wait = || {
        while cursor.poll_next(&waker).is_ready() {}
        reads.1.load(Relaxed)
    };
    assert_eq!(wait(), 0);
    set(&node, "name", address);
    assert_eq!(wait(), 1);
    let delete = Command::NameDelete {
        name: Name::parse("name").unwrap(),
        expected: Expected::Any,
    };
    answer(&node, delete).unwrap();
    assert_eq!(wait(), 2);
}

/// The object was looked for after the name, and was gone if the name had moved on and its object
/// was deleted in between: 404, for a name that was always there.
#[test]
fn a_name_that_moves_on_is_always_there() {
    const MOVES: usize = 60_000;
    let node = node();
    let bytes = [b"here", b"away"];
    let read = || Command::NameRead {
        name: Name::parse("name").unwrap(),
        scope: Scope::of(None),
    };
    set(&node, "name", store(&node, bytes[0]));
    let moving = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while moving.load(Relaxed) {
                let Ok(Reply::Named(object, _)) = answer(&node, read()) else {
                    panic!("it is not there");
                };
                assert_eq!(object.size(), 4);
            }
        });
        for round in 1..=MOVES {
            set(&node, "name", store(&node, bytes[round % 2]));
            let before = Address::of(bytes[(round + 1) % 2]);
            node.store.delete(clock::now(), &before).unwrap();
        }
        moving.store(false, Relaxed);
    });
    node.names.delete("name", &Expected::Any, |_| ()).unwrap();
    let gone = answer(&node, read()).err().unwrap();
    assert_eq!(gone.code, ErrorCode::NotFound);
}

/// A token of one object made the node look through all names in one go, while everything else on
/// the thread stood still.
#[test]
fn who_looks_for_few_of_many_names_lets_others_have_turns() {
    let node = node();
    let [seen, other] = [&b"seen"[..], b"other"].map(|bytes| store(&node, bytes));
    let scope = scope_of(&node, &seen);
    let turns_of_a_list = || {
        let list = NameList::new("", "", 1, scope.clone()).unwrap();
        let mut listing = pin!(super::answer(&node, Command::NameList(list)));
        let mut context = Context::from_waker(Waker::noop());
        for turns in 1.. {
            if let Poll::Ready(reply) = listing.as_mut().poll(&mut context) {
                let Ok(Reply::Names(entries, more)) = reply else {
                    panic!("no list");
                };
                let names: Vec<&str> = entries.iter().map(|entry| &*entry.name).collect();
                assert_eq!((&names[..], more), (&["z"][..], false));
                return turns;
            }
        }
        unreachable!()
    };
    let turns_of_a_watch = || {
        let watch = Command::NameWatch {
            prefix: String::new(),
            scope: scope.clone(),
        };
        let Ok(Reply::Feed(mut feed)) = answer(&node, watch) else {
            panic!("no watch");
        };
        let mut turns = 1;
        let mut next = || loop {
            assert!(feed.poll_ready(Waker::noop()));
            match feed.next(&node) {
                Some(item) => return item,
                None => turns += 1,
            }
        };
        assert!(matches!(next(), Item::Name(change) if &*change.name == "z"));
        assert!(matches!(next(), Item::Synced));
        turns
    };
    set(&node, "z", seen);
    let mut count = 1;
    // Of all names, `z` is the last; a list begins with a page of one.
    for (names, list, watch) in [
        (1, 1, 1),
        (LIST_NAMES_DEFAULT, 2, 1),
        (LIST_NAMES_DEFAULT + 1, 2, 2),
        (1 + LIST_NAMES, 2, 11),
        (1 + LIST_NAMES + 1, 3, 11),
    ] {
        while count < names {
            set(&node, &format!("{count}"), other);
            count += 1;
        }
        assert_eq!(
            (turns_of_a_list(), turns_of_a_watch()),
            (list, watch),
            "{names}"
        );
    }
}
