//! Who brings nothing gets nothing, costs next to nothing, and takes nothing from others.

use crate::oap::{self, Frame, Oap};
use crate::support::Node;
use crate::{Ask, assert_both, narrowed};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn without_a_token_every_route_answers_401() {
    let node = Node::guarded(&[]);
    for ask in Ask::all(b"x") {
        assert_both(&node, None, ask, 401);
        let answer = crate::http_answer(&node, None, ask);
        assert_eq!(answer.field("www-authenticate"), Some("Bearer"), "{ask:?}");
    }
    assert_eq!(node.get("/openapi.json", &[]).status, 401);
    let mut client = Oap::greet(node.oap());
    assert_eq!(client.call(oap::PING, b"").status(), 401);
    assert!(node.metric(r#"auth_failures_total{reason="missing"}"#) >= Some(20.0));
    assert_eq!(node.metric("objects"), Some(0.0));
}

#[test]
fn a_body_is_not_touched_before_its_authority_is() {
    let node = Node::guarded(&[]);
    // The answer comes although the body does not.
    let mut http = node.connect();
    http.send_head(
        "PUT",
        &format!("/o/b3:{}", blake3::hash(b"")),
        &[("content-length", "1000000")],
    );
    assert_eq!(http.response("PUT").status, 401);
    // One that wants to be told beforehand is told.
    let mut http = node.connect();
    http.send_head(
        "POST",
        "/put",
        &[("content-length", "10"), ("expect", "100-continue")],
    );
    assert_eq!(http.response("POST").status, 401);

    // A long frame is decided about when its capability is there, and not paid for.
    let mut client = Oap::greet(node.oap());
    let whole = Frame::request(1, oap::PUT, oap::WHOLE, &vec![0; 900_000]).encode();
    client.send(&whole[..oap::HEADER]);
    thread::sleep(Duration::from_millis(50));
    assert_eq!(node.memory_used(), 0);
    client.send(&whole[oap::HEADER..]);
    client.reply(1).assert_problem("unauthenticated");
    // With one, it is served; its bytes come one part at a time.
    let mut frame = Frame::request(
        2,
        oap::PUT,
        oap::WHOLE,
        &[&oap::plain_put()[..], &vec![0; 900_000]].concat(),
    );
    frame.cap = narrowed(node.token(), &["op = put"]);
    let whole = frame.encode();
    for cut in [
        &whole[..oap::HEADER + 10],
        &whole[oap::HEADER + 10..oap::HEADER + 300],
        &whole[oap::HEADER + 300..],
    ] {
        client.send(cut);
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(client.reply(2).status(), 201);
    frame.cap = narrowed(node.token(), &["op = get"]);
    frame.corr_id = 3;
    client.send_frame(&frame);
    client.reply(3).assert_problem("forbidden");
}

#[test]
fn a_hello_without_a_token_is_welcome_and_one_with_a_bad_one_is_not() {
    let node = Node::guarded(&[]);
    let mut client = Oap::dial(node.oap());
    let mut hello = Frame::request(0, oap::HELLO, oap::WHOLE, br#"{"ua":"test"}"#);
    hello.cap = vec![1, 2, 3];
    client.send_frame(&hello);
    client.assert_last_word(0, "unauthenticated");

    // A stream's own capability comes before the connection's, in both directions.
    let (reader, writer) = (
        narrowed(node.token(), &["op = get"]),
        narrowed(node.token(), &["op = put"]),
    );
    let put = [oap::plain_put(), b"x".to_vec()].concat();
    let mut client = Oap::greet_as(node.oap(), &reader);
    assert_eq!(client.call(oap::PUT, &put).status(), 403);
    assert_eq!(client.call_as(&writer, oap::PUT, &put).status(), 201);
    assert_eq!(client.call_as(&[1], oap::PING, b"").status(), 401);
    assert_eq!(client.call(oap::PING, b"").status(), 200);
}

/// With a rate of 50 requests a second, strangers have 20 of their own.
#[test]
fn strangers_are_told_to_wait_and_holders_are_not() {
    let node = Node::spawn(Node::guarded_command(&["--rps", "50"]));
    let token = narrowed(node.token(), &[]);
    let (stop, refused, busy) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                match crate::over_http(&node, None, Ask::Echo(b"x")) {
                    401 => refused.fetch_add(1, Relaxed),
                    429 => busy.fetch_add(1, Relaxed),
                    other => panic!("{other}"),
                };
                thread::sleep(Duration::from_millis(2));
            }
        });
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(2) {
            // Well below the rate, so that none of it is spent by others.
            thread::sleep(Duration::from_millis(50));
            assert_eq!(crate::over_http(&node, Some(&token), Ask::Echo(b"x")), 200);
        }
        stop.store(true, Relaxed);
    });
    let refused = refused.load(Relaxed);
    // A burst of a second's worth, and 20 a second.
    assert!((20..=90).contains(&refused), "{refused}");
    assert!(busy.load(Relaxed) > 0);
    let counted = node.metric(r#"quota_exhaustions_total{quota="unauthenticated_rate"}"#);
    assert_eq!(counted, Some(f64::from(busy.load(Relaxed))));
}

/// Where a token is needed, a page that has none is nobody, and there is nothing else to keep out.
#[test]
fn pages_are_kept_out_of_what_answers_without_a_token() {
    let foreign = [("origin", "http://evil.example")];
    let rebound = [("host", "evil.example")];
    let dev = Node::start();
    for fields in [&foreign, &rebound] {
        dev.request("POST", "/echo", fields, b"x")
            .assert_problem("forbidden");
    }
    let node = Node::guarded(&[]);
    let bearer = format!("Bearer {}", node.token());
    for fields in [&foreign, &rebound] {
        let admin =
            crate::support::Connection::open(node.admin).request("GET", "/metrics", fields, b"");
        admin.assert_problem("forbidden");
        let exchange = node.request("POST", "/cap/exchange", fields, b"x");
        exchange.assert_problem("unauthenticated");
        let fields = [fields[0], ("authorization", &*bearer)];
        assert_eq!(node.request("POST", "/echo", &fields, b"x").status, 200);
    }
}
