//! Nodes in the states that requests are refused in.

use crate::support::oap::{GET, HEAD, NAME_SET, SEND, get, hash, name_set, send};
use crate::support::{Connection, Node, Oap, address, object, wait_until};
use rustix::process::Signal;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What every node has that has room for it.
pub(crate) const STORED: &[u8] = b"an object that every node here has";

/// A name of it.
pub(crate) const NAME: &str = "a/b";
/// The queue of those that have one, and the one message in it.
pub(crate) const QUEUE: &str = "jobs";
pub(crate) const MESSAGE: &[u8] = b"the one message that is there";

/// A node, and the peers that keep it in its state.
pub(crate) struct World {
    pub(crate) node: Node,
    _held: Vec<Connection>,
}

impl World {
    fn of(node: Node) -> Self {
        Self {
            node,
            _held: Vec::new(),
        }
    }

    pub(crate) fn connect(&self) -> Connection {
        self.node.connect()
    }

    pub(crate) fn greet(&self) -> Oap {
        self.node.greet()
    }
}

fn store(node: &Node) {
    let path = format!("/o/{}", address(STORED));
    let typed = [("content-type", "text/plain")];
    assert_eq!(node.request("PUT", &path, &typed, STORED).status, 201);
    wait_until("the upload's permit", || {
        node.metric("inflight_requests{route=\"/o/{addr}\"}") == Some(0.0)
    });
}

fn with_limits(limits: &[(&str, &str)], flags: &[&str]) -> World {
    let node = Node::with_limits(limits, flags);
    store(&node);
    World::of(node)
}

pub(crate) fn usual() -> World {
    with_limits(&[], &[])
}

pub(crate) fn named() -> World {
    let world = usual();
    let set = name_set(NAME, &hash(STORED), u64::MAX);
    assert_eq!(world.greet().call(NAME_SET, &set).status(), 201);
    world
}

fn send_after(world: &World, delay_ms: u32) {
    let message = send(QUEUE, "", delay_ms, MESSAGE);
    assert_eq!(world.greet().call(SEND, &message).status(), 201);
}

pub(crate) fn queued() -> World {
    let world = usual();
    send_after(&world, 0);
    world
}

/// The message is there in a moment.
pub(crate) fn coming() -> World {
    let world = usual();
    send_after(&world, 300);
    world
}

/// The queue has all that it may have.
pub(crate) fn brimming() -> World {
    let mut command = Node::command(&["--rps", "0"]);
    command.env("MICRO_LIMITS__MAILBOX__MAX_MESSAGES", "1");
    let world = World::of(Node::spawn(command));
    send_after(&world, 0);
    world
}

/// Objects of 100 KiB, bodies taken as one of 1000 bytes.
pub(crate) fn small() -> World {
    with_limits(&[("max_object", "100KiB"), ("one_shot_body", "1000B")], &[])
}

/// Peers are waited for no longer than 300 ms.
pub(crate) fn hasty() -> World {
    let brief = "300ms";
    with_limits(
        &[("one_shot_deadline", brief), ("progress_interval", brief)],
        &[],
    )
}

/// One request per second.
pub(crate) fn strict() -> World {
    World::of(Node::with(&["--rps", "1"]))
}

/// An upload that has begun, and does not go on.
fn upload(world: &mut World) {
    let mut upload = world.connect();
    upload.send_head("POST", "/put", &[("transfer-encoding", "chunked")]);
    upload.send(b"1\r\nx\r\n");
    wait_until("the upload being at work", || {
        world.node.memory_of("uploads") == 1
    });
    world._held.push(upload);
}

/// One request in flight, and that one is taken.
pub(crate) fn crowded() -> World {
    let mut world = with_limits(&[], &["--in-flight", "1"]);
    upload(&mut world);
    world
}

/// The same, and a rate of which nothing is left.
pub(crate) fn crowded_and_strict() -> World {
    let mut world = World::of(Node::with(&["--in-flight", "1", "--rps", "1"]));
    upload(&mut world);
    world
}

/// The one permit of writes is taken.
pub(crate) fn one_writer() -> World {
    let mut world = with_limits(&[("facets.storage_write", "1")], &[]);
    upload(&mut world);
    world
}

/// The one permit of reads is taken.
pub(crate) fn one_reader() -> World {
    let node = Node::with_limits(&[("facets.storage_read", "1")], &[]);
    store(&node);
    let path = node.store(&object(16 * MIB));
    let reader = Connection::reading(node.http, &path);
    World {
        node,
        _held: vec![reader],
    }
}

fn filled(bytes: usize, state: f64) -> World {
    let world = with_limits(&[], &["--memory", "16MiB"]);
    world.node.store(&object(bytes));
    wait_until("the node seeing it", || {
        world.node.metric("ready_state") == Some(state)
    });
    world
}

/// Nine tenths of the memory are used.
pub(crate) fn full() -> World {
    filled(14 * MIB + 500 * KIB, 2.0)
}

/// Nearly all of it is.
pub(crate) fn overfull() -> World {
    filled(15 * MIB + 800 * KIB, 3.0)
}

/// Told to end, and in no hurry.
pub(crate) fn draining() -> World {
    let world = with_limits(&[("drain_grace", "10m"), ("drain_deadline", "20m")], &[]);
    world.node.signal(Signal::TERM);
    wait_until("the drain", || {
        world.node.ask("GET", "/readyz").status == 503
    });
    world
}

/// What is stored is damaged, and nobody knows yet.
pub(crate) fn damaged() -> World {
    let world = usual();
    world.node.corrupt(&format!("/o/{}", address(STORED)), 3);
    world
}

/// Somebody does.
pub(crate) fn quarantined() -> World {
    let world = damaged();
    let mut client = world.greet();
    client
        .call(GET, &get(&hash(STORED), 0, 0))
        .assert_problem("integrity_fail");
    client
        .call(HEAD, &hash(STORED))
        .assert_problem("integrity_fail");
    world
}
