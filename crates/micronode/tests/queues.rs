//! Queues over HTTP: what is sent is received, settled, and counted, within every bound.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{Node, Response};

fn send(node: &Node, queue: &str, body: &[u8], fields: &[(&str, &str)]) -> Response {
    node.request("POST", &format!("/mbox/{queue}/send"), fields, body)
}

#[track_caller]
fn sent(node: &Node, queue: &str, body: &[u8], fields: &[(&str, &str)]) -> String {
    let sent = send(node, queue, body, fields);
    assert_eq!(sent.status, 201, "{}", sent.text());
    assert_eq!(sent.json()["duplicate"], json!(false));
    sent.json()["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn receive(node: &Node, queue: &str, query: &str) -> Vec<Value> {
    let path = format!("/mbox/{queue}/recv?{query}");
    let received = node.request("POST", &path, &[], b"");
    assert_eq!(received.status, 200, "{}", received.text());
    received.json()["messages"].as_array().unwrap().clone()
}

#[track_caller]
fn settle(node: &Node, queue: &str, verb: &str, body: &Value) -> Vec<(String, String)> {
    let path = format!("/mbox/{queue}/{verb}");
    let settled = node.request("POST", &path, &[], body.to_string().as_bytes());
    assert_eq!(settled.status, 200, "{}", settled.text());
    let results = settled.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let results = results["results"].as_array().unwrap().iter();
    results
        .map(|result| (text(&result["receipt"]), text(&result["code"])))
        .collect()
}

/// The verdict on one receipt.
#[track_caller]
fn code(node: &Node, queue: &str, verb: &str, receipt: &Value, more: &Value) -> String {
    let mut body = json!({ "receipts": [receipt] });
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    let results = settle(node, queue, verb, &body);
    assert_eq!((results.len(), json!(results[0].0)), (1, receipt.clone()));
    results[0].1.clone()
}

#[track_caller]
fn assert_stats(node: &Node, queue: &str, expected: [u64; 5]) {
    let stats = node.get(&format!("/mbox/{queue}"), &[]);
    assert_eq!(stats.status, 200);
    let [ready, leased, delayed, dead, bytes] = expected;
    let expected = json!({
        "ready": ready, "leased": leased, "delayed": delayed, "dead": dead, "bytes": bytes,
    });
    assert_eq!(stats.json(), expected);
}

#[test]
fn what_is_sent_is_received_and_acknowledged() {
    let node = Node::start();
    assert_eq!(node.get("/mbox/jobs", &[]).status, 404);
    assert_eq!(receive(&node, "jobs", "max=10"), Vec::<Value>::new());
    assert_eq!(
        node.get("/mbox/jobs", &[]).status,
        404,
        "nobody has sent to it"
    );
    let ids = [b"one".as_slice(), b"\x00\xff", b""].map(|body| sent(&node, "jobs", body, &[]));
    assert_stats(&node, "jobs", [3, 0, 0, 0, 5]);

    let messages = receive(&node, "jobs", "max=10&visibility=1m");
    assert_eq!(messages.len(), 3);
    for ((message, id), body) in messages.iter().zip(&ids).zip(["b25l", "AP8=", ""]) {
        let keys: Vec<&String> = message.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["attempt", "body", "enqueued_at", "id", "receipt"]);
        assert_eq!(message["id"], json!(id));
        assert_eq!(
            (&message["body"], &message["attempt"]),
            (&json!(body), &json!(1))
        );
        let receipt = message["receipt"].as_str().unwrap();
        let urlsafe = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
        assert!(
            receipt.len() <= 64 && receipt.chars().all(urlsafe),
            "{receipt}"
        );
    }
    assert_stats(&node, "jobs", [0, 3, 0, 0, 5]);
    let receipts: Vec<&Value> = messages.iter().map(|message| &message["receipt"]).collect();
    let asked = json!({ "receipts": [receipts[2], receipts[0], "nonsense", receipts[0]] });
    let codes: Vec<String> = settle(&node, "jobs", "ack", &asked)
        .into_iter()
        .map(|(_, code)| code)
        .collect();
    assert_eq!(codes[..3], ["ok", "ok", "unknown"]);
    assert_ne!(codes[3], "ok", "twice");
    assert_ne!(code(&node, "others", "ack", receipts[1], &json!({})), "ok");
    assert_stats(&node, "jobs", [0, 1, 0, 0, 2]);

    // Without the JSON around it.
    sent(&node, "jobs", b"raw \xff", &[]);
    let accept = [("accept", "application/octet-stream")];
    let raw = node.request("POST", "/mbox/jobs/recv?max=9", &accept, b"");
    assert_eq!((raw.status, &*raw.body), (200, b"raw \xff".as_slice()));
    assert_eq!(raw.field("attempt"), Some("1"));
    assert!(raw.field("message-id").is_some());
    let receipt = json!(raw.field("receipt").unwrap());
    assert_eq!(code(&node, "jobs", "ack", &receipt, &json!({})), "ok");
    let none = node.request("POST", "/mbox/jobs/recv", &accept, b"");
    assert_eq!(none.status, 204);
    let removed = node.request("DELETE", "/mbox/jobs", &[], b"");
    assert_eq!(
        (removed.status, removed.json()),
        (200, json!({ "removed": 1 }))
    );
    assert_stats(&node, "jobs", [0, 0, 0, 0, 0]);
}

#[test]
fn a_lease_ends_is_given_back_or_goes_on() {
    let node = Node::start();
    let id = sent(&node, "q", b"x", &[]);
    let first = receive(&node, "q", "visibility=200ms");
    let receipt = &first[0]["receipt"];
    let more = json!({ "visibility": "10m" });
    assert_eq!(code(&node, "q", "extend", receipt, &more), "ok");
    std::thread::sleep(Duration::from_millis(300));
    assert!(receive(&node, "q", "").is_empty(), "it was extended");
    assert_eq!(
        code(&node, "q", "nack", receipt, &json!({ "delay": "300ms" })),
        "ok"
    );
    assert_stats(&node, "q", [0, 0, 1, 0, 1]);
    assert_eq!(code(&node, "q", "ack", receipt, &json!({})), "late");
    let began = Instant::now();
    let second = receive(&node, "q", "wait=4s&visibility=100ms");
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        (&second[0]["id"], &second[0]["attempt"]),
        (&json!(id), &json!(2))
    );
    // It runs out.
    let third = receive(&node, "q", "wait=4s");
    assert_eq!(
        (&third[0]["id"], &third[0]["attempt"]),
        (&json!(id), &json!(3))
    );
    assert_eq!(
        code(&node, "q", "ack", &second[0]["receipt"], &json!({})),
        "late"
    );
    assert_eq!(
        code(&node, "q", "extend", &second[0]["receipt"], &more),
        "late"
    );
    assert_eq!(
        code(&node, "q", "ack", &third[0]["receipt"], &json!({})),
        "ok"
    );
    assert_stats(&node, "q", [0, 0, 0, 0, 0]);
}

#[test]
fn a_delayed_message_comes_later() {
    let node = Node::start();
    let began = Instant::now();
    sent(&node, "q", b"late", &[("delay", "700ms")]);
    sent(&node, "q", b"soon", &[]);
    assert_stats(&node, "q", [1, 0, 1, 0, 8]);
    assert_eq!(receive(&node, "q", "max=2").len(), 1);
    let late = receive(&node, "q", "wait=4s");
    assert_eq!(late[0]["body"], json!("bGF0ZQ=="));
    assert!(began.elapsed() >= Duration::from_millis(700));
}

#[test]
fn what_fails_too_often_is_a_dead_letter() {
    let node = Node::start();
    let ids = [
        sent(&node, "q", b"bad", &[]),
        sent(&node, "q", b"worse", &[]),
    ];
    for attempt in 1..=5 {
        let messages = receive(&node, "q", "max=2");
        assert_eq!(messages.len(), 2, "attempt {attempt}");
        for message in messages {
            assert_eq!(message["attempt"], json!(attempt));
            assert_eq!(
                code(&node, "q", "nack", &message["receipt"], &json!({})),
                "ok"
            );
        }
    }
    assert_stats(&node, "q", [0, 0, 0, 2, 8]);
    assert_stats(&node, "q.dlq", [2, 0, 0, 0, 8]);
    send(&node, "q.dlq", b"x", &[]).assert_problem("bad_name");
    send(&node, "q.dlq.dlq", b"x", &[]).assert_problem("bad_name");

    // No limit on deliveries here, and what happened before is known.
    for _ in 0..7 {
        let dead = receive(&node, "q.dlq", "max=1&visibility=10m");
        assert_eq!(dead[0]["id"], json!(ids[0]));
        let history = dead[0]["history"].as_array().unwrap();
        assert!(history.len() >= 5);
        for past in &history[..5] {
            assert_eq!(past["end"], json!("nacked"));
            assert!(past["leased_at"].as_str() <= past["ended_at"].as_str());
        }
        assert_eq!(
            code(&node, "q.dlq", "nack", &dead[0]["receipt"], &json!({})),
            "ok"
        );
    }
    let redrive = |query: &str| {
        let path = format!("/mbox/q/redrive{query}");
        node.request("POST", &path, &[], b"").json()
    };
    assert_eq!(redrive("?limit=1"), json!({ "moved": 1, "left": 1 }));
    let first = receive(&node, "q", "");
    assert_eq!(
        (&first[0]["id"], &first[0]["attempt"]),
        (&json!(ids[0]), &json!(1))
    );
    assert_eq!(redrive(""), json!({ "moved": 1, "left": 0 }));
    assert_eq!(receive(&node, "q", "")[0]["id"], json!(ids[1]));
    assert_stats(&node, "q", [0, 2, 0, 0, 8]);
    let missing = node.request("POST", "/mbox/none/redrive", &[], b"");
    missing.assert_problem("not_found");
    let dead = node.request("POST", "/mbox/q.dlq/redrive", &[], b"");
    dead.assert_problem("bad_name");
}

/// However many send at once, with one key there is one message.
#[test]
fn a_key_makes_one_message_of_many() {
    let node = Node::start();
    let key = [("idempotency-key", "order-7")];
    let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..50)
            .map(|_| scope.spawn(|| send(&node, "q", b"pay", &key)))
            .collect();
        senders
            .into_iter()
            .map(|sender| sender.join().unwrap())
            .map(|response| (response.status, response.json()))
            .collect()
    });
    let ids: std::collections::BTreeSet<&str> = answers
        .iter()
        .map(|(_, body)| body["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 1);
    let first = answers
        .iter()
        .filter(|(status, body)| *status == 201 && body["duplicate"] == false);
    assert_eq!(first.count(), 1);
    let others = answers
        .iter()
        .filter(|(status, body)| *status == 200 && body["duplicate"] == true);
    assert_eq!(others.count(), 49);
    assert_stats(&node, "q", [1, 0, 0, 0, 3]);
    send(&node, "q", b"pay more", &key).assert_problem("idempotency_mismatch");
    // It is remembered when the message is gone, and is nothing to another queue.
    let receipt = receive(&node, "q", "")[0]["receipt"].clone();
    assert_eq!(code(&node, "q", "ack", &receipt, &json!({})), "ok");
    assert_eq!(send(&node, "q", b"pay", &key).status, 200);
    assert_eq!(send(&node, "other", b"pay more", &key).status, 201);
    let longest = "k".repeat(255);
    assert_eq!(
        send(&node, "q", b"x", &[("idempotency-key", &longest)]).status,
        201
    );
    for wrong in ["", &"k".repeat(256)] {
        let refused = send(&node, "q", b"x", &[("idempotency-key", wrong)]);
        refused.assert_problem("bad_request");
    }
}

/// While they wait, others are served: there are more who wait than there are places.
#[test]
fn a_long_poll_waits_as_long_as_it_was_asked_to() {
    const PLACES: usize = 8;
    const WAITING: usize = 24;
    let node = Node::with(&["--rps", "0", "--in-flight", &PLACES.to_string()]);
    let wait = |query: &str| {
        let path = format!("/mbox/q/recv?{query}");
        loop {
            let began = Instant::now();
            let received = node.request("POST", &path, &[], b"");
            // They come at once, and for a moment each has a place.
            if received.status == 200 {
                let count = received.json()["messages"].as_array().unwrap().len();
                return (count, began.elapsed());
            }
            received.assert_problem("overloaded");
        }
    };
    let (count, passed) = wait("wait=300ms");
    assert_eq!(count, 0);
    assert!((300..2000).contains(&passed.as_millis()), "{passed:?}");
    // Longer ones are cut.
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| scope.spawn(|| wait("wait=1h")))
            .collect();
        std::thread::sleep(Duration::from_millis(1500));
        let sample = "inflight_requests{route=\"/mbox/{queue}/recv\"}";
        assert_eq!(node.metric(sample), Some(0.0));
        sent(&node, "q", b"x", &[]);
        let counts: Vec<(usize, Duration)> = waiting
            .into_iter()
            .map(|waiting| waiting.join().unwrap())
            .collect();
        assert_eq!(counts.iter().map(|(count, _)| count).sum::<usize>(), 1);
        for (count, passed) in counts {
            if count == 0 {
                assert!((3900..6000).contains(&passed.as_millis()), "{passed:?}");
            }
        }
    });
}

#[test]
fn what_is_wrong_with_a_request_is_told() {
    let node = Node::start();
    for queue in ["", "A", "a%20b", &"q".repeat(81), ".dlq"] {
        send(&node, queue, b"x", &[]).assert_problem("bad_name");
    }
    assert_eq!(send(&node, &"q".repeat(80), b"x", &[]).status, 201);
    let dead = node.get(&format!("/mbox/{}.dlq", "q".repeat(80)), &[]);
    assert_eq!(dead.status, 200);
    for query in [
        "max=0",
        "max=257",
        "wait=5",
        "visibility=0s",
        "visibility=13h",
        "visibilty=1s",
        "max=1&max=1",
    ] {
        let path = format!("/mbox/q/recv?{query}");
        node.request("POST", &path, &[], b"")
            .assert_problem("bad_request");
    }
    for (verb, body) in [
        ("ack", r#"{"receipts":"x"}"#),
        ("ack", r#"{"receipts":[],"more":1}"#),
        ("ack", "[]"),
        ("nack", r#"{"receipts":[],"delay":5}"#),
        ("nack", r#"{"receipts":[],"delay":"8d"}"#),
        ("extend", r#"{"receipts":[]}"#),
        ("extend", r#"{"receipts":[],"visibility":"13h"}"#),
    ] {
        let path = format!("/mbox/q/{verb}");
        let refused = node.request("POST", &path, &[], body.as_bytes());
        refused.assert_problem("bad_request");
    }
    let most = json!({ "receipts": vec!["r"; 256] });
    assert_eq!(settle(&node, "q", "ack", &most).len(), 256);
    let over = json!({ "receipts": vec!["r"; 257] }).to_string();
    node.request("POST", "/mbox/q/ack", &[], over.as_bytes())
        .assert_problem("bad_request");
    for delay in ["5", "8d", "-1s"] {
        send(&node, "q", b"x", &[("delay", delay)]).assert_problem("bad_request");
    }
    assert_eq!(send(&node, "q", &vec![0; 256 * 1024], &[]).status, 201);
    send(&node, "q", &vec![0; 256 * 1024 + 1], &[]).assert_problem("body_too_large");
}

/// At a bound sending is refused and nothing grows; receiving and acknowledging go on.
#[test]
fn a_full_queue_refuses_and_still_serves() {
    let limits = [
        ("mailbox.max_messages", "100"),
        ("mailbox.max_bytes", "1MiB"),
    ];
    let node = Node::with_limits(&limits, &["--memory", "64MiB"]);
    let mut connection = node.connect();
    let mut send = |queue: &str, body: &[u8]| {
        connection.request("POST", &format!("/mbox/{queue}/send"), &[], body)
    };
    for _ in 0..100 {
        assert_eq!(send("few", b"x").status, 201);
    }
    for _ in 0..1000 {
        send("few", b"x").assert_problem("quota_exceeded");
    }
    // Four would be exactly the bound, if a message cost nothing but its bytes.
    let large = vec![0; 256 * 1024];
    let stored = (0..4)
        .filter(|_| send("large", &large).status == 201)
        .count();
    assert!((3..=4).contains(&stored), "{stored}");
    let before = node.memory_of("messages");
    let refused = send("large", &large);
    refused.assert_problem("quota_exceeded");
    assert!(refused.field("retry-after").is_some());
    assert_eq!(node.memory_of("messages"), before);
    for queue in ["few", "large"] {
        let message = &receive(&node, queue, "")[0];
        assert_eq!(
            code(&node, queue, "ack", &message["receipt"], &json!({})),
            "ok"
        );
    }
    assert_eq!(send("few", b"x").status, 201);
    assert_eq!(send("large", &large).status, 201);
    for queue in ["few", "large"] {
        let purged = node.request("DELETE", &format!("/mbox/{queue}"), &[], b"");
        assert_eq!(purged.status, 200);
    }
    support::wait_until("its memory back", || {
        node.memory_of("messages") < 200 * 1024
    });
}

/// The wait of a receive has a time of its own: a shorter deadline of requests made each of them
/// that found nothing an error.
#[test]
fn a_receive_may_wait_longer_than_a_request_may_take() {
    let node = Node::with_limits(&[("request_deadline", "1s")], &[]);
    let began = Instant::now();
    assert!(receive(&node, "jobs", "wait=2s").is_empty());
    assert!(began.elapsed() >= Duration::from_secs(2));
}
