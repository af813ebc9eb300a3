//! Peers that stop, trickle or leave half of the connection open: each has the time that it has,
//! and one that keeps moving has all it needs.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::{Duration, Instant};
use support::oap::{
    CHUNK, ECHO, Frame, GET, HELLO, PING, PUT, START, WHOLE, get, hash, plain_put, put,
};
use support::{Node, Oap, object, wait_until};

const MIB: usize = 1024 * 1024;
/// Short enough to wait for, long enough for a busy machine.
const BRIEF: (Duration, &str) = (Duration::from_secs(1), "1s");

/// Sends `bytes` in `pieces`, one in each tenth of a second, until the node has closed.
fn trickle(client: &mut Oap, bytes: &[u8], pieces: usize) {
    for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
        client.send(piece);
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn hello_has_its_time_from_the_start_however_it_moves() {
    let node = Node::with_limits(&[("head_deadline", BRIEF.1)], &[]);
    let hello = Frame::request(9, HELLO, WHOLE, b"{}").encode();
    let since = Instant::now();
    let mut silent = Oap::dial(node.oap());
    let mut begun = Oap::dial(node.oap());
    begun.send(&hello[..5]);
    let mut trickles = Oap::dial(node.oap());
    trickle(&mut trickles, &hello[..hello.len() - 1], 10);
    assert_eq!(silent.until_closed(), [], "nobody has asked");
    for mut client in [begun, trickles] {
        client.assert_last_word(0, "head_timeout");
    }
    assert!(since.elapsed() >= BRIEF.0);
    assert_eq!(node.rejected("head_timeout"), (3.0, 3.0));
    assert_eq!(node.memory_used(), 0);
}

#[test]
fn a_frame_that_stops_or_trickles_is_cut() {
    let node = Node::with_limits(&[("progress_interval", BRIEF.1)], &[]);
    let frame = Frame::request(9, ECHO, WHOLE, &object(MIB - 100)).encode();
    let since = Instant::now();
    // In the header its stream is not known yet.
    let cuts = [(1, 0), (37, 0), (38, 9), (100, 9), (100_000, 9)];
    let stopped: Vec<Oap> = cuts
        .iter()
        .map(|(length, _)| {
            let mut client = node.greet();
            client.send(&frame[..*length]);
            client
        })
        .collect();
    for (mut client, (_, id)) in stopped.into_iter().zip(cuts) {
        client.assert_last_word(id, "body_timeout");
    }
    assert!(since.elapsed() >= BRIEF.0);
    assert_eq!(node.rejected("body_timeout"), (5.0, 5.0));
    // Always moving, and far below the least rate.
    let mut client = node.greet();
    trickle(&mut client, &frame[..400], 20);
    client.assert_last_word(9, "body_timeout");
    node.wait_until_empty();
}

/// The time of a stream was that between two of its frames, which at a rate above the least may be
/// longer than the interval: only small frames got through on a slow link.
#[test]
fn a_frame_may_take_longer_than_the_interval_if_it_moves() {
    let limits = [("progress_interval", BRIEF.1), ("idle_keep_alive", BRIEF.1)];
    let node = Node::with_limits(&limits, &[]);
    let bytes = object(2 * CHUNK);
    let mut client = node.greet();
    let id = client.begin(PUT, &put(&hash(&bytes), 0, ""));
    for chunk in bytes.chunks(CHUNK) {
        let frame = Frame::request(id, PUT, 0, chunk).encode();
        trickle(&mut client, &frame, 16);
    }
    client.end(id, PUT, b"");
    assert_eq!(
        client.reply(id).stored(),
        (hash(&bytes), bytes.len() as u64, false)
    );
    // Nor is a connection idle that asks for the first time, in a frame that takes its time.
    let mut client = node.greet();
    let id = client.new_id();
    let frame = Frame::request(id, ECHO, WHOLE, &bytes).encode();
    trickle(&mut client, &frame, 16);
    assert!(client.reply(id).payload() == bytes);
}

#[test]
fn a_request_that_stops_between_frames_is_cut_and_its_connection_lives() {
    let limits = [
        ("progress_interval", BRIEF.1),
        ("one_shot_deadline", BRIEF.1),
    ];
    let node = Node::with_limits(&limits, &[]);
    let mut client = node.greet();
    let fields = plain_put();
    let streams = [
        client.begin(PUT, b""),
        client.begin(PUT, &fields),
        client.begin(PUT, &[fields, object(1000)].concat()),
        client.begin(ECHO, b"x"),
        client.begin(GET, &hash(b"x")),
    ];
    // The others' frames are no progress of theirs.
    let full = client.begin(PUT, &plain_put());
    for _ in 0..10 {
        client.go_on(full, PUT, &object(10_000));
        std::thread::sleep(Duration::from_millis(100));
    }
    for id in streams {
        client.reply(id).assert_problem("body_timeout");
    }
    client.end(full, PUT, b"");
    assert_eq!(client.reply(full).status(), 201);
    assert_eq!(node.rejected("body_timeout"), (5.0, 5.0));

    // Empty frames, and bytes below the least rate, are no progress either.
    let id = client.begin(PUT, &plain_put());
    for _ in 0..15 {
        client.go_on(id, PUT, b"");
        client.go_on(id, PUT, b"x");
        std::thread::sleep(Duration::from_millis(100));
    }
    client.reply(id).assert_problem("body_timeout");
    client.assert_alive();
}

#[test]
fn a_silent_connection_is_closed_and_one_that_asks_is_not() {
    let limits = [("idle_keep_alive", BRIEF.1), ("one_shot_deadline", "100ms")];
    let node = Node::with_limits(&limits, &[]);
    let mut silent = node.greet();
    let mut half = node.greet();
    let id = half.begin(ECHO, b"and never the rest");
    half.reply(id).assert_problem("body_timeout");
    let mut asks = node.greet();
    for _ in 0..12 {
        asks.assert_alive();
        std::thread::sleep(BRIEF.0 / 8);
    }
    assert_eq!(silent.until_closed(), []);
    assert_eq!(half.until_closed(), [], "nothing is owed to it");
    asks.assert_alive();
    assert_eq!(asks.until_closed(), []);
}

#[test]
fn who_has_said_all_still_gets_every_answer() {
    let node = Node::start();
    let bytes = object(8 * MIB);
    node.store(&bytes);
    let mut client = node.greet();
    let long: Vec<u64> = (0..5)
        .map(|_| client.ask(GET, &get(&hash(&bytes), 0, 0)))
        .collect();
    let ping = client.ask(PING, b"");
    let never_whole = client.begin(PUT, &plain_put());
    client.finish();
    assert_eq!(client.reply(ping).status(), 200);
    for id in long {
        assert!(client.reply(id).object().bytes == bytes);
    }
    let rest = client.until_closed();
    assert!(
        rest.iter().all(|frame| frame.corr_id == never_whole),
        "{rest:?}"
    );

    for bytes in [
        &b""[..],
        b"\0\0",
        &Frame::request(1, PUT, START, b"x").encode(),
    ] {
        let mut client = node.greet();
        client.send(bytes);
        client.finish();
        assert_eq!(client.until_closed(), []);
    }
    let mut stranger = Oap::dial(node.oap());
    stranger.finish();
    assert_eq!(stranger.until_closed(), []);
    wait_until("uploads being given up", || node.memory_of("uploads") == 0);
}
