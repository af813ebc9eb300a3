//! Messages: acknowledged, dead and purged, over both protocols.

use crate::canary::{Canary, node};
use crate::support::Node;
use crate::support::oap::{ACK, RECEIVE, SEND, receive, send, settle};
use serde_json::{Value, json};

fn sent(node: &Node, canary: &Canary, fields: &[(&str, &str)]) {
    let sent = node.request("POST", "/mbox/jobs/send", fields, &canary.bytes);
    assert_eq!(sent.status, 201, "{}", sent.text());
}

fn receipt(node: &Node, queue: &str) -> Value {
    let path = format!("/mbox/{queue}/recv");
    let received = node.request("POST", &path, &[], b"");
    received.json()["messages"][0]["receipt"].clone()
}

fn settled(node: &Node, queue: &str, verb: &str, receipt: &Value) {
    let body = json!({ "receipts": [receipt] }).to_string();
    let path = format!("/mbox/{queue}/{verb}");
    let answer = node.request("POST", &path, &[], body.as_bytes());
    assert_eq!(answer.json()["results"][0]["code"], "ok");
}

#[test]
fn what_is_acknowledged_is_gone() {
    let node = node(&[]);
    let canary = Canary::new();
    sent(&node, &canary, &[]);
    let receipt = receipt(&node, "jobs");
    canary.check("acknowledged", &node, || {
        settled(&node, "jobs", "ack", &receipt);
    });
}

#[test]
fn what_is_acknowledged_over_oap_is_gone() {
    let node = node(&[]);
    let canary = Canary::new();
    let mut client = node.greet();
    let message = send("jobs", "key", 0, &canary.bytes);
    assert_eq!(client.call(SEND, &message).status(), 201);
    let taken = client
        .call(RECEIVE, &receive("jobs", 1, 0, 60_000))
        .deliveries();
    assert!(taken[0].body == canary.bytes);
    canary.check("acknowledged over OAP", &node, || {
        let ack = settle("jobs", None, &[&taken[0].receipt]);
        assert_eq!(client.call(ACK, &ack).status(), 200);
        drop(client);
    });
}

#[test]
fn what_is_purged_is_gone() {
    let node = node(&[]);
    let canary = Canary::new();
    sent(&node, &canary, &[("delay", "1h")]);
    sent(&node, &canary, &[]);
    canary.check("purged", &node, || {
        let purged = node.request("DELETE", "/mbox/jobs", &[], b"");
        assert_eq!(purged.json(), json!({ "removed": 2 }));
    });
}

#[test]
fn dead_letters_are_gone_when_they_are_purged() {
    let node = Node::with_limits(&[("mailbox.max_deliveries", "1")], &[]);
    let canary = Canary::new();
    sent(&node, &canary, &[]);
    let receipt = receipt(&node, "jobs");
    settled(&node, "jobs", "nack", &receipt);
    assert_eq!(node.get("/mbox/jobs", &[]).json()["dead"], 1);
    canary.check("dead", &node, || {
        let purged = node.request("DELETE", "/mbox/jobs.dlq", &[], b"");
        assert_eq!(purged.json(), json!({ "removed": 1 }));
    });
}
