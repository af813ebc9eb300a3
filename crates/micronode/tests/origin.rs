//! Planes that answer without a token answer local programs only, and no capability is believed.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Connection, Node, Response};

fn data(node: &Node, fields: &[(&str, &str)]) -> Response {
    node.get("/openapi.json", fields)
}

fn admin(node: &Node, fields: &[(&str, &str)]) -> Response {
    Connection::open(node.admin).request("GET", "/healthz", fields, b"")
}

/// Asks one plane for something that is there.
type Ask = fn(&Node, &[(&str, &str)]) -> Response;

const PLANES: [Ask; 2] = [data, admin];

#[test]
fn only_a_loopback_host_is_answered() {
    let node = Node::start();
    for plane in PLANES {
        for host in [
            "localhost",
            "localhost:1",
            "LocalHost",
            "127.0.0.1",
            "127.1.2.3:80",
            "[::1]:9",
        ] {
            assert_eq!(plane(&node, &[("host", host)]).status, 200, "{host}");
        }
        for host in [
            "",
            "example.org",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "0.0.0.0",
            "10.0.0.1",
            "192.168.1.1:80",
            "[::]",
            "[fe80::1]",
            "2130706433",
        ] {
            plane(&node, &[("host", host)]).assert_problem("forbidden");
        }
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert!(matches!(plane(&node, &twice).status, 400 | 403));
    }
}

#[test]
fn a_request_without_a_host_is_refused() {
    let node = Node::start();
    for (plane, path) in [(node.http, "/openapi.json"), (node.admin, "/healthz")] {
        for version in ["1.0", "1.1"] {
            let mut connection = Connection::open(plane);
            connection.send(format!("GET {path} HTTP/{version}\r\n\r\n").as_bytes());
            assert!(matches!(connection.response("GET").status, 400 | 403));
        }
    }
}

/// The authority of an absolute target is the host, whatever the field says (RFC 9112, 3.2.2).
#[test]
fn the_target_names_the_host_where_it_is_absolute() {
    let node = Node::start();
    for (plane, path) in [(node.http, "/openapi.json"), (node.admin, "/healthz")] {
        for (target, host, status) in [
            (format!("http://evil.example{path}"), "localhost", 403),
            (format!("http://localhost{path}"), "localhost", 200),
        ] {
            let mut connection = Connection::open(plane);
            let response = connection.request("GET", &target, &[("host", host)], b"");
            assert_eq!(response.status, status, "{target}");
        }
    }
}

#[test]
fn a_request_that_another_site_caused_is_refused() {
    let node = Node::start();
    for (plane, address) in PLANES.into_iter().zip([node.http, node.admin]) {
        let own = format!("http://{address}");
        for fields in [
            [("origin", own.as_str())],
            [("sec-fetch-site", "same-origin")],
            [("sec-fetch-site", "none")],
        ] {
            assert_eq!(plane(&node, &fields).status, 200, "{fields:?}");
        }
        for fields in [
            [("origin", "http://evil.example")],
            [("origin", "null")],
            [("origin", "http://localhost:1")],
            [("origin", "file://")],
            [("sec-fetch-site", "cross-site")],
            [("sec-fetch-site", "same-site")],
            [("sec-fetch-site", "")],
        ] {
            plane(&node, &fields).assert_problem("forbidden");
        }
        let contradicting = [("origin", own.as_str()), ("sec-fetch-site", "cross-site")];
        plane(&node, &contradicting).assert_problem("forbidden");
    }
}

#[test]
fn a_page_gets_no_leave_to_read_either_plane() {
    let node = Node::start();
    let preflight = [
        ("origin", "http://evil.example"),
        ("access-control-request-method", "PUT"),
    ];
    for plane in [node.http, node.admin] {
        let response = Connection::open(plane).request("OPTIONS", "/put", &preflight, b"");
        response.assert_problem("forbidden");
    }
    for response in [data(&node, &[]), admin(&node, &[])] {
        let mut names = response.fields.iter().map(|(name, _)| name);
        assert!(!names.any(|name| name.starts_with("access-control-")));
    }
}

#[test]
fn a_capability_that_does_not_verify_is_refused_before_the_body() {
    let node = Node::start();
    let big = (1024 * 1024).to_string();
    for token in ["Bearer x", "Basic eDp5", "x", ""] {
        let mut connection = node.connect();
        // The body never comes: the answer does not wait for it.
        let fields = [("authorization", token), ("content-length", &big)];
        connection.send_head("POST", "/put", &fields);
        let response = connection.response("POST");
        response.assert_problem("unauthenticated");
        // RFC 9110, 15.5.2: a 401 names at least one scheme.
        assert_eq!(response.field("www-authenticate"), Some("Bearer"));
    }
    node.request("POST", "/put?cap=x", &[], b"x")
        .assert_problem("unauthenticated");
    node.get("/openapi.json?a=b&cap=", &[])
        .assert_problem("unauthenticated");
    assert_eq!(node.get("/openapi.json?a=b&recap=x", &[]).status, 200);
    node.wait_until_empty();
}

/// Authority comes after the route: what does not exist is not there for anybody.
#[test]
fn refusals_come_in_their_order() {
    let node = Node::start();
    let token = ("authorization", "Bearer x");
    let foreign = ("host", "evil.example");
    node.get("/nowhere", &[foreign, token])
        .assert_problem("forbidden");
    node.get("/nowhere", &[token]).assert_problem("not_found");
    node.get("/put", &[token])
        .assert_problem("method_not_allowed");
    let lzma = ("content-encoding", "lzma");
    node.request("POST", "/put", &[token, lzma], b"x")
        .assert_problem("unauthenticated");
    let too_long = (1024 * 1024 + 1).to_string();
    let length = ("content-length", too_long.as_str());
    let mut connection = node.connect();
    connection.send_head("POST", "/put", &[lzma, length]);
    connection.response("POST").assert_problem("body_too_large");
}
