//! Holds `docs/protocol.md` to what the crate does: its tables row by row, its example byte by byte.
#![allow(clippy::unwrap_used)]

use bytes::BufMut;
use micronode_protocol::codec::{Decoded, Decoder, Frame};
use micronode_protocol::frame::{Flags, HEADER_BYTES, Header};
use micronode_protocol::limits::{
    CONNECTION_WAITERS, LIST_NAMES, LIST_NAMES_DEFAULT, MESSAGE_BYTES, OAP_FRAME_BYTES, OAP_PING,
    OAP_PING_PATIENCE, RECEIPTS, RECEIVE_MESSAGES, SUBSCRIPTION_CREDIT, VISIBILITY, WAIT_MAX,
    WAITERS,
};
use micronode_protocol::operation::{
    GetReply, GetRequest, Hello, Operation, PutReply, PutRequest, Welcome,
};
use micronode_protocol::{Address, ErrorCode};

const PAGE: &str = include_str!("../../../docs/protocol.md");

/// The cells of the first table under `heading`.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PAGE.split_once(&format!("\n{heading}\n")).unwrap();
    section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        // The head and the line under it.
        .skip(2)
        .map(|line| line.split('|').map(str::trim).skip(1).collect())
        .collect()
}

#[test]
fn every_operation_is_there() {
    let listed: Vec<String> = rows("## Operations")
        .iter()
        .map(|row| row[..3].join(" "))
        .collect();
    let expected = Operation::ALL.iter().map(|operation| {
        let (app, code, name) = (operation.app(), operation.code(), operation.name());
        format!("{app} {code} {name}")
    });
    assert!(listed.iter().cloned().eq(expected), "{listed:?}");
}

#[test]
fn every_flag_is_there() {
    let mut known = Flags::default();
    for (row, flag) in rows("### Flags").iter().zip([
        ("REQ", Flags::REQ),
        ("RESP", Flags::RESP),
        ("EVENT", Flags::EVENT),
        ("START", Flags::START),
        ("END", Flags::END),
        ("ACK_REQ", Flags::ACK_REQ),
        ("COMP", Flags::COMP),
        ("APP_E2E", Flags::APP_E2E),
    ]) {
        assert_eq!((row[1], row[0].parse()), (flag.0, Ok(flag.1.bits())));
        known = known.with(flag.1);
    }
    assert_eq!(known, Flags::ALL);
}

#[test]
fn every_error_of_framing_is_there_with_its_status() {
    let rows = rows("## Errors");
    let listed: Vec<ErrorCode> = rows
        .iter()
        .map(|row| {
            let code = ErrorCode::from_code(row[1].trim_matches('`')).unwrap();
            assert_eq!(row[0].parse(), Ok(code.status()), "{code}");
            code
        })
        .collect();
    for code in [
        ErrorCode::BadTenant,
        ErrorCode::BadVersion,
        ErrorCode::BadFlags,
        ErrorCode::Truncated,
        ErrorCode::CapOnNonStart,
        ErrorCode::CapOutOfBounds,
        ErrorCode::StreamReused,
        ErrorCode::StreamClosed,
        ErrorCode::FrameOversize,
        ErrorCode::ChunkTooLarge,
        ErrorCode::TooManyStreams,
        ErrorCode::QuotaExceeded,
        ErrorCode::DecompressBound,
        ErrorCode::BadEncoding,
    ] {
        assert!(listed.contains(&code), "{code}");
    }
}

#[test]
fn the_bounds_of_names_queues_and_waits_are_the_ones_of_the_code() {
    let (ping, patience) = (OAP_PING.as_secs(), OAP_PING_PATIENCE.as_secs());
    for said in [
        format!("may have {CONNECTION_WAITERS} parked at once (`limits.oap_waiters`):"),
        format!("a node has {WAITERS} (`limits.waiters`)"),
        format!("never longer than {} s", WAIT_MAX.as_secs()),
        format!("`credit` (1 to {SUBSCRIPTION_CREDIT})"),
        format!("limit u16 (0: {LIST_NAMES_DEFAULT})"),
        format!("in byte order, at most {LIST_NAMES};"),
        format!("visibility_ms u32 (0: {} s)", VISIBILITY.as_secs()),
        format!("receipt str16 for each, at most {RECEIPTS}"),
        format!("at most `max` messages, of {RECEIVE_MESSAGES} and"),
        format!("{} KiB at most unless", MESSAGE_BYTES / 1024),
        format!("nothing has come from it for {ping} s"),
        format!("| {ping} s since the client's last frame |"),
        format!("Nothing within {patience} s: closed"),
        format!("from that ping | {patience} s |"),
    ] {
        assert!(PAGE.contains(&said), "{said}");
    }
}

/// The bytes of the example: whether they go to the node, and a frame.
fn example() -> Vec<(bool, Vec<u8>)> {
    let (_, section) = PAGE.split_once("\n## Example\n").unwrap();
    let (_, dump) = section.split_once("\n```\n").unwrap();
    let (dump, _) = dump.split_once("```").unwrap();
    let mut frames = Vec::new();
    for line in dump.lines() {
        let (direction, rest) = line.split_at(1);
        let digits = rest.split('#').next().unwrap().replace(' ', "");
        if direction != " " {
            frames.push((direction == ">", Vec::new()));
        }
        let (_, bytes) = frames.last_mut().unwrap();
        for pair in digits.as_bytes().chunks(2) {
            let pair = std::str::from_utf8(pair).unwrap();
            bytes.push(u8::from_str_radix(pair, 16).unwrap());
        }
    }
    frames
}

fn fields(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut fields = Vec::new();
    write(&mut fields);
    fields
}

#[test]
fn the_example_is_what_both_ends_write() {
    let address = Address::of(b"hello\n");
    let get = GetRequest {
        address,
        offset: 0,
        length: 0,
    };
    let put = PutRequest {
        expected: None,
        ttl_ms: 0,
        media_type: "text/plain",
    };
    let stored = PutReply {
        address,
        size: 6,
        existed: false,
    };
    let got = GetReply {
        size: 6,
        offset: 0,
        expires_ms: 0,
        media_type: "text/plain",
    };
    let hello = Hello {
        ua: "demo".into(),
        accept_comp: false,
    };
    let body = |mut fields: Vec<u8>| {
        fields.extend_from_slice(b"hello\n");
        fields
    };
    let expected = [
        (true, 0, 0, 1, hello.encode()),
        (false, 0, 200, 1, Welcome::new(1 << 20, 64).encode()),
        (true, 2, 2, 2, body(fields(|to| put.encode(to)))),
        (false, 2, 201, 2, fields(|to| stored.encode(to))),
        (true, 2, 1, 3, fields(|to| get.encode(to))),
        (false, 2, 200, 3, body(fields(|to| got.encode(to)))),
    ];
    let example = example();
    assert_eq!(example.len(), expected.len());
    for ((to_node, bytes), (asks, app, code, corr_id, payload)) in example.into_iter().zip(expected)
    {
        assert_eq!(to_node, asks);
        let kind = if asks { Flags::REQ } else { Flags::RESP };
        let header = Header {
            len: (HEADER_BYTES + payload.len()) as u32,
            flags: kind.with(Flags::WHOLE),
            code,
            app,
            corr_id,
            ..Header::default()
        };
        assert_eq!(bytes, [&header.encode()[..], &payload].concat());
        let mut decoder = Decoder::new(OAP_FRAME_BYTES);
        decoder.spare().put_slice(&bytes);
        let Ok(Some(Decoded::Frame(Frame { payload: read, .. }))) = decoder.next() else {
            panic!("a frame");
        };
        assert_eq!(read, payload);
    }
}
