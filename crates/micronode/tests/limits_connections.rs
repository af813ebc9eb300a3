//! Connections: how many there may be, which one gives way, and a process short of descriptors.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Connection, Node, object, sockets, wait_until};

const MIB: usize = 1024 * 1024;

#[test]
fn idle_connections_give_way_to_newcomers() {
    let count = sockets(2000);
    let node = Node::start();
    assert!(node.limits()["connections in force"].as_u64().unwrap() <= 1024);
    let mut connections: Vec<Connection> = (0..count)
        .map(|_| {
            let mut connection = node.connect();
            let echo = connection.request("POST", "/echo", &[], b"x");
            assert_eq!(echo.status, 200);
            connection
        })
        .collect();
    assert_eq!(
        node.metric("rejected_total{reason=\"overloaded\"}"),
        Some(0.0)
    );
    assert_eq!(connections.first_mut().unwrap().until_closed(), b"");
    let youngest = connections.last_mut().unwrap();
    assert_eq!(youngest.request("POST", "/echo", &[], b"x").status, 200);
}

#[test]
fn a_busy_connection_does_not_give_way_and_the_newcomer_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.toml");
    std::fs::write(&file, "[limits]\nconnections = 8\n").unwrap();
    let node = Node::with(&["--rps", "0", "--config", file.to_str().unwrap()]);
    assert_eq!(node.limits()["connections in force"], 8);
    let path = node.store(&object(16 * MIB));
    let mut readers: Vec<Connection> = (0..8)
        .map(|_| Connection::reading(node.http, &path))
        .collect();
    for _ in 0..3 {
        node.get(&path, &[]).assert_problem("overloaded");
    }
    let counted = node.metric("rejected_total{reason=\"overloaded\"}");
    assert_eq!(counted, Some(3.0));

    readers.pop();
    let tail = [("range", "bytes=-1")];
    wait_until("the free place being given", || {
        node.get(&path, &tail).status == 206
    });
}

#[test]
fn a_flood_of_connections_at_256_descriptors_leaves_the_node_standing() {
    sockets(1000);
    let command = Node::command_after("ulimit -n 256", &["--rps", "0"]);
    let node = Node::spawn(command);
    // 60 % of 256, rounded down.
    assert_eq!(node.limits()["connections in force"], 153);
    assert_eq!(node.metric("process_max_fds"), Some(256.0));
    let path = node.store(b"still here");

    let flood: Vec<Connection> = (0..600)
        .map(|_| {
            let mut connection = node.connect();
            connection.send(b"GET /o/b3:");
            connection
        })
        .collect();
    for _ in 0..10 {
        assert_eq!(node.ask("GET", "/healthz").status, 200);
        assert!(node.metric("process_open_fds").unwrap() <= 256.0);
    }
    drop(flood);
    wait_until("the node being as it was", || {
        node.ask("GET", "/readyz").status == 200 && node.get(&path, &[]).body == b"still here"
    });
    node.store(b"and more");
    assert_eq!(
        node.metric("service_restarts_total{task=\"data_listener\"}"),
        Some(0.0)
    );
}
