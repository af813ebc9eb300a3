//! Byte ranges and preconditions on the wire.
#![allow(clippy::unwrap_used)]

mod support;

use std::fmt::Write;
use std::ops::Range;
use support::{Node, Response, address, object};

const GROUP: usize = 64 * 1024;

/// An object of three groups and a part of a fourth, with a node that has it.
fn stored() -> (Node, String, Vec<u8>) {
    let node = Node::start();
    let bytes = object(3 * GROUP + 100);
    let path = node.store(&bytes);
    (node, path, bytes)
}

#[test]
fn one_range_is_its_bytes_and_says_which() {
    let (node, path, bytes) = stored();
    let size = bytes.len();
    for (field, expected) in [
        ("bytes=0-0".to_owned(), 0..1),
        ("bytes=0-".to_owned(), 0..size),
        (
            format!("bytes={}-{}", GROUP - 1, GROUP),
            GROUP - 1..GROUP + 1,
        ),
        (format!("bytes={GROUP}-{}", 2 * GROUP - 1), GROUP..2 * GROUP),
        (format!("bytes=5-{}", 3 * GROUP + 50), 5..3 * GROUP + 51),
        (format!("bytes={}-", size - 1), size - 1..size),
        ("bytes=-1".to_owned(), size - 1..size),
        (format!("bytes=-{}", GROUP + 200), size - GROUP - 200..size),
        (format!("bytes=-{}", size + 1), 0..size),
        (format!("bytes=10-{}", u64::MAX), 10..size),
        // What lies beyond the end is left out, and one range stays.
        (format!("bytes=7-8,{size}-"), 7..9),
    ] {
        let response = node.get(&path, &[("range", &field)]);
        assert_eq!(response.status, 206, "{field}");
        let content_range = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
        assert_eq!(
            response.field("content-range"),
            Some(content_range.as_str())
        );
        assert_eq!(
            response.field("content-length").unwrap(),
            expected.len().to_string()
        );
        assert_eq!(
            response.field("etag").unwrap(),
            format!("\"{}\"", address(&bytes))
        );
        assert!(response.body == bytes[expected], "{field}");
    }
}

#[test]
fn a_range_beyond_the_object_is_416_with_its_size() {
    let (node, path, bytes) = stored();
    let size = bytes.len();
    for field in [
        format!("bytes={size}-"),
        format!("bytes={size}-{}", size + 5),
        "bytes=-0".to_owned(),
        format!("bytes={}-", u64::MAX),
        format!("bytes={size}-,-0"),
    ] {
        let response = node.get(&path, &[("range", &field)]);
        response.assert_problem("range_unsatisfiable");
        let content_range = format!("bytes */{size}");
        assert_eq!(
            response.field("content-range"),
            Some(content_range.as_str())
        );
    }
}

/// The parts of a `multipart/byteranges` response: the range that each names, and its bytes.
fn parts(response: &Response, size: usize) -> Vec<(Range<usize>, Vec<u8>)> {
    let media_type = response.field("content-type").unwrap();
    let boundary = media_type
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = response.body.as_slice();
    let mut parts = Vec::new();
    loop {
        rest = rest
            .strip_prefix(delimiter.as_bytes())
            .expect("a delimiter");
        if rest == b"--\r\n" {
            return parts;
        }
        let end = rest
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = std::str::from_utf8(&rest[..end]).unwrap();
        assert!(head.contains("\r\ncontent-type: text/plain"), "{head}");
        let range = head.split_once("content-range: bytes ").unwrap().1;
        let range = range.strip_suffix(&format!("/{size}")).unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let range = first.parse().unwrap()..last.parse::<usize>().unwrap() + 1;
        let (bytes, after) = rest[end + 4..].split_at(range.len());
        parts.push((range, bytes.to_vec()));
        rest = after;
    }
}

#[test]
fn several_ranges_come_as_parts_in_the_order_asked() {
    let node = Node::start();
    let bytes = object(3 * GROUP + 100);
    let put = node.request(
        "PUT",
        &format!("/o/{}", address(&bytes)),
        &[("content-type", "text/plain")],
        &bytes,
    );
    let (path, size) = (put.field("location").unwrap(), bytes.len());
    let most: Vec<Range<usize>> = (0..16).map(|at| at * 10_000..at * 10_000 + 9_000).collect();
    for ranges in [
        vec![0..1, 2..3],
        vec![2 * GROUP - 5..2 * GROUP + 5, 10..20, size - 1..size],
        // Side by side is not overlapping.
        vec![0..GROUP, GROUP..2 * GROUP],
        most,
    ] {
        let mut field = String::from("bytes=");
        for range in &ranges {
            write!(field, " {}-{} ,", range.start, range.end - 1).unwrap();
        }
        let response = node.get(path, &[("range", &field)]);
        assert_eq!(response.status, 206, "{field}");
        assert_eq!(response.field("content-range"), None);
        // Boundaries used to be counted on from one known to every client, so that an object could
        // hold the next ones. None holds its own hash.
        let media_type = response.field("content-type").unwrap();
        let hash = path.strip_prefix("/o/b3:").unwrap();
        assert_eq!(media_type, format!("multipart/byteranges; boundary={hash}"));
        let expected: Vec<_> = ranges
            .into_iter()
            .map(|range| (range.clone(), bytes[range].to_vec()))
            .collect();
        assert!(parts(&response, size) == expected, "{field}");
    }
}

#[test]
fn many_overlapping_or_malformed_ranges_are_answered_whole() {
    let (node, path, bytes) = stored();
    let seventeen: Vec<String> = (0..17).map(|at| format!("{0}-{0}", 2 * at)).collect();
    for field in [
        format!("bytes={}", seventeen.join(",")),
        "bytes=0-5,5-9".to_owned(),
        "bytes=9-,-5000".to_owned(),
        "bytes=0-9,0-9".to_owned(),
        "bytes=5-3".to_owned(),
        "bytes=a-".to_owned(),
        "bytes=-".to_owned(),
        "bytes".to_owned(),
        "items=0-5".to_owned(),
        "bytes=0-5;6-7".to_owned(),
    ] {
        let response = node.get(&path, &[("range", &field)]);
        assert_eq!(response.status, 200, "{field}");
        assert!(response.body == bytes, "{field}");
    }
    let twice = [("range", "bytes=0-1"), ("range", "bytes=4-5")];
    assert_eq!(node.get(&path, &twice).status, 200);
}

#[test]
fn a_range_is_for_get_only() {
    let (node, path, bytes) = stored();
    let response = node.head(&path, &[("range", "bytes=0-5")]);
    assert_eq!(response.status, 200);
    assert_eq!(
        response.field("content-length").unwrap(),
        bytes.len().to_string()
    );
    assert_eq!(
        node.head(&path, &[("range", "bytes=999999999-")]).status,
        200
    );
}

#[test]
fn a_copy_that_is_current_is_not_sent_again() {
    let (node, path, bytes) = stored();
    let etag = format!("\"{}\"", address(&bytes));
    let weak = format!("W/{etag}");
    let listed = format!("\"x\", {etag}");
    let mut connection = node.connect();
    for value in [etag.as_str(), &weak, &listed, "*"] {
        for method in ["GET", "HEAD"] {
            let fields = [("if-none-match", value), ("range", "bytes=0-1")];
            let response = connection.request(method, &path, &fields, b"");
            assert_eq!(response.status, 304, "{value}");
            assert_eq!(response.field("etag"), Some(etag.as_str()));
            assert!(response.field("cache-control").is_some());
            assert_eq!(response.field("content-type"), None);
        }
    }
    // The connection is still in step: no body followed any 304.
    let response = connection.request("GET", &path, &[("if-none-match", "\"x\"")], b"");
    assert_eq!(response.status, 200);
    let modified = response.field("last-modified").unwrap().to_owned();
    let fields = [("if-modified-since", modified.as_str())];
    assert_eq!(connection.request("GET", &path, &fields, b"").status, 304);
    let fields = [
        ("if-modified-since", modified.as_str()),
        ("if-none-match", "\"x\""),
    ];
    assert_eq!(connection.request("GET", &path, &fields, b"").status, 200);
}

#[test]
fn a_precondition_that_fails_is_412() {
    let (node, path, bytes) = stored();
    let etag = format!("\"{}\"", address(&bytes));
    let long_ago = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (name, value, status) in [
        ("if-match", etag.as_str(), 200),
        ("if-match", "*", 200),
        ("if-match", "\"x\"", 412),
        ("if-match", &format!("W/{etag}"), 412),
        ("if-unmodified-since", long_ago, 412),
    ] {
        let response = node.get(&path, &[(name, value)]);
        assert_eq!(response.status, status, "{name}: {value}");
        if status == 412 {
            response.assert_problem("precondition_failed");
        }
    }
}

#[test]
fn if_range_serves_the_range_only_of_what_it_names() {
    let (node, path, bytes) = stored();
    let etag = format!("\"{}\"", address(&bytes));
    let modified = node
        .head(&path, &[])
        .field("last-modified")
        .unwrap()
        .to_owned();
    for (validator, status) in [
        (etag.as_str(), 206),
        (&modified, 206),
        ("\"x\"", 200),
        (&format!("W/{etag}"), 200),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 200),
    ] {
        let fields = [("if-range", validator), ("range", "bytes=1-2")];
        let response = node.get(&path, &fields);
        assert_eq!(response.status, status, "{validator}");
        let expected = if status == 206 { &bytes[1..3] } else { &bytes };
        assert!(response.body == expected, "{validator}");
    }
}
