//! Queues over HTTP, with a node that fails and lies.
#![allow(clippy::unwrap_used)]

mod fake;

use std::collections::HashSet;
use std::time::{Duration, UNIX_EPOCH};

use fake::{Node, Reply, Request, answer, problem};
use futures_util::{FutureExt, TryStreamExt};
use micronode_client::{
    Attempt, Client, ClientOptions, Error, Key, QueueStats, ReceiveOptions, Redriven, RetryPolicy,
    SendOptions, Sent, Verdict,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

/// Long enough for anything that happens at all.
const SOON: Duration = Duration::from_secs(10);

/// Retries at once, three attempts.
fn client(node: &Node) -> Client {
    let retry = RetryPolicy {
        attempts: 3,
        first_delay: Duration::from_millis(1),
        ..RetryPolicy::default()
    };
    let options = ClientOptions {
        retry,
        ..ClientOptions::default()
    };
    Client::with_options(&node.url, options).unwrap()
}

fn document(status: u16, document: &Value) -> Reply {
    Reply::Send(answer(status, &[], document.to_string().as_bytes()))
}

/// One with this number, whose body is `hello`.
fn message(number: usize) -> Value {
    json!({
        "id": format!("m{number}"), "receipt": format!("r{number}"), "attempt": 1,
        "enqueued_at": "1970-01-01T00:00:01.500Z", "body": "aGVsbG8=",
    })
}

#[tokio::test]
async fn a_message_goes_with_its_key_and_delay() {
    let node = Node::start(|request, _| {
        assert!(request.is("POST", "/mbox/jobs/send"));
        assert_eq!(request.body.as_ref()?, b"hello");
        Some(document(200, &json!({"id": "m1", "duplicate": true})))
    })
    .await;
    let options = SendOptions {
        key: Key::Given("order 7".into()),
        delay: Some(Duration::from_secs(5)),
    };
    let sent = client(&node).send("jobs", "hello".into(), &options).await;
    let expected = Sent {
        id: "m1".into(),
        duplicate: true,
    };
    assert_eq!(sent.unwrap(), expected);
    let request = node.requests().pop().unwrap();
    assert_eq!(request.header("idempotency-key"), Some("order 7"));
    assert_eq!(request.header("delay"), Some("5000ms"));
}

#[tokio::test]
async fn a_message_is_repeated_under_its_key_and_without_one_only_when_it_was_refused() {
    let lost = || Reply::SendAndClose(Vec::new());
    let refused = || Reply::Send(problem(429, "quota_exceeded", &[("retry-after", "0")]));
    for (fault, key, attempts) in [
        (lost as fn() -> Reply, Key::Random, 3),
        (lost as fn() -> Reply, Key::None, 1),
        (refused as fn() -> Reply, Key::Random, 3),
        (refused as fn() -> Reply, Key::None, 3),
    ] {
        let node = Node::start(move |request, _| request.body.is_some().then(fault)).await;
        let client = client(&node);
        let options = SendOptions { key, delay: None };
        let mut keys = HashSet::new();
        for call in 1..=2 {
            let sent = client.send("jobs", "x".into(), &options).await;
            sent.unwrap_err();
            let requests = node.requests();
            assert_eq!(requests.len(), call * attempts, "{options:?}");
            let key = |it: &Request| it.header("idempotency-key").map(str::to_owned);
            keys.extend(requests.iter().map(key));
        }
        // One for each call, or none.
        let expected = if options.key == Key::None { 1 } else { 2 };
        assert_eq!(keys.len(), expected, "{keys:?}");
        assert_eq!(keys.contains(&None), options.key == Key::None);
    }
}

#[tokio::test]
async fn messages_are_received_as_they_were_sent() {
    let node = Node::start(|request, _| {
        let path = "/mbox/jobs.dlq/recv?max=10&wait=0ms&visibility=60000ms";
        assert!(request.is("POST", path), "{request:?}");
        let mut dead = message(2);
        dead["history"] = json!([
            {"leased_at": "1970-01-01T00:00:02Z", "ended_at": "1970-01-01T00:00:03Z", "end": "nacked"},
            {"leased_at": "1970-01-01T00:00:04Z", "ended_at": "1970-01-01T00:00:34Z", "end": "expired"},
        ]);
        Some(document(200, &json!({"messages": [message(1), dead]})))
    })
    .await;
    let options = ReceiveOptions {
        max: 10,
        visibility: Duration::from_secs(60),
        ..ReceiveOptions::default()
    };
    let messages = client(&node).receive("jobs.dlq", &options).await.unwrap();
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    assert_eq!((&*messages[0].id, &*messages[1].receipt), ("m1", "r2"));
    assert_eq!(messages[0].body, "hello");
    assert_eq!(
        messages[0].enqueued_at,
        UNIX_EPOCH + Duration::from_millis(1500)
    );
    assert_eq!(messages[0].history, []);
    let attempt = |leased, ended, nacked| Attempt {
        leased_at: at(leased),
        ended_at: at(ended),
        nacked,
    };
    let history = [attempt(2, 3, true), attempt(4, 34, false)];
    assert_eq!(messages[1].history, history);
}

#[tokio::test]
async fn answers_that_are_not_about_the_queue_are_protocol_errors() {
    let wrong = [
        json!({}),
        json!({"messages": [message(1), message(2)]}),
        json!({"messages": [{"id": "m"}]}),
        json!({"messages": [{
            "id": "m", "receipt": "r", "attempt": 1, "enqueued_at": "now", "body": "",
        }]}),
        json!({"messages": [{
            "id": "m", "receipt": "r", "attempt": 1, "enqueued_at": "1970-01-01T00:00:00Z",
            "body": "not base64",
        }]}),
        json!({"results": []}),
        json!({"results": [{"receipt": "other", "code": "ok"}]}),
        json!({"results": [{"receipt": "r", "code": "yes"}]}),
    ];
    for answer in wrong {
        let reply = answer.clone();
        let node = Node::start(move |request, _| {
            request.body.as_ref()?;
            Some(document(200, &reply))
        })
        .await;
        let client = client(&node);
        let received = client.receive("q", &ReceiveOptions::default()).await;
        assert!(
            matches!(received, Err(Error::Protocol(_))),
            "{answer}: {received:?}"
        );
        let acked = client.ack("q", &["r"]).await;
        assert!(
            matches!(acked, Err(Error::Protocol(_))),
            "{answer}: {acked:?}"
        );
        let stats = client.queue_stats("q").await;
        assert!(
            matches!(stats, Err(Error::Protocol(_))),
            "{answer}: {stats:?}"
        );
    }
}

#[tokio::test]
async fn receipts_go_in_hundreds_and_verdicts_come_back_in_their_order() {
    let node = Node::start(|request, _| {
        let asked: Value = serde_json::from_slice(request.body.as_ref()?).unwrap();
        let receipts = asked["receipts"].as_array().unwrap();
        assert!(receipts.len() <= 256);
        let verdict = |receipt: &Value| {
            let number: usize = receipt.as_str().unwrap()[1..].parse().unwrap();
            let code = ["ok", "late", "unknown"][number % 3];
            json!({"receipt": receipt, "code": code})
        };
        let results: Vec<_> = receipts.iter().map(verdict).collect();
        Some(document(200, &json!({"results": results})))
    })
    .await;
    let client = client(&node);
    let receipts: Vec<_> = (0..600).map(|number| format!("r{number}")).collect();
    let verdicts = client.ack("q", &receipts).await.unwrap();
    assert_eq!(verdicts.len(), 600);
    for (number, verdict) in verdicts.iter().enumerate() {
        let expected = [Verdict::Ok, Verdict::Late, Verdict::Unknown][number % 3];
        assert_eq!(*verdict, expected, "{number}");
    }
    let second = Duration::from_secs(1);
    client.nack("q", Duration::ZERO, &["r0"]).await.unwrap();
    client.nack("q", second, &["r0"]).await.unwrap();
    client.extend("q", second, &["r0"]).await.unwrap();
    let requests = node.requests();
    let paths: Vec<_> = requests.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths[..3], ["/mbox/q/ack"; 3]);
    assert_eq!(
        paths[3..],
        ["/mbox/q/nack", "/mbox/q/nack", "/mbox/q/extend"]
    );
    let body = |at: usize| -> Value {
        serde_json::from_slice(requests[at].body.as_ref().unwrap()).unwrap()
    };
    assert_eq!(body(3), json!({"receipts": ["r0"]}));
    assert_eq!(body(4), json!({"receipts": ["r0"], "delay": "1000ms"}));
    assert_eq!(body(5), json!({"receipts": ["r0"], "visibility": "1000ms"}));
    assert_eq!(client.ack::<&str>("q", &[]).await.unwrap(), []);
    assert_eq!(node.requests().len(), 6);
}

#[tokio::test]
async fn a_queue_is_counted_purged_and_redriven() {
    let node = Node::start(|request, _| {
        Some(match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/mbox/q") => document(
                200,
                &json!({"ready": 1, "leased": 2, "delayed": 3, "dead": 4, "bytes": 5, "new": 6}),
            ),
            ("DELETE", "/mbox/q") => document(200, &json!({"removed": 7})),
            ("POST", "/mbox/q/redrive" | "/mbox/q/redrive?limit=9") => {
                document(200, &json!({"moved": 8, "left": 9}))
            }
            other => panic!("{other:?}"),
        })
    })
    .await;
    let client = client(&node);
    let stats = QueueStats {
        ready: 1,
        leased: 2,
        delayed: 3,
        dead: 4,
        bytes: 5,
    };
    assert_eq!(client.queue_stats("q").await.unwrap(), stats);
    assert_eq!(client.purge("q").await.unwrap(), 7);
    let redriven = Redriven { moved: 8, left: 9 };
    assert_eq!(client.redrive("q", 0).await.unwrap(), redriven);
    assert_eq!(client.redrive("q", 9).await.unwrap(), redriven);
}

#[tokio::test]
async fn what_would_remove_more_the_second_time_is_not_repeated_after_a_lost_answer() {
    let node = Node::start(|_, _| Some(Reply::SendAndClose(Vec::new()))).await;
    let client = client(&node);
    client.purge("q").await.unwrap_err();
    client.redrive("q", 1).await.unwrap_err();
    assert_eq!(node.requests().len(), 2);
    client.queue_stats("q").await.unwrap_err();
    assert_eq!(node.requests().len(), 5);
}

#[tokio::test]
async fn what_is_no_queue_or_no_key_is_not_asked_for() {
    let node = Node::honest().await;
    let client = client(&node);
    let long = "q".repeat(81);
    for queue in ["", "Q", "a/b", "a b", ".dlq", "a.dlq.dlq", &long] {
        let error = client.queue_stats(queue).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{queue}: {error:?}");
        let mut messages = client.subscribe(queue, 1, SOON);
        let error = messages.try_next().await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{queue}: {error:?}");
    }
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    for (queue, delay) in [
        ("q.dlq", Duration::ZERO),
        ("q", week + Duration::from_millis(1)),
    ] {
        let options = SendOptions {
            key: Key::None,
            delay: Some(delay),
        };
        let error = client.send(queue, "x".into(), &options).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{queue}: {error:?}");
        if !delay.is_zero() {
            let error = client.nack(queue, delay, &["r"]).await.unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        }
    }
    let error = client.redrive("q.dlq", 1).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    for key in ["", " a", "é", "a\r\nb", &"k".repeat(256)] {
        let options = SendOptions {
            key: Key::Given(key.into()),
            delay: None,
        };
        let error = client.send("q", "x".into(), &options).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{key}: {error:?}");
    }
    assert!(node.requests().is_empty());
    // The longest delay is one.
    let nacked = client.nack("q", week, &["r"]).await;
    assert!(!matches!(nacked, Err(Error::Invalid { .. })), "{nacked:?}");
    assert!(!node.requests().is_empty());
}

/// Over HTTP the node refused a lease of no time, and over OAP it was one of a millisecond.
#[tokio::test]
async fn a_lease_takes_some_time_over_every_wire() {
    const MS: Duration = Duration::from_millis(1);
    const HOURS: Duration = Duration::from_secs(12 * 60 * 60);
    // Nobody is there: what would be sent fails otherwise.
    for url in ["http://127.0.0.1:1", "oap://127.0.0.1:1"] {
        let options = ClientOptions {
            retry: RetryPolicy::NEVER,
            ..ClientOptions::default()
        };
        let client = Client::with_options(url, options).unwrap();
        for (visibility, is_sent) in [
            (Duration::ZERO, false),
            (MS - Duration::from_nanos(1), false),
            (MS, true),
            (HOURS, true),
            (HOURS + MS, false),
            (Duration::MAX, false),
        ] {
            let options = ReceiveOptions {
                visibility,
                ..ReceiveOptions::default()
            };
            let errors = [
                client.receive("q", &options).await.unwrap_err(),
                client.extend("q", visibility, &["r"]).await.unwrap_err(),
                client
                    .subscribe("q", 1, visibility)
                    .try_next()
                    .await
                    .unwrap_err(),
            ];
            for error in errors {
                let invalid = matches!(error, Error::Invalid { .. });
                assert_eq!(invalid, !is_sent, "{url} {visibility:?}: {error:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_subscription_asks_for_what_its_credit_has_left() {
    let given = Mutex::new(0);
    let node = Node::start(move |request, _| {
        let body = request.body.as_ref()?;
        if request.path == "/mbox/q/ack" {
            let asked: Value = serde_json::from_slice(body).unwrap();
            let result = json!({"receipt": asked["receipts"][0], "code": "ok"});
            return Some(document(200, &json!({"results": [result]})));
        }
        let max: usize = request.path["/mbox/q/recv?max=".len()..]
            .split('&')
            .next()?
            .parse()
            .unwrap();
        let mut given = given.lock();
        // Two at a time.
        let count = max.min(2);
        let messages: Vec<_> = (*given..*given + count).map(message).collect();
        *given += count;
        Some(document(200, &json!({"messages": messages})))
    })
    .await;
    let client = client(&node);
    let mut messages = client.subscribe("q", 3, Duration::from_secs(60));
    for number in 0..3 {
        let next = timeout(SOON, messages.try_next()).await.unwrap();
        assert_eq!(next.unwrap().unwrap().id, format!("m{number}"));
    }
    // It is used up, and nothing is asked for.
    let asked = node.requests().len();
    assert!(messages.try_next().now_or_never().is_none());
    assert_eq!(node.requests().len(), asked);
    client.ack("q", &["r1"]).await.unwrap();
    let next = timeout(SOON, messages.try_next()).await.unwrap();
    assert_eq!(next.unwrap().unwrap().id, "m3");
    let max: Vec<_> = node
        .requests()
        .iter()
        .filter_map(|it| {
            it.path
                .strip_prefix("/mbox/q/recv?max=")?
                .get(..1)
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(max, ["3", "1", "1"]);
    let paths: Vec<_> = node.requests().iter().map(|it| it.path.clone()).collect();
    assert!(paths[0].ends_with("&wait=4000ms&visibility=60000ms"));
}

/// A lease used to count from the request. A message that came late in a long poll was no longer
/// out as soon as it was there, and the next was received in spite of a credit of one.
#[tokio::test]
async fn a_lease_counts_from_the_answer_however_long_the_node_waited() {
    const LATE: Duration = Duration::from_millis(500);
    const VISIBILITY: Duration = Duration::from_millis(400);
    let node = Node::start(|request, before| {
        request.body.as_ref()?;
        let messages = json!({"messages": [message(before)]}).to_string();
        let late = if before == 0 { LATE } else { Duration::ZERO };
        Some(Reply::SendLate(late, answer(200, &[], messages.as_bytes())))
    })
    .await;
    let mut messages = client(&node).subscribe("q", 1, VISIBILITY);
    let began = Instant::now();
    for id in ["m0", "m1"] {
        let next = timeout(SOON, messages.try_next()).await.unwrap();
        assert_eq!(next.unwrap().unwrap().id, id);
    }
    assert!(began.elapsed() >= LATE + VISIBILITY);
}

/// After any error, all of the credit used to be free again: each busy moment of the node let as
/// many messages out once more, on top of those that were being worked on.
#[tokio::test]
async fn a_subscription_that_failed_in_between_remembers_what_is_out() {
    let node = Node::start(|request, before| {
        request.body.as_ref()?;
        Some(match before {
            1 => Reply::Send(problem(503, "overloaded", &[("retry-after", "0")])),
            _ => document(200, &json!({"messages": [message(before)]})),
        })
    })
    .await;
    let mut messages = client(&node).subscribe("q", 2, SOON);
    for id in ["m0", "m2"] {
        let next = timeout(SOON, messages.try_next()).await.unwrap();
        assert_eq!(next.unwrap().unwrap().id, id);
    }
    let max: Vec<_> = node
        .requests()
        .iter()
        .map(|it| it.path["/mbox/q/recv?max=".len()..][..1].to_owned())
        .collect();
    assert_eq!(max, ["2", "1", "1"]);
}

/// A node that drains answers at once although it was asked to wait. It used to be asked again as
/// fast as it answered.
#[tokio::test]
async fn a_node_that_does_not_wait_is_not_asked_without_end() {
    let node = Node::start(|request, _| {
        request.body.as_ref()?;
        Some(document(200, &json!({"messages": []})))
    })
    .await;
    let client = client(&node);
    let wait = Duration::from_millis(1500);
    let mut messages = client.subscribe("q", 1, SOON);
    timeout(wait, messages.try_next()).await.unwrap_err();
    let asked = node.requests().len();
    assert!(asked <= 4, "{asked}");
    let began = Instant::now();
    let options = ReceiveOptions {
        wait,
        ..ReceiveOptions::default()
    };
    assert_eq!(client.receive("q", &options).await.unwrap(), []);
    // And it is asked for as long as the caller would wait.
    assert!(began.elapsed() >= wait - Duration::from_millis(1));
    let asked = node.requests().len() - asked;
    assert!(asked <= 5, "{asked}");
}
