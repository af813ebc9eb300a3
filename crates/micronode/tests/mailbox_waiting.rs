//! Waiting for a message is cheap, and whoever waits longest gets the next one, alone.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::{Duration, Instant};
use support::oap::{
    ECHO, EVENT, Frame, GET, RECEIVE, SEND, SUBSCRIBE, deliveries, get, hash, receive, send,
    subscribe,
};
use support::{Connection, Node, Oap, object};

const QUEUE: &str = "waited-for";
/// More than a connection may have open streams, and than the node may have in flight.
const ON_EACH: usize = 100;
const CONNECTIONS: usize = 3;
/// A node with less in flight than there are waiters.
const FEW: [&str; 2] = ["--in-flight", "4"];
const LONG_MS: u32 = 4_000;
const VISIBILITY_MS: u32 = 60_000;

/// Connections that wait, those of one connection behind those of the one before.
fn waiting(node: &Node, operation: support::oap::Operation, payload: &[u8]) -> Vec<Oap> {
    let connections = (0..CONNECTIONS).map(|_| {
        let mut client = node.greet();
        for _ in 0..ON_EACH {
            client.ask(operation, payload);
        }
        // What was sent before this has begun to wait.
        client.assert_alive();
        client
    });
    connections.collect()
}

/// Sends message `number`, and says where it came: the frames that the connections got before the
/// pings that follow it.
fn told(sender: &mut Oap, clients: &mut [Oap], number: u8) -> Vec<(usize, Frame)> {
    assert_eq!(
        sender.call(SEND, &send(QUEUE, "", 0, &[number])).status(),
        201
    );
    let arrived = Instant::now() + Duration::from_millis(50);
    std::thread::sleep(arrived - Instant::now());
    let mut told = Vec::new();
    for (index, client) in clients.iter_mut().enumerate() {
        let ping = client.ask(support::oap::PING, b"");
        loop {
            let frame = client.frame().expect("the connection lives");
            if frame.corr_id == ping {
                break;
            }
            told.push((index, frame));
        }
    }
    told
}

fn bodies(frame: &Frame) -> Vec<Vec<u8>> {
    let deliveries = deliveries(&frame.inflated());
    deliveries
        .into_iter()
        .map(|delivery| delivery.body)
        .collect()
}

#[test]
fn one_send_wakes_the_receiver_that_waits_longest_and_no_other() {
    let node = Node::start_with(&FEW);
    let mut clients = waiting(&node, RECEIVE, &receive(QUEUE, 1, LONG_MS, VISIBILITY_MS));
    let began = Instant::now();
    let mut sender = node.greet();
    for number in 0..10 {
        let told = told(&mut sender, &mut clients, number);
        assert_eq!(told.len(), 1, "{told:?}");
        let (connection, frame) = &told[0];
        // Streams are numbered from 1 and were opened in order.
        assert_eq!((*connection, frame.corr_id), (0, u64::from(number) + 1));
        assert_eq!((frame.code, bodies(frame)), (200, vec![vec![number]]));
    }
    // Nobody who waits is in flight, so there is room for others.
    let in_flight = node.metric("inflight_requests{route=\"/mbox/{queue}/recv\"}");
    assert_eq!(in_flight, Some(0.0));
    assert_eq!(node.request("POST", "/echo", &[], b"x").status, 200);
    assert_eq!(sender.call(ECHO, b"x").status(), 200);
    // The others are told that there is nothing when their time is over.
    for (index, client) in clients.iter_mut().enumerate() {
        for _ in 0..ON_EACH - if index == 0 { 10 } else { 0 } {
            let frame = client.frame().expect("an answer");
            assert_eq!((frame.code, frame.payload.len()), (200, 0));
        }
    }
    let waited = began.elapsed();
    assert!(waited > Duration::from_millis(3_500), "{waited:?}");
    assert!(waited < Duration::from_millis(8_000), "{waited:?}");
}

#[test]
fn one_send_wakes_one_subscription() {
    let node = Node::start_with(&FEW);
    let mut clients = waiting(&node, SUBSCRIBE, &subscribe(QUEUE, 1, VISIBILITY_MS));
    let mut sender = node.greet();
    for number in 0..10 {
        let told = told(&mut sender, &mut clients, number);
        assert_eq!(told.len(), 1, "{told:?}");
        let (connection, frame) = &told[0];
        assert!(frame.has(EVENT));
        // Its credit is used up by the one it has.
        assert_eq!((*connection, frame.corr_id), (0, u64::from(number) + 1));
        assert_eq!(bodies(frame), [vec![number]]);
    }
}

#[test]
fn over_http_a_receiver_waits_without_being_in_flight() {
    let node = Node::start_with(&FEW);
    let path = format!("/mbox/{QUEUE}/recv?max=1&wait=4s&visibility=1m");
    let mut waiting: Vec<Connection> = (0..20)
        .map(|_| {
            let mut client = node.connect();
            client.send_head("POST", &path, &[("content-length", "0")]);
            client
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let mut sender = node.greet();
    for number in 0..20 {
        assert_eq!(
            sender.call(SEND, &send(QUEUE, "", 0, &[number])).status(),
            201
        );
    }
    let began = Instant::now();
    for client in &mut waiting {
        let answer = client.response("POST");
        assert_eq!(answer.status, 200);
        let messages = answer.json()["messages"].as_array().unwrap().len();
        assert_eq!(messages, 1, "each has one");
    }
    assert!(began.elapsed() < Duration::from_secs(2));
}

/// A message that was given to somebody who left in that moment is the next one's, at the latest
/// when the lease is over.
#[test]
fn who_leaves_takes_nothing_along() {
    const BRIEF_MS: u32 = 300;
    let node = Node::start();
    let mut sender = node.greet();
    let patient = receive(QUEUE, 1, LONG_MS, BRIEF_MS);
    for round in 0..30_u8 {
        let mut leaving = node.greet();
        for _ in 0..20 {
            leaving.ask(RECEIVE, &patient);
        }
        leaving.assert_alive();
        let mut staying = node.greet();
        let id = staying.ask(RECEIVE, &receive(QUEUE, 1, LONG_MS, VISIBILITY_MS));
        staying.assert_alive();
        let gone = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(u64::from(round) * 20));
            drop(leaving);
        });
        assert_eq!(
            sender.call(SEND, &send(QUEUE, "", 0, &[round])).status(),
            201
        );
        gone.join().unwrap();
        let came = staying.reply(id).deliveries();
        assert_eq!(came.len(), 1, "round {round}");
        assert_eq!(came[0].body, [round]);
        assert!(came[0].attempt <= 2);
    }
}

/// One subscriber was woken, its connection was full of what its peer did not read, and the message
/// stayed where nobody else was told of it.
#[test]
fn a_subscriber_that_cannot_take_a_message_keeps_it_from_nobody() {
    let node = Node::start();
    let object = object(8 * 1024 * 1024);
    node.store(&object);
    let mut slow = node.greet();
    slow.ask(SUBSCRIBE, &subscribe(QUEUE, 10, VISIBILITY_MS));
    slow.assert_alive();
    slow.ask(GET, &get(&hash(&object), 0, 0));
    let mut quick = node.greet();
    let id = quick.ask(SUBSCRIBE, &subscribe(QUEUE, 10, VISIBILITY_MS));
    quick.assert_alive();
    // The sockets are full.
    std::thread::sleep(Duration::from_millis(300));
    let mut sender = node.greet();
    for number in 0..3 {
        let began = Instant::now();
        let sent = sender.call(SEND, &send(QUEUE, "", 0, &[number]));
        assert_eq!(sent.status(), 201);
        let frame = quick.frame().expect("the connection lives");
        assert_eq!((frame.corr_id, bodies(&frame)), (id, vec![vec![number]]));
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}
