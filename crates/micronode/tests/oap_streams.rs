//! Streams: opened once, ended once, cancelled at any time, many at a time, and each with nothing
//! to do with the others.
#![allow(clippy::unwrap_used)]

mod support;

use support::oap::{
    APP_E2E, CHUNK, ECHO, END, Frame, GET, HELLO, PING, PUT, START, WHOLE, get, hash, plain_put,
    put,
};
use support::{Node, Oap, address, object, wait_until};

const MIB: usize = 1024 * 1024;
/// Text, and no media type.
const NO_MEDIA_TYPE: &str = "caf\u{e9}";

/// A client that is being answered with more than it has room for, and the stream.
fn being_answered(node: &Node) -> (Oap, u64) {
    let bytes = object(16 * MIB);
    node.request("PUT", &format!("/o/{}", address(&bytes)), &[], &bytes);
    let mut client = Oap::with_small_window(node.oap());
    let id = client.ask(GET, &get(&hash(&bytes), 0, 0));
    let first = client.frame().unwrap();
    assert_eq!(
        (first.corr_id, first.code, first.has(START)),
        (id, 200, true)
    );
    (client, id)
}

/// A client with an upload that the node has begun to take, and its stream.
fn uploading(node: &Node) -> (Oap, u64) {
    let mut client = node.greet();
    let id = client.begin(PUT, &[plain_put(), object(CHUNK)].concat());
    wait_until("the upload", || node.memory_of("uploads") >= CHUNK as u64);
    (client, id)
}

/// Nothing is in progress.
#[track_caller]
fn wait_until_idle(node: &Node) {
    let in_flight = |route| node.metric(&format!("inflight_requests{{route=\"{route}\"}}"));
    wait_until("nothing in progress", || {
        ["/put", "/o/{addr}", "/echo"]
            .iter()
            .all(|route| in_flight(route) == Some(0.0))
    });
}

/// What is said on `id` until a ping that is sent now is answered.
#[track_caller]
fn until_pong(client: &mut Oap, id: u64) -> Vec<Frame> {
    let ping = client.ask(PING, b"");
    let mut said = Vec::new();
    loop {
        let frame = client.frame().expect("the connection lives");
        if frame.corr_id == ping {
            return said;
        }
        assert_eq!(frame.corr_id, id);
        said.push(frame);
    }
}

#[test]
fn a_cancel_of_nothing_is_silence() {
    let node = Node::start();
    let mut client = node.greet();
    client.cancel(99);
    assert_eq!(client.call(ECHO, b"x").status(), 200);
    client.cancel(1);
    client.cancel(1);
    assert_eq!(until_pong(&mut client, 1), []);
    // It is known by its code, whatever it carries.
    let id = client.begin(ECHO, b"x");
    client.send_frame(&Frame::request(id, HELLO, END, b"with a payload"));
    assert_eq!(until_pong(&mut client, id), []);
    assert_eq!(node.rejected("stream_closed").0, 0.0);
}

#[test]
fn a_cancelled_upload_leaves_nothing_and_gets_no_answer() {
    let node = Node::start();
    let (mut client, id) = uploading(&node);
    client.cancel(id);
    client.cancel(id);
    assert_eq!(until_pong(&mut client, id), []);
    wait_until_idle(&node);
    node.wait_until_empty();
    // What comes after that is of no stream, and the id may be used again.
    client.go_on(id, PUT, b"late");
    client.reply(id).assert_problem("stream_closed");
    client.send_frame(&Frame::request(id, ECHO, WHOLE, b"again"));
    assert_eq!(client.reply(id).payload(), b"again");
}

#[test]
fn a_cancelled_download_stops_and_gives_its_permit_back() {
    let node = Node::start();
    let (mut client, id) = being_answered(&node);
    client.cancel(id);
    wait_until_idle(&node);
    let rest = until_pong(&mut client, id);
    assert!(
        rest.iter()
            .all(|frame| !frame.has(END) && frame.code == 200)
    );
    let sent: usize = rest.iter().map(|frame| frame.payload.len()).sum();
    assert!(sent < 8 * MIB, "{sent} bytes after it began");
    client.send_frame(&Frame::request(id, ECHO, WHOLE, b"again"));
    assert_eq!(client.reply(id).payload(), b"again");
    assert_eq!(node.rejected("stream_closed").0, 0.0);
}

#[test]
fn a_second_opening_ends_the_stream_once() {
    let node = Node::start();
    let (mut client, id) = uploading(&node);
    client.send_frame(&Frame::request(id, PING, WHOLE, b""));
    client.reply(id).assert_problem("stream_reused");
    assert_eq!(until_pong(&mut client, id), []);
    wait_until_idle(&node);
    client.send_frame(&Frame::request(id, PING, WHOLE, b""));
    assert_eq!(client.reply(id).status(), 200);

    // Of an opening that was not whole, the rest is passed over.
    let id = client.begin(ECHO, b"first");
    client.send_frame(&Frame::request(id, ECHO, START, b"second"));
    client.go_on(id, ECHO, b"more");
    client.end(id, ECHO, b"end");
    client.reply(id).assert_problem("stream_reused");
    assert_eq!(until_pong(&mut client, id), []);

    let (mut client, id) = being_answered(&node);
    client.send_frame(&Frame::request(id, PING, WHOLE, b""));
    // The answer had begun, so what it ended with is all that is checked.
    let last = std::iter::from_fn(|| client.frame()).find(|frame| frame.has(END));
    assert_eq!(last.unwrap().code, 400);
    assert_eq!(until_pong(&mut client, id), []);
    assert_eq!(node.rejected("stream_reused"), (3.0, 3.0));
    wait_until_idle(&node);
}

#[test]
fn a_frame_of_no_stream_is_told_so_each_time() {
    let node = Node::start();
    let mut client = node.greet();
    for flags in [0, END] {
        client.send_frame(&Frame::request(5, ECHO, flags, b"lost"));
        client.reply(5).assert_problem("stream_closed");
    }
    assert_eq!(client.call(ECHO, b"x").status(), 200);
    client.go_on(1, ECHO, b"after its end");
    client.reply(1).assert_problem("stream_closed");
    client.assert_alive();

    // A request that has ended does not go on, although its answer does.
    let (mut reader, id) = being_answered(&node);
    reader.go_on(id, GET, b"more");
    let last = std::iter::from_fn(|| reader.frame()).find(|frame| frame.has(END));
    assert_eq!(last.unwrap().code, 400);
    assert_eq!(until_pong(&mut reader, id), []);
    assert_eq!(node.rejected("stream_closed"), (4.0, 4.0));
    wait_until_idle(&node);
}

#[test]
fn one_stream_more_than_there_may_be_is_refused_and_the_others_go_on() {
    let node = Node::start();
    let mut client = node.greet();
    let open: Vec<u64> = (0..64).map(|_| client.begin(ECHO, b"be")).collect();
    client.call(PING, b"").assert_problem("too_many_streams");
    client.call(ECHO, b"x").assert_problem("too_many_streams");
    assert_eq!(node.rejected("too_many_streams"), (2.0, 2.0));
    client.cancel(open[0]);
    client.assert_alive();
    for id in &open[1..] {
        client.end(*id, ECHO, b"gin");
    }
    for id in &open[1..] {
        assert_eq!(client.reply(*id).payload(), b"begin");
    }
    let lower = Node::with_limits(&[("oap_streams", "1")], &[]);
    let mut client = lower.greet();
    let only = client.begin(ECHO, b"only");
    client.call(PING, b"").assert_problem("too_many_streams");
    client.end(only, ECHO, b"");
    assert_eq!(client.reply(only).payload(), b"only");
    client.assert_alive();
}

#[test]
fn after_an_early_refusal_the_rest_is_passed_over() {
    let node = Node::start();
    let mut client = node.greet();
    let id = client.begin(PUT, &put(&[0; 32], 0, NO_MEDIA_TYPE));
    let refusal = client.reply(id);
    refusal.assert_problem("bad_request");
    for _ in 0..40 {
        client.go_on(id, PUT, &object(CHUNK));
    }
    // Longer than a read buffer, and longer than a chunk: nobody looks any more.
    client.end(id, PUT, &object(MIB - 100));
    assert_eq!(until_pong(&mut client, id), []);
    wait_until_idle(&node);
    node.wait_until_empty();
    client.end(id, PUT, b"after the end");
    client.reply(id).assert_problem("stream_closed");

    // The same for what is refused before it is at work, and for a cancel in place of the end.
    let id = client.begin((2, 99), b"no such operation");
    client.go_on(id, (2, 99), b"more");
    client.reply(id).assert_problem("not_found");
    client.cancel(id);
    assert_eq!(until_pong(&mut client, id), []);
    client.send_frame(&Frame::request(id, ECHO, WHOLE, b"again"));
    assert_eq!(client.reply(id).payload(), b"again");
}

#[test]
fn what_is_not_there_is_refused_on_its_stream_alone() {
    let node = Node::start();
    let mut client = node.greet();
    for operation in [
        (0, 9),
        (1, 0),
        (1, 2),
        (2, 0),
        (2, 7),
        (9, 1),
        (u16::MAX, u16::MAX),
    ] {
        client.call(operation, b"").assert_problem("not_found");
    }
    for flags in [WHOLE, START, WHOLE | APP_E2E] {
        let mut frame = Frame::request(client.new_id(), ECHO, flags, b"x");
        frame.tenant = 1;
        client.send_frame(&frame);
        client.reply(frame.corr_id).assert_problem("bad_tenant");
        frame.tenant = 0;
        frame.cap = b"of another node".to_vec();
        frame.corr_id = client.new_id();
        client.send_frame(&frame);
        client
            .reply(frame.corr_id)
            .assert_problem("unauthenticated");
    }
    // A stream does not change its tenant on the way either.
    let mut frame = Frame::request(client.begin(ECHO, b"x"), ECHO, END, b"x");
    frame.tenant = u128::MAX;
    client.send_frame(&frame);
    client.reply(frame.corr_id).assert_problem("bad_tenant");
    client.assert_alive();
    assert_eq!(node.rejected("bad_tenant"), (4.0, 4.0));
}

#[test]
fn uploads_whose_frames_alternate_do_not_mix() {
    let node = Node::start();
    let mut client = node.greet();
    let bodies: Vec<Vec<u8>> = (0..8).map(|index| object(200_000 + index)).collect();
    let ids: Vec<u64> = bodies
        .iter()
        .map(|body| client.begin(PUT, &put(&hash(body), 0, "")))
        .collect();
    let mut parts: Vec<_> = bodies.iter().map(|body| body.chunks(10_007)).collect();
    for _ in 0..20 {
        for (id, parts) in ids.iter().zip(&mut parts) {
            client.go_on(*id, PUT, parts.next().unwrap());
        }
    }
    for (id, body) in ids.into_iter().zip(&bodies).rev() {
        client.end(id, PUT, b"");
        assert_eq!(
            client.reply(id).stored(),
            (hash(body), body.len() as u64, false)
        );
        assert!(client.call(GET, &get(&hash(body), 0, 0)).object().bytes == *body);
    }
}

/// Frames that ask for nothing cost no token of any rate, so a peer could keep a worker busy with
/// them for ever. A few are what any client may send: an answer may cross with its cancel.
#[test]
fn a_peer_that_asks_for_nothing_and_goes_on_is_ended() {
    let node = Node::start();
    let cancel = Frame::request(77, (0, 0), END, b"").encode();
    let mut some = node.greet();
    some.send(&cancel.repeat(900));
    some.assert_alive();

    let mut pong = Frame::request(0, PING, 0, b"");
    pong.flags = support::oap::EVENT;
    for nothing in [
        cancel,
        pong.encode(),
        Frame::request(78, ECHO, 0, b"closed").encode(),
    ] {
        let mut many = node.greet();
        many.send(&nothing.repeat(20_000));
        let last = many.until_closed().pop().expect("a last word");
        assert_eq!((last.corr_id, last.code), (0, 503));
    }
    some.assert_alive();
}
