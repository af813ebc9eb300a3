//! Configured routes put events into queues.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use std::time::Duration;
use support::{Node, Response, address, object, wait_until};

fn node(routes: &str, flags: &[(&str, &str)]) -> Node {
    let mut command = Node::command(&["--rps", "0"]);
    command.env("MICRO_ROUTES", routes);
    command.envs(flags.iter().copied());
    Node::spawn(command)
}

/// The next message of a queue as it is, if there is one.
fn take(node: &Node, queue: &str) -> Option<Response> {
    let path = format!("/mbox/{queue}/recv");
    let fields = [("accept", "application/octet-stream")];
    let response = node.request("POST", &path, &fields, b"");
    match response.status {
        204 => None,
        status => {
            assert_eq!(status, 200, "{}", response.text());
            Some(response)
        }
    }
}

fn readiness(node: &Node) -> Value {
    node.ask("GET", "/readyz").json()
}

/// How often readiness has changed.
fn transitions(node: &Node) -> f64 {
    let page = node.ask("GET", "/metrics");
    let samples = page.text().lines().filter_map(|line| {
        let (sample, value) = line.rsplit_once(' ')?;
        sample
            .starts_with("ready_transitions_total{")
            .then_some(value)
    });
    samples.map(|value| value.parse::<f64>().unwrap()).sum()
}

#[test]
fn a_consumer_finds_the_events_of_its_route_and_no_others() {
    let node = node(
        "name.set:tiles/:tiles-changed:,name.deleted:tiles/:tiles-changed:gone",
        &[],
    );
    let bytes = object(100);
    node.store(&bytes);
    let target = json!({"address": address(&bytes)}).to_string();
    for name in ["tiles", "tiles/7", "others/7"] {
        let set = node.request("PUT", &format!("/n/{name}"), &[], target.as_bytes());
        assert_eq!(set.status, 201, "{}", set.text());
    }
    let removed = node.request("DELETE", "/n/tiles/7", &[], b"");
    assert_eq!(removed.status, 204, "{}", removed.text());

    let mut set = take(&node, "tiles-changed").unwrap().json();
    assert!(set["at"].take().is_string());
    assert_eq!(
        set,
        json!({"type": "name.set", "at": null, "name": "tiles/7", "address": address(&bytes), "revision": 2})
    );
    let deleted = take(&node, "tiles-changed").unwrap().json();
    assert_eq!(
        (&deleted["type"], &deleted["name"]),
        (&json!("name.deleted"), &json!("tiles/7"))
    );
    assert!(take(&node, "tiles-changed").is_none());
    for route in ["tiles-changed", "gone"] {
        let sample = format!("route_dropped_total{{route=\"{route}\"}}");
        assert_eq!(node.metric(&sample), Some(0.0));
    }
}

/// What is published has happened, whether or not a queue has room for it.
#[test]
fn an_event_that_finds_its_queue_full_is_counted_and_told() {
    let one = [("MICRO_LIMITS__MAILBOX__MAX_MESSAGES", "1")];
    let node = node("object.put::puts:all-puts", &one);
    node.store(&object(1));
    assert_eq!(readiness(&node)["ready"], true);
    node.store(&object(2));
    assert_eq!(
        node.metric("route_dropped_total{route=\"all-puts\"}"),
        Some(1.0)
    );
    assert_eq!(
        node.metric("quota_exhaustions_total{quota=\"messages\"}"),
        Some(1.0)
    );
    wait_until("readiness to tell", || {
        readiness(&node)["missing"] == json!(["routes"])
    });
    assert_eq!(readiness(&node)["degraded"], true);

    // Reading from the queue is what helps, so it is not refused.
    let message = take(&node, "puts").unwrap();
    assert_eq!(message.json()["address"], address(&object(1)));
    let receipt = message.field("receipt").unwrap();
    let acks = json!({ "receipts": [receipt] }).to_string();
    let acked = node.request("POST", "/mbox/puts/ack", &[], acks.as_bytes());
    assert_eq!(acked.status, 200, "{}", acked.text());
    wait_until("readiness", || readiness(&node)["ready"] == true);
    node.store(&object(3));
    let message = take(&node, "puts").unwrap();
    assert_eq!(message.json()["address"], address(&object(3)));
}

/// A full queue that also takes events of health made the node degrade, which was one more event
/// without room, and so on until somebody read from the queue.
#[test]
fn health_that_finds_its_queue_full_is_no_reason_to_be_unwell() {
    let one = [("MICRO_LIMITS__MAILBOX__MAX_MESSAGES", "1")];
    let node = node("object.put::full:puts,health::full:health", &one);
    // That it is ready fills the queue.
    wait_until("the first event", || {
        node.get("/mbox/full", &[]).json()["ready"] == 1
    });
    let before = transitions(&node);
    node.store(&object(1));
    wait_until("readiness to tell", || {
        readiness(&node)["missing"] == json!(["routes"])
    });
    wait_until("readiness", || readiness(&node)["ready"] == true);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(transitions(&node), before + 2.0);
    for (route, dropped) in [("puts", 1.0), ("health", 2.0)] {
        let sample = format!("route_dropped_total{{route=\"{route}\"}}");
        assert_eq!(node.metric(&sample), Some(dropped), "{route}");
    }
    assert_eq!(readiness(&node)["ready"], true);
}
