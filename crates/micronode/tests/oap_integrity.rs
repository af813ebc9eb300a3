//! Damaged objects over OAP: an error in place of the answer, or at the end of one that had begun,
//! and never a wrong byte.
#![allow(clippy::unwrap_used)]

mod support;

use support::oap::{CHUNK, END, GET, HAS, HEAD, MANIFEST, PUT, RESP, START, get, hash, put};
use support::{Node, Oap, object};

/// A node with a damaged object, and a client.
fn damaged(bytes: &[u8], at: usize) -> (Node, Oap) {
    let node = Node::start();
    let path = node.store(bytes);
    node.corrupt(&path, at);
    let client = node.greet();
    (node, client)
}

#[track_caller]
fn assert_quarantined(client: &mut Oap, address: &[u8; 32]) {
    for (offset, length) in [(0, 0), (0, 1), (5 * CHUNK as u64, 1)] {
        let read = client.call(GET, &get(address, offset, length));
        read.assert_problem("integrity_fail");
        assert_eq!(read.frames.len(), 1);
    }
    client.call(HEAD, address).assert_problem("integrity_fail");
    client
        .call(MANIFEST, address)
        .assert_problem("integrity_fail");
    assert_eq!(client.call(HAS, address).payload(), [0]);
}

#[test]
fn damage_in_the_first_group_is_502_in_place_of_an_answer() {
    let bytes = object(6 * CHUNK);
    let (node, mut client) = damaged(&bytes, 0);
    let read = client.call(GET, &get(&hash(&bytes), 0, 0));
    read.assert_problem("integrity_fail");
    assert_eq!(read.frames.len(), 1);
    assert_eq!(node.metric("integrity_fail_total"), Some(1.0));
    assert_quarantined(&mut client, &hash(&bytes));
    assert_eq!(
        node.metric("integrity_fail_total"),
        Some(1.0),
        "counted once"
    );
    client.assert_alive();
}

#[test]
fn damage_found_on_the_way_ends_the_answer_with_502() {
    let bytes = object(6 * CHUNK);
    let (node, mut client) = damaged(&bytes, 3 * CHUNK + 100);
    let read = client.call(GET, &get(&hash(&bytes), 0, 0));
    let [first, second, third, last] = &read.frames[..] else {
        panic!("{} frames", read.frames.len());
    };
    assert_eq!((first.flags, first.code), (RESP | START, 200));
    assert!(
        [second, third]
            .iter()
            .all(|frame| (frame.flags, frame.code) == (RESP, 200))
    );
    assert_eq!((last.flags, last.code), (RESP | END, 502));
    read.assert_problem("integrity_fail");
    let fields = 26 + "application/octet-stream".len();
    let delivered = [&first.payload[fields..], &second.payload, &third.payload].concat();
    assert!(delivered == bytes[..3 * CHUNK]);
    assert_eq!(node.metric("integrity_fail_total"), Some(1.0));
    assert_eq!(node.rejected("integrity_fail"), (1.0, 1.0));
    assert_quarantined(&mut client, &hash(&bytes));

    // A wrong upload does not heal it, the right one does.
    let healing = put(&hash(&bytes), 0, "");
    let wrong = client.upload(PUT, &healing, &object(6 * CHUNK - 1));
    wrong.assert_problem("digest_mismatch");
    assert_quarantined(&mut client, &hash(&bytes));
    assert!(client.upload(PUT, &healing, &bytes).status() < 300);
    assert!(client.call(GET, &get(&hash(&bytes), 0, 0)).object().bytes == bytes);
    assert_eq!(node.metric("objects"), Some(1.0));
}

#[test]
fn a_part_pays_only_for_the_groups_that_it_touches() {
    let bytes = object(6 * CHUNK);
    let (node, mut client) = damaged(&bytes, 3 * CHUNK);
    for groups in [0..3, 4..6] {
        let (start, end) = (groups.start * CHUNK, groups.end * CHUNK);
        let part = get(&hash(&bytes), start as u64, (end - start) as u64);
        assert!(client.call(GET, &part).object().bytes == bytes[start..end]);
    }
    assert_eq!(node.metric("integrity_fail_total"), Some(0.0));
    let touching = get(&hash(&bytes), 3 * CHUNK as u64 - 1, 2);
    let read = client.call(GET, &touching);
    read.assert_problem("integrity_fail");
    assert_eq!(read.frames.len(), 2, "the byte before it, and the error");
}

#[test]
fn other_streams_do_not_suffer() {
    let bytes = object(6 * CHUNK);
    let (node, mut client) = damaged(&bytes, 5 * CHUNK);
    let sound = object(20 * CHUNK);
    node.store(&sound);
    let pairs: Vec<(u64, u64)> = (0..10)
        .map(|_| {
            let damaged = client.ask(GET, &get(&hash(&bytes), 0, 0));
            (damaged, client.ask(GET, &get(&hash(&sound), 0, 0)))
        })
        .collect();
    for (damaged, other) in pairs {
        client.reply(damaged).assert_problem("integrity_fail");
        assert!(client.reply(other).object().bytes == sound);
    }
    client.assert_alive();
}
