//! Peers that send anything: frames with any flags, operations, sizes and cuts, in any order, most
//! of them wrong. Whatever they do, the node answers the next one, and keeps nothing of them.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;
use support::oap::{
    ACK_REQ, CHUNK, COMP, DELETE, ECHO, END, Frame, GET, HAS, HEAD, HEADER, HELLO, MANIFEST, PING,
    PUT, REQ, RESP, START, WHOLE, get, hash, plain_put,
};
use support::{Node, Oap, Random, object, wait_until};

const LANES: u64 = 6;
const PEERS_PER_LANE: u64 = 20;
const FRAMES_MOST: u64 = 200;

/// A frame that may be right, of one of a few streams.
fn frame(random: &mut Random, pool: &[u8], stored: &[u8; 32]) -> Vec<u8> {
    let operation = random.pick(&[
        HELLO,
        PING,
        ECHO,
        GET,
        PUT,
        HAS,
        DELETE,
        HEAD,
        MANIFEST,
        (2, 99),
    ]);
    let size = random.pick(&[
        0,
        1,
        31,
        48,
        49,
        200,
        5000,
        CHUNK,
        CHUNK + 42,
        CHUNK + 43,
        200_000,
    ]);
    let mut payload = match random.below(4) {
        0 => get(stored, random.below(3) * 70_000, random.below(3) * 100_000),
        1 => [&plain_put()[..], &pool[..size]].concat(),
        2 => stored.to_vec(),
        _ => pool[..size].to_vec(),
    };
    let mut flags = random.pick(&[WHOLE, START, 0, END]);
    if random.one_in(6) {
        flags |= COMP;
        if !random.one_in(3) {
            payload = zstd::bulk::compress(&payload, 1).unwrap();
        }
    }
    if random.one_in(20) {
        flags |= ACK_REQ;
    }
    let mut frame = Frame::request(random.below(6), operation, flags, &payload);
    if random.one_in(50) {
        frame.tenant = 1;
    }
    if frame.has(START) && random.one_in(50) {
        frame.cap = vec![7; 20];
    }
    if random.one_in(60) {
        frame.flags ^= REQ | RESP;
        frame.app = 0;
    }
    let mut bytes = frame.encode();
    if random.one_in(400) {
        bytes[random.below(HEADER as u64) as usize] ^= 1 << random.below(8);
    }
    bytes
}

/// Reads what comes, and then some time not.
fn read(mut stream: TcpStream, patiently: bool) {
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let mut bytes = [0; 4096];
    let mut left = if patiently { usize::MAX } else { 100 };
    while left > 0 && matches!(stream.read(&mut bytes), Ok(1..)) {
        left -= 1;
    }
}

/// One peer's life.
fn live(node: &Node, seed: u64, pool: &[u8], stored: &[u8; 32]) {
    let random = &mut Random::seeded(seed);
    let client = match random.below(3) {
        0 => Oap::greet_for_compression(node.oap()),
        1 => Oap::with_small_window(node.oap()),
        _ => node.greet(),
    };
    let mut stream = client.stream.try_clone().unwrap();
    // Whoever reads nothing is not written to for ever either.
    stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let patiently = !random.one_in(4);
    std::thread::scope(|scope| {
        scope.spawn(|| read(client.stream.try_clone().unwrap(), patiently));
        for _ in 0..random.below(FRAMES_MOST) {
            let bytes = frame(random, pool, stored);
            let (front, back) = bytes.split_at(random.below(bytes.len() as u64) as usize);
            if stream.write_all(front).is_err() || stream.write_all(back).is_err() {
                break;
            }
        }
        if random.one_in(2) {
            let _ = stream.shutdown(Shutdown::Write);
        }
    });
}

#[test]
fn whatever_peers_do_the_node_serves_the_next_and_keeps_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut command = Node::command(&["--rps", "0", "--memory", "64MiB"]);
    command.stderr(std::fs::File::create(&log).unwrap());
    let node = Node::spawn(command);
    let pool = object(300_000);
    node.store(&pool);
    let descriptors = node.metric("process_open_fds").unwrap();
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (node, pool) = (&node, &pool);
            scope.spawn(move || {
                for peer in 0..PEERS_PER_LANE {
                    live(node, lane * PEERS_PER_LANE + peer, pool, &hash(pool));
                }
            });
        }
    });
    node.greet().assert_alive();
    for kind in ["uploads", "buffers", "decoders"] {
        wait_until("nothing being held", || node.memory_of(kind) == 0);
    }
    for route in [
        "/put",
        "/o/{addr}",
        "/o/{addr}/manifest",
        "/has",
        "/echo",
        "unknown",
    ] {
        let in_flight = format!("inflight_requests{{route=\"{route}\"}}");
        wait_until("nothing in progress", || {
            node.metric(&in_flight) == Some(0.0)
        });
    }
    wait_until("descriptors coming back", || {
        node.metric("process_open_fds").unwrap() <= descriptors + 2.0
    });
    // Each of these is a fault of the peer's; none is a fault of the node's.
    for code in [
        "stream_closed",
        "stream_reused",
        "truncated",
        "bad_request",
        "chunk_too_large",
    ] {
        assert_ne!(node.rejected(code).1, 0.0, "{code} never happened");
    }
    assert_eq!(node.rejected("integrity_fail").0, 0.0);
    let said = std::fs::read_to_string(log).unwrap();
    assert!(!said.contains("panicked"), "{said}");
}
