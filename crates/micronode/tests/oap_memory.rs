//! What one OAP connection can make a node hold: a bounded part of the budget, given back to the
//! byte, and refused on its stream when there is none.
#![allow(clippy::unwrap_used)]

mod support;

use std::thread;
use support::oap::{
    CHUNK, COMP, ECHO, Frame, GET, HAS, HEAD, PING, PUT, RESP, WHOLE, get, hash, plain_put, put,
};
use support::{Node, Oap, object, wait_until};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// What may wait for a peer to read it, and what pays for the read buffer beside it.
const MOST: u64 = (MIB + 256 * KIB) as u64;
/// The least budget there is.
const LEAST: [&str; 2] = ["--memory", "16MiB"];

#[track_caller]
fn wait_until_nothing_is_held(node: &Node) {
    wait_until("nothing being held", || {
        ["uploads", "buffers", "decoders"]
            .iter()
            .all(|kind| node.memory_of(kind) == 0)
    });
}

/// A long frame that nobody wants was paid for like any other, and stayed so until the next event,
/// which a silent peer never makes.
#[test]
fn a_long_frame_that_nobody_wants_is_not_paid_for() {
    let node = Node::start();
    let long = object(MIB - 100);
    let mut client = node.greet();
    let id = client.begin(PUT, &put(&[0; 32], 0, "caf\u{e9}"));
    client.reply(id).assert_problem("bad_request");
    let mut answer_to_a_ping = Frame::request(1, PING, 0, &long);
    answer_to_a_ping.flags = RESP;
    for frame in [
        Frame::request(id, PUT, 0, &long),
        answer_to_a_ping,
        Frame::request(99, (0, 0), support::oap::END, &long),
    ] {
        let bytes = frame.encode();
        let read = || node.metric("bytes_in_total{plane=\"data\"}").unwrap();
        let before = read();
        client.send(&bytes[..bytes.len() - 1]);
        wait_until("the frame being read", || {
            read() >= before + bytes.len() as f64 - 1.0
        });
        assert_eq!(node.memory_of("buffers"), 0);
        client.send(&bytes[bytes.len() - 1..]);
    }
    client.assert_alive();
}

/// A header of 38 bytes was paid for with a mebibyte, before anything was asked of its request: a
/// few dozen connections that sent nothing else filled the budget of a node, and its readiness went.
#[test]
fn a_long_frame_goes_through_the_stages_of_refusal_before_it_is_paid_for() {
    let header = |operation, length: usize| {
        Frame::request(1, operation, WHOLE, &vec![0; length]).encode()[..38].to_vec()
    };
    let node = Node::with_limits(&[("one_shot_deadline", "3s")], &["--in-flight", "8"]);
    // What is paid for holds a permit, counts as it is filled, and comes in its time.
    let mut held: Vec<Oap> = (0..8).map(|_| node.greet()).collect();
    for client in &mut held {
        client.send(&header(ECHO, MIB - 100));
    }
    let mut late = node.greet();
    wait_until("all permits being held", || {
        late.call(GET, &get(&[0; 32], 0, 0)).status() == 503
    });
    assert!(node.memory_of("buffers") < 64 * KIB as u64);
    let mut refused = node.greet();
    refused
        .call(ECHO, &object(MIB - 100))
        .assert_problem("overloaded");
    for client in &mut held {
        client.assert_last_word(1, "body_timeout");
    }
    wait_until_nothing_is_held(&node);

    let node = Node::with_limits(&[("one_shot_body", "64KiB")], &[]);
    let mut client = node.greet();
    let long = object(MIB - 100);
    client.call(ECHO, &long).assert_problem("body_too_large");
    client
        .call(HAS, &long[..96 * KIB])
        .assert_problem("body_too_large");
    client.call((9, 9), &long).assert_problem("not_found");
    let mut with_cap = Frame::request(7, ECHO, WHOLE, &long);
    with_cap.cap = b"cap".to_vec();
    client.send(&with_cap.encode());
    client.reply(7).assert_problem("unauthenticated");
    client.assert_alive();
    assert_eq!(node.memory_of("buffers"), 0);
}

/// The deadline of a long frame outlived the frame: a connection whose peer did not read was told of
/// it again with every poll, for ever, on a core of its own and into memory that nobody paid for.
#[test]
fn a_late_long_frame_is_told_of_once_also_to_who_does_not_read() {
    let limits = [("one_shot_deadline", "300ms"), ("progress_interval", "3s")];
    let node = Node::with_limits(&limits, &[]);
    let bytes = object(8 * MIB);
    node.store(&bytes);
    let mut client = Oap::with_small_window(node.oap());
    // More would leave so much unread that nothing else is taken.
    for _ in 0..2 {
        client.ask(GET, &get(&hash(&bytes), 0, 0));
    }
    let downloads = "inflight_requests{route=\"/o/{addr}\"}";
    wait_until("the downloads", || node.metric(downloads) == Some(2.0));
    let late = Frame::request(99, ECHO, WHOLE, &bytes[..73 * KIB]).encode();
    client.send(&late[..1000]);
    wait_until("the peer being cut off", || {
        node.metric(downloads) == Some(0.0)
    });
    let told = node.metric("oap_frames_total{direction=\"out\",kind=\"resp\"}");
    assert!(told.unwrap() < 100.0, "{told:?} frames");
    wait_until_nothing_is_held(&node);
}

/// A long frame that came too late ended its connection, and so the streams of others on it.
#[test]
fn a_late_long_frame_fails_its_stream_alone() {
    let node = Node::with_limits(&[("one_shot_deadline", "300ms")], &[]);
    let mut client = node.greet();
    let upload = client.begin(PUT, &plain_put());
    let late = Frame::request(99, ECHO, WHOLE, &object(100 * KIB)).encode();
    client.send(&late[..1000]);
    wait_until("it being read", || node.memory_of("buffers") > 0);
    wait_until_nothing_is_held(&node);
    client.send(&late[1000..]);
    client.reply(99).assert_problem("body_timeout");
    client.end(upload, PUT, b"goes on");
    assert_eq!(client.reply(upload).stored().1, 7);
}

/// Echoes in parts were owed only once they had been answered, so that as many as a connection has
/// streams could be whole, a mebibyte each, for a peer that reads none.
#[test]
fn echoes_that_are_whole_are_owed_at_once() {
    let node = Node::with_limits(&[("one_shot_deadline", "2s")], &[]);
    let body = object(MIB);
    let mut client = Oap::with_small_window(node.oap());
    let ids: Vec<u64> = (0..6)
        .map(|_| {
            let id = client.begin(ECHO, b"");
            for chunk in body.chunks(CHUNK) {
                client.go_on(id, ECHO, chunk);
            }
            id
        })
        .collect();
    wait_until("all but their ends", || {
        node.memory_of("buffers") >= 6 * MIB as u64
    });
    for id in ids {
        client.end(id, ECHO, b"");
    }
    wait_until("all but one being given up", || {
        node.memory_of("buffers") <= MOST
    });
    assert!(node.memory_of("buffers") > 0, "one is owed");
}

/// Waits until the node has cut off `client`, and checks what it held for it meanwhile; the most
/// that was seen.
#[track_caller]
fn assert_bounded_until_cut(node: &Node, client: Oap) -> u64 {
    let mut most = 0;
    wait_until("the peer being cut off", || {
        most = most.max(node.memory_of("buffers"));
        node.rejected("body_timeout") == (1.0, 1.0)
    });
    assert!(most <= MOST, "{most} bytes");
    wait_until_nothing_is_held(node);
    for route in ["/o/{addr}", "/echo"] {
        let in_flight = format!("inflight_requests{{route=\"{route}\"}}");
        wait_until("permits coming back", || {
            node.metric(&in_flight) == Some(0.0)
        });
    }
    drop(client);
    most
}

#[test]
fn downloads_that_nobody_reads_are_bounded_and_cut() {
    let node = Node::with_limits(&[("progress_interval", "2s")], &[]);
    let bytes = object(8 * MIB);
    node.store(&bytes);
    let mut client = Oap::with_small_window(node.oap());
    for _ in 0..64 {
        client.ask(GET, &get(&hash(&bytes), 0, 0));
    }
    assert_ne!(assert_bounded_until_cut(&node, client), 0);
}

/// Sends `frames` until the node takes no more of them or has closed.
fn flood(node: &Node, frames: impl Iterator<Item = Frame> + Send) -> u64 {
    let client = Oap::with_small_window(node.oap());
    let stream = client.stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            use std::io::Write;
            let mut stream = stream;
            for frame in frames {
                if stream.write_all(&frame.encode()).is_err() {
                    return;
                }
            }
            panic!("the node has taken everything from a peer that does not read");
        });
        assert_bounded_until_cut(node, client)
    })
}

#[test]
fn echoes_that_nobody_reads_are_bounded_and_cut() {
    // As much as its compressed length allows, which is all that fits a read buffer.
    let mut text = object(68 * KIB);
    text.resize(640 * KIB, 0);
    let packed = zstd::bulk::compress(&text, 19).unwrap();
    assert!(
        packed.len() * 10 > text.len() && packed.len() < 72 * KIB,
        "{}",
        packed.len()
    );
    let long = object(MIB - 100);
    let cases = [
        (0, &long[..]),
        (0, &long[..100 * KIB]),
        (0, &long[..CHUNK]),
        (0, &long[..1000]),
        (0, &long[..100]),
        (COMP, &packed[..]),
    ];
    let check = |(flags, payload): (u16, &[u8])| {
        let node = Node::with_limits(&[("progress_interval", "1s")], &[]);
        // Far more than any buffer on the way has room for.
        let ids = 1..=(40 * MIB / payload.len()) as u64;
        let frames = ids.map(|id| Frame::request(id, ECHO, WHOLE | flags, payload));
        let most = flood(&node, frames);
        assert_eq!(
            most > 0,
            payload.len() >= CHUNK,
            "{most} of {}",
            payload.len()
        );
    };
    // In two lanes: a crowd of nodes would be too busy to be looked at.
    thread::scope(|scope| {
        for lane in cases.chunks(3) {
            scope.spawn(|| lane.iter().copied().for_each(check));
        }
    });
}

#[test]
fn a_frame_that_cannot_be_paid_for_fails_on_its_stream_alone() {
    let node = Node::with_limits(&[], &LEAST);
    // 94 %: writes are shed, and what is left is less than the longest frame.
    let bytes = object(15 * MIB + 50 * KIB);
    node.store(&bytes);
    let mut client = node.greet();
    let long = object(MIB - 100);
    client.call(ECHO, &long).assert_problem("degraded");
    client.assert_alive();
    let in_parts = client.begin(ECHO, b"x");
    client.go_on(in_parts, ECHO, &long);
    client.end(in_parts, ECHO, b"x");
    client.reply(in_parts).assert_problem("degraded");
    let half = client.call(ECHO, &long[..MIB / 2]);
    assert!(half.payload() == long[..MIB / 2]);
    assert_eq!(node.rejected("degraded"), (2.0, 2.0));
    assert!(client.call(GET, &get(&hash(&bytes), 0, 0)).object().bytes == bytes);
    wait_until_nothing_is_held(&node);
}

#[test]
fn a_full_node_still_reads_and_forgets() {
    let node = Node::with_limits(&[], &LEAST);
    // 99 %, and less left than what pays for unread answers.
    let bytes = object(15 * MIB + 900 * KIB);
    node.store(&bytes);
    wait_until("everything that allocates being shed", || {
        node.metric("ready_state") == Some(3.0)
    });
    let mut client = node.greet();
    let address = hash(&bytes);
    client.call(ECHO, b"x").assert_problem("degraded");
    client.call(HAS, &address).assert_problem("degraded");
    client.call(PUT, &plain_put()).assert_problem("degraded");
    let upload = client.begin(PUT, &plain_put());
    client.reply(upload).assert_problem("degraded");
    client.cancel(upload);
    client.assert_alive();
    let reads: Vec<u64> = (0..8)
        .map(|_| client.ask(GET, &get(&address, 0, 0)))
        .collect();
    assert_eq!(client.call(HEAD, &address).status(), 200);
    for id in reads {
        assert!(client.reply(id).object().bytes == bytes);
    }
    assert_eq!(client.call(support::oap::DELETE, &address).status(), 204);
    drop(client);
    node.wait_until_empty();
    let mut client = node.greet();
    wait_until("writes again", || {
        client.call(PUT, &plain_put()).status() < 300
    });
}
