//! COMP: payloads in zstd, inflated within bounds on the way in, and sent only to a client that
//! has asked for them.
#![allow(clippy::unwrap_used)]

mod support;

use support::oap::{
    CHUNK, COMP, ECHO, END, Frame, GET, HAS, HEAD, MANIFEST, MAX_FRAME, PUT, START, WHOLE, get,
    hash, plain_put, put,
};
use support::{Node, Oap, address, object, wait_until};

const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

fn compress(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 3).unwrap()
}

/// `size` bytes of which about half is taken away by compression.
fn text(size: usize) -> Vec<u8> {
    let digits = object(size.div_ceil(2));
    let text = digits
        .iter()
        .flat_map(|byte| format!("{byte:02x}").into_bytes());
    text.take(size).collect()
}

/// Compressed, sent on a stream of its own.
fn ask(client: &mut Oap, operation: (u16, u16), payload: &[u8]) -> u64 {
    let id = client.new_id();
    client.send_frame(&Frame::request(id, operation, WHOLE | COMP, payload));
    id
}

#[track_caller]
fn assert_nothing_held(node: &Node) {
    wait_until("nothing being held", || {
        ["uploads", "buffers", "decoders"]
            .iter()
            .all(|kind| node.memory_of(kind) == 0)
    });
}

#[test]
fn a_compressed_payload_is_stored_as_what_it_inflates_to() {
    let node = Node::start();
    let mut client = node.greet();
    for size in [0, 1, 100, CHUNK + 1, 900_000] {
        let bytes = text(size);
        let fields = put(&hash(&bytes), 0, "text/plain");
        let id = ask(&mut client, PUT, &compress(&[&fields[..], &bytes].concat()));
        assert_eq!(
            client.reply(id).stored(),
            (hash(&bytes), size as u64, false)
        );
        let path = format!("/o/{}", address(&bytes));
        assert!(node.get(&path, &[]).body == bytes);
        let id = ask(&mut client, ECHO, &compress(&bytes));
        assert!(client.reply(id).payload() == bytes);
    }
    // Two frames of zstd are one payload.
    let two = [compress(b"one and "), compress(b"two")].concat();
    let id = ask(&mut client, ECHO, &two);
    assert_eq!(client.reply(id).payload(), b"one and two");
    drop(client);
    assert_nothing_held(&node);
}

#[test]
fn each_frame_of_a_stream_may_be_compressed_or_not() {
    let node = Node::start();
    let mut client = node.greet();
    let bytes = text(20 * CHUNK);
    let fields = put(&hash(&bytes), 0, "");
    let id = client.new_id();
    client.send_frame(&Frame::request(id, PUT, START | COMP, &compress(&fields)));
    for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
        match index % 3 {
            0 => client.go_on(id, PUT, chunk),
            _ => client.send_frame(&Frame::request(id, PUT, COMP, &compress(chunk))),
        }
    }
    client.send_frame(&Frame::request(id, PUT, END | COMP, &compress(b"")));
    assert_eq!(
        client.reply(id).stored(),
        (hash(&bytes), bytes.len() as u64, false)
    );
    drop(client);
    assert_nothing_held(&node);
}

/// A frame of zstd with the window that `descriptor` stands for, holding one block of one byte.
fn with_window(descriptor: u8) -> Vec<u8> {
    let block = (1_u32 << 3 | 1).to_le_bytes();
    [&MAGIC[..], &[0, descriptor], &block[..3], b"x"].concat()
}

#[test]
fn what_asks_for_too_much_is_refused_and_garbage_is_told_apart() {
    let node = Node::start();
    let mut client = node.greet();
    let whole = compress(&text(1000));
    let over = compress(&text(MAX_FRAME + 1));
    let cases: [(&str, &[u8], &str); 9] = [
        (
            "a bomb",
            &zstd::bulk::compress(&vec![0; MAX_FRAME], 19).unwrap(),
            "decompress_bound",
        ),
        ("just over ten times", &tenfold(1), "decompress_bound"),
        ("more than a frame", &over, "decompress_bound"),
        (
            "a window of 4 MiB",
            &with_window((22 - 10) << 3),
            "decompress_bound",
        ),
        (
            "a window just over 2 MiB",
            &with_window((21 - 10) << 3 | 1),
            "decompress_bound",
        ),
        ("the longest window", &with_window(255), "decompress_bound"),
        ("nothing", b"", "bad_encoding"),
        ("plain text", b"this is not zstd", "bad_encoding"),
        ("cut short", &whole[..whole.len() - 1], "bad_encoding"),
    ];
    for (name, payload, code) in cases {
        println!("{name}");
        let before = node.rejected(code);
        let id = ask(&mut client, ECHO, payload);
        client.reply(id).assert_problem(code);
        // In the middle of an upload it ends that one alone.
        let id = client.begin(PUT, &plain_put());
        client.send_frame(&Frame::request(id, PUT, COMP, payload));
        client.end(id, PUT, b"");
        client.reply(id).assert_problem(code);
        let counted = (before.0 + 2.0, before.1 + 2.0);
        assert_eq!(node.rejected(code), counted, "{name}");
    }
    let id = ask(&mut client, ECHO, &tenfold(0));
    assert_eq!(client.reply(id).status(), 200);
    let id = ask(&mut client, ECHO, &with_window((21 - 10) << 3));
    assert_eq!(client.reply(id).payload(), b"x");
    client.assert_alive();
    drop(client);
    assert_nothing_held(&node);
    assert_eq!(node.metric("objects"), Some(0.0));
}

/// A payload that inflates to ten times its own length and `more` bytes.
fn tenfold(more: usize) -> Vec<u8> {
    // A block of one byte repeated, behind as many bytes to skip as make up the length.
    let repeated: usize = 50_000 + more;
    let block = ((repeated as u32) << 3 | 0b011).to_le_bytes();
    let mut payload = [&MAGIC[..], &[0, (21 - 10) << 3], &block[..3], b"r"].concat();
    let skipped = 5000 - payload.len() - 8;
    payload.extend(0x184D_2A50_u32.to_le_bytes());
    payload.extend((skipped as u32).to_le_bytes());
    payload.resize(5000, 0);
    payload
}

#[test]
fn a_lower_ratio_of_the_node_binds() {
    let node = Node::with_limits(&[("decompress_ratio", "2")], &[]);
    let usual = Node::start();
    // Three quarters of it hardly take space.
    let mut bytes = object(8000);
    bytes[2000..].fill(0);
    for (node, takes_it) in [(&node, false), (&usual, true)] {
        let mut client = node.greet();
        let id = ask(&mut client, ECHO, &compress(&bytes));
        let reply = client.reply(id);
        if takes_it {
            assert!(reply.payload() == bytes);
        } else {
            reply.assert_problem("decompress_bound");
        }
        let id = ask(&mut client, ECHO, &compress(&bytes[..3000]));
        assert!(client.reply(id).payload() == bytes[..3000]);
    }
}

#[test]
fn answers_are_compressed_for_a_client_that_has_said_so() {
    let node = Node::start();
    let mut plain = node.greet();
    let mut client = Oap::greet_for_compression(node.oap());
    let (dense, sparse) = (object(5 * CHUNK), text(5 * CHUNK));
    for bytes in [&dense, &sparse] {
        node.store(bytes);
        let requests = [
            (GET, get(&hash(bytes), 0, 0)),
            (GET, get(&hash(bytes), 100, 200_000)),
            (HEAD, hash(bytes).to_vec()),
            (MANIFEST, hash(bytes).to_vec()),
            (HAS, hash(bytes).repeat(4096)),
            (ECHO, bytes.clone()),
        ];
        for (operation, payload) in requests {
            let expected = plain.call(operation, &payload);
            let answer = client.call(operation, &payload);
            assert!(expected.frames.iter().all(|frame| !frame.has(COMP)));
            assert_eq!(answer.status(), expected.status());
            assert!(answer.payload() == expected.payload(), "{operation:?}");
        }
    }
    let packed = |client: &mut Oap, bytes: &[u8]| {
        let reply = client.call(GET, &get(&hash(bytes), 0, 0));
        reply.frames.iter().filter(|frame| frame.has(COMP)).count()
    };
    assert_eq!(packed(&mut client, &sparse), 5);
    assert_eq!(packed(&mut client, &dense), 0, "it would not be shorter");
    client
        .call(GET, &get(&hash(b"absent"), 0, 0))
        .assert_problem("not_found");

    // What is repeated more than ten times may be sent either way, but only so that a receiver
    // with the same bounds takes it.
    let zeros = vec![0; 4 * CHUNK];
    node.store(&zeros);
    let reply = client.call(GET, &get(&hash(&zeros), 0, 0));
    for frame in &reply.frames {
        assert!(frame.inflated().len() <= 10 * frame.payload.len());
    }
    assert!(reply.object().bytes == zeros);
}
