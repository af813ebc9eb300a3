//! Streams that wait for something to happen, what they are told, and peers that are asked whether
//! they are there.

use super::*;

const EVENT: u16 = 4;

/// A connection whose streams 1 to `count` have been opened and are parked.
fn parked(count: u64) -> Connection {
    let mut connection = open();
    for corr_id in 1..=count {
        give(&mut connection, &frame(WHOLE, corr_id, b""));
        assert!(connection.park(corr_id));
    }
    connection
}

fn opens(connection: &mut Connection, corr_id: u64) -> bool {
    let events = give(connection, &frame(WHOLE, corr_id, b""));
    match events[..] {
        [Event::Request { .. }] => true,
        [Event::Fault(fault)] if fault.code == ErrorCode::TooManyStreams => false,
        _ => panic!("{events:?}"),
    }
}

#[test]
fn parked_streams_take_no_place_of_others() {
    let mut connection = parked(2);
    assert!((3..=5).all(|corr_id| opens(&mut connection, corr_id)));
    assert!(!opens(&mut connection, 6));
    assert_eq!((connection.streams(), connection.parked()), (5, 2));

    connection.unpark(1);
    assert_eq!((connection.streams(), connection.parked()), (5, 1));
    assert!(!opens(&mut connection, 6), "four streams for three places");
    connection.respond(3, 200, b"", Bytes::new(), true);
    assert!(!opens(&mut connection, 6), "three streams for three places");
    connection.respond(1, 200, b"", Bytes::new(), true);
    assert!(opens(&mut connection, 6));
}

#[test]
fn the_bound_of_parked_streams_is_met_exactly() {
    let mut connection = parked(2);
    assert!(opens(&mut connection, 3));
    assert!(!connection.park(3), "one more than may be");
    assert!(connection.park(1), "it is parked already");
    assert_eq!(connection.parked(), 2);
    connection.unpark(1);
    connection.unpark(1);
    assert_eq!(connection.parked(), 1, "once");
    assert!(connection.park(3));
    assert!(!connection.park(1), "its place is taken");
}

#[test]
fn only_what_is_owed_an_answer_is_parked() {
    let mut connection = open();
    assert!(!connection.park(1), "not open");
    give(&mut connection, &frame(OPEN, 1, b""));
    assert!(connection.park(1), "half a request");
    connection.refuse(1, 1, ErrorCode::Deadline, Bytes::new());
    assert_eq!((connection.streams(), connection.parked()), (1, 0));
    assert!(!connection.park(1), "answered");
    connection.unpark(1);
    assert_eq!(connection.parked(), 0);
}

#[test]
fn a_parked_stream_ends_as_any_other() {
    let ends: [fn(&mut Connection); 4] = [
        |connection| connection.respond(1, 200, b"", Bytes::new(), true),
        |connection| connection.refuse(1, 1, ErrorCode::Draining, Bytes::new()),
        |connection| {
            let cancelled = give(connection, &cancel(1));
            assert_eq!(cancelled, [Event::Cancelled { corr_id: 1 }]);
        },
        |connection| {
            let fault = fault_of(&give(connection, &frame(Flags::REQ, 1, b"")));
            assert_eq!(fault.code, ErrorCode::StreamClosed);
            connection.refuse(1, fault.app, fault.code, Bytes::new());
        },
    ];
    for end in ends {
        let mut connection = parked(2);
        connection.want_turn(1);
        end(&mut connection);
        assert_eq!((connection.streams(), connection.parked()), (1, 1));
        assert_eq!(connection.poll_turn(), None);
        assert!(opens(&mut connection, 1), "the id is free");
    }
}

#[test]
fn events_come_before_the_answer_and_not_behind_it() {
    let mut connection = parked(1);
    connection.notify(1, 200, false, b"fields", Bytes::from_static(b"body"));
    connection.notify(1, 200, true, b"", Bytes::new());
    connection.respond(1, 200, b"", Bytes::new(), true);
    connection.notify(1, 200, false, b"", Bytes::from_static(b"late"));
    connection.notify(9, 200, false, b"", Bytes::from_static(b"never open"));
    let frames = sent(&mut connection);
    let flags: Vec<Flags> = frames.iter().map(|frame| frame.header.flags).collect();
    let answer = Flags::RESP.with(Flags::WHOLE);
    assert_eq!(
        flags,
        [Flags::EVENT, Flags::EVENT.with(Flags::ACK_REQ), answer]
    );
    assert_eq!(frames[0].payload, "fieldsbody");
    for frame in &frames {
        let header = &frame.header;
        assert_eq!((header.code, header.app, header.corr_id), (200, 1, 1));
    }
    assert_eq!(connection.frames().1[Kind::Event as usize], 2);
}

#[test]
fn events_are_compressed_only_for_who_asked() {
    let body = Bytes::from("compressible ".repeat(30));
    for accept_comp in [false, true] {
        let mut connection = Connection::new(LIMITS, now());
        let hello = Hello {
            ua: String::new(),
            accept_comp,
        };
        give(&mut connection, &coded(WHOLE, 0, 0, 0, &hello.encode()));
        connection.welcome(&Welcome::new(1 << 20, 3));
        give(&mut connection, &frame(WHOLE, 1, b""));
        // Long enough to be compressed to something, and not to next to nothing.
        let noise: Vec<u8> = (0..2000_u32).map(|n| (n * n / 7) as u8).collect();
        let body = Bytes::from([&body[..], &noise].concat());
        connection.notify(1, 200, false, b"fields", body.clone());
        let event = sent(&mut connection).pop().unwrap();
        assert_eq!(event.header.flags.has(Flags::COMP), accept_comp);
        let payload = if accept_comp {
            inflate(&event.payload, 1 << 20).unwrap()
        } else {
            event.payload.to_vec()
        };
        assert_eq!(payload, [b"fields", &body[..]].concat());
    }
}

#[test]
fn a_stream_that_wants_a_turn_twice_has_one() {
    let mut connection = parked(2);
    connection.want_turn(2);
    connection.want_turn(1);
    connection.want_turn(2);
    assert_eq!(connection.poll_turn(), Some(2));
    connection.want_turn(2);
    assert_eq!(connection.poll_turn(), Some(1));
    assert_eq!(connection.poll_turn(), Some(2));
    assert_eq!(connection.poll_turn(), None);
    connection.want_turn(9);
    assert_eq!(connection.poll_turn(), None, "not open");

    // One whose answer is going on has its turn from that.
    connection.unpark(1);
    connection.respond(1, 200, b"", Bytes::new(), false);
    connection.want_turn(1);
    assert_eq!(connection.poll_turn(), Some(1));
    assert_eq!(connection.poll_turn(), None);
}

/// Lets time pass until `seconds` after the start, where something is due.
fn due(connection: &mut Connection, seconds: u32) -> Option<Expired> {
    let at = now() + seconds * SECOND;
    assert_eq!(connection.poll_timeout(), Some(at));
    assert_eq!(connection.handle_timeout(at - SECOND / 10), None);
    assert_eq!(connection.queued(), 0, "not yet");
    connection.handle_timeout(at)
}

/// As [`give`], but so many seconds after the start.
fn give_at(connection: &mut Connection, seconds: u32, bytes: &[u8]) -> Option<Event> {
    connection.spare().put_slice(bytes);
    connection.poll_event(now() + seconds * SECOND)
}

#[track_caller]
fn assert_pinged(connection: &mut Connection) {
    let frames = sent(connection);
    let [ping] = &frames[..] else {
        panic!("one ping, not {frames:?}");
    };
    let header = &ping.header;
    assert_eq!(
        (header.flags.bits(), header.code, header.app),
        (EVENT, 1, CONTROL)
    );
    assert_eq!((header.corr_id, ping.payload.len()), (0, 0));
}

#[test]
fn a_silent_peer_with_parked_streams_is_pinged_and_then_left() {
    let mut connection = parked(1);
    assert_eq!(due(&mut connection, 20), None);
    assert_eq!(connection.poll_timeout(), None, "the ping is to be written");
    assert_pinged(&mut connection);
    assert_eq!(due(&mut connection, 35), Some(Expired::Silent));
    assert!(connection.is_closing());
    assert_eq!(connection.poll_timeout(), None);
}

#[test]
fn whatever_a_peer_sends_shows_that_it_is_there() {
    let signs = [
        coded(Flags::EVENT, CONTROL, 1, 0, b""),
        coded(Flags::RESP, CONTROL, 200, 0, b""),
        frame(WHOLE, 2, b""),
        cancel(7),
    ];
    for sign in signs {
        let mut connection = parked(1);
        // Without being asked, ...
        give_at(&mut connection, 15, &cancel(9));
        assert_eq!(due(&mut connection, 35), None);
        assert_pinged(&mut connection);
        // ... and when it is.
        give_at(&mut connection, 49, &sign);
        connection.respond(2, 200, b"", Bytes::new(), true);
        sent(&mut connection);
        assert_eq!(due(&mut connection, 69), None);
        assert_pinged(&mut connection);
        assert_eq!(due(&mut connection, 84), Some(Expired::Silent));
    }
}

#[test]
fn one_answer_to_each_ping_is_no_idle_frame() {
    let pong = coded(Flags::EVENT, CONTROL, 1, 0, b"");
    let mut connection = parked(1);
    let mut expected = 0;
    for round in 1..=3 {
        connection.handle_timeout(now() + 20 * round * SECOND);
        assert_pinged(&mut connection);
        // The request shows that the peer is there; the answer to the ping comes all the same.
        give_at(&mut connection, 20 * round, &frame(WHOLE, 2, b""));
        connection.respond(2, 200, b"", Bytes::new(), true);
        sent(&mut connection);
        give_at(&mut connection, 20 * round, &pong);
        assert_eq!(connection.idle_frames(), expected, "it was asked for");
        give_at(&mut connection, 20 * round, &pong);
        expected += 1;
        assert_eq!(connection.idle_frames(), expected, "and once only");
    }
}

#[test]
fn time_is_idle_only_without_parked_streams() {
    let start = now();
    let mut connection = parked(2);
    for round in 1..=5 {
        assert_eq!(connection.handle_timeout(start + 20 * round * SECOND), None);
        assert_pinged(&mut connection);
        give_at(
            &mut connection,
            20 * round,
            &coded(Flags::EVENT, CONTROL, 1, 0, b""),
        );
    }
    give_at(&mut connection, 110, &cancel(1));
    assert_eq!(due(&mut connection, 130), None, "one is parked still");
    assert_pinged(&mut connection);
    give_at(&mut connection, 131, &cancel(2));
    assert_eq!(due(&mut connection, 191), Some(Expired::Idle));
}

/// A peer that is busy is not asked whether it is there: a frame on its way and bytes to be taken
/// have a pace, and who works has a deadline. A ping behind much that is unread would come too late
/// to be answered in time.
#[test]
fn nobody_is_pinged_while_there_is_something_to_do() {
    let mut connection = parked(1);
    give_at(&mut connection, 5, &frame(WHOLE, 2, b""));
    assert_eq!(connection.poll_timeout(), None, "an answer is owed");
    connection.respond(2, 200, b"", Bytes::from_static(b"body"), true);
    assert_eq!(connection.poll_timeout(), None, "and is not written");
    assert_eq!(connection.handle_timeout(now() + 90 * SECOND), None);
    assert_eq!(sent(&mut connection).len(), 1);

    let more = frame(WHOLE, 3, b"slowly");
    give_at(&mut connection, 6, &more[..40]);
    assert_eq!(connection.poll_timeout(), None, "a frame is on its way");
    give_at(&mut connection, 7, &more[40..]);
    assert!(connection.park(3));
    assert_eq!(due(&mut connection, 27), None);
    assert_pinged(&mut connection);

    connection.unpark(3);
    assert_eq!(connection.poll_timeout(), None, "it has been woken");
    connection.notify(3, 200, false, b"", Bytes::new());
    assert_eq!(connection.poll_timeout(), None);
    assert!(connection.park(3));
    sent(&mut connection);
    assert_eq!(
        due(&mut connection, 42),
        Some(Expired::Silent),
        "what it is sent changes nothing"
    );
}
