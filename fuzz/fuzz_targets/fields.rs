//! Fields of OAP/1: whatever the bytes are, fields are read within their caps, what was read is
//! written as the bytes that were read, and a payload that was cut asks for more, or has the fault
//! that it had. Names and queues are what a plain reading of their grammar says.
//!
//! An input: a byte for the fields (modulo their number, in the order of the calls below), a byte
//! for where the payload is cut (of 255), and then the payload.
#![no_main]

use libfuzzer_sys::fuzz_target;
use micronode_protocol::limits::{
    MESSAGE_BYTES_MAX, NAME_BYTES, QUEUE_NAME_BYTES, RECEIPT_CHARS, RECEIPTS,
};
use micronode_protocol::name::{QueueRef, is_name, is_name_prefix};
use micronode_protocol::operation::{
    AckRequest, Delivery, EventFrame, EventsRequest, ExtendRequest, FieldsError, GetReply,
    GetRequest, HeadReply, LaggedFrame, NackRequest, NameDeleteRequest, NameEntry, NameListRequest,
    NameReadRequest, NameReply, NameRequest, NameSetReply, NameSetRequest, NameWatchRequest,
    PurgeReply, PutReply, PutRequest, QueueRequest, ReceiveRequest, RedriveReply, RedriveRequest,
    SendReply, SendRequest, SubscribeRequest, decode_verdicts, encode_receipt,
};

/// What holds of fields that are read in one way.
macro_rules! check {
    ($fields:ident, $payload:expr, $cut:expr) => {{
        let parsed = $fields::parse($payload);
        let decoded = $fields::decode($payload);
        match parsed {
            Ok(Some((fields, length))) => {
                let mut written = Vec::new();
                fields.encode(&mut written);
                assert!(written == $payload[..length], "written otherwise");
                let is_all = length == $payload.len();
                assert_eq!(
                    decoded,
                    if is_all {
                        Ok(fields)
                    } else {
                        Err(FieldsError::Trailing)
                    }
                );
                let cut = $cut.min(length);
                let of_cut = $fields::parse(&$payload[..cut]);
                assert_eq!(of_cut, if cut < length { Ok(None) } else { parsed });
            }
            Ok(None) => {
                assert_eq!(decoded, Err(FieldsError::Truncated));
                assert_eq!($fields::parse(&$payload[..$cut]), Ok(None));
            }
            Err(fault) => {
                assert_eq!(decoded, Err(fault));
                let of_cut = $fields::parse(&$payload[..$cut]);
                assert!(of_cut == Ok(None) || of_cut == Err(fault), "another fault");
            }
        }
    }};
}

/// What holds of fields that receipts follow.
macro_rules! check_receipts {
    ($fields:ident, $payload:expr, $cut:expr) => {{
        check!($fields, $payload, $cut);
        if let Ok((fields, receipts)) = $fields::decode_with_receipts($payload) {
            let mut written = Vec::new();
            fields.encode(&mut written);
            for receipt in &receipts {
                assert!(receipt.len() <= RECEIPT_CHARS);
                encode_receipt(receipt, &mut written);
            }
            assert!(written == $payload, "written otherwise");
            assert!(receipts.len() <= RECEIPTS);
        }
    }};
}

fuzz_target!(|input: &[u8]| {
    let [which, cut, payload @ ..] = input else {
        return;
    };
    let cut = payload.len() * usize::from(*cut) / 255;
    match which % 30 {
        0 => check!(GetRequest, payload, cut),
        1 => check!(GetReply, payload, cut),
        2 => check!(PutRequest, payload, cut),
        3 => check!(PutReply, payload, cut),
        4 => check!(HeadReply, payload, cut),
        5 => check!(NameRequest, payload, cut),
        6 => check!(NameReply, payload, cut),
        7 => check!(NameSetRequest, payload, cut),
        8 => check!(NameSetReply, payload, cut),
        9 => check!(NameDeleteRequest, payload, cut),
        10 => check!(NameListRequest, payload, cut),
        11 => check!(NameEntry, payload, cut),
        12 => check!(NameWatchRequest, payload, cut),
        13 => check!(NameReadRequest, payload, cut),
        14 => check!(SendRequest, payload, cut),
        15 => check!(SendReply, payload, cut),
        16 => check!(ReceiveRequest, payload, cut),
        17 => check_receipts!(AckRequest, payload, cut),
        18 => check_receipts!(NackRequest, payload, cut),
        19 => check_receipts!(ExtendRequest, payload, cut),
        20 => check!(QueueRequest, payload, cut),
        21 => check!(SubscribeRequest, payload, cut),
        22 => check!(PurgeReply, payload, cut),
        23 => check!(RedriveRequest, payload, cut),
        24 => check!(RedriveReply, payload, cut),
        25 => check!(EventsRequest, payload, cut),
        26 => check!(EventFrame, payload, cut),
        27 => check!(LaggedFrame, payload, cut),
        28 => deliveries(payload),
        _ => words(payload),
    }
});

/// Deliveries one behind the other, as far as they go.
fn deliveries(mut payload: &[u8]) {
    while let Ok(Some((delivery, length))) = Delivery::parse(payload) {
        let mut written = Vec::new();
        delivery.encode(&mut written);
        written.extend_from_slice(delivery.body);
        assert!(written == payload[..length], "written otherwise");
        assert!(delivery.body.len() <= MESSAGE_BYTES_MAX);
        assert_eq!(Delivery::parse(&payload[..length - 1]), Ok(None));
        payload = &payload[length..];
    }
    if let Ok(verdicts) = decode_verdicts(payload) {
        let written: Vec<u8> = verdicts.iter().map(|verdict| *verdict as u8).collect();
        assert!(written == payload, "written otherwise");
    }
}

/// Names and queues, as their grammar has them.
fn words(payload: &[u8]) {
    let Ok(text) = std::str::from_utf8(payload) else {
        return;
    };
    let is_word = |text: &str| {
        let mut letters = text.chars();
        !text.is_empty()
            && letters.all(|letter| "abcdefghijklmnopqrstuvwxyz0123456789._-".contains(letter))
    };
    let is_part = |text: &str| is_word(text) && text != "." && text != "..";
    let reads_as_name = |text: &str| text.len() <= NAME_BYTES && text.split('/').all(is_part);
    assert_eq!(is_name(text), reads_as_name(text));
    // A letter more makes a name of whatever began one and was none.
    let begins = text.is_empty() || reads_as_name(text) || reads_as_name(&format!("{text}a"));
    assert_eq!(is_name_prefix(text), begins);

    let is_queue = |text: &str| is_word(text) && text.len() <= QUEUE_NAME_BYTES;
    let expected = match text.strip_suffix(".dlq") {
        Some(queue) => (is_queue(queue) && !queue.ends_with(".dlq")).then_some((queue, true)),
        None => is_queue(text).then_some((text, false)),
    };
    let read = QueueRef::parse(text);
    assert_eq!(read.map(|read| (read.queue, read.is_dead)), expected);
    assert!(read.is_none_or(|read| read.to_string() == text));
}
