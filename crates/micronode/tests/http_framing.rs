//! Messages whose end two readers could see in two places: refused, closed, and nothing executed.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Node, Response, address, chunked};

/// Sends `request` and checks that it is answered 400 and nothing else, that the connection ends,
/// and that no upload in it was carried out. `{host}` stands for the node.
#[track_caller]
fn assert_refused(node: &Node, request: &str) {
    let mut connection = node.connect();
    let request = request.replace("{host}", &node.http.to_string());
    connection.send(request.as_bytes());
    let answer = connection.until_closed();
    let text = String::from_utf8_lossy(&answer);
    let end = text
        .find("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer to {request:?}"))
        + 4;
    let mut response = Response::parse(&answer[..end]);
    response.body = answer[end..].to_vec();
    assert_eq!(response.status, 400, "{request:?}: {text}");
    let length = response.field("content-length").unwrap();
    assert_eq!(
        length,
        response.body.len().to_string(),
        "{request:?}: {text}"
    );
    response.assert_problem("bad_request");
    assert_eq!(node.metric("objects"), Some(0.0), "{request:?}");
}

#[test]
fn a_body_whose_end_is_unclear_is_refused() {
    let node = Node::start();
    let hidden = "POST /put HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1\r\n\r\nx";
    for framing in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 6",
        "content-length: +5",
        "content-length: -5",
        "content-length: 0x5",
        "content-length: 5 5",
        "content-length: ",
        "content-length: 99999999999999999999",
        "content-length : 5",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: identity",
        "transfer-encoding: gzip",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding : chunked",
        " transfer-encoding: chunked",
        "transfer-encoding:\r\n chunked",
        "x: y\r\n transfer-encoding: chunked",
        "content-length: 5\r\n\tx",
        "transfer\u{7f}encoding: chunked",
        "x: \u{0}",
    ] {
        let request =
            format!("POST /put HTTP/1.1\r\nhost: {{host}}\r\n{framing}\r\n\r\n0\r\n\r\n{hidden}");
        assert_refused(&node, &request);
    }
}

/// Whoever stands in front may believe the other field (RFC 9112, 6.3).
#[test]
fn a_length_beside_chunks_is_refused() {
    let node = Node::start();
    let hidden = object_request(&node, "hidden");
    for framing in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "content-length: 0\r\ntransfer-encoding: chunked",
        "content-length: 200\r\ntransfer-encoding: chunked",
    ] {
        let head = format!("POST /echo HTTP/1.1\r\nhost: {{host}}\r\n{framing}\r\n\r\n");
        assert_refused(&node, &format!("{head}3\r\nabc\r\n0\r\n\r\n{hidden}"));
    }
}

/// The bytes of a request that stores `body`.
fn object_request(node: &Node, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /put HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\n\r\n{body}",
        node.http
    )
}

/// A body in a transfer coding that the node does not undo would be stored as it was sent.
#[test]
fn chunked_is_the_only_transfer_coding() {
    let node = Node::start();
    for coding in [
        "gzip, chunked",
        "chunked, chunked",
        "identity, chunked",
        "chunked;x=y",
    ] {
        let fields = [("transfer-encoding", coding)];
        let response = node.request("POST", "/put", &fields, &chunked(b"abc", 3));
        response.assert_problem("bad_request");
    }
    node.wait_until_empty();
    for coding in ["chunked", "Chunked"] {
        let fields = [("transfer-encoding", coding)];
        assert_eq!(
            node.request("POST", "/echo", &fields, &chunked(b"abc", 3))
                .body,
            b"abc"
        );
    }
}

#[test]
fn a_message_that_is_not_http_is_refused() {
    let node = Node::start();
    for request in [
        "POST /put\r\n\r\n",
        "POST /put HTTP/1.2\r\nhost: {host}\r\n\r\n",
        "POST /put HTTP/9.9\r\nhost: {host}\r\n\r\n",
        "POST  /put HTTP/1.1\r\nhost: {host}\r\n\r\n",
        "POST /pu t HTTP/1.1\r\nhost: {host}\r\n\r\n",
        "PO(ST /put HTTP/1.1\r\nhost: {host}\r\n\r\n",
        "POST /put HTTP/1.1\r\nhost {host}\r\n\r\n",
        "POST /put HTTP/1.1\r\n: x\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\r\n\r\n",
    ] {
        assert_refused(&node, request);
    }
}

/// A bare LF ends a line as CRLF does (RFC 9112, 2.2), for the fields and for the head alike: one
/// reading only, and the connection stays in step.
#[test]
fn a_bare_line_feed_hides_nothing() {
    let node = Node::start();
    let host = node.http;
    for request in [
        format!("POST /echo HTTP/1.1\nhost: {host}\ncontent-length: 1\n\nx"),
        format!("POST /echo HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1\r\n\nx"),
        format!(
            "POST /echo HTTP/1.1\r\nhost: {host}\r\nx: y\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        ),
    ] {
        let mut connection = node.connect();
        connection.send(request.as_bytes());
        connection.send_head("GET", "/nowhere", &[]);
        assert_eq!(connection.response("POST").body, b"x", "{request:?}");
        connection.response("GET").assert_problem("not_found");
    }
    // Bare CR is no end of a line.
    assert_refused(
        &node,
        "POST /put HTTP/1.1\rhost: {host}\rcontent-length: 1\r\rx\r\n\r\n",
    );
    assert_refused(
        &node,
        "POST /put HTTP/1.1\r\nhost: {host}\r\nx: a\rb\r\n\r\n",
    );
}

#[test]
fn a_bad_chunk_ends_the_connection_and_hides_no_request() {
    let node = Node::start();
    let path = node.store(b"victim");
    for tail in [
        "zz\r\n",
        "5\r\nhelloXX",
        "3;\nabc\r\n",
        "0\r\nno field\r\n\r\n",
    ] {
        let mut connection = node.connect();
        connection.send_head("POST", "/put", &[("transfer-encoding", "chunked")]);
        connection.send(tail.as_bytes());
        connection.send_head("DELETE", &path, &[]);
        let answer = connection.until_closed();
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{tail:?}: {answer}"
        );
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            answer.len().min(1),
            "{tail:?}"
        );
    }
    assert_eq!(node.get(&path, &[]).status, 200);
    assert_eq!(node.metric("objects"), Some(1.0));
}

/// The same value twice says the same thing twice (RFC 9112, 6.3); whoever accepts it must take
/// it for one length.
#[test]
fn a_length_that_is_repeated_is_one_length_or_refused() {
    let node = Node::start();
    let mut connection = node.connect();
    let fields = [("content-length", "5"), ("content-length", "5")];
    connection.send_head("POST", "/echo", &fields);
    connection.send(b"hello");
    let response = connection.response("POST");
    assert!(response.status == 400 || response.body == b"hello");
}

/// A body that was not read must never be taken for the next request.
#[test]
fn the_body_of_a_refused_request_is_not_a_request() {
    let node = Node::start();
    let path = node.store(b"victim");
    let hidden = format!("DELETE {path} HTTP/1.1\r\nhost: {}\r\n\r\n", node.http);
    let coded = chunked(hidden.as_bytes(), 10);
    for (method, target, field) in [
        ("GET", "/nowhere", None),
        ("POST", "/put", Some(("authorization", "Bearer x"))),
        ("POST", "/put", Some(("content-encoding", "lzma"))),
        ("PATCH", "/put", None),
        ("GET", path.as_str(), None),
        ("DELETE", "/o/x", None),
    ] {
        let length = hidden.len().to_string();
        for (framing, body) in [
            (("content-length", length.as_str()), hidden.as_bytes()),
            (("transfer-encoding", "chunked"), &coded),
        ] {
            let mut connection = node.connect();
            let fields: Vec<_> = field.into_iter().chain([framing]).collect();
            let first = connection.request(method, target, &fields, body);
            assert_ne!(first.status, 204);
            // Either the connection ended, or it is in step.
            connection.send_head("GET", "/nowhere", &[]);
            if let Ok(next) = connection.response_head() {
                assert_eq!(next.status, 404, "{method} {target}");
            }
        }
    }
    assert_eq!(
        node.get(&path, &[]).status,
        200,
        "still there: {}",
        address(b"victim")
    );
}
