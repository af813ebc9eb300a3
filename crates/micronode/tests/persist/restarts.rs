//! What a node is after a restart that nothing went wrong with.

use crate::start;
use crate::support::{Node, address, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn stop(mut node: Node) {
    node.signal(Signal::TERM);
    assert_eq!(node.wait_for_exit().code(), Some(0));
}

#[track_caller]
fn post(node: &Node, path: &str, body: &[u8], fields: &[(&str, &str)]) -> Value {
    let answer = node.request("POST", path, fields, body);
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    answer.json()
}

#[track_caller]
fn receive(node: &Node, queue: &str) -> Vec<Value> {
    let path = format!("/mbox/{queue}/recv?max=100&visibility=1h");
    let received = post(node, &path, b"", &[]);
    received["messages"].as_array().unwrap().clone()
}

#[track_caller]
fn stats(node: &Node, queue: &str) -> [u64; 4] {
    let stats = node.get(&format!("/mbox/{queue}"), &[]).json();
    ["ready", "leased", "delayed", "dead"].map(|state| stats[state].as_u64().unwrap())
}

#[test]
fn objects_come_back_with_what_was_known_about_them() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path());
    let large: Vec<u8> = (0..900_000u32).flat_map(u32::to_le_bytes).collect();
    let path = format!("/o/{}", address(&large));
    let fields = [("content-type", "text/plain"), ("expires-in", "1h")];
    assert_eq!(node.request("PUT", &path, &fields, &large).status, 201);
    let empty = node.store(b"");
    let short = node.store(b"kept");
    let deleted = node.store(b"deleted");
    assert_eq!(node.request("DELETE", &deleted, &[], b"").status, 204);
    let soon = format!("/o/{}", address(b"soon over"));
    let fields = [("expires-in", "1s")];
    assert_eq!(
        node.request("PUT", &soon, &fields, b"soon over").status,
        201
    );
    let before = node.get(&path, &[]);
    stop(node);
    std::thread::sleep(Duration::from_millis(1100));

    let node = start(dir.path());
    let after = node.get(&path, &[]);
    assert_eq!((after.status, &after.body), (200, &large));
    for field in ["content-type", "last-modified", "etag"] {
        assert_eq!(after.field(field), before.field(field), "{field}");
    }
    let age = after.field("cache-control").unwrap().to_owned();
    let left: u64 = age
        .split(['=', ','])
        .find_map(|part| part.parse().ok())
        .expect("a time");
    assert!((3500..=3599).contains(&left), "{age}");
    assert_eq!(node.get(&empty, &[]).body, b"");
    assert_eq!(node.get(&short, &[]).body, b"kept");
    assert_eq!(node.get(&deleted, &[]).status, 404);
    assert_eq!(node.get(&soon, &[]).status, 404, "its time went on");
    assert_eq!(node.metric("objects"), Some(3.0));
    // What is gone leaves nothing behind.
    let files = std::fs::read_dir(dir.path().join("objects")).unwrap();
    assert_eq!(files.count(), 1, "one object has a file of its own");
}

#[test]
fn names_come_back_with_their_revisions_and_go_on_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path());
    let (one, two) = (node.store(b"one"), node.store(b"two"));
    let set = |node: &Node, name: &str, path: &str| {
        let body = json!({ "address": path.trim_start_matches("/o/") }).to_string();
        let set = node.request("PUT", &format!("/n/{name}"), &[], body.as_bytes());
        assert!(matches!(set.status, 200 | 201), "{}", set.text());
        set.json()["revision"].as_u64().unwrap()
    };
    let first = set(&node, "a", &one);
    assert_eq!(set(&node, "b", &two), first + 1);
    assert_eq!(set(&node, "a", &two), first + 2);
    assert_eq!(node.request("DELETE", "/n/b", &[], b"").status, 204);
    stop(node);

    let node = start(dir.path());
    let names = node.get("/n", &[]).json();
    let two_address = two.trim_start_matches("/o/");
    assert_eq!(
        names["names"],
        json!([{ "name": "a", "address": two_address, "revision": first + 2 }])
    );
    assert_eq!(node.request("DELETE", &two, &[], b"").status, 409, "pinned");
    assert!(set(&node, "c", &one) > first + 3, "none is used twice");
}

#[test]
fn queues_come_back_and_leases_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let command = || {
        let mut command = crate::command(dir.path(), &[]);
        command.env("MICRO_LIMITS__MAILBOX__MAX_DELIVERIES", "2");
        command
    };
    let node = Node::spawn(command());
    let ids: Vec<Value> = (0..4)
        .map(|n| post(&node, "/mbox/q/send", format!("m{n}").as_bytes(), &[])["id"].take())
        .collect();
    let key = [("idempotency-key", "k")];
    let keyed = post(&node, "/mbox/q/send", b"once", &key)["id"].take();
    post(&node, "/mbox/q/send", b"later", &[("delay", "1h")]);
    let leased = receive(&node, "q");
    assert_eq!(leased.len(), 5);
    let settle = |node: &Node, verb: &str, message: &Value| {
        let body = json!({ "receipts": [message["receipt"]] }).to_string();
        post(node, &format!("/mbox/q/{verb}"), body.as_bytes(), &[])["results"][0]["code"].take()
    };
    assert_eq!(settle(&node, "ack", &leased[0]), "ok");
    assert_eq!(settle(&node, "nack", &leased[1]), "ok");
    let again = receive(&node, "q");
    assert_eq!((again.len(), &again[0]["attempt"]), (1, &json!(2)));
    assert_eq!(settle(&node, "nack", &again[0]), "ok");
    assert_eq!(stats(&node, "q"), [0, 3, 1, 1]);
    stop(node);

    let node = Node::spawn(command());
    assert_eq!(stats(&node, "q"), [3, 0, 1, 1]);
    assert_eq!(
        settle(&node, "ack", &leased[2]),
        "unknown",
        "of another life"
    );
    let back = receive(&node, "q");
    let expected = [&ids[2], &ids[3], &keyed];
    for (message, id) in back.iter().zip(expected) {
        assert_eq!((&message["id"], &message["attempt"]), (id, &json!(2)));
    }
    let again = post(&node, "/mbox/q/send", b"once", &key);
    assert_eq!((&again["id"], &again["duplicate"]), (&keyed, &json!(true)));
    let other = node.request("POST", "/mbox/q/send", &key, b"other");
    assert_eq!(other.status, 422);
    let dead = receive(&node, "q.dlq");
    assert_eq!((dead.len(), &dead[0]["id"]), (1, &ids[1]));
    let history = dead[0]["history"].as_array().unwrap();
    assert_eq!(history.len(), 2, "{history:?}");
    // New messages come behind those that were there, and have ids of their own.
    let new = post(&node, "/mbox/q/send", b"new", &[])["id"].take();
    assert!(!ids.contains(&new) && new != keyed);
}

#[test]
fn tokens_end_with_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--persist", dir.path().to_str().unwrap()];
    let node = Node::guarded(&flags);
    let bearer = format!("Bearer {}", node.token());
    let authorized = [("authorization", bearer.as_str())];
    let path = format!("/o/{}", address(b"kept"));
    assert_eq!(node.request("PUT", &path, &authorized, b"kept").status, 201);
    stop(node);
    let node = Node::guarded(&flags);
    assert_eq!(node.get(&path, &authorized).status, 401);
    let bearer = format!("Bearer {}", node.token());
    let authorized = [("authorization", bearer.as_str())];
    assert_eq!(node.get(&path, &authorized).body, b"kept");
}

/// Runs a command that is expected to fail at once; its exit code, and what it says about it.
#[track_caller]
fn refused(mut command: Command) -> (i32, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    wait_until("the node ending", || child.try_wait().unwrap().is_some());
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_node_forgets_or_keeps_and_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let mut both = crate::command(dir.path(), &[]);
    both.env("MICRO_AMNESIA", "true");
    let (code, said) = refused(both);
    assert!(
        code == 2 && said.contains("amnesia") && said.contains("persist"),
        "{code} {said}"
    );
    let mut neither = Node::command(&[]);
    neither.env("MICRO_AMNESIA", "false");
    let (code, said) = refused(neither);
    assert!(code == 2 && said.contains("--persist"), "{code} {said}");

    let mut keeps = crate::command(dir.path(), &[]);
    keeps.env("MICRO_AMNESIA", "false");
    let node = Node::spawn(keeps);
    assert_eq!(
        node.ask("GET", "/version").json()["amnesia"]["ram_only"],
        json!(false)
    );
    let info = "micronode_info";
    let metrics = node.ask("GET", "/metrics");
    let line = metrics
        .text()
        .lines()
        .find(|line| line.starts_with(info))
        .unwrap()
        .to_owned();
    assert!(line.contains("amnesia=\"false\""), "{line}");
    drop(node);
    let mut forgets = Node::command(&[]);
    forgets.env("MICRO_AMNESIA", "true");
    let node = Node::spawn(forgets);
    assert_eq!(
        node.ask("GET", "/version").json()["amnesia"]["ram_only"],
        json!(true)
    );
}

#[test]
fn a_directory_belongs_to_one_node_at_a_time_and_to_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path());
    let (code, said) = refused(crate::command(dir.path(), &[]));
    assert!(code == 1 && said.contains("another"), "{code} {said}");
    drop(node);
    // At once, also after a kill.
    drop(start(dir.path()));

    let foreign = tempfile::tempdir().unwrap();
    std::fs::write(foreign.path().join("letter.txt"), "mine").unwrap();
    let (code, said) = refused(crate::command(foreign.path(), &[]));
    assert!(code == 1 && !said.is_empty(), "{code} {said}");
    assert_eq!(
        std::fs::read_dir(foreign.path()).unwrap().count(),
        1,
        "untouched"
    );
    let (code, said) = refused(crate::command(Path::new("/proc/nowhere"), &[]));
    assert!(code == 1 && said.contains("/proc/nowhere"), "{code} {said}");
}
