//! Queues: sending, taking, settling, and what is refused.

use crate::answer::Shows::{Counts, Deliveries, Sent, Stats, Verdicts};
use crate::case::{SUCCESS, call, cases, post};
use crate::support::oap::{
    ACK, EXTEND, NACK, PURGE, RECEIVE, REDRIVE, Reply, SEND, STATS, receive, send, settle, str16,
};
use crate::support::{Response, object};
use crate::world::{MESSAGE, QUEUE, World};
use serde_json::json;

const KEY: (&str, &str) = ("idempotency-key", "once");
const MADE_UP: &str = "no-such-receipt";
const MINUTE_MS: u32 = 60_000;
const DAY_MS: u32 = 24 * 60 * MINUTE_MS;
const KIB: usize = 1024;

cases! {
    "send": usual, Sent => 201 SUCCESS,
        |it| http_send(it, QUEUE, &[], b"x"), |it| oap_send(it, QUEUE, "", 0, b"x");
    "send nothing": usual, Sent => 201 SUCCESS,
        |it| http_send(it, QUEUE, &[], b""), |it| oap_send(it, QUEUE, "", 0, b"");
    "send for later": usual, Sent => 201 SUCCESS,
        |it| http_send(it, QUEUE, &[("delay", "1m")], b"x"),
        |it| oap_send(it, QUEUE, "", MINUTE_MS, b"x");
    "send under a key": usual, Sent => 201 SUCCESS,
        |it| http_send(it, QUEUE, &[KEY], b"x"), |it| oap_send(it, QUEUE, KEY.1, 0, b"x");
    "send again under a key": usual, Sent => 200 SUCCESS,
        |it| {
            assert_eq!(http_send(it, QUEUE, &[KEY], b"x").status, 201);
            http_send(it, QUEUE, &[KEY], b"x")
        },
        |it| {
            assert_eq!(oap_send(it, QUEUE, KEY.1, 0, b"x").status(), 201);
            oap_send(it, QUEUE, KEY.1, 0, b"x")
        };
    "send again under a key over the other protocol": usual, Sent => 200 SUCCESS,
        |it| {
            assert_eq!(oap_send(it, QUEUE, KEY.1, 0, b"x").status(), 201);
            http_send(it, QUEUE, &[KEY], b"x")
        },
        |it| {
            assert_eq!(http_send(it, QUEUE, &[KEY], b"x").status, 201);
            oap_send(it, QUEUE, KEY.1, 0, b"x")
        };
    "send something else under a key": usual, Sent => 422 "idempotency_mismatch",
        |it| {
            assert_eq!(http_send(it, QUEUE, &[KEY], b"x").status, 201);
            http_send(it, QUEUE, &[KEY], b"y")
        },
        |it| {
            assert_eq!(oap_send(it, QUEUE, KEY.1, 0, b"x").status(), 201);
            oap_send(it, QUEUE, KEY.1, 0, b"y")
        };
    "send under the longest key": usual, Sent => 201 SUCCESS,
        |it| http_send(it, QUEUE, &[("idempotency-key", &"k".repeat(255))], b"x"),
        |it| oap_send(it, QUEUE, &"k".repeat(255), 0, b"x");
    "send under a key that is too long": usual, Sent => 400 "bad_request",
        |it| http_send(it, QUEUE, &[("idempotency-key", &"k".repeat(256))], b"x"),
        |it| oap_send(it, QUEUE, &"k".repeat(256), 0, b"x");
    "send for a time that is too far": usual, Sent => 400 "bad_request",
        |it| http_send(it, QUEUE, &[("delay", "8d")], b"x"),
        |it| oap_send(it, QUEUE, "", 8 * DAY_MS, b"x");
    "send to what is no queue": usual, Sent => 400 "bad_name",
        |it| http_send(it, "Upper", &[], b"x"), |it| oap_send(it, "Upper", "", 0, b"x");
    "send to the longest queue": usual, Sent => 201 SUCCESS,
        |it| http_send(it, &"q".repeat(80), &[], b"x"),
        |it| oap_send(it, &"q".repeat(80), "", 0, b"x");
    "send to a queue whose name is too long": usual, Sent => 400 "bad_name",
        |it| http_send(it, &"q".repeat(81), &[], b"x"),
        |it| oap_send(it, &"q".repeat(81), "", 0, b"x");
    "send to dead letters": usual, Sent => 400 "bad_name",
        |it| http_send(it, "jobs.dlq", &[], b"x"), |it| oap_send(it, "jobs.dlq", "", 0, b"x");
    "send the largest message": usual, Sent => 201 SUCCESS,
        |it| http_send(it, QUEUE, &[], &object(256 * KIB)),
        |it| oap_send(it, QUEUE, "", 0, &object(256 * KIB));
    "send a message that is too large": usual, Sent => 413 "body_too_large",
        |it| http_send(it, QUEUE, &[], &object(256 * KIB + 1)),
        |it| oap_send(it, QUEUE, "", 0, &object(256 * KIB + 1));

    "take one": queued, Deliveries => 200 SUCCESS,
        |it| http_receive(it, QUEUE, "max=1"), |it| oap_receive(it, QUEUE, 1, 0);
    "take all": queued, Deliveries => 200 SUCCESS,
        |it| http_receive(it, QUEUE, "max=100"), |it| oap_receive(it, QUEUE, 100, 0);
    "take what is not there": usual, Deliveries => 200 SUCCESS,
        |it| http_receive(it, QUEUE, "max=1"), |it| oap_receive(it, QUEUE, 1, 0);
    "wait for what does not come": usual, Deliveries => 200 SUCCESS,
        |it| http_receive(it, QUEUE, "max=1&wait=100ms"), |it| oap_receive(it, QUEUE, 1, 100);
    "wait for what comes": coming, Deliveries => 200 SUCCESS,
        |it| http_receive(it, QUEUE, "max=1&wait=4s"), |it| oap_receive(it, QUEUE, 1, 4000);
    "take dead letters": queued, Deliveries => 200 SUCCESS,
        |it| http_receive(it, "jobs.dlq", "max=1"), |it| oap_receive(it, "jobs.dlq", 1, 0);
    "take too many": queued, Deliveries => 400 "bad_request",
        |it| http_receive(it, QUEUE, "max=257"), |it| oap_receive(it, QUEUE, 257, 0);
    "take none": queued, Deliveries => 400 "bad_request",
        |it| http_receive(it, QUEUE, "max=0"), |it| oap_receive(it, QUEUE, 0, 0);
    "take for too long": queued, Deliveries => 400 "bad_request",
        |it| http_receive(it, QUEUE, "max=1&visibility=13h"),
        |it| call(it, RECEIVE, &receive(QUEUE, 1, 0, 13 * 60 * MINUTE_MS));
    "take from what is no queue": usual, Deliveries => 400 "bad_name",
        |it| http_receive(it, "Upper", "max=1"), |it| oap_receive(it, "Upper", 1, 0);

    "ack": queued, Verdicts => 200 SUCCESS,
        |it| http_settle(it, "ack", &json!({ "receipts": [http_taken(it), MADE_UP] })),
        |it| call(it, ACK, &settle(QUEUE, None, &[&*oap_taken(it), MADE_UP]));
    "ack twice": queued, Verdicts => 200 SUCCESS,
        |it| {
            let receipt = http_taken(it);
            http_settle(it, "ack", &json!({ "receipts": [receipt] }));
            http_settle(it, "ack", &json!({ "receipts": [receipt] }))
        },
        |it| {
            let receipt = oap_taken(it);
            call(it, ACK, &settle(QUEUE, None, &[&receipt]));
            call(it, ACK, &settle(QUEUE, None, &[&receipt]))
        };
    "give back": queued, Verdicts => 200 SUCCESS,
        |it| http_settle(it, "nack", &json!({ "receipts": [http_taken(it)], "delay": "1s" })),
        |it| call(it, NACK, &settle(QUEUE, Some(1000), &[oap_taken(it)]));
    "keep": queued, Verdicts => 200 SUCCESS,
        |it| http_settle(it, "extend", &json!({ "receipts": [http_taken(it)], "visibility": "1m" })),
        |it| call(it, EXTEND, &settle(QUEUE, Some(MINUTE_MS), &[oap_taken(it)]));
    "keep for too long": queued, Verdicts => 400 "bad_request",
        |it| http_settle(it, "extend", &json!({ "receipts": [MADE_UP], "visibility": "13h" })),
        |it| call(it, EXTEND, &settle(QUEUE, Some(13 * 60 * MINUTE_MS), &[MADE_UP]));
    "ack as many as there may be": queued, Verdicts => 200 SUCCESS,
        |it| http_settle(it, "ack", &json!({ "receipts": vec![MADE_UP; 256] })),
        |it| call(it, ACK, &settle(QUEUE, None, &[MADE_UP; 256]));
    "ack too many": queued, Verdicts => 400 "bad_request",
        |it| http_settle(it, "ack", &json!({ "receipts": vec![MADE_UP; 257] })),
        |it| call(it, ACK, &settle(QUEUE, None, &[MADE_UP; 257]));
    "ack to what is no queue": usual, Verdicts => 400 "bad_name",
        |it| post(it, "/mbox/Upper/ack", &[], br#"{"receipts":["x"]}"#),
        |it| call(it, ACK, &settle("Upper", None, &["x"]));

    "count": queued, Stats => 200 SUCCESS,
        |it| it.node.get("/mbox/jobs", &[]), |it| call(it, STATS, &str16(QUEUE));
    "count what is not there": usual, Stats => 404 "not_found",
        |it| it.node.get("/mbox/jobs", &[]), |it| call(it, STATS, &str16(QUEUE));
    "purge": queued, Counts(&[("removed", 8)]) => 200 SUCCESS,
        |it| it.node.request("DELETE", "/mbox/jobs", &[], b""),
        |it| call(it, PURGE, &str16(QUEUE));
    "purge what is not there": usual, Counts(&[]) => 404 "not_found",
        |it| it.node.request("DELETE", "/mbox/jobs", &[], b""),
        |it| call(it, PURGE, &str16(QUEUE));
    "redrive": queued, Counts(&[("moved", 4), ("left", 4)]) => 200 SUCCESS,
        |it| post(it, "/mbox/jobs/redrive", &[], b""), |it| oap_redrive(it, QUEUE);
    "redrive what is not there": usual, Counts(&[]) => 404 "not_found",
        |it| post(it, "/mbox/jobs/redrive", &[], b""), |it| oap_redrive(it, QUEUE);

    "send with everything taken": crowded, Sent => 503 "overloaded",
        |it| http_send(it, QUEUE, &[], b"x"), |it| oap_send(it, QUEUE, "", 0, b"x");
    "take with everything taken": crowded, Deliveries => 503 "overloaded",
        |it| http_receive(it, QUEUE, "max=1"), |it| oap_receive(it, QUEUE, 1, 0);
    "send to a full node": full, Sent => 503 "degraded",
        |it| http_send(it, QUEUE, &[], b"x"), |it| oap_send(it, QUEUE, "", 0, b"x");
    "take from a full node": full, Deliveries => 200 SUCCESS,
        |it| http_receive(it, QUEUE, "max=1"), |it| oap_receive(it, QUEUE, 1, 0);
    "send to a node that ends": draining, Sent => 503 "draining",
        |it| http_send(it, QUEUE, &[], b"x"), |it| oap_send(it, QUEUE, "", 0, b"x");
    "send one more than a queue may have": brimming, Sent => 429 "quota_exceeded",
        |it| http_send(it, QUEUE, &[], b"x"), |it| oap_send(it, QUEUE, "", 0, b"x");
}

// --- HTTP --------------------------------------------------------------------------------------

fn http_send(world: &World, queue: &str, fields: &[(&str, &str)], body: &[u8]) -> Response {
    post(world, &format!("/mbox/{queue}/send"), fields, body)
}

fn http_receive(world: &World, queue: &str, query: &str) -> Response {
    post(world, &format!("/mbox/{queue}/recv?{query}"), &[], b"")
}

fn http_settle(world: &World, how: &str, document: &serde_json::Value) -> Response {
    let json = [("content-type", "application/json")];
    let path = format!("/mbox/{QUEUE}/{how}");
    post(world, &path, &json, document.to_string().as_bytes())
}

/// The receipt of the message that is there.
fn http_taken(world: &World) -> String {
    let taken = http_receive(world, QUEUE, "max=1").json();
    let receipt = taken["messages"][0]["receipt"].as_str();
    receipt.unwrap().to_owned()
}

// --- OAP ---------------------------------------------------------------------------------------

fn oap_send(world: &World, queue: &str, key: &str, delay_ms: u32, body: &[u8]) -> Reply {
    call(world, SEND, &send(queue, key, delay_ms, body))
}

fn oap_receive(world: &World, queue: &str, max: u16, wait_ms: u32) -> Reply {
    call(world, RECEIVE, &receive(queue, max, wait_ms, MINUTE_MS))
}

fn oap_taken(world: &World) -> String {
    let taken = oap_receive(world, QUEUE, 1, 0).deliveries();
    assert_eq!(taken[0].body, MESSAGE);
    taken[0].receipt.clone()
}

fn oap_redrive(world: &World, queue: &str) -> Reply {
    call(world, REDRIVE, &[&str16(queue)[..], &[0; 4]].concat())
}
