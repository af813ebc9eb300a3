//! Reading, describing and deleting objects, and asking which are there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use micronode_protocol::{Address, Manifest};
use serde_json::{Value, json};
use std::time::SystemTime;
use support::{Node, Response, address, object};

const GROUP: usize = 64 * 1024;

#[test]
fn a_read_says_all_that_a_cache_and_a_browser_must_know() {
    let node = Node::start();
    let bytes = object(GROUP + 10);
    let path = node.store(&bytes);
    let response = node.get(&path, &[]);
    assert_eq!(
        (response.version.as_str(), response.status),
        ("HTTP/1.1", 200)
    );
    assert!(response.body == bytes);
    let etag = format!("\"{}\"", address(&bytes));
    let length = bytes.len().to_string();
    for (name, value) in [
        ("etag", etag.as_str()),
        ("content-length", &length),
        ("content-type", "application/octet-stream"),
        ("accept-ranges", "bytes"),
        ("cache-control", "private, max-age=31536000, immutable"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(response.field(name), Some(value), "{name}");
    }
    let date = |name| time_of(response.field(name).unwrap());
    let (modified, now) = (date("last-modified"), date("date"));
    assert!(modified <= now);
    assert!(now.duration_since(modified).unwrap() < support::PATIENCE);
    assert!(response.field("x-corr-id").is_some());
}

/// An IMF-fixdate as a time.
fn time_of(date: &str) -> SystemTime {
    httpdate::parse_http_date(date).expect("a date of HTTP")
}

/// Fields that differ from response to response, whatever is asked.
fn lasting(response: &Response) -> Vec<(String, String)> {
    let passing = ["date", "x-corr-id"];
    let mut fields = response.fields.clone();
    fields.retain(|(name, _)| !passing.contains(&name.as_str()));
    fields.sort();
    fields
}

#[test]
fn head_answers_as_get_would_without_the_bytes() {
    let node = Node::start();
    let mut paths = vec!["/openapi.json".to_owned()];
    for size in [0, 5, 3 * GROUP] {
        let path = node.store(&object(size));
        paths.push(format!("{path}/manifest"));
        paths.push(path);
    }
    let mut connection = node.connect();
    for path in paths {
        // On one connection: a body after the head would be taken for the next response.
        let head = connection.request("HEAD", &path, &[], b"");
        let get = connection.request("GET", &path, &[], b"");
        assert_eq!((head.status, get.status), (200, 200));
        assert_eq!(lasting(&head), lasting(&get), "{path}");
    }
    let read = node.metric("chunks_read_total");
    node.head(&node.store(&object(2 * GROUP)), &[]);
    assert_eq!(node.metric("chunks_read_total"), read, "HEAD reads no byte");
}

#[test]
fn only_an_address_is_an_address() {
    let node = Node::start();
    node.store(b"x");
    let hex = blake3::hash(b"x").to_hex();
    for bad in [
        String::new(),
        "b3:".to_owned(),
        hex.to_string(),
        format!("b3{hex}"),
        format!("B3:{hex}"),
        format!("b3:{}", hex.to_uppercase()),
        format!("b3:{}", &hex[..63]),
        format!("b3:{hex}0"),
        format!("b3:{}g", &hex[..63]),
        format!("b3: {}", &hex[..63]).replace(' ', "%20"),
        format!("b3:{hex}%00"),
        format!("b3:{hex}%0a"),
        format!("b3%253A{hex}"),
        format!("b3:{hex}%"),
        format!("b2:{hex}"),
        format!("sha256:{hex}"),
        "..".to_owned(),
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let response = node.request(method, &format!("/o/{bad}"), &[], b"");
            assert_eq!(response.status, 400, "{method} {bad}");
            response.assert_problem("bad_address");
        }
        assert_eq!(node.head(&format!("/o/{bad}"), &[]).status, 400, "{bad}");
        node.get(&format!("/o/{bad}/manifest"), &[])
            .assert_problem("bad_address");
    }
    for good in [
        format!("b3:{hex}"),
        format!("b3%3A{hex}"),
        format!("b3%3a{hex}"),
    ] {
        assert_eq!(node.get(&format!("/o/{good}"), &[]).body, b"x");
        let manifest = node.get(&format!("/o/{good}/manifest"), &[]);
        assert_eq!(manifest.status, 200);
    }
}

#[test]
fn what_is_not_there_is_404_for_every_method() {
    let node = Node::start();
    let path = format!("/o/{}", address(b"nothing"));
    for method in ["GET", "DELETE"] {
        node.request(method, &path, &[], b"")
            .assert_problem("not_found");
    }
    node.get(&format!("{path}/manifest"), &[])
        .assert_problem("not_found");
    assert_eq!(node.head(&path, &[]).status, 404);
}

#[test]
fn a_manifest_verifies_the_object_that_it_describes() {
    let node = Node::start();
    for size in [0, 1, GROUP, GROUP + 1, 3 * GROUP, 5 * GROUP + 7] {
        let bytes = object(size);
        let path = node.store(&bytes);
        let response = node.get(&format!("{path}/manifest"), &[]);
        assert_eq!(
            response.field("content-type"),
            Some("application/vnd.micronode.manifest")
        );
        let values = if size <= GROUP {
            0
        } else {
            size.div_ceil(GROUP)
        };
        assert_eq!(response.body.len(), 4 + 8 + 32 * values);
        let manifest = Manifest::decode(&response.body).unwrap();
        let manifest = manifest.validate(Address::of(&bytes)).unwrap();
        for (index, group) in bytes.chunks(GROUP).enumerate() {
            assert!(manifest.verify_group(index as u64, group).is_ok());
        }
    }
}

#[test]
fn a_deleted_object_is_gone_and_its_memory_comes_back() {
    let node = Node::start();
    let path = node.store(&object(5 * GROUP));
    let response = node.request("DELETE", &path, &[], b"");
    assert_eq!((response.status, response.body.len()), (204, 0));
    node.get(&path, &[]).assert_problem("not_found");
    node.request("DELETE", &path, &[], b"")
        .assert_problem("not_found");
    node.wait_until_empty();
}

#[test]
fn an_object_without_bytes_is_an_object() {
    let node = Node::start();
    let path = node.store(b"");
    assert_eq!(
        path,
        "/o/b3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    );
    let response = node.get(&path, &[]);
    assert_eq!(
        (response.status, response.field("content-length")),
        (200, Some("0"))
    );
    let range = node.get(&path, &[("range", "bytes=0-")]);
    range.assert_problem("range_unsatisfiable");
    assert_eq!(range.field("content-range"), Some("bytes */0"));
    assert_eq!(node.request("DELETE", &path, &[], b"").status, 204);
}

#[test]
fn has_answers_in_the_order_of_the_question() {
    let node = Node::start();
    node.store(b"a");
    node.store(b"b");
    let has =
        |addresses: &Value| node.request("POST", "/has", &[], addresses.to_string().as_bytes());
    let (a, b, absent) = (address(b"a"), address(b"b"), address(b"absent"));
    let response = has(&json!([a, absent, b, a]));
    assert_eq!(response.field("content-type"), Some("application/json"));
    assert_eq!(
        (response.status, response.json()),
        (200, json!([true, false, true, true]))
    );
    assert_eq!(has(&json!([])).json(), json!([]));

    assert_eq!(
        has(&json!(vec![&absent; 4096])).json(),
        json!(vec![false; 4096])
    );
    has(&json!(vec![&absent; 4097])).assert_problem("bad_request");
    has(&json!([a, "b3:xyz"])).assert_problem("bad_address");
    has(&json!([a.to_uppercase()])).assert_problem("bad_address");
    for bad in [
        json!({}),
        json!("x"),
        json!([1]),
        json!([null]),
        json!([[a]]),
    ] {
        has(&bad).assert_problem("bad_request");
    }
    for bad in ["", "[", "[\"b3:", "\u{feff}[]", "[] []"] {
        node.request("POST", "/has", &[], bad.as_bytes())
            .assert_problem("bad_request");
    }
}

#[test]
fn an_echo_is_what_was_sent() {
    let node = Node::start();
    for size in [0, 1, GROUP + 1, 1024 * 1024] {
        let bytes = object(size);
        let response = node.request("POST", "/echo", &[("content-type", "a/b")], &bytes);
        assert_eq!(
            (response.status, response.field("content-type")),
            (200, Some("a/b"))
        );
        assert!(response.body == bytes, "{size}");
    }
    node.request("POST", "/echo", &[], &object(1024 * 1024 + 1))
        .assert_problem("body_too_large");
    let endless = support::chunked(&object(1024 * 1024 + 1), GROUP);
    node.request(
        "POST",
        "/echo",
        &[("transfer-encoding", "chunked")],
        &endless,
    )
    .assert_problem("body_too_large");
    node.wait_until_empty();
}
