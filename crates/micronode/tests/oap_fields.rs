//! The fields of a request's payload: cut between frames at any byte, and neither too short nor too
//! long.
#![allow(clippy::unwrap_used)]

mod support;

use support::Node;
use support::oap::{GET, HEAD, PING, PUT, get, hash, put};

/// Text, and no media type.
const NO_MEDIA_TYPE: &str = "caf\u{e9}";

#[test]
fn fields_may_be_cut_anywhere() {
    let node = Node::start();
    let mut client = node.greet();
    let bytes = b"the body";
    let payload = [
        &put(&hash(bytes), 60_000, "text/plain; charset=utf-8")[..],
        bytes,
    ]
    .concat();
    let id = client.begin(PUT, b"");
    for byte in &payload {
        client.go_on(id, PUT, b"");
        client.go_on(id, PUT, &[*byte]);
    }
    client.end(id, PUT, b"");
    assert_eq!(client.reply(id).stored(), (hash(bytes), 8, false));
    let (size, expires, media_type) = client.call(HEAD, &hash(bytes)).head();
    assert_eq!((size, &media_type[..]), (8, "text/plain; charset=utf-8"));
    assert_ne!(expires, 0);

    let fields = get(&hash(bytes), 4, 2);
    for cut in [0, 1, 31, 32, 33, 47, 48] {
        let id = client.begin(GET, &fields[..cut]);
        client.end(id, GET, &fields[cut..]);
        assert_eq!(client.reply(id).object().bytes, b"bo");
    }
}

#[test]
fn fields_that_end_too_early_or_go_on_too_long_are_refused() {
    let node = Node::start();
    let mut client = node.greet();
    let fields = get(&hash(b"x"), 0, 0);
    let typed = put(&[0; 32], 0, "text/plain");
    for (operation, payload, code) in [
        (GET, &fields[..47], "truncated"),
        (GET, &[&fields[..], b"x"].concat(), "bad_request"),
        (HEAD, &fields[..31], "truncated"),
        (HEAD, &fields[..33], "bad_request"),
        (PING, b"x", "bad_request"),
        (PUT, b"", "truncated"),
        (PUT, &typed[..41], "truncated"),
        (PUT, &typed[..51], "truncated"),
        (PUT, &[&typed[..40], &[1, 0]].concat(), "bad_request"),
        (PUT, &[&typed[..40], &[0, 1, 0xff]].concat(), "bad_request"),
        (PUT, &put(&[0; 32], 0, NO_MEDIA_TYPE), "bad_request"),
        (PUT, &put(&[0; 32], u64::MAX, ""), "bad_request"),
    ] {
        client.call(operation, payload).assert_problem(code);
        let id = client.begin(operation, b"");
        for part in payload.chunks(40) {
            client.go_on(id, operation, part);
        }
        client.end(id, operation, b"");
        client.reply(id).assert_problem(code);
    }
    client.assert_alive();
    assert_eq!(node.metric("objects"), Some(0.0));
}
