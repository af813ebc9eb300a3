//! The memory budget: writes are shed before it is full, reads and deletes never, and what is
//! given back is given back to the byte.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;
use support::{Node, address, object, wait_until};

const MIB: usize = 1024 * 1024;
/// The least budget there is.
const LEAST: &str = "16MiB";

/// An object of 1 MiB, another one for each `seed`.
fn mebibyte(seed: usize) -> Vec<u8> {
    let mut bytes = object(MIB);
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes
}

fn readyz(node: &Node) -> (u16, serde_json::Value) {
    let answer = node.ask("GET", "/readyz");
    (answer.status, answer.json())
}

#[test]
fn a_node_that_runs_full_sheds_writes_and_recovers_when_objects_go() {
    let node = Node::with(&["--rps", "0", "--memory", LEAST]);
    // 14 of 16 is more than the 85 % at which writes are shed.
    let paths: Vec<String> = (0..14).map(|seed| node.store(&mebibyte(seed))).collect();
    wait_until("the node degrading", || readyz(&node).0 == 503);
    let unready = node.ask("GET", "/readyz");
    assert_eq!(
        unready.json(),
        serde_json::json!({"ready": false, "degraded": true, "missing": ["memory"], "retry_after": 2})
    );
    assert_eq!(unready.field("retry-after"), Some("2"));

    let write = || node.request("POST", "/put", &[], b"small");
    write().assert_problem("degraded");
    let mut too_long = node.connect();
    too_long.send_head("POST", "/put", &[("content-length", "2097152")]);
    too_long.response("POST").assert_problem("degraded");
    assert!(node.get(&paths[0], &[]).body == mebibyte(0));
    assert_eq!(node.head(&paths[1], &[]).status, 200);
    for path in &paths {
        assert_eq!(node.request("DELETE", path, &[], b"").status, 204);
    }
    node.wait_until_empty();
    wait_until("the node being ready again", || readyz(&node).0 == 200);
    assert_eq!(readyz(&node).1["missing"], serde_json::json!([]));
    assert_eq!(write().status, 201);
}

#[test]
fn the_budget_is_the_last_word_before_readiness_has_noticed() {
    let node = Node::with(&["--rps", "0", "--memory", LEAST]);
    let mut stored = 0;
    let refused = loop {
        let answer = node.request("POST", "/put", &[], &mebibyte(stored));
        if answer.status != 201 {
            break answer;
        }
        stored += 1;
    };
    refused.assert_problem("degraded");
    assert!((14..16).contains(&stored), "{stored} MiB of 16");
    assert_eq!(node.metric("objects"), Some(stored as f64));
    let held = node.metric("memory_used_bytes{kind=\"objects\"}").unwrap();
    assert!(held <= node.metric("memory_budget_bytes").unwrap());
    wait_until("uploads giving back", || {
        node.metric("memory_used_bytes{kind=\"uploads\"}") == Some(0.0)
    });
}

#[test]
fn a_declared_length_beyond_the_free_budget_is_refused_before_its_body() {
    let node = Node::with(&["--rps", "0", "--memory", LEAST]);
    let path = format!("/o/{}", address(b"never sent"));
    let put = |length: usize| {
        let mut upload = node.connect();
        let length = length.to_string();
        upload.send_head("PUT", &path, &[("content-length", &length)]);
        upload
    };
    // No body is sent, so the answer cannot have waited for it.
    put(16 * MIB).response("PUT").assert_problem("degraded");
    node.wait_until_empty();

    let mut fits = put(12 * MIB);
    fits.stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    assert!(fits.response_head().is_err(), "its body is waited for");
}

/// A full cache once counted as a node without memory: after a second it shed all writes, for
/// ever, since nothing but a write would have made room.
#[test]
fn a_full_cache_goes_on_taking_writes_and_keeps_what_is_read() {
    let node = Node::with(&["--rps", "0", "--memory", LEAST, "--eviction", "lru"]);
    let kept = node.store(&mebibyte(0));
    let first = node.store(&mebibyte(1));
    for seed in 2..60 {
        node.store(&mebibyte(seed));
        assert_eq!(node.head(&kept, &[]).status, 200, "after {seed}");
        // In all far longer than readiness takes to change its mind.
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(readyz(&node).0, 200);
    assert!(node.get(&kept, &[]).body == mebibyte(0));
    assert_eq!(node.get(&first, &[]).status, 404);
    let objects = node.metric("objects").unwrap();
    let evicted = node.metric("evictions_total{reason=\"lru\"}").unwrap();
    assert_eq!(objects + evicted, 60.0);
    assert!(objects >= 14.0, "{objects} MiB of 16 are used");
}

#[test]
fn the_largest_object_is_stored_and_one_byte_more_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.toml");
    std::fs::write(&file, "[limits]\nmax_object = \"100KiB\"\n").unwrap();
    let node = Node::with(&["--rps", "0", "--config", file.to_str().unwrap()]);
    let (largest, larger) = (object(100 * 1024), object(100 * 1024 + 1));
    let path = node.store(&largest);
    assert!(node.get(&path, &[]).body == largest);
    for fields in [&[][..], &[("transfer-encoding", "chunked")]] {
        let body = match fields {
            [] => larger.clone(),
            _ => support::chunked(&larger, 5000),
        };
        let path = format!("/o/{}", address(&larger));
        node.request("PUT", &path, fields, &body)
            .assert_problem("body_too_large");
    }
    assert_eq!(node.metric("objects"), Some(1.0));
    wait_until("uploads giving back", || {
        node.metric("memory_used_bytes{kind=\"uploads\"}") == Some(0.0)
    });
}

/// A cache is full most of its life. Messages and bodies were refused then, for as long as nobody
/// stored an object.
#[test]
fn in_a_cache_objects_make_room_for_messages_and_bodies() {
    const BODY: usize = 256 * 1024;
    const MESSAGES: u64 = 12;
    let node = Node::with(&["--rps", "0", "--memory", LEAST, "--eviction", "lru"]);
    for seed in 0..20 {
        node.store(&mebibyte(seed));
    }
    for _ in 0..MESSAGES {
        let sent = node.request("POST", "/mbox/jobs/send", &[], &object(BODY));
        assert_eq!(sent.status, 201, "{}", sent.text());
    }
    let echoed = node.request("POST", "/echo", &[], &mebibyte(0));
    assert_eq!(echoed.status, 200, "{}", echoed.text());
    assert!(node.memory_of("messages") >= MESSAGES * BODY as u64);
}
