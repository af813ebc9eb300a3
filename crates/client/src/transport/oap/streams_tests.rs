#![allow(clippy::unwrap_used)]

use std::task::Waker;
use std::time::Duration;

use bytes::{Buf, BufMut};
use micronode_protocol::codec::Decoder;
use micronode_protocol::limits::OAP_FRAME_BYTES;
use tokio::sync::Semaphore;

use super::*;

const REPLY: Flags = Flags::RESP;
const REPLY_START: Flags = REPLY.with(Flags::START);
const REPLY_END: Flags = REPLY.with(Flags::END);
const REPLY_WHOLE: Flags = REPLY.with(Flags::WHOLE);

/// A table and the slots of its node.
struct Table {
    streams: Streams,
    slots: Arc<Semaphore>,
    encoder: Encoder,
    decoder: Decoder,
}

impl Table {
    fn new() -> Self {
        Table {
            streams: Streams::default(),
            slots: Arc::new(Semaphore::new(64)),
            encoder: Encoder::new(),
            decoder: Decoder::new(OAP_FRAME_BYTES),
        }
    }

    fn open(&mut self, body: &[u8], last: bool, allowed: usize) -> u64 {
        let slot = Arc::clone(&self.slots).try_acquire_owned().unwrap();
        let request = Request {
            operation: Operation::Echo,
            fields: Vec::new(),
            body: Bytes::copy_from_slice(body),
            last,
            allowed,
            room: None,
        };
        self.streams.open(request, slot).unwrap()
    }

    /// Everything that is to go, written: stream, flags and bytes of the payload.
    fn sent(&mut self) -> Vec<(u64, Flags, usize)> {
        let mut frames = Vec::new();
        loop {
            self.streams.fill(&mut self.encoder);
            let mut slices = [std::io::IoSlice::new(b"")];
            if self.encoder.slices(&mut slices) == 0 {
                return frames;
            }
            let mut spare = self.decoder.spare();
            let count = spare.remaining_mut().min(slices[0].len());
            spare.put_slice(&slices[0][..count]);
            self.encoder.advance(count);
            self.streams.written(self.encoder.written());
            while let Some(Decoded::Frame(frame)) = self.decoder.next().unwrap() {
                let header = frame.header;
                frames.push((header.corr_id, header.flags, frame.payload.len()));
            }
        }
    }

    fn receive(&mut self, flags: Flags, code: u16, id: u64, payload: &'static [u8]) {
        let header = Header {
            len: (HEADER_BYTES + payload.len()) as u32,
            flags,
            code,
            corr_id: id,
            ..Header::default()
        };
        let frame = Frame {
            header,
            cap: Bytes::new(),
            payload: Bytes::from_static(payload),
        };
        assert!(matches!(
            self.streams.receive(Decoded::Frame(frame)),
            Ok(None)
        ));
    }

    fn next(&mut self, id: u64) -> Poll<Result<Option<Bytes>, Error>> {
        self.streams
            .poll_next(id, &Context::from_waker(Waker::noop()))
    }

    fn answered(&mut self, id: u64) -> Poll<Result<u16, Failed>> {
        self.streams
            .poll_answered(id, &Context::from_waker(Waker::noop()))
    }

    fn room(&mut self, id: u64) -> Poll<Result<(), Error>> {
        self.streams
            .poll_room(id, &Context::from_waker(Waker::noop()))
    }
}

const FIRST: Flags = Flags::REQ.with(Flags::START);
const LAST: Flags = Flags::REQ.with(Flags::END);
const ONLY: Flags = Flags::REQ.with(Flags::WHOLE);

#[test]
fn streams_take_turns_a_chunk_each_in_the_order_of_their_opening() {
    const CHUNK: usize = OAP_CHUNK_BYTES;
    let mut table = Table::new();
    assert_eq!(table.open(&vec![0; 2 * CHUNK + 1], true, 0), 1);
    assert_eq!(table.open(b"short", true, 0), 2);
    assert_eq!(table.open(&vec![0; 2 * CHUNK], true, 0), 3);
    assert_eq!(table.open(b"", true, 0), 4);
    assert_eq!(
        table.sent(),
        [
            (1, FIRST, CHUNK),
            (2, ONLY, 5),
            (3, FIRST, CHUNK),
            (4, ONLY, 0),
            (1, Flags::REQ, CHUNK),
            (3, LAST, CHUNK),
            (1, LAST, 1),
        ]
    );
}

#[test]
fn no_more_is_queued_than_is_sent_ahead() {
    let mut table = Table::new();
    for _ in 0..8 {
        table.open(&vec![0; 4 * OAP_CHUNK_BYTES], true, 0);
    }
    table.streams.fill(&mut table.encoder);
    let most = OAP_WRITE_AHEAD_BYTES + OAP_CHUNK_BYTES + HEADER_BYTES;
    let queued = table.encoder.queued();
    assert!((OAP_WRITE_AHEAD_BYTES..most).contains(&queued), "{queued}");
    table.streams.fill(&mut table.encoder);
    assert_eq!(table.encoder.queued(), queued);
}

#[test]
fn a_body_goes_on_when_there_is_room_and_may_end_with_nothing() {
    let mut table = Table::new();
    let id = table.open(b"some", false, 0);
    assert!(
        table.room(id).is_pending(),
        "the first piece is still there"
    );
    assert_eq!(table.sent(), [(id, FIRST, 4)]);
    assert!(matches!(table.room(id), Poll::Ready(Ok(()))));
    table.streams.send(id, Bytes::new(), false);
    assert!(table.sent().is_empty(), "nothing is not worth a frame");
    table.streams.send(id, Bytes::from_static(b"more"), false);
    assert_eq!(table.sent(), [(id, Flags::REQ, 4)]);
    table.streams.send(id, Bytes::new(), true);
    assert_eq!(table.sent(), [(id, LAST, 0)]);
}

#[test]
fn the_node_is_told_of_a_cancelled_stream_if_it_has_heard_of_it() {
    let mut table = Table::new();
    let (unsent, open, over) = (
        table.open(b"", true, 0),
        table.open(b"", false, 0),
        table.open(b"", true, 0),
    );
    table.streams.close(unsent);
    assert_eq!(table.sent(), [(open, FIRST, 0), (over, ONLY, 0)]);
    table.receive(REPLY_WHOLE, 200, over, b"");
    table.streams.close(over);
    table.streams.close(open);
    assert_eq!(table.sent(), [(open, LAST, 0)]);
    // What still comes for them is for nobody.
    table.receive(REPLY_WHOLE, 200, open, b"late");
    assert!(table.streams.is_empty());
    assert_eq!(table.slots.available_permits(), 64);
}

#[test]
fn a_refused_upload_is_not_sent_on_and_then_cancelled() {
    let mut table = Table::new();
    let id = table.open(b"some", false, 0);
    table.sent();
    table.streams.send(id, Bytes::from_static(b"more"), false);
    table.receive(REPLY_END, 413, id, b"");
    assert!(table.sent().is_empty());
    assert!(matches!(
        table.room(id),
        Poll::Ready(Err(Error::Problem(_)))
    ));
    table.streams.close(id);
    assert_eq!(table.sent(), [(id, LAST, 0)]);
}

#[test]
fn a_slot_is_free_once_both_sides_have_ended_whoever_still_reads() {
    let mut table = Table::new();
    let id = table.open(b"", false, 5);
    table.sent();
    table.receive(REPLY_WHOLE, 200, id, b"early");
    assert_eq!(table.slots.available_permits(), 63);
    table.streams.close(id);
    assert_eq!(table.slots.available_permits(), 64);

    let id = table.open(b"", true, 5);
    table.sent();
    table.receive(REPLY_WHOLE, 200, id, b"whole");
    assert_eq!(table.slots.available_permits(), 64);
    assert!(matches!(table.next(id), Poll::Ready(Ok(Some(bytes))) if bytes == "whole"));
    assert!(matches!(table.next(id), Poll::Ready(Ok(None))));
}

#[test]
fn an_answer_may_be_as_long_as_was_allowed_and_not_a_byte_longer() {
    for (payload, fits) in [(&b"12345"[..], true), (b"123456", false)] {
        let mut table = Table::new();
        let id = table.open(b"", true, 10);
        table.sent();
        table.receive(REPLY_START, 200, id, b"12345");
        table.receive(REPLY_END, 200, id, payload);
        let mut whole = Vec::new();
        let end = loop {
            match table.next(id) {
                Poll::Ready(Ok(Some(mut piece))) => {
                    whole.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
                }
                Poll::Ready(end) => break end,
                Poll::Pending => panic!("it has ended"),
            }
        };
        assert_eq!(end.is_ok(), fits);
        assert_eq!(whole.len(), if fits { 10 } else { 5 });
    }
}

#[test]
fn a_long_frame_is_worth_its_memory_only_where_it_was_asked_for() {
    let mut table = Table::new();
    let id = table.open(b"", true, 1000);
    table.sent();
    let header = |id, flags, code, payload: usize| Header {
        len: (HEADER_BYTES + payload) as u32,
        flags,
        code,
        corr_id: id,
        ..Header::default()
    };
    let wants = |table: &Table, header| table.streams.wants(&header);
    assert!(wants(&table, header(id, REPLY_WHOLE, 200, 1000)));
    assert!(!wants(&table, header(id, REPLY_WHOLE, 200, 1001)));
    assert!(!wants(&table, header(id, REPLY_END, 503, 1000)));
    assert!(!wants(&table, header(id, Flags::EVENT, 200, 1000)));
    assert!(!wants(&table, header(id + 1, REPLY_WHOLE, 200, 1000)));
    // One that was not is an error all the same.
    let skipped = Decoded::Skipped(header(id, REPLY_END, 503, 1000));
    table.streams.receive(skipped).unwrap();
    assert!(matches!(table.answered(id), Poll::Ready(Err(failed))
        if failed.error.status() == Some(503)));
}

#[test]
fn frames_that_make_no_answer_fail_their_call_alone() {
    let comp = REPLY_WHOLE.with(Flags::COMP);
    for (flags, code) in [(REPLY, 200), (REPLY_WHOLE, 302), (comp, 200)] {
        let mut table = Table::new();
        let (id, other) = (table.open(b"", true, 9), table.open(b"", true, 9));
        table.sent();
        table.receive(flags, code, id, b"");
        table.receive(REPLY_WHOLE, 200, other, b"");
        let failed = table.answered(id);
        assert!(
            matches!(
                failed,
                Poll::Ready(Err(Failed {
                    error: Error::Protocol(_),
                    unsent: false
                }))
            ),
            "{flags:?} {code}"
        );
        assert!(matches!(table.answered(other), Poll::Ready(Ok(200))));
    }
    let mut table = Table::new();
    let id = table.open(b"", true, 9);
    table.sent();
    table.receive(REPLY_START, 200, id, b"");
    table.receive(REPLY_WHOLE, 200, id, b"");
    let failed = table.next(id);
    assert!(matches!(failed, Poll::Ready(Err(Error::Protocol(_)))));
}

#[test]
fn the_end_of_a_connection_tells_what_left_from_what_did_not() {
    let mut table = Table::new();
    let left = table.open(b"", true, 0);
    table.sent();
    let queued = table.open(b"", true, 0);
    table.streams.fill(&mut table.encoder);
    let waiting = table.open(b"", true, 0);
    table.streams.end(Ended::Closed);
    table.streams.end(Ended::Abandoned);
    for (id, expected) in [(left, false), (queued, true), (waiting, true)] {
        match table.answered(id) {
            Poll::Ready(Err(Failed { error, unsent })) => {
                assert_eq!(unsent, expected, "{id}");
                assert!(error.to_string().contains("closed"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        table.streams.close(id);
    }
    assert!(table.streams.is_empty());
    assert_eq!(table.slots.available_permits(), 64);
}

/// A connection that was ended while a write was taking a request told its caller that nothing of
/// it had left, and the request was sent a second time: a delete was then answered with 404.
#[test]
fn what_a_write_is_just_taking_may_have_left() {
    // Whether the outcome of the write was known, and what of the request left.
    for (known, expected) in [(false, false), (true, true)] {
        let mut table = Table::new();
        let call = table.open(b"", true, 0);
        table.streams.fill(&mut table.encoder);
        table.streams.writing(table.encoder.end());
        if known {
            table.streams.written(table.encoder.written());
        }
        let later = table.open(b"", true, 0);
        table.streams.fill(&mut table.encoder);
        table.streams.end(Ended::Silent(Duration::ZERO));
        for (id, expected) in [(call, expected), (later, true)] {
            match table.answered(id) {
                Poll::Ready(Err(Failed { unsent, .. })) => assert_eq!(unsent, expected, "{id}"),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn last_words_on_no_stream_are_the_reason_of_the_end() {
    for id in [0, 7] {
        let mut table = Table::new();
        let call = table.open(b"", true, 0);
        table.sent();
        table.receive(REPLY_END, 400, id, br#"{"code":"bad_flags"}"#);
        assert!(table.answered(call).is_pending());
        table.streams.end(Ended::Closed);
        match table.answered(call) {
            Poll::Ready(Err(Failed { error, .. })) => {
                assert!(matches!(error, Error::Transport(_)), "{error:?}");
                assert!(error.to_string().contains("400 bad_flags"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_node_that_asks_is_no_node_and_its_pings_are_passed_on() {
    let mut table = Table::new();
    let frame = |flags, code| {
        Decoded::Skipped(Header {
            len: HEADER_BYTES as u32,
            flags,
            code,
            corr_id: 9,
            ..Header::default()
        })
    };
    assert!(matches!(
        table.streams.receive(frame(Flags::EVENT, 1)),
        Ok(Some(9))
    ));
    assert!(matches!(
        table.streams.receive(frame(Flags::EVENT, 2)),
        Ok(None)
    ));
    assert!(matches!(
        table.streams.receive(frame(ONLY, 1)),
        Err(Ended::Asked)
    ));
}
