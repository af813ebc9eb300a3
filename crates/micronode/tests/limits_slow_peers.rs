//! Peers that stop, dribble or do not read: each is let go when its time is over, with what it
//! held, and one that keeps the least rate is not.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};
use support::{Connection, Node, Response, address, chunked, object, wait_until};

const MIB: usize = 1024 * 1024;
/// A time of 5 s, as seen by a client of a busy machine.
const ABOUT_5_S: RangeInclusive<f64> = 5.0..=6.5;

/// Sends `bytes` one per second until the peer has closed or all are sent.
fn dribble(mut stream: TcpStream, bytes: &[u8]) {
    for byte in bytes {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// What the peer says before it closes, and the seconds from `since` until then.
fn last_word(connection: &mut Connection, since: Instant) -> (Option<Response>, f64) {
    let answer = connection.response_head().ok().map(|mut answer| {
        let length = answer.field("content-length").unwrap().parse().unwrap();
        answer.body = connection.exactly(length).unwrap();
        answer
    });
    assert_eq!(connection.until_closed(), b"");
    (answer, since.elapsed().as_secs_f64())
}

fn assert_timed_out((answer, seconds): (Option<Response>, f64), code: &str) {
    answer.expect("an answer").assert_problem(code);
    assert!(ABOUT_5_S.contains(&seconds), "{code} after {seconds} s");
}

#[test]
fn a_head_of_one_byte_per_second_is_cut_after_5_s() {
    let node = Node::start();
    let since = Instant::now();
    let mut connection = node.connect();
    let stream = connection.stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| dribble(stream, b"GET /openapi"));
        assert_timed_out(last_word(&mut connection, since), "head_timeout");
        connection
            .stream
            .shutdown(std::net::Shutdown::Both)
            .unwrap();
    });
    let counted = node.metric("rejected_total{reason=\"head_timeout\"}");
    assert_eq!(counted, Some(1.0));
}

#[test]
fn the_next_head_has_5_s_from_its_first_byte() {
    let node = Node::start();
    let mut connection = node.connect();
    let echo = connection.request("POST", "/echo", &[], b"x");
    assert_eq!(echo.status, 200);
    std::thread::sleep(Duration::from_secs(1));
    let since = Instant::now();
    connection.send(b"GET /op");
    assert_timed_out(last_word(&mut connection, since), "head_timeout");
}

#[test]
fn a_connection_that_says_nothing_is_closed_after_5_s() {
    let node = Node::start();
    let since = Instant::now();
    let (answer, seconds) = last_word(&mut node.connect(), since);
    assert!(answer.is_none(), "nobody asked: {answer:?}");
    assert!(ABOUT_5_S.contains(&seconds), "{seconds} s");
}

#[test]
fn an_upload_that_stalls_is_cut_after_5_s_and_leaves_nothing() {
    let node = Node::start();
    let named = format!("/o/{}", address(&object(1000)));
    let since = Instant::now();
    let mut uploads = [
        ("POST", "/put", ("content-length", "1000"), "one-shot"),
        ("POST", "/put", ("transfer-encoding", "chunked"), "3e8\r\nx"),
        ("PUT", &named, ("content-length", "1000"), "streamed"),
        ("POST", "/echo", ("content-length", "1000"), "buffered"),
    ]
    .map(|(method, path, framing, start)| {
        let mut upload = node.connect();
        upload.send_head(method, path, &[framing]);
        upload.send(start.as_bytes());
        upload
    });
    wait_until("bytes being held", || node.memory_used() > 0);
    for upload in &mut uploads {
        assert_timed_out(last_word(upload, since), "body_timeout");
    }
    node.wait_until_empty();
    let counted = node.metric("rejected_total{reason=\"body_timeout\"}");
    assert_eq!(counted, Some(4.0));
}

#[test]
fn an_upload_below_the_least_rate_is_cut_however_it_moves() {
    let node = Node::start();
    let since = Instant::now();
    let mut upload = node.connect();
    upload.send_head("POST", "/put", &[("transfer-encoding", "chunked")]);
    let stream = upload.stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| dribble(stream, b"3e8\r\nabcdefgh"));
        assert_timed_out(last_word(&mut upload, since), "body_timeout");
        upload.stream.shutdown(std::net::Shutdown::Both).unwrap();
    });
    node.wait_until_empty();
}

#[test]
fn a_slow_upload_above_the_least_rate_is_stored() {
    let node = Node::start();
    let bytes = object(16 * 8 * 1024);
    let coded = chunked(&bytes, 8 * 1024);
    let mut upload = node.connect();
    upload.send_head("POST", "/put", &[("transfer-encoding", "chunked")]);
    let since = Instant::now();
    for piece in coded.chunks(coded.len() / 15) {
        upload.send(piece);
        std::thread::sleep(Duration::from_millis(500));
    }
    let answer = upload.response("POST");
    assert!(since.elapsed() > Duration::from_secs(7));
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.json()["address"], address(&bytes));
}

#[test]
fn a_slow_download_above_the_least_rate_is_complete() {
    let node = Node::start();
    let bytes = object(16 * MIB);
    let path = node.store(&bytes);
    let mut reader = Connection::reading(node.http, &path);
    let mut received = Vec::new();
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(7) {
        received.extend(reader.exactly(64 * 1024).unwrap());
        std::thread::sleep(Duration::from_millis(250));
    }
    received.extend(reader.exactly(bytes.len() - received.len()).unwrap());
    assert!(received == bytes);
}

#[test]
fn a_reader_that_stops_reading_is_dropped_and_its_permit_comes_back() {
    let node = Node::start();
    let bytes = object(16 * MIB);
    let path = node.store(&bytes);
    let in_flight = || {
        node.metric("inflight_requests{route=\"/o/{addr}\"}")
            .unwrap()
    };
    let since = Instant::now();
    let mut reader = Connection::reading(node.http, &path);
    // The upload counts until its answer has left for good.
    wait_until("only the download being in flight", || in_flight() == 1.0);

    wait_until("the permit coming back", || in_flight() == 0.0);
    let seconds = since.elapsed().as_secs_f64();
    assert!((5.0..=8.0).contains(&seconds), "after {seconds} s");
    assert!(reader.until_closed().len() < bytes.len());
    let counted = node.metric("rejected_total{reason=\"body_timeout\"}");
    assert_eq!(counted, Some(1.0));
}
