//! OAP connections beside each other: crowds that say nothing, short requests among long ones on
//! one connection, and the end of a node.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use rustix::process::Signal;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::oap::{CHUNK, ECHO, END, GET, HEADER, PING, PUT, RESP, get, hash, plain_put, put};
use support::{Node, Oap, assert_document, object, sockets, wait_until};

const MIB: usize = 1024 * 1024;

#[test]
fn a_crowd_that_says_nothing_is_cut_and_newcomers_are_served() {
    let size = sockets(2000);
    let node = Node::with_limits(&[("head_deadline", "2s")], &[]);
    let before = node.metric("process_open_fds").unwrap();
    let cap = node.limits()["connections in force"].as_u64().unwrap() as f64;
    let mut crowd = Vec::new();
    for count in 1..=size {
        crowd.push(TcpStream::connect(node.oap()).unwrap());
        if count % 250 == 0 {
            node.greet().assert_alive();
            assert_eq!(node.request("POST", "/echo", &[], b"x").status, 200);
            // A quarter more than there may be can be on their way out.
            assert!(node.metric("process_open_fds").unwrap() <= before + 1.25 * cap + 20.0);
        }
    }
    assert_eq!(node.memory_used(), 0);
    wait_until("all of them being cut", || {
        node.metric("process_open_fds").unwrap() <= before + 5.0
    });
    let mut byte = [0];
    for stream in &crowd {
        stream.set_nonblocking(true).unwrap();
        assert_eq!(stream.peek(&mut byte).unwrap(), 0, "closed without a word");
    }
    node.greet().assert_alive();
}

#[test]
fn a_newcomer_who_finds_all_places_busy_is_told_so() {
    let node = Node::with_limits(&[("connections", "2")], &[]);
    let mut busy: Vec<Oap> = (0..2).map(|_| node.greet()).collect();
    let ids: Vec<u64> = busy
        .iter_mut()
        .map(|it| it.begin(PUT, &plain_put()))
        .collect();
    wait_until("both being busy", || {
        node.metric("inflight_requests{route=\"/put\"}") == Some(2.0)
    });
    let mut newcomer = Oap::dial(node.oap());
    let frames = newcomer.until_closed();
    assert_eq!(
        (frames.len(), frames[0].flags, frames[0].corr_id),
        (1, RESP | END, 0)
    );
    assert_document(frames[0].code, &frames[0].payload, "overloaded");
    for (client, id) in busy.iter_mut().zip(ids) {
        client.end(id, PUT, b"");
        assert!(client.reply(id).status() < 300);
    }
    // At rest, one of them gives way.
    node.greet().assert_alive();
    let has_ended = |client: &Oap| {
        client.stream.set_nonblocking(true).unwrap();
        let ended = client.stream.peek(&mut [0]).is_ok_and(|count| count == 0);
        client.stream.set_nonblocking(false).unwrap();
        ended
    };
    wait_until("one being closed", || busy.iter().any(has_ended));
    busy.retain(|client| !has_ended(client));
    assert_eq!(busy.len(), 1);
    busy[0].assert_alive();
}

/// A peer that is answered and does not send the rest of its request rests, as far as the node is
/// concerned: it had been busy for ever.
#[test]
fn half_a_request_that_was_answered_gives_way_to_a_newcomer() {
    let node = Node::with_limits(&[("connections", "1")], &[]);
    let mut half = node.greet();
    let id = half.begin(PUT, &put(&[0; 32], 0, "caf\u{e9}"));
    half.reply(id).assert_problem("bad_request");
    node.greet().assert_alive();
    assert_eq!(half.until_closed(), []);
}

#[test]
fn a_short_read_among_long_ones_waits_for_none_of_them() {
    let node = Node::start();
    let (long, short) = (object(16 * MIB), object(1024));
    node.store(&long);
    node.store(&short);
    let mut client = node.greet();
    let pulls: Vec<u64> = (0..63)
        .map(|_| client.ask(GET, &get(&hash(&long), 0, 0)))
        .collect();
    let mut begun = std::collections::HashSet::new();
    while begun.len() < pulls.len() {
        begun.insert(client.frame().unwrap().corr_id);
    }
    for _ in 0..5 {
        let asked = client.ask(GET, &get(&hash(&short), 0, 0));
        let mut between = 0;
        loop {
            let frame = client.frame().unwrap();
            if frame.corr_id == asked {
                assert!(frame.payload.ends_with(&short) && frame.has(END));
                break;
            }
            assert!(!frame.has(END), "a long one has ended first");
            between += HEADER + frame.payload.len();
        }
        // What the sockets held already, and not a chunk of each.
        assert!(between <= 16 * MIB, "{between} bytes");
    }
    // They had even shares: none is more than a few turns ahead.
    let mut chunks = std::collections::HashMap::<u64, usize>::new();
    for _ in 0..63 * 20 {
        *chunks.entry(client.frame().unwrap().corr_id).or_default() += 1;
    }
    let shares = pulls.iter().map(|id| chunks.get(id).copied().unwrap_or(0));
    let (least, most) = (shares.clone().min().unwrap(), shares.max().unwrap());
    assert!(least >= 15 && most <= 25, "{least} to {most} of 20");
}

#[test]
fn streams_in_progress_finish_after_a_signal_and_nothing_new_begins() {
    let limits = [("drain_grace", "1s"), ("drain_deadline", "20s")];
    let mut node = Node::with_limits(&limits, &[]);
    let bytes = object(16 * MIB);
    node.store(&bytes);
    let silent = Oap::dial(node.oap());
    let idle = node.greet();
    let mut writer = node.greet();
    let body = object(3 * CHUNK);
    let upload = writer.begin(
        PUT,
        &[&put(&hash(&body), 0, "")[..], &body[..CHUNK]].concat(),
    );
    wait_until("the upload", || node.memory_of("uploads") > 0);
    let mut reader = Oap::with_small_window(node.oap());
    let download = reader.ask(GET, &get(&hash(&bytes), 0, 0));
    let first = reader.frame().unwrap();
    assert_eq!(first.code, 200);
    // Refused in the middle of its request, and still sending.
    let mut refused = node.greet();
    let id = refused.begin(PUT, &put(&[0; 32], 0, "caf\u{e9}"));
    refused.reply(id).assert_problem("bad_request");

    node.signal(Signal::TERM);
    wait_until("the drain", || node.ask("GET", "/readyz").status == 503);
    // In the grace, reads are served and writes are not, also on a new connection.
    let mut late = node.greet();
    late.call(PUT, &plain_put()).assert_problem("draining");
    assert_eq!(late.call(GET, &get(&hash(&bytes), 5, 1)).status(), 206);
    wait_until("new connections being refused", || {
        TcpStream::connect(node.oap()).is_err()
    });
    for mut at_rest in [silent, idle, late, refused] {
        assert_eq!(at_rest.until_closed(), []);
    }

    // After it, nothing new.
    for operation in [PING, ECHO, PUT] {
        writer.call(operation, b"").assert_problem("draining");
    }
    writer.go_on(upload, PUT, &body[CHUNK..2 * CHUNK]);
    writer.end(upload, PUT, &body[2 * CHUNK..]);
    assert_eq!(writer.reply(upload).stored().0, hash(&body));
    assert_eq!(writer.until_closed(), []);
    assert!(
        node.child.try_wait().unwrap().is_none(),
        "the download goes on"
    );

    let mut rest: usize = first.payload.len();
    while let Some(frame) = reader.frame() {
        assert_eq!((frame.corr_id, frame.code), (download, 200));
        rest += frame.payload.len();
    }
    assert!(rest > bytes.len());
    assert_eq!(node.wait_for_exit().code(), Some(0));
}

#[test]
fn a_reader_that_is_stuck_holds_a_node_no_longer_than_its_deadline() {
    let limits = [("drain_grace", "100ms"), ("drain_deadline", "1s")];
    let mut node = Node::with_limits(&limits, &[]);
    let bytes = object(16 * MIB);
    node.store(&bytes);
    let mut stuck = Oap::with_small_window(node.oap());
    stuck.ask(GET, &get(&hash(&bytes), 0, 0));
    stuck.frame().unwrap();
    let asked = Instant::now();
    node.signal(Signal::TERM);
    assert_eq!(node.wait_for_exit().code(), Some(0));
    assert!(asked.elapsed() >= Duration::from_secs(1));
}
