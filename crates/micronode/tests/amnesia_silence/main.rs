//! What a node prints after its start line: nothing of what peers gave it, at any level, whatever
//! they did, and not when it panics either.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../support/mod.rs"]
mod support;

use rustix::process::Signal;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use support::workload::{self, Canary};
use support::{Connection, Node, wait_until};

/// Where all peers of these tests are, as texts have it.
const PEER: [&str; 2] = ["127.0.0.1", "127, 0, 0, 1"];

/// Which of the traces are in a text.
fn found<'a>(traces: &'a [String], printed: &str) -> Vec<&'a str> {
    let found = traces.iter().filter(|trace| printed.contains(&***trace));
    found.map(String::as_str).collect()
}

fn traces(canary: &Canary) -> Vec<String> {
    let mut traces = canary.traces();
    traces.extend(PEER.map(ToOwned::to_owned));
    traces
}

/// A panic of the task that serves a connection, with the canary in its message.
fn panic_of_a_connection(node: &Node, canary: &Canary) {
    let path = format!("/fault/panic?{}{}", canary.queue, canary.token);
    let mut connection = Connection::open(node.admin);
    connection.send_head("POST", &path, &[]);
    connection.until_closed();
}

/// A panic of the task that sweeps queues.
fn panic_of_the_sweeper(node: &Node, canary: &Canary) {
    let before = node
        .metric("service_restarts_total{task=\"mailbox\"}")
        .unwrap();
    assert_eq!(node.ask("POST", "/fault/sweeper?panics=1").status, 200);
    let bearer = format!("Bearer {}", canary.token);
    let delayed = [("authorization", &*bearer), ("delay", "50ms")];
    let path = format!("/mbox/{}/send", canary.queue);
    let sent = node.request("POST", &path, &delayed, canary.body.as_bytes());
    assert_eq!(sent.status, 201, "{}", sent.text());
    wait_until("the sweeper's restart", || {
        node.metric("service_restarts_total{task=\"mailbox\"}")
            .unwrap()
            > before
    });
}

/// Reloads that go well, and that do not: with the canary where a value, a key or a file should be.
fn reloads(node: &Node, canary: &Canary, file: &Path, log: &Path) {
    let lines = || {
        let log = std::fs::read_to_string(log).unwrap();
        log.matches("configuration").count()
    };
    for text in [
        "limits.rps = 0\n".to_owned(),
        format!("limits.rps = \"{}\"\n", canary.queue),
        format!("{} = 1\n", canary.queue),
        format!("limits.{} = 1\n", canary.queue),
        format!("{}\n", canary.token),
        format!("auth.deny = [\"{}\"]\n", canary.token),
        format!("tls.cert = \"/{}\"\ntls.key = \"/canary\"\n", canary.name),
        format!(
            "[[routes]]\nevent = \"name.set\"\nqueue = \"{}/X\"\n",
            canary.queue
        ),
        "limits.rps = 0\n".to_owned(),
    ] {
        let before = lines();
        std::fs::write(file, text).unwrap();
        node.signal(Signal::HUP);
        wait_until("the word on a reload", || lines() > before);
    }
}

fn nothing_is_printed(flags: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let (file, log) = (
        directory.path().join("n.toml"),
        directory.path().join("log"),
    );
    std::fs::write(&file, "limits.rps = 0\n").unwrap();
    let flags = [&["--config", file.to_str().unwrap()], flags].concat();
    let mut command = Node::guarded_command(&flags);
    command.stderr(File::create(&log).unwrap());
    // Where the standard library would say more about a panic.
    command.env("RUST_BACKTRACE", "full");
    let mut node = Node::spawn(command);
    let canary = Canary::new(&node);

    workload::over_http(&node, &canary);
    workload::over_oap(&node, &canary);
    workload::refused(&node, &canary);
    panic_of_a_connection(&node, &canary);
    panic_of_the_sweeper(&node, &canary);
    reloads(&node, &canary, &file, &log);
    workload::over_oap(&node, &canary);
    // Connections that are cut in the middle are said to be, if anything is.
    let cut = Connection::open(node.http);
    node.signal(Signal::TERM);
    let mut printed = String::new();
    node.stdout.read_to_string(&mut printed).unwrap();
    drop(cut);
    assert_eq!(node.wait_for_exit().code(), Some(0));
    printed += &std::fs::read_to_string(&log).unwrap();

    let traces = traces(&canary);
    assert_eq!(found(&traces, &printed), [""; 0], "{printed}");
    // It did speak, of all that happened.
    for said in [
        "panicked",
        "crates/server/src/admin.rs",
        "crates/server/src/sweeper.rs",
        "restarting a task",
        "configuration reloaded",
        "limits.rps",
        "auth.deny",
        "not TOML",
        "there is no such key",
    ] {
        assert!(printed.contains(said), "{said:?} in {printed}");
    }
    // And what is looked for is found where it is: the start line has the token and an address.
    let start = node.start.to_string();
    assert!(found(&traces, &start).len() > PEER.len(), "{start}");
    for leak in [
        canary.name.clone(),
        canary.queue.clone(),
        canary.body.clone(),
        canary.token.clone(),
        support::address(canary.body.as_bytes()),
        format!("{:?}", canary.body.as_bytes()),
        format!("{:?}", blake3::hash(canary.body.as_bytes()).as_bytes()),
        format!("peer={}", node.http),
    ] {
        assert!(
            !found(&traces, &format!("{printed} {leak}")).is_empty(),
            "{leak}"
        );
    }
}

#[test]
fn at_level_info() {
    nothing_is_printed(&["--log-level", "info"]);
}

#[test]
fn at_level_debug_as_json() {
    nothing_is_printed(&["--log-level", "debug", "--log-format", "json"]);
}

#[test]
fn at_level_trace() {
    nothing_is_printed(&["--log-level", "trace"]);
}
