//! The end: what is in progress finishes, nothing new begins, and nobody can hold the process.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use rustix::process::Signal;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::{Connection, Node, address, object, wait_until};
use tempfile::TempDir;

const MIB: usize = 1024 * 1024;

/// A node that refuses connections `grace` after the signal, and gives streams in flight
/// `deadline` to finish.
fn node_with(grace: &str, deadline: &str) -> (Node, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.toml");
    let limits = format!("drain_grace = \"{grace}\"\ndrain_deadline = \"{deadline}\"\n");
    std::fs::write(&file, format!("[limits]\n{limits}")).unwrap();
    let node = Node::with(&["--rps", "0", "--config", file.to_str().unwrap()]);
    (node, directory)
}

/// A reader of `size` bytes that has got the head of its answer.
fn reader(node: &Node, size: usize) -> Connection {
    let path = node.store(&object(size));
    Connection::reading(node.http, &path)
}

#[test]
fn what_is_in_flight_completes_and_readiness_changes_before_anyone_is_refused() {
    let mut node = Node::start();
    let sizes = [16 * MIB, 16 * MIB + 1, 16 * MIB + 2];
    let mut downloads = sizes.map(|size| reader(&node, size));
    let body = object(100_000);
    let path = format!("/o/{}", address(&body));
    let mut upload = node.connect();
    upload.send_head("PUT", &path, &[("content-length", "100000")]);
    upload.send(&body[..50_000]);
    wait_until("the upload having begun", || {
        node.metric("memory_used_bytes{kind=\"uploads\"}") >= Some(50_000.0)
    });

    let asked = Instant::now();
    node.signal(Signal::TERM);
    let mut told = false;
    loop {
        let answer = node.ask("GET", "/readyz");
        if answer.status == 503 {
            assert_eq!(answer.json()["missing"], serde_json::json!(["draining"]));
            told = true;
        }
        if TcpStream::connect(node.http).is_err() {
            break;
        }
        assert!(asked.elapsed() < Duration::from_secs(5), "never refused");
    }
    assert!(told, "refused before readiness changed");
    assert!(
        asked.elapsed() >= Duration::from_millis(500),
        "refused before the grace was over"
    );
    assert_eq!(node.ask("GET", "/healthz").status, 200, "admin goes last");

    upload.send(&body[50_000..]);
    assert_eq!(upload.response("PUT").status, 201);
    for (download, size) in downloads.iter_mut().zip(sizes) {
        assert!(download.exactly(size).unwrap() == object(size));
        assert_eq!(download.until_closed(), b"");
    }
    assert_eq!(node.wait_for_exit().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(6));
}

/// A draining node took writes and answered 201 for objects that it was about to forget.
#[test]
fn during_the_grace_reads_are_served_and_writes_are_not() {
    let (node, _file) = node_with("10m", "10m");
    let path = node.store(b"here");
    node.signal(Signal::TERM);
    wait_until("the drain", || node.ask("GET", "/readyz").status == 503);
    let write = node.request("POST", "/put", &[], b"too late");
    write.assert_problem("draining");
    assert_eq!(node.get(&path, &[]).body, b"here");
}

#[test]
fn idle_connections_are_closed_and_hold_nothing_up() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut node, _file) = node_with("500ms", "10m");
        let mut silent = node.connect();
        let mut kept_alive = node.connect();
        let echo = kept_alive.request("POST", "/echo", &[], b"x");
        assert_eq!(echo.status, 200);
        node.signal(signal);
        assert_eq!(kept_alive.until_closed(), b"");
        assert_eq!(silent.until_closed(), b"");
        assert_eq!(node.wait_for_exit().code(), Some(0));
    }
}

/// A grace as long as the deadline left no time to drain: what was in flight was never told to
/// finish, and idle connections held the process to the end.
#[test]
fn the_grace_leaves_time_to_drain() {
    let (mut node, _file) = node_with("1h", "4s");
    let mut idle = node.connect();
    assert_eq!(idle.request("POST", "/echo", &[], b"x").status, 200);
    let asked = Instant::now();
    node.signal(Signal::TERM);
    assert_eq!(idle.until_closed(), b"");
    assert_eq!(node.wait_for_exit().code(), Some(0));
    let seconds = asked.elapsed().as_secs_f64();
    assert!((2.0..4.0).contains(&seconds), "{seconds} s");
}

#[test]
fn a_stuck_reader_holds_the_process_no_longer_than_the_deadline() {
    let (mut node, _file) = node_with("500ms", "1s");
    let mut stuck = reader(&node, 16 * MIB);
    let asked = Instant::now();
    node.signal(Signal::TERM);
    assert_eq!(node.wait_for_exit().code(), Some(0));
    // A reader that stops is dropped after 5 s anyway; this was not that.
    let seconds = asked.elapsed().as_secs_f64();
    assert!((1.0..4.0).contains(&seconds), "{seconds} s");
    assert!(stuck.until_closed().len() < 16 * MIB);
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let (mut node, _file) = node_with("500ms", "10m");
    let _stuck = reader(&node, 16 * MIB);
    node.signal(Signal::TERM);
    wait_until("the drain", || node.ask("GET", "/readyz").status == 503);
    assert!(node.child.try_wait().unwrap().is_none(), "it still drains");
    let asked = Instant::now();
    node.signal(Signal::TERM);
    assert!(node.wait_for_exit().code().is_some(), "no signal killed it");
    assert!(asked.elapsed() < Duration::from_secs(4));
}
