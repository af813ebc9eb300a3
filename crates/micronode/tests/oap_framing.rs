//! Bytes that are frames, and bytes that are none: each bound of the header met exactly, and each
//! fault told once, by its name, as the last thing that the connection hears.
#![allow(clippy::unwrap_used)]

mod support;

use support::oap::{
    APP_E2E, CHUNK, COMP, ECHO, END, EVENT, Frame, GET, HEADER, HELLO, MAX_FRAME, PING, PUT, REQ,
    RESP, START, WHOLE, get, hash, plain_put,
};
use support::{Node, Oap, object};

/// The stream of every frame at fault.
const ID: u64 = 0x0102_0304_0506_0708;

fn set<const N: usize>(bytes: &mut [u8], at: usize, field: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&field);
}

fn set_len(bytes: &mut [u8], len: u32) {
    set(bytes, 0, len.to_be_bytes());
}

fn set_flags(bytes: &mut [u8], flags: u16) {
    set(bytes, 6, flags.to_be_bytes());
}

fn set_cap_len(bytes: &mut [u8], len: u16) {
    set(bytes, 28, len.to_be_bytes());
}

type Change = fn(&mut [u8]);

/// A name, what is done to a ping with five bytes of payload, and what comes of it.
type Malformed = (&'static str, Change, &'static str);

const MALFORMED: &[Malformed] = &[
    (
        "unknown bit",
        |it| set_flags(it, REQ | WHOLE | 256),
        "bad_flags",
    ),
    (
        "highest bit",
        |it| set_flags(it, REQ | WHOLE | 0x8000),
        "bad_flags",
    ),
    ("no kind", |it| set_flags(it, WHOLE), "bad_flags"),
    (
        "two kinds",
        |it| set_flags(it, REQ | RESP | WHOLE),
        "bad_flags",
    ),
    (
        "other two kinds",
        |it| set_flags(it, REQ | EVENT),
        "bad_flags",
    ),
    (
        "three kinds",
        |it| set_flags(it, REQ | RESP | EVENT),
        "bad_flags",
    ),
    (
        "opaque and compressed",
        |it| set_flags(it, REQ | WHOLE | COMP | APP_E2E),
        "bad_flags",
    ),
    ("version 2", |it| set(it, 4, [0, 2]), "bad_version"),
    ("version 0", |it| set(it, 4, [0, 0]), "bad_version"),
    ("version 257", |it| set(it, 4, [1, 1]), "bad_version"),
    (
        "one too long",
        |it| set_len(it, MAX_FRAME as u32 + 1),
        "frame_oversize",
    ),
    (
        "longest of all",
        |it| set_len(it, u32::MAX),
        "frame_oversize",
    ),
    ("one too short", |it| set_len(it, 37), "truncated"),
    ("no length", |it| set_len(it, 0), "truncated"),
    (
        "capability without START",
        |it| {
            set_flags(it, REQ | END);
            set_cap_len(it, 1);
        },
        "cap_on_non_start",
    ),
    (
        "capability one longer than the frame",
        |it| set_cap_len(it, 6),
        "cap_out_of_bounds",
    ),
    (
        "longest capability",
        |it| set_cap_len(it, u16::MAX),
        "cap_out_of_bounds",
    ),
];

#[test]
fn what_is_no_frame_is_told_by_name_and_ends_the_connection() {
    let node = Node::start();
    let ping = Frame::request(ID, PING, WHOLE, b"12345").encode();
    for (name, change, code) in MALFORMED {
        println!("{name}");
        let mut bytes = ping.clone();
        change(&mut bytes);
        let before = node.rejected(code);
        let mut client = node.greet();
        client.send(&bytes);
        // Nothing of this is heard any more.
        client.ask(ECHO, b"after the end");
        client.assert_last_word(ID, code);
        let counted = (before.0 + 1.0, before.1 + 1.0);
        assert_eq!(node.rejected(code), counted, "{name}");

        let mut stranger = Oap::dial(node.oap());
        stranger.send(&bytes);
        stranger.assert_last_word(ID, code);
    }
}

#[test]
fn the_first_of_several_faults_is_the_one_that_is_told() {
    let node = Node::start();
    let mut bytes = Frame::request(ID, PING, 0, b"").encode();
    set_flags(&mut bytes, REQ | 256);
    set(&mut bytes, 4, [0, 2]);
    set_len(&mut bytes, MAX_FRAME as u32 + 1);
    set_cap_len(&mut bytes, 1);
    // What is said, and what mends it.
    let steps: [(&str, Change); 5] = [
        ("bad_flags", |it| set_flags(it, REQ)),
        ("bad_version", |it| set(it, 4, [0, 1])),
        ("frame_oversize", |it| set_len(it, 37)),
        ("truncated", |it| set_len(it, 38)),
        ("cap_on_non_start", |it| set_flags(it, REQ | START)),
    ];
    for (code, mend) in steps {
        let mut client = node.greet();
        client.send(&bytes);
        client.assert_last_word(ID, code);
        mend(&mut bytes);
    }
    let mut client = node.greet();
    client.send(&bytes);
    client.assert_last_word(ID, "cap_out_of_bounds");
}

#[test]
fn a_frame_is_judged_by_its_header_alone() {
    let node = Node::start();
    let mut client = node.greet();
    let frame = Frame::request(ID, ECHO, WHOLE, &object(MAX_FRAME - HEADER + 1));
    client.send(&frame.encode()[..HEADER]);
    client.assert_last_word(ID, "frame_oversize");
}

#[test]
fn a_request_in_one_frame_may_use_all_of_it() {
    let node = Node::start();
    let mut client = node.greet();
    let most = object(MAX_FRAME - HEADER);
    let echo = client.call(ECHO, &most);
    assert_eq!(echo.status(), 200);
    assert!(echo.payload() == most);

    let opaque = Frame::request(7, ECHO, WHOLE | APP_E2E, &most);
    client.send_frame(&opaque);
    assert!(client.reply(7).payload() == most);

    let fields = plain_put();
    let bytes = &most[fields.len()..];
    let put = client.call(PUT, &[&fields, bytes].concat());
    assert_eq!(put.stored(), (hash(bytes), bytes.len() as u64, false));
    let read = client.call(GET, &get(&hash(bytes), 0, 0));
    assert!(read.object().bytes == bytes);
    drop(client);
    wait_until_buffers_are_back(&node);
}

fn wait_until_buffers_are_back(node: &Node) {
    support::wait_until("buffers coming back", || node.memory_of("buffers") == 0);
}

#[test]
fn a_node_with_a_lower_bound_says_so_and_means_it() {
    let node = Node::with_limits(&[("oap_frame", "128KiB")], &[]);
    let mut client = Oap::dial(node.oap());
    let welcome: serde_json::Value = serde_json::from_slice(&client.hello(b"{}").payload).unwrap();
    assert_eq!(welcome["max_frame"], 128 * 1024);
    let most = object(128 * 1024 - HEADER);
    assert!(client.call(ECHO, &most).payload() == most);
    let longer = Frame::request(ID, ECHO, WHOLE, &object(128 * 1024 - HEADER + 1));
    client.send_frame(&longer);
    client.assert_last_word(ID, "frame_oversize");
}

/// Requests whose second frame has `CHUNK` bytes of body, and the one byte more that is too much.
#[test]
fn a_frame_of_several_carries_a_chunk_and_one_byte_more_ends_its_stream_alone() {
    let node = Node::start();
    let mut client = node.greet();
    let (chunk, longer) = (object(CHUNK), object(CHUNK + 1));
    let compressed = zstd::bulk::compress(&vec![7; CHUNK + 1], 19).unwrap();
    for (operation, fields) in [(ECHO, Vec::new()), (PUT, plain_put())] {
        let full = client.begin(operation, &[&fields[..], &chunk].concat());
        client.go_on(full, operation, &chunk);
        client.end(full, operation, &chunk);
        assert!(matches!(client.reply(full).status(), 200 | 201));

        let first = client.begin(operation, &[&fields[..], &longer].concat());
        let middle = client.begin(operation, &fields);
        client.go_on(middle, operation, &longer);
        let last = client.begin(operation, &fields);
        client.end(last, operation, &longer);
        let refused = node.rejected("chunk_too_large");
        let inflated = client.begin(operation, &fields);
        // Ten times its length and no more, and still too much for a chunk.
        let padded = [&compressed[..], &skippable(CHUNK / 10)].concat();
        client.send_frame(&Frame::request(inflated, operation, COMP, &padded));
        for id in [first, middle, last, inflated] {
            client.reply(id).assert_problem("chunk_too_large");
        }
        assert!(node.rejected("chunk_too_large").1 > refused.1);
        client.assert_alive();
    }
    assert_eq!(node.rejected("chunk_too_large"), (8.0, 8.0));
    assert_eq!(node.metric("objects"), Some(1.0), "of what was whole");
    drop(client);
    wait_until_buffers_are_back(&node);
    assert_eq!(node.memory_of("uploads"), 0);
}

/// A zstd frame that inflates to nothing.
fn skippable(length: usize) -> Vec<u8> {
    let head = [0x184D_2A50_u32.to_le_bytes(), (length as u32).to_le_bytes()];
    [&head.concat()[..], &vec![0; length]].concat()
}

#[test]
fn other_protocols_are_refused_at_their_first_bytes() {
    let node = Node::start();
    let mut browser = Oap::dial(node.oap());
    browser.send(b"GET / HTTP/1.1\r\nHost: localhost:8081\r\nAccept: */*\r\n\r\n");
    let frames = browser.until_closed();
    assert_eq!(
        (frames.len(), frames[0].flags, frames[0].code),
        (1, RESP | END, 400)
    );

    let mut preface = Oap::dial(node.oap());
    preface.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    preface.send(b"\0\0\x0c\x04\0\0\0\0\0\0\x02\0\0\0\0\0\x03\0\0\0\x64");
    assert_eq!(preface.until_closed().len(), 1);
    assert_eq!(node.rejected("bad_flags"), (2.0, 2.0));
}

#[test]
fn only_a_client_asks() {
    let node = Node::start();
    for kind in [RESP, EVENT] {
        let mut client = node.greet();
        let mut frame = Frame::request(ID, PING, 0, b"");
        frame.flags = kind;
        // What answers a ping of the node's is taken, and needs no answer.
        client.send_frame(&frame);
        client.assert_alive();
        frame.app = 1;
        client.send_frame(&frame);
        client.assert_last_word(ID, "bad_request");
    }
}

#[test]
fn however_the_bytes_are_cut_the_answers_are_the_same() {
    let node = Node::start();
    let bytes = b"a byte at a time";
    let put = [&plain_put()[..], bytes].concat();
    let mut exchange = Frame::request(0, HELLO, WHOLE, b"{}").encode();
    exchange.extend(Frame::request(1, PUT, WHOLE, &put).encode());
    exchange.extend(Frame::request(2, GET, WHOLE, &get(&hash(bytes), 0, 0)).encode());
    exchange.extend((3..50).flat_map(|id| Frame::request(id, PING, WHOLE, b"").encode()));
    for piece in [1, 37, 38, 39, 1000, exchange.len()] {
        let mut client = Oap::dial(node.oap());
        for part in exchange.chunks(piece) {
            client.send(part);
        }
        assert_eq!(client.frame().unwrap().code, 200);
        assert_eq!(client.reply(1).stored().0, hash(bytes));
        assert_eq!(client.reply(2).object().bytes, bytes);
        for id in 3..50 {
            assert_eq!(client.reply(id).status(), 200);
        }
    }
    let frames = |kind| {
        let direction = "direction=\"in\"";
        node.metric(&format!("oap_frames_total{{{direction},kind=\"{kind}\"}}"))
    };
    // They are counted when an answer has left, and it may be read before.
    support::wait_until("the frames being counted", || {
        frames("req") == Some(6.0 * 50.0)
    });
    assert_eq!(frames("event"), Some(0.0));
}
