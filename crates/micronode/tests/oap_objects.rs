//! Objects over OAP: every operation, with every field that it takes and brings.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::{SystemTime, UNIX_EPOCH};
use support::oap::{CHUNK, DELETE, GET, HAS, HEAD, MANIFEST, PUT, get, hash, plain_put, put};
use support::{Node, Oap, address, object};

const DEFAULT_MEDIA_TYPE: &str = "application/octet-stream";
/// One group; several and a rest.
const SIZES: [usize; 7] = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 9 * CHUNK + 5];

#[track_caller]
fn store(client: &mut Oap, bytes: &[u8]) -> [u8; 32] {
    let stored = client.upload(PUT, &put(&hash(bytes), 0, ""), bytes);
    assert_eq!(stored.stored(), (hash(bytes), bytes.len() as u64, false));
    assert_eq!(stored.status(), 201);
    hash(bytes)
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

#[test]
fn what_is_put_is_read_back_whole_and_in_parts() {
    let node = Node::start();
    let mut client = node.greet();
    for size in SIZES {
        let bytes = object(size);
        let address = store(&mut client, &bytes);
        let whole = client.call(GET, &get(&address, 0, 0));
        assert_eq!(whole.status(), 200);
        assert_eq!(whole.frames.len(), size.div_ceil(CHUNK).max(1));
        let whole = whole.object();
        assert_eq!(
            (whole.size, whole.offset, whole.expires),
            (size as u64, 0, 0)
        );
        assert_eq!(whole.media_type, DEFAULT_MEDIA_TYPE);
        assert!(whole.bytes == bytes);
        assert!(
            node.get(&format!("/o/{}", support::address(&bytes)), &[])
                .body
                == bytes
        );
    }
    let bytes = object(9 * CHUNK + 5);
    let size = bytes.len() as u64;
    let address = hash(&bytes);
    for (offset, length) in [
        (0, 1),
        (0, size),
        (1, 0),
        (size - 1, 0),
        (size - 1, 1),
        (CHUNK as u64 - 1, 2),
        (CHUNK as u64, CHUNK as u64),
        (5, u64::MAX),
        (3 * CHUNK as u64 + 7, 4 * CHUNK as u64),
    ] {
        let part = client.call(GET, &get(&address, offset, length));
        assert_eq!(part.status(), 206, "{offset} {length}");
        let part = part.object();
        let length = if length == 0 { u64::MAX } else { length };
        let end = offset.saturating_add(length).min(size);
        assert_eq!((part.size, part.offset), (size, offset));
        assert!(part.bytes == bytes[offset as usize..end as usize]);
    }
    for (offset, length) in [(size, 0), (size, 1), (u64::MAX, u64::MAX)] {
        let beyond = client.call(GET, &get(&address, offset, length));
        beyond.assert_problem("range_unsatisfiable");
    }
    let empty = client.call(GET, &get(&hash(b""), 0, 1));
    empty.assert_problem("range_unsatisfiable");
}

#[test]
fn a_put_says_what_became_of_it() {
    let node = Node::start();
    let mut client = node.greet();
    let bytes = b"an object";
    let mut put_of = |fields: &[u8]| client.call(PUT, &[fields, bytes].concat());
    let mismatch = put_of(&put(&hash(b"another"), 0, ""));
    mismatch.assert_problem("digest_mismatch");
    assert_eq!(node.metric("objects"), Some(0.0));
    node.wait_until_empty();

    let first = put_of(&put(&[0; 32], 0, "text/plain"));
    assert_eq!(
        (first.status(), first.stored()),
        (201, (hash(bytes), 9, false))
    );
    let again = put_of(&put(&hash(bytes), 0, "text/html"));
    assert_eq!(
        (again.status(), again.stored()),
        (200, (hash(bytes), 9, true))
    );
    let head = client.call(HEAD, &hash(bytes)).head();
    assert_eq!(head, (9, 0, "text/plain".to_owned()), "the first stays");

    let long = object(5 * CHUNK + 1);
    let mismatch = client.upload(PUT, &put(&hash(bytes), 0, ""), &long);
    mismatch.assert_problem("digest_mismatch");
    assert_eq!(node.metric("objects"), Some(1.0));
    store(&mut client, &long);
    let again = client.upload(PUT, &plain_put(), &long);
    assert_eq!(again.stored(), (hash(&long), long.len() as u64, true));
}

#[test]
fn a_media_type_of_the_longest_is_kept() {
    let node = Node::start();
    let mut client = node.greet();
    let media_type = "x".repeat(255);
    let bytes = object(2 * CHUNK);
    let put = put(&[0; 32], 0, &media_type);
    assert_eq!(client.upload(PUT, &put, &bytes).status(), 201);
    assert_eq!(client.call(HEAD, &hash(&bytes)).head().2, media_type);
    let read = client.call(GET, &get(&hash(&bytes), 0, 0)).object();
    assert_eq!(read.media_type, media_type);
    assert!(read.bytes == bytes);
    let over_http = node.get(&format!("/o/{}", address(&bytes)), &[]);
    assert_eq!(over_http.field("content-type"), Some(&media_type[..]));
}

#[test]
fn a_time_to_live_is_told_and_kept() {
    let node = Node::start();
    let mut client = node.greet();
    let before = now_ms();
    let put_of = |client: &mut Oap, ttl, bytes: &[u8]| {
        let put = [&put(&[0; 32], ttl, "")[..], bytes].concat();
        assert_eq!(client.call(PUT, &put).status(), 201);
    };
    put_of(&mut client, 3_600_000, b"an hour");
    let after = now_ms();
    let (_, expires, _) = client.call(HEAD, &hash(b"an hour")).head();
    let expected = before + 3_599_000..=after + 3_601_000;
    assert!(expected.contains(&expires), "{expires}");
    let read = client.call(GET, &get(&hash(b"an hour"), 0, 0)).object();
    assert!(read.expires.abs_diff(expires) <= 1, "the same wall clock");

    put_of(&mut client, 300, b"a moment");
    support::wait_until("its end", || {
        let reply = client.call(HAS, &[hash(b"an hour"), hash(b"a moment")].concat());
        reply.payload() == [1, 0]
    });
    client
        .call(GET, &get(&hash(b"a moment"), 0, 0))
        .assert_problem("not_found");
}

#[test]
fn has_answers_a_byte_for_each_address() {
    let node = Node::start();
    let mut client = node.greet();
    let stored = store(&mut client, b"here");
    let absent = hash(b"absent");
    assert_eq!(client.call(HAS, b"").payload(), b"");
    assert_eq!(client.call(HAS, &stored).payload(), [1]);
    assert_eq!(
        client
            .call(HAS, &[absent, stored, absent].concat())
            .payload(),
        [0, 1, 0]
    );
    let mut most = absent.repeat(4095);
    most.extend(stored);
    let answer = client.call(HAS, &most).payload();
    assert_eq!(
        (answer.len(), answer[4095], answer.iter().max()),
        (4096, 1, Some(&1))
    );
    assert_eq!(client.upload(HAS, b"", &most).payload(), answer);
    client
        .call(HAS, &[&most[..], &absent].concat())
        .assert_problem("bad_request");
    client.call(HAS, &stored[..31]).assert_problem("truncated");
    client
        .call(HAS, &[&stored[..], b"x"].concat())
        .assert_problem("truncated");
}

#[test]
fn a_manifest_is_the_one_of_http() {
    let node = Node::start();
    let mut client = node.greet();
    for size in SIZES.into_iter().chain([200 * CHUNK]) {
        let bytes = object(size);
        let stored = store(&mut client, &bytes);
        let manifest = client.call(MANIFEST, &stored);
        let path = format!("/o/{}/manifest", address(&bytes));
        assert_eq!(manifest.status(), 200);
        assert!(manifest.payload() == node.get(&path, &[]).body, "{size}");
    }
    client
        .call(MANIFEST, &hash(b"absent"))
        .assert_problem("not_found");
}

#[test]
fn what_is_deleted_is_gone_and_wiped() {
    let node = Node::start();
    let mut client = node.greet();
    let stored = store(&mut client, &object(3 * CHUNK));
    let deleted = client.call(DELETE, &stored);
    assert_eq!((deleted.status(), deleted.payload()), (204, Vec::new()));
    for operation in [DELETE, HEAD, MANIFEST] {
        client.call(operation, &stored).assert_problem("not_found");
    }
    client
        .call(GET, &get(&stored, 0, 0))
        .assert_problem("not_found");
    assert_eq!(client.call(HAS, &stored).payload(), [0]);
    drop(client);
    node.wait_until_empty();
}
