//! HELLO: what has to be said first, and what the node says of itself.
#![allow(clippy::unwrap_used)]

mod support;

use support::oap::{CHUNK, COMP, ECHO, END, Frame, HELLO, PING, REQ, RESP, START, WHOLE};
use support::{Node, Oap};

const ID: u64 = 77;
const WELCOME: &str = r#"{"max_frame":1048576,"max_inflight":64,"flags_supported":255,"versions":[1],"transports":["tcp","tls"]}"#;

/// What a node answers when `frame` is the first it hears.
fn first(node: &Node, frame: &Frame) -> Oap {
    let mut client = Oap::dial(node.oap());
    client.send_frame(frame);
    client
}

#[test]
fn the_answer_has_the_flags_of_the_question_and_the_bounds_of_the_node() {
    let node = Node::start();
    for flags in [0, START, END, WHOLE] {
        for payload in [
            &b"{}"[..],
            b"",
            br#" {"ua":"x","accept_comp":false,"later":[1]}"#,
        ] {
            let mut client = first(&node, &Frame::request(ID, HELLO, flags, payload));
            let welcome = client.frame().unwrap();
            assert_eq!((welcome.flags, welcome.code), (RESP | flags, 200));
            assert_eq!((welcome.corr_id, welcome.app), (ID, 0));
            assert_eq!(String::from_utf8(welcome.payload).unwrap(), WELCOME);
            client.assert_alive();
        }
    }
}

#[test]
fn hello_may_be_compressed_like_any_payload() {
    let node = Node::start();
    let text = br#"{"ua":"compressed"}"#;
    let packed = zstd::bulk::compress(text, 1).unwrap();
    let mut client = first(&node, &Frame::request(ID, HELLO, WHOLE | COMP, &packed));
    assert_eq!(client.frame().unwrap().code, 200);
    client.assert_alive();
    for (payload, code) in [
        (&text[..], "bad_encoding"),
        (
            &zstd::bulk::compress(&[b' '; 4000], 19).unwrap(),
            "decompress_bound",
        ),
    ] {
        let mut client = first(&node, &Frame::request(ID, HELLO, WHOLE | COMP, payload));
        client.assert_last_word(ID, code);
    }
}

#[test]
fn what_is_no_hello_is_told_so_and_left() {
    let node = Node::start();
    let hello = |payload: &[u8]| Frame::request(ID, HELLO, WHOLE, payload);
    let long = [&br#"{"ua":""}"#[..], &[b' '; 4096]].concat();
    let mut answer = hello(b"{}");
    answer.flags ^= REQ | RESP;
    let mut tenant = hello(b"{}");
    tenant.tenant = 1 << 127;
    let mut cap = hello(b"{}");
    cap.cap = b"of another node".to_vec();
    for (name, frame, code) in [
        ("no JSON", hello(b"hello"), "bad_request"),
        ("cut short", hello(br#"{"ua":"#), "bad_request"),
        ("an array", hello(br#"["ua",true]"#), "bad_request"),
        ("wrong types", hello(br#"{"ua":1}"#), "bad_request"),
        ("no UTF-8", hello(b"{\"ua\":\"\xff\"}"), "bad_request"),
        ("over 4 KiB", hello(&long), "bad_request"),
        (
            "over a read buffer",
            hello(&vec![b' '; 2 * CHUNK]),
            "bad_request",
        ),
        (
            "a ping",
            Frame::request(ID, PING, WHOLE, b""),
            "bad_request",
        ),
        (
            "an echo",
            Frame::request(ID, ECHO, WHOLE, b"{}"),
            "bad_request",
        ),
        ("an answer", answer, "bad_request"),
        ("a tenant", tenant, "bad_tenant"),
        ("a capability", cap, "unauthenticated"),
    ] {
        println!("{name}");
        let before = node.rejected(code);
        let mut client = first(&node, &frame);
        client.ask(PING, b"");
        client.assert_last_word(ID, code);
        assert_eq!(node.rejected(code), (before.0 + 1.0, before.1 + 1.0));
    }
}

#[test]
fn hello_is_said_once() {
    let node = Node::start();
    let mut client = node.greet();
    client.send_frame(&Frame::request(ID, HELLO, WHOLE, b"{}"));
    client.reply(ID).assert_problem("bad_request");
    client.assert_alive();
    client.send_frame(&Frame::request(ID, HELLO, START, b"{}"));
    client.reply(ID).assert_problem("bad_request");
    client.end(ID, HELLO, b"");
    client.assert_alive();
}
