//! Compressed uploads: decoded before they are addressed, and bounded while they are decoded.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Node, Response, address, chunked, encode, object};

const MIB: usize = 1024 * 1024;
const CODINGS: [&str; 3] = ["gzip", "zstd", "br"];

/// `size` bytes of which one in `ratio` cannot be compressed and the others hardly take space.
fn compressible(size: usize, ratio: usize) -> Vec<u8> {
    let mut bytes = object(size);
    for part in bytes.chunks_mut(1000 * ratio) {
        let solid = part.len().div_ceil(ratio);
        part[solid..].fill(0);
    }
    bytes
}

fn one_shot(node: &Node, coding: &str, coded: &[u8]) -> Response {
    node.request("POST", "/put", &[("content-encoding", coding)], coded)
}

fn streamed(node: &Node, coding: &str, coded: &[u8]) -> Response {
    let fields = [
        ("content-encoding", coding),
        ("transfer-encoding", "chunked"),
    ];
    node.request("POST", "/put", &fields, &chunked(coded, 30_000))
}

type Put = fn(&Node, &str, &[u8]) -> Response;

/// Both ways in.
const WAYS: [Put; 2] = [one_shot, streamed];

#[track_caller]
fn assert_stored(node: &Node, response: &Response, bytes: &[u8]) {
    assert!(matches!(response.status, 200 | 201), "{}", response.text());
    assert_eq!(response.json()["address"], address(bytes));
    assert_eq!(response.json()["size"], bytes.len());
    let read = node.get(response.field("location").unwrap(), &[]);
    assert!(read.body == bytes);
    assert_eq!(read.field("content-encoding"), None);
}

#[test]
fn the_decoded_bytes_are_stored_under_their_own_address() {
    let node = Node::start();
    for coding in CODINGS {
        for size in [0, 1, 65_537, 900_000] {
            let bytes = compressible(size, 2);
            let coded = encode(coding, &bytes);
            for way in WAYS {
                assert_stored(&node, &way(&node, coding, &coded), &bytes);
            }
        }
        let large = compressible(8 * MIB, 3);
        assert_stored(
            &node,
            &streamed(&node, coding, &encode(coding, &large)),
            &large,
        );
    }
    assert_stored(&node, &one_shot(&node, "GZIP", &encode("gzip", b"x")), b"x");
    assert_stored(&node, &one_shot(&node, "identity", b"y"), b"y");
    assert_eq!(
        node.metric("memory_used_bytes{kind=\"decoders\"}"),
        Some(0.0)
    );
}

#[test]
fn a_put_to_an_address_means_the_decoded_bytes() {
    let node = Node::start();
    let bytes = compressible(2 * MIB, 2);
    for coding in CODINGS {
        let coded = encode(coding, &bytes);
        let fields = [("content-encoding", coding)];
        let of_coded = format!("/o/{}", address(&coded));
        node.request("PUT", &of_coded, &fields, &coded)
            .assert_problem("digest_mismatch");
        let path = format!("/o/{}", address(&bytes));
        let response = node.request("PUT", &path, &fields, &coded);
        assert_stored(&node, &response, &bytes);
        assert_eq!(node.request("DELETE", &path, &[], b"").status, 204);
    }
    node.wait_until_empty();
}

#[test]
fn nine_to_one_is_legal() {
    let node = Node::start();
    for coding in CODINGS {
        let bytes = compressible(900_000, 9);
        let coded = encode(coding, &bytes);
        let ratio = bytes.len() as f64 / coded.len() as f64;
        assert!((8.0..10.0).contains(&ratio), "{coding}: {ratio}");
        for way in WAYS {
            assert_stored(&node, &way(&node, coding, &coded), &bytes);
        }
    }
}

#[test]
fn more_than_ten_to_one_is_refused() {
    let node = Node::start();
    for coding in CODINGS {
        for size in [1000, 900_000] {
            // Below the slack of the running check, and far above it.
            let coded = encode(coding, &compressible(size, 30));
            for way in WAYS {
                way(&node, coding, &coded).assert_problem("decompress_bound");
            }
        }
    }
    node.wait_until_empty();
}

#[test]
fn a_one_shot_has_its_cap_after_decoding_too() {
    let node = Node::start();
    for coding in CODINGS {
        let most = compressible(MIB, 2);
        assert_stored(
            &node,
            &one_shot(&node, coding, &encode(coding, &most)),
            &most,
        );
        let over = encode(coding, &compressible(MIB + 1, 2));
        one_shot(&node, coding, &over).assert_problem("decompress_bound");
        let response = streamed(&node, coding, &over);
        assert!(matches!(response.status, 200 | 201), "streams have another");
    }
}

/// The head of a frame that asks for 2 GiB of window, and a block of one byte.
const WIDE_WINDOW: [u8; 10] = [0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 9, 0, 0, b'x'];

/// Every worker once kept the window of its last decoder: eight of them, 35 MiB.
#[test]
fn bombs_are_refused_and_take_no_memory() {
    let node = Node::with(&["--rps", "0", "--workers", "8"]);
    let zeros = vec![0; 10 * MIB];
    let good = CODINGS.map(|coding| (coding, encode(coding, &compressible(900_000, 2))));
    let bombs = CODINGS.map(|coding| (coding, encode(coding, &zeros)));
    // A connection that stays makes the next one go to another worker.
    let mut others = Vec::new();
    // The first of everything, on each worker, allocates what stays.
    for _ in 0..8 {
        others.push(node.connect());
        for (coding, coded) in &good {
            let response = one_shot(&node, coding, coded);
            node.request("DELETE", response.field("location").unwrap(), &[], b"");
        }
    }
    let before = node.resident();
    let wide = ("zstd", WIDE_WINDOW.to_vec());
    for (coding, bomb) in bombs.into_iter().chain([wide]) {
        assert!(bomb.len() < 20_000);
        for _ in 0..8 {
            others.push(node.connect());
            for way in WAYS {
                way(&node, coding, &bomb).assert_problem("decompress_bound");
                let grown = node.resident().saturating_sub(before);
                assert!(grown <= 8 * MIB as u64, "{coding}: grew by {grown} bytes");
            }
        }
    }
    node.wait_until_empty();
}

#[test]
fn what_does_not_decode_is_malformed() {
    let node = Node::start();
    for coding in CODINGS {
        let bytes = compressible(300_000, 2);
        let good = encode(coding, &bytes);
        let mut corrupt = good.clone();
        // Where codes are described: a changed literal would be noticed only by a checksum.
        for byte in &mut corrupt[2..40] {
            *byte ^= 0x5a;
        }
        for (what, bad) in [
            ("corrupt", corrupt.as_slice()),
            ("truncated", &good[..good.len() / 2]),
            ("without its last byte", &good[..good.len() - 1]),
            ("followed by something", &[&good[..], b"garbage"].concat()),
            ("not coded", &object(100_000)),
            ("one byte", b"x"),
            ("empty", b""),
        ] {
            for way in WAYS {
                let response = way(&node, coding, bad);
                assert_eq!(
                    response.status,
                    400,
                    "{coding}, {what}: {}",
                    response.text()
                );
                response.assert_problem("bad_encoding");
            }
        }
    }
    node.wait_until_empty();
}

#[test]
fn one_known_coding_is_decoded_and_no_other() {
    let node = Node::start();
    for coding in [
        "gzip, gzip",
        "gzip, br",
        "identity, gzip",
        "deflate",
        "compress",
        "lz4",
        "*",
        "gzip;q=1",
        "",
    ] {
        for way in WAYS {
            way(&node, coding, b"x").assert_problem("unsupported_encoding");
        }
    }
    let twice = [("content-encoding", "gzip"), ("content-encoding", "gzip")];
    node.request("POST", "/put", &twice, b"x")
        .assert_problem("unsupported_encoding");
    node.wait_until_empty();
}
