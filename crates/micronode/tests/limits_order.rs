//! The order of refusal: a request that breaks several rules is told of the first, so that no
//! refusal costs what an earlier one would have saved.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Connection, Node, Response, address, wait_until};

const FOREIGN: (&str, &str) = ("origin", "http://elsewhere.example");
const TOKEN: (&str, &str) = ("authorization", "Bearer of-another-node");
/// More than a one-shot body may have, and none of it is ever sent.
const TOO_LONG: (&str, &str) = ("content-length", "2097152");

fn put(node: &Node, path: &str, fields: &[(&str, &str)]) -> Response {
    let mut connection = node.connect();
    connection.send_head("POST", path, fields);
    connection.response("POST")
}

#[test]
fn head_origin_route_authority_and_rate_come_in_this_order() {
    let node = Node::with(&["--rps", "1"]);
    let spend = || {
        node.request("POST", "/echo", &[], b"x");
    };
    let mut crowded = vec![FOREIGN, TOKEN, TOO_LONG];
    crowded.resize(65, ("x-more", "1"));
    for (path, fields, code) in [
        ("/nowhere", &crowded[..], "head_too_large"),
        ("/nowhere", &[FOREIGN, TOKEN, TOO_LONG], "forbidden"),
        ("/nowhere", &[TOKEN, TOO_LONG], "not_found"),
        ("/put", &[TOKEN, TOO_LONG], "unauthenticated"),
        ("/put", &[TOO_LONG], "rate_limited"),
    ] {
        spend();
        put(&node, path, fields).assert_problem(code);
    }
}

#[test]
fn what_is_refused_before_the_rate_does_not_spend_it() {
    let node = Node::with(&["--rps", "1"]);
    for _ in 0..10 {
        node.get("/nowhere", &[]).assert_problem("not_found");
        put(&node, "/put", &[TOKEN]).assert_problem("unauthenticated");
    }
    assert_eq!(node.request("POST", "/echo", &[], b"x").status, 200);
}

/// An upload in progress, seen to be at work.
fn upload(node: &Node) -> Connection {
    let mut upload = node.connect();
    upload.send_head("POST", "/put", &[("transfer-encoding", "chunked")]);
    upload.send(b"1\r\nx\r\n");
    wait_until("the upload being at work", || {
        node.metric("memory_used_bytes{kind=\"uploads\"}") == Some(1.0)
    });
    upload
}

#[test]
fn permits_in_flight_come_before_the_body() {
    let node = Node::with(&["--rps", "0", "--in-flight", "1"]);
    let _upload = upload(&node);
    put(&node, "/put", &[TOO_LONG]).assert_problem("overloaded");
}

#[test]
fn a_facet_has_permits_of_its_own_and_its_turn_after_the_body() {
    let mut command = Node::command(&["--rps", "0"]);
    command.env("MICRO_LIMITS__FACETS__STORAGE_WRITE", "1");
    let node = Node::spawn(command);
    let _upload = upload(&node);
    put(&node, "/put", &[TOO_LONG]).assert_problem("body_too_large");
    let packed = [("content-length", "9"), ("content-encoding", "lzma")];
    put(&node, "/put", &packed).assert_problem("unsupported_encoding");
    put(&node, "/put", &[("content-length", "9")]).assert_problem("overloaded");
    let absent = format!("/o/{}", address(b"absent"));
    node.get(&absent, &[]).assert_problem("not_found");
}
