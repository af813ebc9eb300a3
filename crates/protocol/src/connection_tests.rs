#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::{BufMut, Bytes};
use proptest::prelude::*;

use super::*;
use crate::codec::Frame;
use crate::compression::inflate;
use crate::frame::HEADER_BYTES;
use crate::limits::{OAP_FRAME_BYTES, OAP_READ_BYTES};
use crate::operation::{HELLO, Hello, Operation, Welcome};

#[path = "connection_waiting_tests.rs"]
mod waiting;

const SECOND: Duration = Duration::from_secs(1);
const LIMITS: ConnectionLimits = ConnectionLimits {
    max_frame: OAP_FRAME_BYTES,
    max_streams: 3,
    max_parked: 2,
    hello: Duration::from_secs(5),
    idle: Duration::from_secs(60),
    ping: Duration::from_secs(20),
    ping_patience: Duration::from_secs(15),
};

const OPEN: Flags = Flags::REQ.with(Flags::START);
const WHOLE: Flags = Flags::REQ.with(Flags::WHOLE);
const END: Flags = Flags::REQ.with(Flags::END);

fn now() -> Instant {
    use std::sync::OnceLock;
    // Any instant will do, as long as it is the same one.
    static START: OnceLock<Instant> = OnceLock::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "there is no other way to an instant"
    )]
    *START.get_or_init(Instant::now)
}

/// A frame of a request: echo, unless it is changed.
fn frame(flags: Flags, corr_id: u64, payload: &[u8]) -> Vec<u8> {
    coded(
        flags,
        Operation::Echo.app(),
        Operation::Echo.code(),
        corr_id,
        payload,
    )
}

fn coded(flags: Flags, app: u16, code: u16, corr_id: u64, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        len: (HEADER_BYTES + payload.len()) as u32,
        flags,
        code,
        app,
        corr_id,
        ..Header::default()
    };
    [&header.encode()[..], payload].concat()
}

fn cancel(corr_id: u64) -> Vec<u8> {
    coded(END, CONTROL, HELLO, corr_id, b"")
}

/// Everything that `bytes` make happen, up to what has to be answered first.
fn give(connection: &mut Connection, mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let mut spare = connection.spare();
        let count = spare.remaining_mut().min(bytes.len());
        assert!(count > 0, "there is room for what is to come");
        spare.put_slice(&bytes[..count]);
        bytes = &bytes[count..];
        while let Some(event) = connection.poll_event(now()) {
            events.push(event);
        }
        connection.grant_long_frame();
        if connection.is_closing() {
            break;
        }
    }
    events
}

/// What is queued, as frames, taken as written.
fn sent(connection: &mut Connection) -> Vec<Frame> {
    let mut decoder = Decoder::new(OAP_FRAME_BYTES);
    let mut frames = Vec::new();
    while connection.queued() > 0 {
        let mut slices = [IoSlice::new(b"")];
        connection.slices(&mut slices);
        let mut spare = decoder.spare();
        let count = spare.remaining_mut().min(slices[0].len());
        spare.put_slice(&slices[0][..count]);
        connection.handle_written(now(), count);
        while let Ok(Some(Decoded::Frame(frame))) = decoder.next() {
            frames.push(frame);
        }
    }
    frames
}

fn open() -> Connection {
    let mut connection = Connection::new(LIMITS, now());
    let events = give(&mut connection, &coded(Flags::REQ, 0, 0, 0, b""));
    assert!(matches!(events[..], [Event::Hello { .. }]));
    connection.welcome(&Welcome::new(1 << 20, 3));
    assert_eq!(sent(&mut connection).len(), 1);
    connection
}

#[track_caller]
fn fault_of(events: &[Event]) -> Fault {
    match events {
        [Event::Fault(fault)] => *fault,
        other => panic!("one fault, not {other:?}"),
    }
}

#[test]
fn hello_is_answered_as_it_was_asked() {
    for flags in [Flags::REQ, WHOLE, OPEN, END] {
        let mut connection = Connection::new(LIMITS, now());
        let hello = coded(flags, 0, 0, 77, br#"{"ua":"test","accept_comp":false}"#);
        let events = give(
            &mut connection,
            &[&hello[..], &frame(WHOLE, 1, b"early")].concat(),
        );
        let [
            Event::Hello {
                corr_id: 77, hello, ..
            },
        ] = &events[..]
        else {
            panic!("nothing comes before the answer to HELLO: {events:?}");
        };
        assert_eq!(hello.ua, "test");
        connection.welcome(&Welcome::new(1 << 20, 3));
        let answer = &sent(&mut connection)[0];
        let expected = Flags::RESP.with(flags.and(Flags::WHOLE));
        assert_eq!((answer.header.flags, answer.header.code), (expected, 200));
        assert_eq!(answer.header.corr_id, 77);
        assert_eq!(Welcome::decode(&answer.payload).unwrap().max_inflight, 3);
        let Some(Event::Request { corr_id: 1, .. }) = connection.poll_event(now()) else {
            panic!("what came with HELLO comes after it");
        };
    }
}

#[test]
fn anything_but_hello_first_ends_the_connection() {
    let mut other_tenant = coded(Flags::REQ, 0, 0, 1, b"");
    other_tenant[27] = 1;
    let mut long = coded(Flags::REQ, 0, 0, 1, b"");
    long[..4].copy_from_slice(&(OAP_READ_BYTES as u32 + 1).to_be_bytes());
    for (bytes, code) in [
        (frame(WHOLE, 1, b""), ErrorCode::BadRequest),
        (coded(Flags::RESP, 0, 0, 1, b""), ErrorCode::BadRequest),
        (
            coded(Flags::REQ, 0, 0, 1, b"no json"),
            ErrorCode::BadRequest,
        ),
        (
            coded(Flags::REQ.with(Flags::COMP), 0, 0, 1, b"x"),
            ErrorCode::BadEncoding,
        ),
        (long, ErrorCode::BadRequest),
        (other_tenant, ErrorCode::BadTenant),
    ] {
        let mut connection = Connection::new(LIMITS, now());
        let fault = fault_of(&give(&mut connection, &bytes));
        assert_eq!((fault.code, fault.fatal, fault.corr_id), (code, true, 1));
        assert!(connection.is_closing());
    }
}

#[test]
fn a_request_comes_whole_or_in_parts_and_its_answer_closes_the_stream() {
    let mut connection = open();
    let stream = [
        frame(OPEN, 5, b"a"),
        frame(Flags::REQ, 5, b"b"),
        frame(END, 5, b"c"),
    ]
    .concat();
    let parts: Vec<(Bytes, bool)> = give(&mut connection, &stream)
        .into_iter()
        .map(|event| match event {
            Event::Request { part, .. } | Event::Body { part, .. } => (part.payload, part.end),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [("a", false), ("b", false), ("c", true)];
    assert!(
        parts
            .iter()
            .map(|(bytes, end)| (&bytes[..], *end))
            .eq(expected.map(|(text, end)| (text.as_bytes(), end)))
    );
    assert!(connection.owes_answers(false));
    connection.respond(5, 200, b"fields", Bytes::from_static(b"body"), true);
    let answer = &sent(&mut connection)[0];
    assert_eq!(answer.payload, "fieldsbody");
    assert_eq!(answer.header.flags, Flags::RESP.with(Flags::WHOLE));
    assert_eq!((answer.header.app, answer.header.corr_id), (1, 5));
    assert!(connection.is_at_rest());

    let late = fault_of(&give(&mut connection, &frame(Flags::REQ, 5, b"late")));
    assert_eq!((late.code, late.fatal), (ErrorCode::StreamClosed, false));
    connection.refuse(5, late.app, late.code, Bytes::from_static(b"{}"));
    let answer = &sent(&mut connection)[0];
    assert_eq!(
        (answer.header.flags, answer.header.code),
        (Flags::RESP.with(Flags::END), 400)
    );
    let again = give(&mut connection, &frame(WHOLE, 5, b""));
    assert!(
        matches!(again[..], [Event::Request { corr_id: 5, .. }]),
        "the id is free"
    );
}

#[test]
fn the_bound_of_streams_is_met_exactly() {
    let mut connection = open();
    for corr_id in 1..=3 {
        give(&mut connection, &frame(WHOLE, corr_id, b""));
    }
    let fault = fault_of(&give(&mut connection, &frame(OPEN, 4, b"")));
    assert_eq!((fault.code, fault.corr_id), (ErrorCode::TooManyStreams, 4));
    connection.refuse(4, fault.app, fault.code, Bytes::new());
    let fault = fault_of(&give(&mut connection, &frame(END, 4, b"")));
    assert_eq!(fault.code, ErrorCode::StreamClosed, "it was never open");
    connection.respond(2, 200, b"", Bytes::new(), true);
    let events = give(&mut connection, &frame(OPEN, 4, b""));
    assert!(matches!(events[..], [Event::Request { .. }]));
}

#[test]
fn a_second_opening_ends_both() {
    for (first, second, still_open) in [(OPEN, WHOLE, 0), (WHOLE, OPEN, 0), (OPEN, OPEN, 1)] {
        let mut connection = open();
        give(&mut connection, &frame(first, 1, b""));
        let fault = fault_of(&give(&mut connection, &frame(second, 1, b"")));
        assert_eq!((fault.code, fault.fatal), (ErrorCode::StreamReused, false));
        connection.refuse(1, fault.app, fault.code, Bytes::new());
        connection.respond(1, 200, b"", Bytes::from_static(b"too late"), true);
        assert_eq!(sent(&mut connection).len(), 1);
        assert_eq!(connection.streams(), still_open);
    }
}

/// What a peer had sent before it could know of an early answer used to be the kind of thing that
/// floods it with faults.
#[test]
fn what_comes_behind_an_early_answer_is_passed_over() {
    let mut connection = open();
    give(&mut connection, &frame(OPEN, 1, b""));
    connection.refuse(1, 1, ErrorCode::RateLimited, Bytes::new());
    assert!(give(&mut connection, &frame(Flags::REQ, 1, b"more")).is_empty());
    assert_eq!(connection.streams(), 1);
    let reused = fault_of(&give(&mut connection, &frame(OPEN, 1, b"")));
    assert_eq!(reused.code, ErrorCode::StreamReused);
    assert!(!connection.owes_answers(true));
    assert!(give(&mut connection, &frame(END, 1, b"last")).is_empty());
    assert_eq!(connection.streams(), 0);
    let fault = fault_of(&give(&mut connection, &frame(END, 1, b"")));
    assert_eq!(fault.code, ErrorCode::StreamClosed);
}

#[test]
fn a_frame_behind_the_last_ends_the_stream() {
    let mut connection = open();
    give(&mut connection, &frame(WHOLE, 1, b""));
    let fault = fault_of(&give(&mut connection, &frame(Flags::REQ, 1, b"")));
    assert_eq!(fault.code, ErrorCode::StreamClosed);
    connection.refuse(1, fault.app, fault.code, Bytes::new());
    assert_eq!(connection.streams(), 0);
}

#[test]
fn cancelling_closes_in_every_state_and_says_nothing() {
    let mut connection = open();
    assert!(give(&mut connection, &cancel(1)).is_empty(), "never open");
    let cancelled = [Event::Cancelled { corr_id: 1 }];
    for request in [frame(OPEN, 1, b""), frame(WHOLE, 1, b"")] {
        give(&mut connection, &request);
        assert_eq!(give(&mut connection, &cancel(1)), cancelled, "unanswered");
        assert!(give(&mut connection, &cancel(1)).is_empty(), "twice");
    }
    give(&mut connection, &frame(WHOLE, 1, b""));
    connection.respond(1, 200, b"", Bytes::from_static(b"half"), false);
    assert_eq!(
        give(&mut connection, &cancel(1)),
        cancelled,
        "half answered"
    );
    assert_eq!(connection.poll_turn(), None, "it has no turn any more");
    connection.respond_more(1, 200, Bytes::from_static(b"more"), true);
    assert_eq!(sent(&mut connection).len(), 1);

    give(&mut connection, &frame(OPEN, 1, b""));
    connection.refuse(1, 1, ErrorCode::Deadline, Bytes::new());
    assert!(
        give(&mut connection, &cancel(1)).is_empty(),
        "answered early"
    );
    assert_eq!(connection.streams(), 0);
}

#[test]
fn another_tenant_and_a_second_hello_end_their_streams_only() {
    let mut connection = open();
    let mut other = frame(OPEN, 1, b"");
    other[12] = 1;
    let fault = fault_of(&give(&mut connection, &other));
    assert_eq!((fault.code, fault.fatal), (ErrorCode::BadTenant, false));
    connection.refuse(1, fault.app, fault.code, Bytes::new());
    assert!(give(&mut connection, &frame(END, 1, b"")).is_empty());
    let fault = fault_of(&give(&mut connection, &coded(WHOLE, 0, 0, 2, b"{}")));
    assert_eq!((fault.code, fault.fatal), (ErrorCode::BadRequest, false));
    connection.refuse(2, fault.app, fault.code, Bytes::new());
    assert_eq!(connection.streams(), 0);
}

#[test]
fn a_client_does_not_answer_but_may_show_that_it_lives() {
    let mut connection = open();
    assert!(give(&mut connection, &coded(Flags::EVENT, 0, 1, 0, b"")).is_empty());
    assert!(give(&mut connection, &coded(Flags::RESP, 0, 200, 0, b"")).is_empty());
    let fault = fault_of(&give(&mut connection, &coded(Flags::EVENT, 4, 7, 0, b"")));
    assert_eq!((fault.code, fault.fatal), (ErrorCode::BadRequest, true));
    assert_eq!(connection.frames().0, [1, 1, 2]);
}

#[test]
fn bytes_that_are_no_frame_end_the_connection() {
    let mut connection = open();
    let mut bytes = frame(WHOLE, 9, b"");
    bytes[5] = 2;
    bytes.extend(frame(WHOLE, 10, b""));
    let fault = fault_of(&give(&mut connection, &bytes));
    assert_eq!(
        (fault.code, fault.fatal, fault.corr_id),
        (ErrorCode::BadVersion, true, 9)
    );
    assert!(connection.is_closing());
    assert_eq!(connection.poll_event(now()), None);
    connection.refuse(9, 0, fault.code, Bytes::new());
    assert_eq!(sent(&mut connection).len(), 1, "the last word is said");
}

/// Everything that `bytes` make happen when there is no memory for long frames.
fn give_without_memory(connection: &mut Connection, bytes: &[u8]) -> Vec<Event> {
    let mut at = 0;
    let mut events = Vec::new();
    while at < bytes.len() {
        let mut spare = connection.spare();
        let count = spare.remaining_mut().min(bytes.len() - at);
        spare.put_slice(&bytes[at..at + count]);
        at += count;
        events.extend(connection.poll_event(now()));
        if connection.long_frame().is_some() {
            connection.skip_long_frame();
        }
    }
    events
}

#[test]
fn a_long_frame_without_memory_fails_its_stream() {
    let mut connection = open();
    let long = frame(OPEN, 1, &vec![0; OAP_READ_BYTES]);
    let fault = fault_of(&give_without_memory(&mut connection, &long));
    assert_eq!((fault.code, fault.fatal), (ErrorCode::Degraded, false));
    connection.refuse(1, fault.app, fault.code, Bytes::new());
    assert!(give(&mut connection, &frame(END, 1, b"")).is_empty());
}

/// What a frame is used to depend on whether there was memory for it: a cancel that was skipped
/// ended its stream with an error that told to send less, one of a stream that was not open was
/// answered, and an answer to a ping ended the connection.
#[test]
fn what_needs_no_payload_is_the_same_without_memory() {
    let nothing = vec![0; OAP_READ_BYTES];
    let long_cancel = coded(END, CONTROL, HELLO, 1, &nothing);
    let mut connection = open();
    assert!(give_without_memory(&mut connection, &long_cancel).is_empty());
    give(&mut connection, &frame(WHOLE, 1, b""));
    let events = give_without_memory(&mut connection, &long_cancel);
    assert_eq!(events, [Event::Cancelled { corr_id: 1 }]);

    let long_pong = coded(Flags::EVENT, CONTROL, 1, 0, &nothing);
    assert!(give_without_memory(&mut connection, &long_pong).is_empty());
    let long_answer = coded(Flags::RESP, 1, 200, 1, &nothing);
    let fault = fault_of(&give_without_memory(&mut connection, &long_answer));
    assert_eq!((fault.code, fault.fatal), (ErrorCode::BadRequest, true));
}

#[test]
fn newcomers_are_served_between_the_turns_of_others() {
    let mut connection = open();
    for corr_id in 1..=3 {
        give(&mut connection, &frame(WHOLE, corr_id, b""));
        connection.respond(corr_id, 200, b"", Bytes::new(), false);
    }
    let mut turns = Vec::new();
    let mut turn = |connection: &mut Connection| {
        let corr_id = connection.poll_turn().unwrap();
        connection.respond_more(corr_id, 200, Bytes::from_static(b"x"), false);
        turns.push(corr_id);
    };
    for _ in 0..7 {
        turn(&mut connection);
    }
    connection.respond_more(3, 200, Bytes::new(), true);
    give(&mut connection, &frame(WHOLE, 4, b""));
    connection.respond(4, 200, b"", Bytes::new(), false);
    for _ in 0..4 {
        turn(&mut connection);
    }
    assert_eq!(turns[..7], [1, 1, 2, 1, 3, 2, 1]);
    assert_eq!(turns[7..], [4, 2, 1, 4], "3 has ended, 4 is new");
}

#[test]
fn time_runs_out_before_hello_and_without_streams() {
    let start = now();
    let mut connection = Connection::new(LIMITS, start);
    assert_eq!(connection.poll_timeout(), Some(start + 5 * SECOND));
    assert_eq!(connection.handle_timeout(start + 4 * SECOND), None);
    let expired = connection.handle_timeout(start + 5 * SECOND);
    assert_eq!(expired, Some(Expired::Hello { begun: false }));
    assert!(connection.is_closing());

    let mut connection = Connection::new(LIMITS, start);
    give(&mut connection, &[0]);
    let expired = connection.handle_timeout(start + 5 * SECOND);
    assert_eq!(
        expired,
        Some(Expired::Hello { begun: true }),
        "a byte changes nothing"
    );

    let mut connection = open();
    assert_eq!(connection.poll_timeout(), Some(start + 60 * SECOND));
    give(&mut connection, &frame(WHOLE, 1, b""));
    assert_eq!(connection.poll_timeout(), None, "a stream is at work");
    connection.respond(1, 200, b"", Bytes::new(), true);
    assert_eq!(connection.poll_timeout(), None, "its answer is not written");
    let queued = connection.queued();
    connection.handle_written(start + 7 * SECOND, queued);
    assert_eq!(connection.poll_timeout(), Some(start + 67 * SECOND));
    assert_eq!(
        connection.handle_timeout(start + 67 * SECOND),
        Some(Expired::Idle)
    );
}

/// A frame that came within every bound of pace, but not within the idle time, was never answered.
#[test]
fn a_connection_is_not_idle_while_a_frame_is_on_its_way() {
    let mut connection = open();
    let bytes = frame(WHOLE, 1, b"slowly");
    give(&mut connection, &bytes[..1]);
    assert_eq!(connection.poll_timeout(), None);
    give(&mut connection, &bytes[1..40]);
    assert_eq!(connection.poll_timeout(), None);
    assert_eq!(give(&mut connection, &bytes[40..]).len(), 1);
}

/// A peer that was refused in the middle of its request and never sent the rest had a stream open,
/// and so its connection was never idle.
#[test]
fn half_a_request_that_was_answered_does_not_keep_a_connection() {
    let start = now();
    let mut connection = open();
    give(&mut connection, &frame(OPEN, 1, b"half"));
    assert_eq!(connection.poll_timeout(), None, "an answer is owed");
    connection.refuse(1, 1, ErrorCode::BodyTimeout, Bytes::new());
    assert_eq!(sent(&mut connection).len(), 1);
    assert_eq!(connection.streams(), 1);
    assert_eq!(connection.poll_timeout(), Some(start + 60 * SECOND));
    give(&mut connection, &frame(Flags::REQ, 1, b"more"));
    let expired = connection.handle_timeout(start + 60 * SECOND);
    assert_eq!(expired, Some(Expired::Idle));
}

#[test]
fn answers_are_compressed_only_for_who_asked() {
    let text = "compressible ".repeat(30).into_bytes();
    let noise: Vec<u8> = (0..2000_u32).map(|n| (n * n / 7) as u8).collect();
    let body = Bytes::from([text, noise].concat());
    for accept_comp in [false, true] {
        let mut connection = Connection::new(LIMITS, now());
        let hello = Hello {
            ua: String::new(),
            accept_comp,
        };
        give(&mut connection, &coded(WHOLE, 0, 0, 0, &hello.encode()));
        connection.welcome(&Welcome::new(1 << 20, 3));
        give(&mut connection, &frame(WHOLE, 1, b""));
        connection.respond(1, 200, b"fields", body.clone(), true);
        let answer = sent(&mut connection).pop().unwrap();
        let compressed = answer.header.flags.has(Flags::COMP);
        assert_eq!(compressed, accept_comp);
        let payload = if compressed {
            assert!(answer.payload.len() < body.len());
            inflate(&answer.payload, 1 << 20).unwrap()
        } else {
            answer.payload.to_vec()
        };
        assert_eq!(payload, [b"fields", &body[..]].concat());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Frame {
        flags: u8,
        code: u16,
        corr_id: u64,
        length: usize,
    },
    Answer {
        corr_id: u64,
        ends: bool,
    },
    Turn {
        ends: bool,
    },
    Refuse {
        corr_id: u64,
    },
    Park {
        corr_id: u64,
    },
    Unpark {
        corr_id: u64,
    },
    Notify {
        corr_id: u64,
    },
    WantTurn {
        corr_id: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8, 0..2_u16, 0..6_u64, 0..100_usize).prop_map(|(flags, code, corr_id, length)| {
            Step::Frame { flags, code, corr_id, length }
        }),
        2 => (0..6_u64, any::<bool>()).prop_map(|(corr_id, ends)| Step::Answer { corr_id, ends }),
        2 => any::<bool>().prop_map(|ends| Step::Turn { ends }),
        1 => (0..6_u64).prop_map(|corr_id| Step::Refuse { corr_id }),
        2 => (0..6_u64).prop_map(|corr_id| Step::Park { corr_id }),
        1 => (0..6_u64).prop_map(|corr_id| Step::Unpark { corr_id }),
        1 => (0..6_u64).prop_map(|corr_id| Step::Notify { corr_id }),
        1 => (0..6_u64).prop_map(|corr_id| Step::WantTurn { corr_id }),
    ]
}

proptest! {
    /// Whatever the order of events, every stream that was opened and not cancelled is answered
    /// with at most one last frame, nothing follows it, and the table stays within its bound.
    #[test]
    fn a_stream_has_one_end(steps in prop::collection::vec(step(), 1..60)) {
        let mut connection = open();
        // Streams that the peer may take for open, by what it was told.
        let mut answering = std::collections::HashSet::new();
        for step in steps {
            match step {
                Step::Frame { flags, code, corr_id, length } => {
                    let flags = Flags::REQ.with(Flags::from_bits(u16::from(flags) << 3));
                    let bytes = coded(flags, 1, code, corr_id, &vec![0; length]);
                    for event in give(&mut connection, &bytes) {
                        match event {
                            Event::Request { corr_id, .. } => { answering.insert(corr_id); }
                            Event::Cancelled { corr_id } => { answering.remove(&corr_id); }
                            Event::Fault(fault) => {
                                prop_assert!(!fault.fatal);
                                let open = connection.streams.app(fault.corr_id).is_some();
                                connection.refuse(fault.corr_id, 1, fault.code, Bytes::new());
                                let answer = sent(&mut connection).pop().unwrap();
                                prop_assert!(answer.header.flags.has(Flags::END));
                                prop_assert_eq!(open, answering.remove(&fault.corr_id));
                            }
                            Event::Body { corr_id, .. } => prop_assert!(answering.contains(&corr_id)),
                            Event::Hello { .. } => prop_assert!(false),
                        }
                    }
                }
                Step::Answer { corr_id, ends } => connection.respond(corr_id, 200, b"", Bytes::new(), ends),
                Step::Turn { ends } => {
                    if let Some(corr_id) = connection.poll_turn() {
                        prop_assert!(answering.contains(&corr_id));
                        connection.respond_more(corr_id, 200, Bytes::new(), ends);
                    }
                }
                Step::Refuse { corr_id } => if answering.contains(&corr_id) {
                    connection.refuse(corr_id, 1, ErrorCode::Deadline, Bytes::new());
                }
                Step::Park { corr_id } => {
                    let parked = connection.park(corr_id);
                    prop_assert!(!parked || answering.contains(&corr_id));
                }
                Step::Unpark { corr_id } => connection.unpark(corr_id),
                Step::Notify { corr_id } => connection.notify(corr_id, 200, false, b"", Bytes::new()),
                Step::WantTurn { corr_id } => connection.want_turn(corr_id),
            }
            for frame in sent(&mut connection) {
                let corr_id = frame.header.corr_id;
                prop_assert!(answering.contains(&corr_id), "an answer behind the last");
                if frame.header.flags.has(Flags::END) {
                    answering.remove(&corr_id);
                }
            }
            prop_assert!(connection.parked() <= LIMITS.max_parked);
            prop_assert!(connection.streams() <= LIMITS.max_streams + LIMITS.max_parked);
            prop_assert_eq!(connection.only_waits(), connection.parked() == answering.len());
            prop_assert_eq!(connection.owes_answers(true), !answering.is_empty());
        }
    }
}
