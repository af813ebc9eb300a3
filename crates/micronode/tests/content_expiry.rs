//! `Expires-In`: how long an object stays, and what a second put does to that.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::{Duration, Instant};
use support::{Node, Response, address, wait_until};

fn put(node: &Node, expires_in: Option<&str>, body: &[u8]) -> Response {
    let field = expires_in.map(|value| ("expires-in", value));
    node.request("POST", "/put", field.as_slice(), body)
}

/// Seconds of `max-age` in `Cache-Control`, whose other parts are checked.
#[track_caller]
fn max_age(response: &Response) -> u64 {
    let field = response.field("cache-control").unwrap();
    let seconds = field.strip_prefix("private, max-age=").unwrap();
    seconds
        .strip_suffix(", immutable")
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn an_object_is_gone_when_its_time_is_over_and_not_before() {
    let node = Node::start();
    let path = format!("/o/{}", address(b"short"));
    let started = Instant::now();
    assert_eq!(put(&node, Some("1500ms"), b"short").status, 201);
    let response = node.get(&path, &[]);
    // On a machine that stood still for longer there is nothing to look at.
    if started.elapsed() < Duration::from_millis(1500) {
        assert_eq!(response.status, 200);
        assert!(max_age(&response) <= 1);
    }
    wait_until("the object to expire", || {
        node.get(&path, &[]).status == 404
    });
    assert!(started.elapsed() >= Duration::from_millis(1500));
    // Nobody has to ask for it: its memory comes back by itself.
    node.wait_until_empty();
    assert_eq!(
        node.metric("evictions_total{reason=\"expired\"}"),
        Some(1.0)
    );
    assert_eq!(put(&node, None, b"short").status, 201, "not there already");
}

#[test]
fn expires_at_is_a_time_of_rfc_3339() {
    let node = Node::start();
    let before = std::time::SystemTime::now();
    let answer = put(&node, Some("1h"), b"hour").json();
    let text = answer["expires_at"].as_str().unwrap();
    let expires_at = humantime::parse_rfc3339(text).expect("RFC 3339");
    let after = expires_at.duration_since(before).unwrap();
    let hour = Duration::from_secs(3600);
    assert!(
        after >= hour - Duration::from_millis(1) && after <= hour + support::PATIENCE,
        "{after:?}"
    );
    let left = max_age(&node.get(&format!("/o/{}", address(b"hour")), &[]));
    assert!((3600 - support::PATIENCE.as_secs()..=3600).contains(&left));
}

#[test]
fn without_a_time_an_object_stays_and_may_be_cached_for_a_year() {
    let node = Node::start();
    let answer = put(&node, None, b"stays");
    assert!(answer.json().get("expires_at").is_none());
    let path = answer.field("location").unwrap();
    assert_eq!(max_age(&node.get(path, &[])), 365 * 24 * 3600);
    let years = put(&node, Some("20000h"), b"years");
    let path = years.field("location").unwrap();
    assert_eq!(max_age(&node.get(path, &[])), 365 * 24 * 3600);
}

#[test]
fn a_second_put_keeps_the_later_expiry() {
    let node = Node::start();
    let expiry = |answer: &Response| answer.json().get("expires_at").map(ToString::to_string);
    let hour = expiry(&put(&node, Some("1h"), b"x"));
    assert!(hour.is_some());
    assert_eq!(expiry(&put(&node, Some("1m"), b"x")), hour, "not shortened");
    let day = expiry(&put(&node, Some("24h"), b"x"));
    assert!(day > hour, "lengthened");
    assert_eq!(expiry(&put(&node, None, b"x")), None, "never is the latest");
    assert_eq!(expiry(&put(&node, Some("48h"), b"x")), None);
    let path = format!("/o/{}", address(b"x"));
    assert_eq!(max_age(&node.get(&path, &[])), 365 * 24 * 3600);
}

#[test]
fn a_duration_has_a_number_and_a_unit() {
    let node = Node::start();
    for bad in [
        "30",
        "",
        "0s",
        "-1s",
        "1.5s",
        "30 s",
        "s",
        "1w",
        "1S",
        "1h30m",
        "9999999999999999999h",
    ] {
        put(&node, Some(bad), b"x").assert_problem("bad_request");
    }
    node.wait_until_empty();
    for good in ["300ms", "4s", "10m", "1h", "30d"] {
        assert!(matches!(put(&node, Some(good), b"x").status, 200 | 201));
    }
}
