//! What a node has in progress for OAP: the permits and the rate are those of HTTP, held until an
//! answer has left, and a few slow readers cannot hold them all.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::io::Read;
use std::time::{Duration, Instant};
use support::oap::{DELETE, ECHO, END, GET, HEAD, PING, PUT, get, hash, plain_put};
use support::{Connection, Node, Oap, object, wait_until};

const MIB: usize = 1024 * 1024;
const READS: &str = "inflight_requests{route=\"/o/{addr}\"}";
const TAIL: [(&str, &str); 1] = [("range", "bytes=-10")];

/// A client that has asked for `address` and does not read more than the first frame.
fn stalled(node: &Node, address: &[u8; 32]) -> (Oap, u64) {
    let mut client = Oap::with_small_window(node.oap());
    let id = client.ask(GET, &get(address, 0, 0));
    assert_eq!(client.frame().unwrap().code, 200);
    (client, id)
}

/// An object of 16 MiB: its address, and its path.
fn large(node: &Node) -> ([u8; 32], String) {
    let bytes = object(16 * MIB);
    let path = node.store(&bytes);
    wait_until("the upload's permit", || node.metric(READS) == Some(0.0));
    (hash(&bytes), path)
}

#[test]
fn permits_are_held_until_the_answer_has_left_and_shared_with_http() {
    let node = Node::with(&["--rps", "0", "--in-flight", "4"]);
    let (address, path) = large(&node);
    let mut readers: Vec<_> = (0..2).map(|_| stalled(&node, &address)).collect();
    let mut over_http: Vec<Connection> = (0..2)
        .map(|_| Connection::reading(node.http, &path))
        .collect();
    assert_eq!(node.metric(READS), Some(4.0));
    let mut client = node.greet();
    client.call(HEAD, &address).assert_problem("overloaded");
    client.call(PING, b"").assert_problem("overloaded");
    node.get(&path, &TAIL).assert_problem("overloaded");
    assert_eq!(node.rejected("overloaded"), (3.0, 2.0));

    drop(over_http.pop());
    wait_until("a permit of HTTP", || {
        client.call(HEAD, &address).status() == 200
    });
    // A cancel gives back as well as a close, and so does reading to the end.
    let (mut reader, id) = readers.pop().unwrap();
    reader.cancel(id);
    let (mut last, id) = readers.pop().unwrap();
    let rest = std::iter::from_fn(|| last.frame());
    assert!(
        rest.take_while(|frame| !frame.has(END))
            .all(|frame| frame.corr_id == id)
    );
    drop(over_http);
    wait_until("all permits", || node.metric(READS) == Some(0.0));
}

#[test]
fn uploads_leave_a_tenth_to_readers() {
    let node = Node::with(&["--rps", "0", "--in-flight", "20"]);
    let path = large(&node).1;
    let mut client = node.greet();
    let mut uploads: Vec<u64> = (0..18).map(|_| client.begin(PUT, &plain_put())).collect();
    client.call(PUT, &plain_put()).assert_problem("degraded");
    node.request("POST", "/put", &[], b"x")
        .assert_problem("degraded");
    assert_eq!(node.get(&path, &TAIL).status, 206);
    client.assert_alive();
    let held: Vec<u64> = (0..2).map(|_| client.begin(ECHO, b"x")).collect();
    client.call(PUT, &plain_put()).assert_problem("overloaded");
    client
        .call(DELETE, &hash(b"x"))
        .assert_problem("overloaded");
    uploads.extend(held);
    for id in uploads {
        client.cancel(id);
    }
    wait_until("writes being taken", || {
        client.call(PUT, &plain_put()).status() < 300
    });
}

#[test]
fn the_rate_is_one_for_both_protocols() {
    let node = Node::with(&["--rps", "1"]);
    let mut client = node.greet();
    assert_eq!(client.call(PING, b"").status(), 200);
    client.call(PING, b"").assert_problem("rate_limited");
    node.request("POST", "/echo", &[], b"x")
        .assert_problem("rate_limited");
    wait_until("the next token", || {
        node.request("POST", "/echo", &[], b"x").status == 200
    });
    client.call(ECHO, b"x").assert_problem("rate_limited");
    // A stream that is open goes on, and what is refused before the rate does not spend it.
    let (all, oap) = node.rejected("rate_limited");
    assert!(all > oap && oap == 2.0, "{all} {oap}");
    for _ in 0..10 {
        client.call((2, 99), b"").assert_problem("not_found");
    }
    wait_until("the next token", || client.call(ECHO, b"x").status() == 200);
}

/// Reads about `rate` bytes per second on each of `clients` for `time`.
fn read_slowly(clients: &mut [Oap], rate: usize, time: Duration) {
    const STEP: Duration = Duration::from_millis(250);
    let end = Instant::now() + time;
    while Instant::now() < end {
        let next = Instant::now() + STEP;
        for client in &mut *clients {
            client
                .stream
                .set_read_timeout(Some(Duration::from_millis(20)))
                .unwrap();
            let mut piece = vec![0; rate / 4];
            let mut filled = 0;
            // What has not come yet is read the next time.
            while let Ok(count @ 1..) = client.stream.read(&mut piece[filled..]) {
                filled += count;
            }
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn the_slowest_stream_gives_way_to_a_newcomer_once_it_is_old() {
    let node = Node::with(&["--rps", "0", "--in-flight", "4"]);
    let (address, path) = large(&node);
    let mut readers: Vec<Oap> = (0..4).map(|_| stalled(&node, &address).0).collect();
    node.get(&path, &TAIL).assert_problem("overloaded");
    read_slowly(&mut readers, 16 * 1024, Duration::from_secs(7));
    assert_eq!(node.metric(READS), Some(4.0));
    let mut client = node.greet();
    let tail = client.call(GET, &get(&address, 16 * MIB as u64 - 10, 0));
    assert_eq!(tail.status(), 206);
    assert_eq!(node.rejected("slow_share"), (1.0, 1.0));
    wait_until("the newcomer's permit", || node.metric(READS) == Some(3.0));
    drop(client);
    assert_eq!(node.get(&path, &TAIL).status, 206);

    // One of them is told, on its stream; its connection lives.
    let told = std::thread::scope(|scope| {
        let ends = readers
            .into_iter()
            .map(|reader| scope.spawn(|| told_to_give_way(reader)));
        let ends: Vec<_> = ends.collect();
        ends.into_iter()
            .map(|end| end.join().unwrap())
            .filter(|told| *told)
            .count()
    });
    assert_eq!(told, 1);
}

/// Whether the reader's stream was cut, and the reader told so.
fn told_to_give_way(mut reader: Oap) -> bool {
    reader
        .stream
        .set_read_timeout(Some(support::PATIENCE))
        .unwrap();
    // A frame was read in the middle, so the words are looked for in whatever comes.
    let mut rest = Vec::new();
    reader.finish();
    let _ = reader.stream.read_to_end(&mut rest);
    let words = b"\"code\":\"slow_share\"";
    rest.windows(words.len()).any(|it| it == words)
}

/// Answers that were queued whole belonged to no stream any more, so none of theirs could give way:
/// a few connections that read just above the least rate held every permit.
#[test]
fn answers_that_wait_to_be_read_give_way_too() {
    let node = Node::with(&["--rps", "0", "--in-flight", "40"]);
    let (address, path) = large(&node);
    let small = object(3000);
    node.store(&small);
    let stalled: Vec<_> = (0..4).map(|_| stalled(&node, &address)).collect();
    let mut readers = Vec::new();
    for (mut client, id) in stalled {
        // By now the buffers on the way are full, and what comes next stays with the node.
        client.cancel(id);
        for _ in 0..60 {
            client.ask(GET, &get(&hash(&small), 0, 0));
        }
        readers.push(client);
    }
    wait_until("every permit being held", || {
        node.metric(READS) == Some(40.0)
    });
    node.get(&path, &TAIL).assert_problem("overloaded");
    read_slowly(&mut readers, 16 * 1024, Duration::from_secs(7));
    assert_eq!(node.get(&path, &TAIL).status, 206);
    assert_eq!(node.rejected("slow_share"), (0.0, 0.0), "nothing was lost");
    assert_eq!(node.metric(READS), Some(40.0), "they still wait");
}
