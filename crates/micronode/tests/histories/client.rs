//! A client of one queue over either protocol: commands out, outcomes in.

use crate::log::{Command, Delivery, Lane, Outcome, Settle, Verdict};
use crate::support::oap::{
    self, ACK, EVENT, EXTEND, NACK, PING, PURGE, RECEIVE, REDRIVE, Reply, SEND, STATS, SUBSCRIBE,
    settle, str16,
};
use crate::support::{Connection, Node, Oap, Response};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) enum Client {
    Http(Connection),
    Oap(Oap),
}

impl Client {
    pub(crate) fn connect(node: &Node, over_oap: bool) -> Self {
        match over_oap {
            true => Self::Oap(node.greet()),
            false => Self::Http(node.connect()),
        }
    }

    /// One exchange.
    #[track_caller]
    pub(crate) fn ask(&mut self, queue: &str, command: &Command) -> Outcome {
        match self {
            Self::Http(connection) => {
                let it = HttpRequest::of(queue, command);
                let fields: Vec<_> = it.fields.iter().map(|(name, it)| (*name, &**it)).collect();
                let answer = connection.request(it.method, &it.path, &fields, &it.body);
                of_response(&answer, command)
            }
            Self::Oap(connection) => {
                let (operation, payload) = oap_request(queue, command);
                of_reply(&connection.call(operation, &payload), command)
            }
        }
    }

    /// Asks, and goes after `moment` without having read an answer.
    pub(crate) fn ask_and_go(self, queue: &str, command: &Command, moment: Duration) {
        match self {
            Self::Http(mut connection) => {
                let it = HttpRequest::of(queue, command);
                let length = it.body.len().to_string();
                let mut fields: Vec<_> =
                    it.fields.iter().map(|(name, it)| (*name, &**it)).collect();
                fields.push(("content-length", &length));
                connection.send_head(it.method, &it.path, &fields);
                connection.send(&it.body);
                std::thread::sleep(moment);
            }
            Self::Oap(mut connection) => {
                let (operation, payload) = oap_request(queue, command);
                connection.ask(operation, &payload);
                std::thread::sleep(moment);
            }
        }
    }

    /// Subscribes for `time`; what came in it. `None` over HTTP, which has no subscriptions.
    pub(crate) fn subscribe(
        &mut self,
        queue: &str,
        visibility_ms: u32,
        time: Duration,
    ) -> Option<Outcome> {
        const CREDIT: u16 = 3;
        let Self::Oap(connection) = self else {
            return None;
        };
        let id = connection.ask(SUBSCRIBE, &oap::subscribe(queue, CREDIT, visibility_ms));
        std::thread::sleep(time);
        connection.cancel(id);
        let ping = connection.ask(PING, b"");
        let mut deliveries = Vec::new();
        loop {
            let frame = connection.frame().expect("the connection lives");
            if frame.corr_id == ping {
                return Some(delivered(deliveries));
            }
            assert!(frame.corr_id == id && frame.has(EVENT), "{frame:?}");
            deliveries.extend(oap::deliveries(&frame.inflated()));
        }
    }
}

/// The queue's name, and that of its dead letters.
fn name(queue: &str, lane: Lane) -> String {
    match lane {
        Lane::Main => queue.to_owned(),
        Lane::Dead => format!("{queue}.dlq"),
    }
}

/// The bytes that `number` stands for: a few hundred at most.
fn body(number: u32) -> Vec<u8> {
    let filler = number as usize % 5 * 100;
    format!("{number:>8}{}", "-".repeat(filler)).into_bytes()
}

/// The number that `bytes` stand for.
#[track_caller]
fn number(bytes: &[u8]) -> u32 {
    let digits = std::str::from_utf8(&bytes[..8]).unwrap();
    let number = digits.trim_start().parse().unwrap();
    assert!(
        bytes == body(number),
        "message {number} is not as it was sent"
    );
    number
}

fn key(key: Option<u32>) -> String {
    key.map_or_else(String::new, |key| format!("key-{key}"))
}

// --- HTTP --------------------------------------------------------------------------------------

struct HttpRequest {
    method: &'static str,
    path: String,
    fields: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl HttpRequest {
    fn of(queue: &str, command: &Command) -> Self {
        let lane = match command {
            Command::Receive { lane, .. } | Command::Settle { lane, .. } | Command::Purge(lane) => {
                *lane
            }
            _ => Lane::Main,
        };
        let path = format!("/mbox/{}", name(queue, lane));
        let mut request = Self {
            method: "POST",
            path,
            fields: Vec::new(),
            body: Vec::new(),
        };
        match command {
            Command::Send {
                body: number,
                key: keyed,
                delay_ms,
            } => {
                request.path.push_str("/send");
                request.body = body(*number);
                request.fields.push(("delay", format!("{delay_ms}ms")));
                if keyed.is_some() {
                    request.fields.push(("idempotency-key", key(*keyed)));
                }
            }
            Command::Receive {
                max,
                wait_ms,
                visibility_ms,
                ..
            } => {
                request.path.push_str(&format!(
                    "/recv?max={max}&wait={wait_ms}ms&visibility={visibility_ms}ms"
                ));
                if *max == 1 {
                    let raw = "application/octet-stream".to_owned();
                    request.fields.push(("accept", raw));
                }
            }
            Command::Settle { how, receipts, .. } => {
                let (verb, document) = match how {
                    Settle::Ack => ("/ack", json!({ "receipts": receipts })),
                    Settle::Nack { delay_ms } => (
                        "/nack",
                        json!({ "receipts": receipts, "delay": format!("{delay_ms}ms") }),
                    ),
                    Settle::Extend { visibility_ms } => (
                        "/extend",
                        json!({ "receipts": receipts, "visibility": format!("{visibility_ms}ms") }),
                    ),
                };
                request.path.push_str(verb);
                request.body = document.to_string().into_bytes();
                let json = "application/json".to_owned();
                request.fields.push(("content-type", json));
            }
            Command::Purge(_) => request.method = "DELETE",
            Command::Redrive => request.path.push_str("/redrive"),
            Command::Stats => request.method = "GET",
        }
        request
    }
}

#[track_caller]
fn of_response(answer: &Response, command: &Command) -> Outcome {
    let fields = |name: &str| answer.field(name).unwrap().to_owned();
    match (answer.status, command) {
        (204, Command::Receive { .. }) => delivered(Vec::new()),
        (200, Command::Receive { max: 1, .. }) => delivered(vec![oap::Delivery {
            id: fields("message-id"),
            receipt: fields("receipt"),
            attempt: fields("attempt").parse().unwrap(),
            enqueued_ms: 0,
            body: answer.body.clone(),
        }]),
        (200, Command::Receive { .. }) => {
            let document = answer.json();
            let messages = document["messages"].as_array().unwrap().iter();
            let one = |message: &Value| oap::Delivery {
                id: text(&message["id"]),
                receipt: text(&message["receipt"]),
                attempt: u32::try_from(message["attempt"].as_u64().unwrap()).unwrap(),
                enqueued_ms: 0,
                body: BASE64_STANDARD.decode(text(&message["body"])).unwrap(),
            };
            delivered(messages.map(one).collect())
        }
        (200 | 201, Command::Send { .. }) => {
            let document = answer.json();
            let duplicate = document["duplicate"].as_bool().unwrap();
            assert_eq!(answer.status == 200, duplicate);
            Outcome::Sent {
                id: text(&document["id"]),
                duplicate,
            }
        }
        (422, Command::Send { .. }) => {
            answer.assert_problem("idempotency_mismatch");
            Outcome::KeyReused
        }
        (200, Command::Settle { receipts, .. }) => {
            let document = answer.json();
            let results = document["results"].as_array().unwrap();
            let told: Vec<_> = results.iter().map(|it| text(&it["receipt"])).collect();
            assert_eq!(&told, receipts, "in order");
            let verdict = |result: &Value| match result["code"].as_str().unwrap() {
                "ok" => Verdict::Ok,
                "late" => Verdict::Late,
                "unknown" => Verdict::Unknown,
                other => panic!("{other} is no verdict"),
            };
            Outcome::Verdicts(results.iter().map(verdict).collect())
        }
        (200, Command::Purge(_)) => Outcome::Purged(answer.json()["removed"].as_u64().unwrap()),
        (200, Command::Redrive) => Outcome::Redriven,
        (200, Command::Stats) => stats(&answer.json()),
        (404, Command::Purge(_) | Command::Redrive | Command::Stats) => Outcome::NoQueue,
        (status, _) => panic!("{status} to {command:?}: {}", answer.text()),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

// --- OAP ---------------------------------------------------------------------------------------

fn oap_request(queue: &str, command: &Command) -> (oap::Operation, Vec<u8>) {
    match command {
        Command::Send {
            body: number,
            key: keyed,
            delay_ms,
        } => {
            let payload = oap::send(queue, &key(*keyed), *delay_ms, &body(*number));
            (SEND, payload)
        }
        Command::Receive {
            lane,
            max,
            wait_ms,
            visibility_ms,
        } => {
            let queue = name(queue, *lane);
            (
                RECEIVE,
                oap::receive(&queue, *max, *wait_ms, *visibility_ms),
            )
        }
        Command::Settle {
            lane,
            how,
            receipts,
        } => {
            let queue = name(queue, *lane);
            match how {
                Settle::Ack => (ACK, settle(&queue, None, receipts)),
                Settle::Nack { delay_ms } => (NACK, settle(&queue, Some(*delay_ms), receipts)),
                Settle::Extend { visibility_ms } => {
                    (EXTEND, settle(&queue, Some(*visibility_ms), receipts))
                }
            }
        }
        Command::Purge(lane) => (PURGE, str16(&name(queue, *lane))),
        Command::Redrive => (REDRIVE, [&str16(queue)[..], &[0; 4]].concat()),
        Command::Stats => (STATS, str16(queue)),
    }
}

#[track_caller]
fn of_reply(reply: &Reply, command: &Command) -> Outcome {
    match (reply.status(), command) {
        (200 | 201, Command::Send { .. }) => {
            let (id, duplicate) = reply.sent();
            assert_eq!(reply.status() == 200, duplicate);
            Outcome::Sent { id, duplicate }
        }
        (422, Command::Send { .. }) => {
            reply.assert_problem("idempotency_mismatch");
            Outcome::KeyReused
        }
        (200, Command::Receive { .. }) => delivered(reply.deliveries()),
        (200, Command::Settle { .. }) => {
            let verdict = |byte| match byte {
                0 => Verdict::Ok,
                1 => Verdict::Late,
                2 => Verdict::Unknown,
                other => panic!("{other} is no verdict"),
            };
            Outcome::Verdicts(reply.payload().into_iter().map(verdict).collect())
        }
        (200, Command::Purge(_)) => {
            Outcome::Purged(u64::from_be_bytes(reply.payload().try_into().unwrap()))
        }
        (200, Command::Redrive) => Outcome::Redriven,
        (200, Command::Stats) => stats(&serde_json::from_slice(&reply.payload()).unwrap()),
        (404, Command::Purge(_) | Command::Redrive | Command::Stats) => Outcome::NoQueue,
        (status, _) => panic!("{status} to {command:?}: {reply:?}"),
    }
}

// --- Both --------------------------------------------------------------------------------------

fn delivered(deliveries: Vec<oap::Delivery>) -> Outcome {
    let one = |it: oap::Delivery| Delivery {
        body: number(&it.body),
        id: it.id,
        receipt: it.receipt,
        attempt: it.attempt,
    };
    Outcome::Delivered(deliveries.into_iter().map(one).collect())
}

fn stats(document: &Value) -> Outcome {
    let count = |name: &str| document[name].as_u64().unwrap();
    Outcome::Stats {
        ready: count("ready"),
        leased: count("leased"),
        delayed: count("delayed"),
        dead: count("dead"),
        bytes: count("bytes"),
    }
}
