//! How much the node has in progress at once, and who is told to come back.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{Connection, Node, Response, object, wait_until};

const MIB: usize = 1024 * 1024;
/// Uploads under an address are counted here too.
const GETS: &str = "inflight_requests{route=\"/o/{addr}\"}";
const PUTS: &str = "inflight_requests{route=\"/put\"}";

/// `count` readers that have asked for the object at `path` and do not read it.
fn stalled_readers(node: &Node, path: &str, count: usize) -> Vec<Connection> {
    (0..count)
        .map(|_| {
            let mut reader = Connection::with_small_window(node.http);
            reader.send_head("GET", path, &[]);
            reader
        })
        .collect()
}

/// As many of them, each hundred only when the node has seen the one before: a worker that does not
/// get to run has room for so many connections that it has not picked up, and no more.
fn crowd(node: &Node, path: &str, count: usize) -> Vec<Connection> {
    let refused = "rejected_total{reason=\"overloaded\"}";
    let seen = || node.metric(GETS).unwrap() + node.metric(refused).unwrap();
    let before = seen();
    let mut readers = Vec::new();
    while readers.len() < count {
        let more = (count - readers.len()).min(100);
        readers.extend(stalled_readers(node, path, more));
        let so_far = before + readers.len() as f64;
        wait_until("the crowd being seen", || seen() >= so_far);
    }
    readers
}

/// The answer, of which the body is read only when it says what went wrong.
fn answer(reader: &mut Connection) -> Response {
    let mut answer = reader.response_head().unwrap();
    if answer.status >= 400 {
        let length = answer.field("content-length").unwrap().parse().unwrap();
        answer.body = reader.exactly(length).unwrap();
    }
    answer
}

/// With `flags`, `cap` of `clients` slow downloads are served and the others refused.
fn exactly_the_cap_is_served(flags: &[&str], cap: usize, clients: usize) {
    let node = Node::with(flags);
    let path = node.store(&object(16 * MIB));
    wait_until("the upload's permit", || node.metric(GETS) == Some(0.0));
    let mut readers = crowd(&node, &path, clients);
    let mut served = 0;
    for answer in readers.iter_mut().map(answer) {
        match answer.status {
            200 => served += 1,
            _ => answer.assert_problem("overloaded"),
        }
    }
    assert_eq!(served, cap);
    let refused = node.metric("rejected_total{reason=\"overloaded\"}");
    assert_eq!(refused, Some((clients - cap) as f64));

    drop(readers);
    wait_until("permits coming back", || node.metric(GETS) == Some(0.0));
    let mut again = crowd(&node, &path, cap);
    assert!(
        again.iter_mut().map(answer).all(|it| it.status == 200),
        "all permits came back"
    );
}

#[test]
fn slow_downloads_hold_exactly_as_many_permits_as_there_are() {
    exactly_the_cap_is_served(&["--rps", "0", "--in-flight", "64"], 64, 80);
}

#[test]
fn without_a_setting_512_are_in_flight() {
    exactly_the_cap_is_served(&["--rps", "0"], 512, 600);
}

#[test]
fn uploads_leave_a_tenth_of_the_permits_to_readers() {
    let node = Node::with(&["--rps", "0", "--in-flight", "20"]);
    let path = node.store(&object(16 * MIB));
    let uploads: Vec<Connection> = (0..18)
        .map(|_| {
            let mut upload = node.connect();
            upload.send_head("POST", "/put", &[("transfer-encoding", "chunked")]);
            upload.send(b"3\r\nabc\r\n");
            upload
        })
        .collect();
    wait_until("18 uploads", || node.metric(PUTS) == Some(18.0));

    let write = || node.request("POST", "/put", &[], b"one more");
    write().assert_problem("degraded");
    let tail = [("range", "bytes=-10")];
    assert_eq!(node.get(&path, &tail).status, 206);

    let mut readers = stalled_readers(&node, &path, 2);
    for reader in &mut readers {
        assert_eq!(answer(reader).status, 200);
    }
    node.get(&path, &tail).assert_problem("overloaded");
    write().assert_problem("overloaded");
    assert_eq!(node.ask("GET", "/healthz").status, 200);

    drop((uploads, readers));
    wait_until("permits coming back", || {
        node.metric(PUTS) == Some(0.0) && node.metric(GETS) == Some(0.0)
    });
    // Readiness may have seen the crowd, and needs a second to believe that it is gone.
    wait_until("writes being taken", || write().status == 201);
}

#[test]
fn the_slowest_reader_gives_way_to_a_newcomer_once_it_is_old() {
    let node = Node::with(&["--rps", "0", "--in-flight", "4"]);
    let path = node.store(&object(16 * MIB));
    wait_until("the upload's permit", || node.metric(GETS) == Some(0.0));
    let mut readers = stalled_readers(&node, &path, 4);
    for reader in &mut readers {
        assert_eq!(answer(reader).status, 200);
    }
    let tail = [("range", "bytes=-10")];
    node.get(&path, &tail).assert_problem("overloaded");

    // Slow, and above the least rate: nothing else ends them.
    for _ in 0..28 {
        for reader in &mut readers {
            reader.exactly(4096).unwrap();
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    assert_eq!(node.metric(GETS), Some(4.0));
    assert_eq!(node.get(&path, &tail).status, 206);
    assert_eq!(
        node.metric("rejected_total{reason=\"slow_share\"}"),
        Some(1.0)
    );
    // One gave way, and no more.
    wait_until("the newcomer's permit", || node.metric(GETS) == Some(3.0));
}
