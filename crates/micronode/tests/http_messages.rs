//! What every exchange has in common: errors, correlation, methods, connections that live on.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Node, address, object};

#[test]
fn every_error_is_a_problem_document() {
    let node = Node::start();
    let object = node.store(b"x");
    let absent = format!("/o/{}", address(b"absent"));
    let too_long = "x".repeat(17_000);
    let many: Vec<(String, String)> = (0..65)
        .map(|at| (format!("f{at}"), at.to_string()))
        .collect();
    let many: Vec<(&str, &str)> = many
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    for (method, path, fields, code) in [
        ("GET", "/nowhere", &[][..], "not_found"),
        ("GET", &absent, &[], "not_found"),
        ("GET", "/o/x", &[], "bad_address"),
        ("GET", "/put", &[], "method_not_allowed"),
        ("POST", "/has", &[], "bad_request"),
        ("POST", "/put", &[("expires-in", "30")], "bad_request"),
        (
            "POST",
            "/put",
            &[("content-encoding", "lzma")],
            "unsupported_encoding",
        ),
        (
            "POST",
            "/put",
            &[("content-encoding", "gzip")],
            "bad_encoding",
        ),
        ("GET", &object, &[("host", "example.org")], "forbidden"),
        (
            "GET",
            &object,
            &[("authorization", "Bearer x")],
            "unauthenticated",
        ),
        (
            "GET",
            &object,
            &[("range", "bytes=5-")],
            "range_unsatisfiable",
        ),
        (
            "GET",
            &object,
            &[("if-match", "\"x\"")],
            "precondition_failed",
        ),
        ("PUT", &absent, &[], "digest_mismatch"),
        ("GET", &object, &[("long", &too_long)], "head_too_large"),
        ("GET", &object, &many, "head_too_large"),
    ] {
        let sample = format!("rejected_total{{reason=\"{code}\"}}");
        let before = node.metric(&sample).unwrap();
        node.request(method, path, fields, b"").assert_problem(code);
        assert_eq!(node.metric(&sample), Some(before + 1.0), "{method} {path}");
    }
}

#[test]
fn an_error_of_head_has_no_body() {
    let node = Node::start();
    let mut connection = node.connect();
    for (path, status) in [("/nowhere", 404), ("/o/x", 400), ("/put", 405)] {
        let head = connection.request("HEAD", path, &[], b"");
        assert_eq!(head.status, status);
        assert_eq!(head.field("content-type"), Some("application/problem+json"));
        // The next answer begins where the head ended.
        assert_eq!(connection.request("GET", "/nowhere", &[], b"").status, 404);
    }
}

#[test]
fn another_method_is_405_and_told_which_there_are() {
    let node = Node::start();
    let object = format!("/o/{}", address(b"x"));
    let manifest = format!("{object}/manifest");
    for (path, allow) in [
        ("/put", "POST, OPTIONS"),
        ("/has", "POST, OPTIONS"),
        ("/echo", "POST, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
        (&*object, "GET, HEAD, PUT, DELETE, OPTIONS"),
        (&*manifest, "GET, HEAD, OPTIONS"),
    ] {
        for method in ["PATCH", "TRACE", "BREW"] {
            let response = node.request(method, path, &[], b"");
            response.assert_problem("method_not_allowed");
            assert_eq!(response.field("allow"), Some(allow));
        }
        let response = node.request("OPTIONS", path, &[], b"");
        assert_eq!(
            (response.status, response.field("allow")),
            (204, Some(allow))
        );
    }
    for path in ["/", "/put/", "/o", "/PUT", "/o/x/y", "/openapi.json/"] {
        for method in ["GET", "POST", "BREW"] {
            node.request(method, path, &[], b"")
                .assert_problem("not_found");
        }
    }
}

#[test]
fn a_correlation_id_is_kept_or_made_up_and_always_returned() {
    let node = Node::start();
    let id = |fields: &[(&str, &str)]| {
        let response = node.get("/nowhere", fields);
        response.assert_problem("not_found");
        response.field("x-corr-id").unwrap().to_owned()
    };
    let longest = "~".repeat(64);
    for kept in ["a", "order-66/#!", &longest] {
        assert_eq!(id(&[("x-corr-id", kept)]), kept);
    }
    let too_long = "x".repeat(65);
    for replaced in ["", "two words", &too_long, "caf\u{e9}"] {
        let made_up = id(&[("x-corr-id", replaced)]);
        assert!(made_up != replaced && !made_up.is_empty());
    }
    assert_ne!(id(&[]), id(&[]));

    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    assert_eq!(id(&[("traceparent", &parent)]), trace);
    assert_eq!(
        id(&[("traceparent", &parent), ("x-corr-id", "mine")]),
        "mine"
    );
    assert_ne!(id(&[("traceparent", &parent.to_uppercase())]), trace);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let node = Node::start();
    let bytes = object(200_000);
    let path = node.store(&bytes);
    let mut connection = node.connect();
    for _ in 0..3 {
        connection.send_head("GET", &path, &[]);
        connection.send_head("GET", "/nowhere", &[]);
        connection.send_head("POST", "/echo", &[("content-length", "2")]);
        connection.send(b"hi");
    }
    for _ in 0..3 {
        assert!(connection.response("GET").body == bytes);
        connection.response("GET").assert_problem("not_found");
        assert_eq!(connection.response("POST").body, b"hi");
    }
}

#[test]
fn a_connection_outlives_errors_whose_body_was_read() {
    let node = Node::start();
    let mut connection = node.connect();
    connection
        .request("POST", "/has", &[], b"not json")
        .assert_problem("bad_request");
    connection
        .request("PUT", &format!("/o/{}", address(b"x")), &[], b"y")
        .assert_problem("digest_mismatch");
    connection
        .request("GET", "/nowhere", &[], b"")
        .assert_problem("not_found");
    assert_eq!(connection.request("POST", "/echo", &[], b"z").body, b"z");
}

#[test]
fn http_1_0_is_spoken_to_in_its_own_terms() {
    let node = Node::start();
    let bytes = object(100_000);
    let path = node.store(&bytes);
    let host = node.http;

    let mut connection = node.connect();
    connection.send(format!("GET {path} HTTP/1.0\r\nhost: {host}\r\n\r\n").as_bytes());
    let response = connection.response("GET");
    assert_eq!((response.status, response.body.len()), (200, bytes.len()));
    assert!(response.body == bytes);
    assert!(connection.until_closed().is_empty(), "closes after one");

    let mut connection = node.connect();
    let keep = format!("GET {path} HTTP/1.0\r\nhost: {host}\r\nconnection: keep-alive\r\n\r\n");
    for _ in 0..2 {
        connection.send(keep.as_bytes());
        assert!(connection.response("GET").body == bytes);
    }

    let mut connection = node.connect();
    let put = format!("POST /put HTTP/1.0\r\nhost: {host}\r\ncontent-length: 3\r\n\r\nabc");
    connection.send(put.as_bytes());
    assert_eq!(connection.response("POST").status, 201);
}

#[test]
fn close_is_honoured_after_the_answer() {
    let node = Node::start();
    let mut connection = node.connect();
    let response = connection.request("GET", "/openapi.json", &[("connection", "close")], b"");
    assert_eq!(
        (response.status, response.field("connection")),
        (200, Some("close"))
    );
    assert!(connection.until_closed().is_empty());
}

/// An answer that came before the end of the request's body was followed by a silent close, into
/// which a pooled client sent its next request.
#[test]
fn an_answer_that_ends_the_connection_says_so() {
    let node = Node::start();
    for (method, path) in [("POST", "/nowhere"), ("GET", "/put"), ("GET", "/echo")] {
        let mut client = node.connect();
        client.send_head(method, path, &[("content-length", "5")]);
        let answer = client.response_head().unwrap();
        assert_eq!(answer.field("connection"), Some("close"), "{method} {path}");
    }
    let mut client = node.connect();
    for _ in 0..3 {
        client.send_head("POST", "/has", &[("content-length", "1")]);
        client.send(b"x");
        let answer = client.response("POST");
        assert_eq!((answer.status, answer.field("connection")), (400, None));
    }
}

#[test]
fn a_delete_minds_if_match() {
    let node = Node::start();
    let path = node.store(b"kept");
    let etag = format!("\"{}\"", address(b"kept"));
    let delete = |tag: &str| node.request("DELETE", &path, &[("if-match", tag)], b"");
    delete("\"other\"").assert_problem("precondition_failed");
    delete(&format!("W/{etag}")).assert_problem("precondition_failed");
    assert_eq!(node.get(&path, &[]).status, 200);
    assert_eq!(delete(&etag).status, 204);
}
