//! Leases and delays end when their time is over, whoever looks.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use serde_json::Value;
use std::time::{Duration, Instant};
use support::{Node, wait_until};

fn send(node: &Node, fields: &[(&str, &str)]) {
    let sent = node.request("POST", "/mbox/q/send", fields, b"x");
    assert_eq!(sent.status, 201, "{}", sent.text());
}

/// The messages that a receive brings.
fn receive(node: &Node, query: &str) -> Vec<Value> {
    let path = format!("/mbox/q/recv?{query}");
    let received = node.request("POST", &path, &[], b"");
    assert_eq!(received.status, 200, "{}", received.text());
    received.json()["messages"].as_array().unwrap().clone()
}

/// A connection is looked after once in a while anyway, so that being woken late by a second is no
/// sign of the task: the middle of several is soon.
#[test]
fn who_waits_is_woken_when_a_lease_runs_out_and_when_a_delay_does() {
    const ROUNDS: usize = 5;
    let node = Node::start();
    let time = Duration::from_millis(300);
    for (fields, attempt) in [(&[][..], 2), (&[("delay", "300ms")], 1)] {
        let mut late: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                let begun = Instant::now();
                send(&node, fields);
                if attempt > 1 {
                    assert_eq!(receive(&node, "visibility=300ms").len(), 1);
                }
                let messages = receive(&node, "wait=4s");
                let took = begun.elapsed();
                assert_eq!(messages.len(), 1, "after {took:?}");
                assert_eq!(messages[0]["attempt"], attempt);
                took.checked_sub(time).expect("not before its time")
            })
            .collect();
        late.sort_unstable();
        assert!(late[ROUNDS / 2] < Duration::from_millis(150), "{late:?}");
    }
    let timeouts = node.metric("mailbox_visibility_timeout_total");
    assert_eq!(timeouts, Some(ROUNDS as f64));
}

/// Nobody but the task looks at the queue here.
#[test]
fn a_task_that_panics_is_restarted_and_leases_still_run_out() {
    let node = Node::start();
    let restarts = || node.metric("service_restarts_total{task=\"mailbox\"}");
    assert_eq!(restarts(), Some(0.0));
    let fault = node.ask("POST", "/fault/sweeper?panics=6");
    assert_eq!(fault.status, 200, "{}", fault.text());
    send(&node, &[]);
    assert_eq!(receive(&node, "visibility=100ms").len(), 1);
    wait_until("six restarts", || restarts() == Some(6.0));
    wait_until("the lease running out", || {
        node.metric("mailbox_visibility_timeout_total") == Some(1.0)
    });
    assert_eq!(restarts(), Some(6.0), "and no more of them");
    wait_until("readiness to tell", || {
        node.ask("GET", "/readyz").json()["missing"] == serde_json::json!(["restarts"])
    });
    let messages = receive(&node, "wait=4s");
    assert_eq!(messages[0]["attempt"], 2);
}
