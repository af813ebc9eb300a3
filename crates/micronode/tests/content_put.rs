//! Storing objects: addresses, one-shot and streamed bodies, and what a failed upload leaves.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::json;
use support::{Node, address, chunked, object, wait_until};

const GROUP: usize = 64 * 1024;
const MIB: usize = 1024 * 1024;
const CHUNKED: [(&str, &str); 1] = [("transfer-encoding", "chunked")];

#[test]
fn a_put_answers_the_hash_of_its_bytes_and_is_201_once() {
    let node = Node::start();
    for size in [0, 1, GROUP - 1, GROUP, GROUP + 1, MIB] {
        let bytes = object(size);
        let expected = json!({ "address": address(&bytes), "size": size });
        let path = format!("/o/{}", address(&bytes));
        for status in [201, 200] {
            let response = node.request("POST", "/put", &[], &bytes);
            assert_eq!(response.status, status, "{size}: {}", response.text());
            assert_eq!(response.json(), expected);
            assert_eq!(response.field("location"), Some(path.as_str()));
        }
        assert!(node.get(&path, &[]).body == bytes, "{size}");
    }
    assert_eq!(node.metric("objects"), Some(6.0));
}

#[test]
fn the_same_bytes_have_one_address_however_they_are_cut() {
    let node = Node::start();
    let bytes = object(3 * GROUP + 5);
    let expected = json!({ "address": address(&bytes), "size": bytes.len() });
    for piece in [1000, GROUP, bytes.len()] {
        let response = node.request("POST", "/put", &CHUNKED, &chunked(&bytes, piece));
        assert_eq!(response.json(), expected, "chunks of {piece}");
    }
    let response = node.request("PUT", &format!("/o/{}", address(&bytes)), &[], &bytes);
    assert_eq!((response.status, response.json()), (200, expected));
    assert_eq!(node.metric("objects"), Some(1.0));
}

#[test]
fn a_body_without_a_length_streams_beyond_the_one_shot_cap() {
    let node = Node::start();
    let bytes = object(8 * MIB);
    let response = node.request("POST", "/put", &CHUNKED, &chunked(&bytes, 50_000));
    assert_eq!(response.status, 201, "{}", response.text());
    assert!(node.get(response.field("location").unwrap(), &[]).body == bytes);
}

#[test]
fn a_one_shot_over_the_cap_is_refused_before_its_body() {
    let node = Node::start();
    let over = (MIB + 1).to_string();
    for expect in [&[][..], &[("expect", "100-continue")]] {
        let mut connection = node.connect();
        let fields = [&[("content-length", over.as_str())], expect].concat();
        connection.send_head("POST", "/put", &fields);
        // The first and only answer: never 100 (Continue).
        let response = connection.response("POST");
        response.assert_problem("body_too_large");
        let detail = response.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("chunked"), "says how to stream: {detail}");
    }
    assert_eq!(
        node.metric("rejected_total{reason=\"body_too_large\"}"),
        Some(2.0)
    );
    node.wait_until_empty();
}

#[test]
fn a_client_that_sends_a_refused_body_blindly_still_sees_the_answer() {
    let node = Node::start();
    for _ in 0..5 {
        let response = node.request("POST", "/put", &[], &object(MIB + 1));
        response.assert_problem("body_too_large");
    }
}

#[test]
fn a_body_that_is_wanted_is_asked_for() {
    let node = Node::start();
    let mut connection = node.connect();
    let fields = [("content-length", "5"), ("expect", "100-continue")];
    connection.send_head("POST", "/put", &fields);
    assert_eq!(connection.response_head().unwrap().status, 100);
    connection.send(b"hello");
    assert_eq!(connection.response("POST").status, 201);
}

#[test]
fn a_put_to_an_address_keeps_only_what_hashes_to_it() {
    let node = Node::start();
    let bytes = object(3 * MIB);
    let mut wrong = bytes.clone();
    wrong[2 * MIB] ^= 1;
    let path = format!("/o/{}", address(&bytes));
    let body = chunked(&wrong, GROUP);
    node.request("PUT", &path, &[], &wrong)
        .assert_problem("digest_mismatch");
    node.request("PUT", &path, &CHUNKED, &body)
        .assert_problem("digest_mismatch");
    // The right bytes, and one byte more or less of them.
    node.request("PUT", &path, &[], &[&bytes[..], b"x"].concat())
        .assert_problem("digest_mismatch");
    node.request("PUT", &path, &[], &bytes[..bytes.len() - 1])
        .assert_problem("digest_mismatch");
    node.get(&path, &[]).assert_problem("not_found");
    node.wait_until_empty();

    let response = node.request("PUT", &path, &[], &bytes);
    assert_eq!(response.status, 201);
    assert_eq!(response.field("location"), Some(path.as_str()));
    // A wrong upload does not harm what is there.
    node.request("PUT", &path, &[], &wrong)
        .assert_problem("digest_mismatch");
    assert!(node.get(&path, &[]).body == bytes);
}

#[test]
fn a_wrong_small_body_does_not_close_the_connection() {
    let node = Node::start();
    let path = format!("/o/{}", address(b"right"));
    let mut connection = node.connect();
    connection
        .request("PUT", &path, &[], b"wrong")
        .assert_problem("digest_mismatch");
    assert_eq!(connection.request("PUT", &path, &[], b"right").status, 201);
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let node = Node::start();
    let bytes = object(3 * MIB);
    let path = format!("/o/{}", address(&bytes));
    let length = bytes.len().to_string();
    for (fields, coded) in [
        ([("content-length", length.as_str())], bytes.clone()),
        (CHUNKED, chunked(&bytes, GROUP)),
    ] {
        let mut connection = node.connect();
        connection.send_head("PUT", &path, &fields);
        connection.send(&coded[..2 * MIB]);
        wait_until("the upload to be under way", || node.memory_used() > 0);
        drop(connection);
        node.wait_until_empty();
        node.get(&path, &[]).assert_problem("not_found");
    }
}

#[test]
fn malformed_chunks_end_the_connection_and_leave_nothing() {
    let node = Node::start();
    let good = chunked(&object(GROUP), 1000);
    let good = &good[..good.len() - 5];
    for bad in [
        "xyz\r\nabc\r\n",
        "-1\r\n",
        "0x5\r\nhello\r\n",
        "5\r\nhelloworld\r\n",
        "5\nhello\r\n",
        "\r\n",
        "fffffffffffffffff\r\n",
        "ffffffffffffffff\r\nhello",
    ] {
        let mut connection = node.connect();
        connection.send_head("POST", "/put", &CHUNKED);
        connection.send(good);
        connection.send(bad.as_bytes());
        // Ends what waits for more; the node may say so before, but never that it has stored.
        let _ = connection.stream.shutdown(std::net::Shutdown::Write);
        let answer = String::from_utf8(connection.until_closed()).unwrap();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{bad:?}: {answer}"
        );
        node.wait_until_empty();
    }
}

#[test]
fn the_first_media_type_stays() {
    let node = Node::start();
    let path = format!("/o/{}", address(b"text"));
    let put = |fields: &[(&str, &str)]| node.request("POST", "/put", fields, b"text").status;
    assert_eq!(put(&[("content-type", "text/plain; charset=utf-8")]), 201);
    assert_eq!(put(&[("content-type", "text/html")]), 200);
    assert_eq!(put(&[]), 200);
    let response = node.get(&path, &[]);
    assert_eq!(
        response.field("content-type"),
        Some("text/plain; charset=utf-8")
    );

    let longest = format!("x/{}", "y".repeat(253));
    let fields = [("content-type", longest.as_str())];
    let response = node.request("POST", "/put", &fields, b"longest");
    let response = node.get(response.field("location").unwrap(), &[]);
    assert_eq!(response.field("content-type"), Some(longest.as_str()));
    let too_long = format!("{longest}y");
    let fields = [("content-type", too_long.as_str())];
    node.request("POST", "/put", &fields, b"too long")
        .assert_problem("bad_request");

    let path = node.store(b"unnamed");
    assert_eq!(
        node.get(&path, &[]).field("content-type"),
        Some("application/octet-stream")
    );
}
