//! Uploads: broken off, refused, and in every coding.

use crate::canary::{Canary, node};
use crate::support::oap::{COMP, DELETE, Frame, PUT, WHOLE, hash, plain_put};
use crate::support::{Node, address, chunked, encode, wait_until};

#[test]
fn what_is_broken_off_is_gone() {
    let node = node(&[]);
    for size in [4096, 300_000] {
        let canary = Canary::of(size);
        let path = format!("/o/{}", address(&canary.bytes));
        let mut upload = node.connect();
        let length = (2 * size).to_string();
        upload.send_head("PUT", &path, &[("content-length", &length)]);
        upload.send(&canary.bytes);
        wait_until("the bytes coming", || {
            node.memory_of("uploads") >= size as u64
        });
        canary.check("broken off", &node, || drop(upload));

        let canary = Canary::of(size);
        let mut upload = node.connect();
        upload.send_head("POST", "/put", &[("transfer-encoding", "chunked")]);
        let coded = chunked(&canary.bytes, 10_000);
        upload.send(&coded[..coded.len() - 5]);
        wait_until("the bytes coming", || {
            node.memory_of("uploads") >= size as u64
        });
        canary.check("broken off in chunks", &node, || drop(upload));
    }
}

#[test]
fn what_is_broken_off_over_oap_is_gone() {
    let node = node(&[]);
    let canary = Canary::new();
    let mut client = node.greet();
    let id = client.begin(PUT, &plain_put());
    client.go_on(id, PUT, &canary.bytes);
    wait_until("the bytes coming", || node.memory_of("uploads") >= 4096);
    canary.check("broken off over OAP", &node, || drop(client));

    // In the middle of a frame, which is read into memory of its own.
    let canary = Canary::of(300_000);
    let mut client = node.greet();
    let payload = [&plain_put()[..], &canary.bytes, &canary.bytes].concat();
    let id = client.new_id();
    let frame = Frame::request(id, PUT, WHOLE, &payload).encode();
    client.send(&frame[..400_000]);
    wait_until("the bytes coming", || node.memory_of("buffers") >= 300_000);
    canary.check("broken off in a frame", &node, || drop(client));
}

#[test]
fn what_is_another_object_than_it_says_is_gone() {
    let node = node(&[]);
    let canary = Canary::of(200_000);
    let path = format!("/o/{}", address(b"another"));
    let mut upload = node.connect();
    let length = canary.bytes.len().to_string();
    upload.send_head("PUT", &path, &[("content-length", &length)]);
    let (most, last) = canary.bytes.split_at(190_000);
    upload.send(most);
    wait_until("the bytes coming", || node.memory_of("uploads") >= 190_000);
    canary.check("refused", &node, || {
        upload.send(last);
        upload.response("PUT").assert_problem("digest_mismatch");
        drop(upload);
    });
}

#[test]
fn what_was_decoded_is_gone_and_so_is_what_it_was_decoded_from() {
    let node = node(&[]);
    for coding in ["gzip", "zstd", "br"] {
        for (size, is_streamed) in [(4096, false), (4096, true), (600_000, true)] {
            let canary = Canary::of(size);
            let coded = encode(coding, &canary.bytes);
            let canary = canary.also(&coded);
            let put = |fields: &[(&str, &str)], body: &[u8]| {
                let fields = [&[("content-encoding", coding)], fields].concat();
                node.request("POST", "/put", &fields, body)
            };
            let put = if is_streamed {
                put(
                    &[("transfer-encoding", "chunked")],
                    &chunked(&coded, 30_000),
                )
            } else {
                put(&[], &coded)
            };
            assert_eq!(put.status, 201, "{}", put.text());
            let path = format!("/o/{}", address(&canary.bytes));
            canary.check(&format!("{size} bytes of {coding}"), &node, || {
                assert_eq!(node.request("DELETE", &path, &[], b"").status, 204);
            });
        }
    }
}

/// What the decoder has at hand when its body ends too early.
#[test]
fn what_is_broken_off_while_it_is_decoded_is_gone() {
    let node = node(&[]);
    for coding in ["gzip", "zstd", "br"] {
        let canary = Canary::of(600_000);
        let coded = encode(coding, &canary.bytes);
        let canary = canary.also(&coded);
        let mut upload = node.connect();
        let fields = [
            ("content-encoding", coding),
            ("transfer-encoding", "chunked"),
        ];
        upload.send_head("POST", "/put", &fields);
        let body = chunked(&coded, 10_000);
        upload.send(&body[..body.len() / 2]);
        wait_until("the bytes coming", || node.memory_of("uploads") > 100_000);
        canary.check(&format!("half of {coding}"), &node, || drop(upload));
    }
}

#[test]
fn what_was_inflated_of_a_frame_is_gone() {
    let node = node(&[]);
    let canary = Canary::of(200_000);
    let payload = [&plain_put()[..], &canary.bytes].concat();
    let coded = zstd::bulk::compress(&payload, 3).unwrap();
    let canary = canary.also(&coded);
    let mut client = node.greet();
    let id = client.new_id();
    client.send_frame(&Frame::request(id, PUT, WHOLE | COMP, &coded));
    assert_eq!(client.reply(id).stored().0, hash(&canary.bytes));
    canary.check("inflated", &node, || {
        assert_eq!(client.call(DELETE, &hash(&canary.bytes)).status(), 204);
        drop(client);
    });
}

#[test]
fn what_was_echoed_is_gone() {
    let node: Node = node(&[]);
    let canary = Canary::of(200_000);
    let mut client = node.connect();
    let length = canary.bytes.len().to_string();
    client.send_head("POST", "/echo", &[("content-length", &length)]);
    let (most, last) = canary.bytes.split_at(190_000);
    client.send(most);
    wait_until("the bytes coming", || node.memory_of("buffers") >= 190_000);
    canary.check("echoed", &node, || {
        client.send(last);
        assert!(client.response("POST").body == canary.bytes);
        drop(client);
    });
}
