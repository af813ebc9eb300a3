//! What cannot be seen from outside: locks, races and turns.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::{Sources, load};
use micronode_engine::names::Expected;
use micronode_protocol::Address;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::task::{Wake, Waker};
use std::time::Duration;

fn node() -> Node {
    let flags = vec![("memory.budget", "64MiB".to_owned())];
    let sources = Sources {
        file: None,
        env: [],
        flags,
    };
    Node::new(&load(sources).unwrap())
}

fn store(node: &Node, bytes: &[u8]) -> Address {
    let mut upload = node
        .store
        .begin_put(clock::now(), PutHead::default())
        .unwrap();
    upload.write(bytes).unwrap();
    upload.finish(clock::now()).unwrap().address
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
            let (node, (told, read)) = (Arc::clone(&self.0), mpsc::channel());
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
