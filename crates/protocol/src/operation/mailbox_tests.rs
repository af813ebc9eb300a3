use proptest::prelude::*;

use super::super::fields::check_fields;
use super::*;
use crate::limits::{
    IDEMPOTENCY_KEY_BYTES, MESSAGE_BYTES_MAX, QUEUE_NAME_BYTES, RECEIPT_CHARS, RECEIPTS,
};

fn text(length: usize) -> Vec<u8> {
    let mut fields = Vec::new();
    "x".repeat(length).as_str().put(&mut fields);
    fields
}

#[test]
fn texts_have_their_caps() {
    // The dead letters of the queue with the longest name have one too.
    let most = QUEUE_NAME_BYTES + ".dlq".len();
    assert!(QueueRequest::decode(&text(most)).is_ok());
    let too_long = text(most + 1);
    assert_eq!(QueueRequest::decode(&too_long), Err(FieldsError::Name));

    let send = |key| SendRequest::decode(&[text(1), text(key), vec![0; 4]].concat()).map(|_| ());
    assert_eq!(send(IDEMPOTENCY_KEY_BYTES), Ok(()));
    assert_eq!(send(IDEMPOTENCY_KEY_BYTES + 1), Err(FieldsError::TooLong));
    let longest = [text(most), text(IDEMPOTENCY_KEY_BYTES), vec![0; 4]].concat();
    assert_eq!(longest.len(), SendRequest::BYTES_MAX);

    let reply = |id| SendReply::decode(&[text(id), vec![1]].concat()).map(|_| ());
    assert_eq!(reply(RECEIPT_CHARS), Ok(()));
    assert_eq!(reply(RECEIPT_CHARS + 1), Err(FieldsError::TooLong));
    let neither = [text(1), vec![2]].concat();
    assert_eq!(SendReply::decode(&neither), Err(FieldsError::Value));
}

#[test]
fn receipts_are_whole_and_not_too_many() {
    let ack = |receipts: &[Vec<u8>]| {
        let payload = [text(4), receipts.concat()].concat();
        AckRequest::decode_with_receipts(&payload).map(|(_, receipts)| receipts.len())
    };
    assert_eq!(ack(&[]), Ok(0));
    assert_eq!(ack(&vec![text(RECEIPT_CHARS); RECEIPTS]), Ok(RECEIPTS));
    let over = vec![text(1); RECEIPTS + 1];
    assert_eq!(ack(&over), Err(FieldsError::TooLong));
    let too_long = [text(RECEIPT_CHARS + 1)];
    assert_eq!(ack(&too_long), Err(FieldsError::TooLong));
    assert_eq!(ack(&[text(1), vec![0]]), Err(FieldsError::Truncated));
    assert_eq!(
        ack(&[text(1), vec![0, 2, b'x']]),
        Err(FieldsError::Truncated)
    );
    assert_eq!(ack(&[vec![0, 1, 0xff]]), Err(FieldsError::Text));
}

#[test]
fn verdicts_are_what_engines_and_people_call_them() {
    let verdicts = [Verdict::Ok, Verdict::Late, Verdict::Unknown];
    assert_eq!(
        decode_verdicts(&verdicts.map(|verdict| verdict as u8)),
        Ok(verdicts.into())
    );
    assert_eq!(verdicts.map(Verdict::as_str), ["ok", "late", "unknown"]);
    assert_eq!(decode_verdicts(&[0, 3]), Err(FieldsError::Value));
    assert_eq!(decode_verdicts(&[]), Ok(Vec::new()));
}

#[test]
fn what_stands_in_front_of_a_body_has_a_longest_length() {
    let text = "x".repeat(RECEIPT_CHARS);
    let delivery = Delivery {
        id: &text,
        receipt: &text,
        attempt: u32::MAX,
        enqueued_ms: u64::MAX,
        body: b"",
    };
    let mut head = Vec::new();
    delivery.encode(&mut head);
    assert_eq!(head.len(), Delivery::HEAD_BYTES_MAX);
}

#[test]
fn a_body_has_a_cap_that_is_seen_before_the_body() {
    let fields = |length: usize| {
        let length = (length as u32).to_be_bytes();
        [&text(1)[..], &text(1), &[0; 12], &length].concat()
    };
    assert_eq!(Delivery::parse(&fields(MESSAGE_BYTES_MAX)), Ok(None));
    let too_long = fields(MESSAGE_BYTES_MAX + 1);
    assert_eq!(Delivery::parse(&too_long), Err(FieldsError::TooLong));
    let longest = [fields(MESSAGE_BYTES_MAX), vec![b'x'; MESSAGE_BYTES_MAX]].concat();
    let read = Delivery::parse(&longest).map(|read| read.map(|(_, length)| length));
    assert_eq!(read, Ok(Some(longest.len())));
}

proptest! {
    #[test]
    fn what_was_written_is_read_and_less_asks_for_more(
        queue in "[a-z.]{0,20}", key in "[ -~é]{0,20}", small: u16, middle: u32, large: u64,
        duplicate: bool,
    ) {
        let (queue, key, id) = (queue.as_str(), key.as_str(), key.as_str());
        let (max, credit, visibility_ms) = (small, small, middle);
        let (delay_ms, wait_ms, limit) = (middle, !middle, middle);
        let (moved, left) = (middle, !middle);
        check_fields!(SendRequest { queue, key, delay_ms }, SendRequest);
        check_fields!(SendReply { id, duplicate }, SendReply);
        check_fields!(ReceiveRequest { queue, max, wait_ms, visibility_ms }, ReceiveRequest);
        check_fields!(AckRequest { queue }, AckRequest);
        check_fields!(NackRequest { queue, delay_ms }, NackRequest);
        check_fields!(ExtendRequest { queue, visibility_ms }, ExtendRequest);
        check_fields!(QueueRequest { queue }, QueueRequest);
        check_fields!(SubscribeRequest { queue, credit, visibility_ms }, SubscribeRequest);
        check_fields!(PurgeReply { removed: large }, PurgeReply);
        check_fields!(RedriveRequest { queue, limit }, RedriveRequest);
        check_fields!(RedriveReply { moved, left }, RedriveReply);
    }

    #[test]
    fn receipts_are_read_as_they_were_written(
        written in prop::collection::vec("[a-zA-Z0-9_-]{0,64}", 0..9), number: u32,
    ) {
        let (queue, delay_ms, visibility_ms) = ("jobs", number, number);
        let mut receipts = Vec::new();
        for receipt in &written {
            encode_receipt(receipt, &mut receipts);
        }
        macro_rules! check {
            ($request:expr, $type:ident) => {
                let mut payload = Vec::new();
                $request.encode(&mut payload);
                payload.extend_from_slice(&receipts);
                let (request, read) = $type::decode_with_receipts(&payload).expect("as written");
                prop_assert_eq!(request, $request);
                prop_assert_eq!(read, &written[..]);
            };
        }
        check!(AckRequest { queue }, AckRequest);
        check!(NackRequest { queue, delay_ms }, NackRequest);
        check!(ExtendRequest { queue, visibility_ms }, ExtendRequest);
    }

    #[test]
    fn deliveries_are_read_one_behind_the_other(
        written in prop::collection::vec(
            ("[a-z0-9]{1,9}", "[a-zA-Z0-9_-]{0,64}", any::<u32>(), any::<u64>(), any::<Vec<u8>>()),
            1..5,
        ),
        cut: prop::sample::Index,
    ) {
        let written: Vec<_> = written
            .iter()
            .map(|(id, receipt, attempt, enqueued_ms, body)| Delivery {
                id,
                receipt,
                attempt: *attempt,
                enqueued_ms: *enqueued_ms,
                body,
            })
            .collect();
        let mut payload = Vec::new();
        for delivery in &written {
            delivery.encode(&mut payload);
            payload.extend_from_slice(delivery.body);
        }
        let (mut rest, mut read) = (&payload[..], Vec::new());
        while let Some((delivery, length)) = Delivery::parse(rest).expect("as written") {
            let cut = cut.index(length);
            prop_assert_eq!(Delivery::parse(&rest[..cut]), Ok(None));
            read.push(delivery);
            rest = &rest[length..];
        }
        prop_assert!(rest.is_empty());
        prop_assert_eq!(read, written);
    }
}
