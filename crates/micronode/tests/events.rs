//! Events over HTTP: server-sent, in order, and told apart from what was missed.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{Connection, Node};

/// One event as a client of the format reads it.
#[derive(Debug, Default, PartialEq)]
struct Event {
    id: String,
    kind: String,
    data: Value,
}

/// A listener.
struct Listener(Connection);

impl Listener {
    fn begin(mut connection: Connection, fields: &[(&str, &str)]) -> Self {
        connection.send_head("GET", "/events", fields);
        let head = connection.response_head().unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(head.field("content-type"), Some("text/event-stream"));
        assert_eq!(head.field("transfer-encoding"), Some("chunked"));
        assert_eq!(head.field("cache-control"), Some("no-store"));
        Self(connection)
    }

    fn on(node: &Node) -> Self {
        Self::begin(node.connect(), &[])
    }

    /// The next chunk; `None` at the end.
    fn chunk(&mut self) -> Option<String> {
        let chunk = self.0.chunk().unwrap();
        (!chunk.is_empty()).then(|| String::from_utf8(chunk).unwrap())
    }

    /// The next event, comments left out; `None` at the end.
    fn next(&mut self) -> Option<Event> {
        loop {
            let text = self.chunk()?;
            if text == ":\n\n" {
                continue;
            }
            let mut event = Event::default();
            for line in text.strip_suffix("\n\n").unwrap().lines() {
                match line.split_once(": ").unwrap() {
                    ("id", id) => event.id = id.to_owned(),
                    ("event", kind) => event.kind = kind.to_owned(),
                    ("data", data) => event.data = serde_json::from_str(data).unwrap(),
                    other => panic!("{other:?}"),
                }
            }
            return Some(event);
        }
    }
}

fn set(connection: &mut Connection, name: &str, address: &str) {
    let body = json!({ "address": address }).to_string();
    let set = connection.request("PUT", &format!("/n/{name}"), &[], body.as_bytes());
    assert!(matches!(set.status, 200 | 201), "{}", set.text());
}

#[test]
fn what_happens_is_told_in_order() {
    let node = Node::start();
    let mut listener = Listener::on(&node);
    let path = node.store(b"hello");
    let address = &path["/o/".len()..];
    // The same bytes again are nothing new.
    assert_eq!(node.request("PUT", &path, &[], b"hello").status, 200);
    let mut connection = node.connect();
    set(&mut connection, "a/b", address);
    assert_eq!(connection.request("DELETE", "/n/a/b", &[], b"").status, 204);
    assert_eq!(connection.request("DELETE", &path, &[], b"").status, 204);
    let short = [("expires-in", "100ms")];
    assert_eq!(node.request("PUT", &path, &short, b"hello").status, 201);

    let expected = [
        json!({ "type": "object.put", "address": address, "size": 5 }),
        json!({ "type": "name.set", "name": "a/b", "address": address, "revision": 1 }),
        json!({ "type": "name.deleted", "name": "a/b", "revision": 2 }),
        json!({ "type": "object.deleted", "address": address, "reason": "deleted" }),
        json!({ "type": "object.put", "address": address, "size": 5 }),
        json!({ "type": "object.deleted", "address": address, "reason": "expired" }),
    ];
    let mut last: Option<(String, u64)> = None;
    for expected in expected {
        let mut event = listener.next().unwrap();
        let at = event.data.as_object_mut().unwrap().remove("at");
        assert!(at.unwrap().as_str().unwrap().ends_with('Z'));
        assert_eq!(event.data, expected);
        assert_eq!(expected["type"], json!(event.kind));
        let (boot, number) = event.id.rsplit_once('-').unwrap();
        let number: u64 = number.parse().unwrap();
        if let Some((before, earlier)) = last {
            assert_eq!((boot, number), (&*before, earlier + 1));
        }
        last = Some((boot.to_owned(), number));
    }
}

#[test]
fn who_comes_back_goes_on_where_they_were() {
    let node = Node::start();
    let mut listener = Listener::on(&node);
    let mut connection = node.connect();
    let put = |connection: &mut Connection, index: usize| {
        let put = connection.request("POST", "/put", &[], format!("{index}").as_bytes());
        assert_eq!(put.status, 201);
    };
    put(&mut connection, 0);
    let first = listener.next().unwrap();
    drop(listener);
    for index in 1..=512 {
        put(&mut connection, index);
    }
    let mut again = Listener::begin(node.connect(), &[("last-event-id", &first.id)]);
    let (boot, number) = first.id.rsplit_once('-').unwrap();
    let number: u64 = number.parse().unwrap();
    for index in 1..=512 {
        assert_eq!(
            again.next().unwrap().id,
            format!("{boot}-{}", number + index)
        );
    }
    // One more, and the first of them is not remembered any longer.
    put(&mut connection, 513);
    let mut late = Listener::begin(node.connect(), &[("last-event-id", &first.id)]);
    let lagged = late.next().unwrap();
    assert_eq!(
        (&*lagged.kind, &lagged.data),
        ("lagged", &json!({ "missed": 1 }))
    );
    assert_eq!(late.next().unwrap().id, format!("{boot}-{}", number + 2));
    let mut first = Listener::begin(node.connect(), &[("last-event-id", &format!("{boot}-0"))]);
    let lagged = first.next().unwrap();
    assert_eq!(lagged.data, json!({ "missed": number + 1 }));
    // An id of another life, of none, or not given out yet: something was missed, nobody knows how
    // much. It is told once, and what is remembered after it.
    for id in [
        "0000000000000000-7",
        &format!("{boot}-{}", number + 514),
        "7",
        "",
        "no such id",
        &"x".repeat(100),
    ] {
        let mut stranger = Listener::begin(node.connect(), &[("last-event-id", id)]);
        let lagged = stranger.next().unwrap();
        assert_eq!(lagged.kind, "lagged", "{id:?}");
        assert_eq!(lagged.data, json!({ "missed": 0 }), "{id:?}");
        let oldest = format!("{boot}-{}", number + 2);
        assert_eq!(stranger.next().unwrap().id, oldest, "{id:?}");
    }
    // Nobody of them was too slow.
    let lagged = node.metric("bus_lagged_total{subscriber=\"external\"}");
    assert_eq!(lagged, Some(0.0));
}

#[test]
fn a_stream_with_nothing_to_tell_says_that_it_lives() {
    let node = Node::start();
    let mut listener = Listener::on(&node);
    let began = Instant::now();
    for _ in 0..2 {
        assert_eq!(listener.chunk().unwrap(), ":\n\n");
    }
    let passed = began.elapsed();
    assert!(
        passed > Duration::from_millis(3900) && passed < Duration::from_secs(8),
        "{passed:?}"
    );
}

/// It loses its place and is told how many it missed; who publishes never waits for it.
#[test]
fn a_subscriber_that_stalls_is_told_what_it_missed() {
    const CHANGES: u64 = 6000;
    let node = Node::start();
    let path = node.store(b"x");
    let address = &path["/o/".len()..];
    let mut stalled = Listener::begin(Connection::with_small_window(node.http), &[]);
    let mut attentive = Listener::on(&node);
    let reader = std::thread::spawn(move || {
        let (mut seen, mut missed) = (0, 0);
        while seen + missed < CHANGES {
            let event = attentive.next().unwrap();
            match &*event.kind {
                "lagged" => missed += event.data["missed"].as_u64().unwrap(),
                _ => seen += 1,
            }
        }
        missed
    });
    // Long names: what the kernels between the two hold is soon full.
    let name = "n".repeat(255);
    let mut connection = node.connect();
    let mut slowest = Duration::ZERO;
    for _ in 0..CHANGES {
        let began = Instant::now();
        set(&mut connection, &name, address);
        slowest = slowest.max(began.elapsed());
    }
    assert!(
        slowest < Duration::from_secs(1),
        "a change took {slowest:?}"
    );
    let missed_by_reader = reader.join().unwrap();
    let (mut seen, mut missed, mut last) = (0, 0, 0);
    while seen + missed < CHANGES {
        let event = stalled.next().unwrap();
        if event.kind == "lagged" {
            missed += event.data["missed"].as_u64().unwrap();
        } else {
            let revision = event.data["revision"].as_u64().unwrap();
            assert!(revision > last, "in order");
            (seen, last) = (seen + 1, revision);
        }
    }
    assert_eq!((seen + missed, last), (CHANGES, CHANGES));
    assert!(missed > 0, "it was told of all {CHANGES}");
    let lagged = node.metric("bus_lagged_total{subscriber=\"external\"}");
    assert_eq!(lagged, Some((missed + missed_by_reader) as f64));
}

/// A stream of events waits and does nothing else: it takes no place of a request.
#[test]
fn listeners_take_nobodys_place() {
    let node = Node::with(&["--rps", "0", "--in-flight", "1"]);
    let mut listeners: Vec<Listener> = (0..20).map(|_| Listener::on(&node)).collect();
    node.store(b"x");
    for listener in &mut listeners {
        assert_eq!(listener.next().unwrap().kind, "object.put");
    }
    let sample = "inflight_requests{route=\"/events\"}";
    assert_eq!(node.metric(sample), Some(0.0));
    drop(listeners);
    node.store(b"y");
}

#[test]
fn a_node_that_shuts_down_ends_its_streams() {
    let mut node = Node::start();
    let mut listener = Listener::on(&node);
    let began = Instant::now();
    node.signal(rustix::process::Signal::TERM);
    // Nothing is left hanging: the stream ends as a body does.
    while listener.next().is_some() {}
    assert!(node.wait_for_exit().success());
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}
