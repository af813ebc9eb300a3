//! Beginnings, heads and idle connections of HTTP/2 with prior knowledge.

use std::sync::Arc;
use std::time::Duration;

use micronode_hardening::Reason;
use tokio::time::{Instant, sleep};

use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, frame, get,
    request_fields,
};
use crate::harness::{Client, LIMITS, Node, QUICK, until};

const SECOND: Duration = Duration::from_secs(1);
const WINDOW: u32 = 65_535;

fn is_about(took: Duration, expected: Duration) -> bool {
    took >= expected && took < expected + Duration::from_millis(10)
}

#[tokio::test(start_paused = true)]
async fn prior_knowledge_is_understood_however_the_preface_arrives() {
    let node = Node::new(LIMITS, 2);
    let mut client = node.connect(64 * 1024);
    client.start_http2(WINDOW).await;
    client.is_served_http2(1).await;
    client
        .send([get(3, "/bytes/30000"), get(5, "/bytes/7")].concat())
        .await;
    assert_eq!(client.http2_response(3).await, 30_000);

    let mut client = node.connect(64 * 1024);
    for byte in PREFACE {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    client.send(frame(4, 0, 0, &[])).await;
    client.is_served_http2(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_method_that_begins_like_the_preface_is_http1() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(4096);
    client.send("PRI /bytes/3 HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.response().await.1.len(), 3);
}

/// The answer to HEAD once came with the body of GET, which clients take for a broken stream.
#[tokio::test(start_paused = true)]
async fn the_answer_to_head_is_a_head() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(64 * 1024);
    client.start_http2(WINDOW).await;
    // The method as a literal, in place of the static table's.
    let mut head = [&[0x02, 4], &b"HEAD"[..]].concat();
    head.extend(&request_fields(true, "/bytes/9")[1..]);
    client
        .send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &head))
        .await;
    let answer = client.next_of(1).await;
    assert_eq!(
        (answer.kind, answer.flags & END_STREAM),
        (HEADERS, END_STREAM)
    );
    client.is_served_http2(3).await;
}

#[tokio::test]
async fn a_large_response_comes_whole_over_loopback() {
    let node = Node::new(QUICK, 2);
    let mut client = Client::connect(node.listen().await).await;
    client.start_http2(1 << 30).await;
    client.send(get(1, "/bytes/10000000")).await;
    assert_eq!(client.http2_response(1).await, 10_000_000);
    until("its memory is given back", || node.held() == 0).await;
    client.is_served_http2(3).await;
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_preface_or_nothing_after_it_is_cut_at_the_head_deadline() {
    let preface = |length: usize| PREFACE[..length].to_vec();
    let settings = [PREFACE, &frame(4, 0, 0, &[])].concat();
    for (count, bytes) in [preface(10), preface(24), settings].into_iter().enumerate() {
        let node = Node::new(LIMITS, 1);
        let mut client = node.connect(4096);
        client.send(&bytes).await;
        let took = client.closed().await;
        assert!(is_about(took, LIMITS.head_deadline), "{count}: {took:?}");
        assert_eq!(node.counted(Reason::HeadTimeout), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_ask_for_nothing_do_not_keep_a_connection() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(64 * 1024);
    client.start_http2(WINDOW).await;
    client.is_served_http2(1).await;
    let start = Instant::now();
    let ping = frame(PING, 0, 0, &[0; 8]);
    for _ in 0..11 {
        sleep(5 * SECOND).await;
        // In two parts, so that the connection is seen in the middle of a frame.
        client.send(&ping[..4]).await;
        sleep(SECOND / 10).await;
        client.send(&ping[4..]).await;
    }
    client.closed().await;
    assert!(
        is_about(start.elapsed(), LIMITS.idle),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_head_that_dribbles_is_cut_even_beside_a_request_in_progress() {
    let node = Node::new(LIMITS, 1);
    let fields = request_fields(true, "/");
    let (first, rest) = fields.split_at(3);
    let whole = frame(HEADERS, END_HEADERS | END_STREAM, 3, &fields);
    let open = frame(HEADERS, END_STREAM, 3, first);
    let continued = [open.clone(), frame(CONTINUATION, 0, 3, rest)].concat();
    for (count, bytes) in [&whole[..12], &open, &continued].into_iter().enumerate() {
        let mut client = node.connect(64 * 1024);
        client.start_http2(WINDOW).await;
        client.send(get(1, "/pause/100")).await;
        sleep(20 * SECOND).await;
        client.send(bytes).await;
        let took = client.closed().await;
        assert!(is_about(took, LIMITS.head_deadline), "{count}: {took:?}");
        assert_eq!(node.counted(Reason::HeadTimeout), count as u64 + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_at_work_is_not_hurried() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(64 * 1024);
    client.start_http2(WINDOW).await;
    client.send(get(1, "/pause/600")).await;
    assert_eq!(client.http2_response(1).await, 5);
    client.is_served_http2(3).await;
}

/// The answer of a refused upload of which `sent` has been sent.
async fn refused(client: &mut Client<tokio::io::DuplexStream>, stream: u32, sent: usize) {
    let fields = request_fields(false, "/refuse");
    client
        .send(frame(HEADERS, END_HEADERS, stream, &fields))
        .await;
    client.send(frame(DATA, 0, stream, &vec![0; sent])).await;
    assert_eq!(client.next_of(stream).await.kind, HEADERS);
    let data = client.next_of(stream).await;
    assert_eq!((data.kind, data.flags), (DATA, END_STREAM));
}

#[tokio::test(start_paused = true)]
async fn a_refused_upload_is_not_reset_if_it_ends_soon() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(64 * 1024);
    client.start_http2(WINDOW).await;
    refused(&mut client, 1, 10_000).await;
    let rest = frame(DATA, END_STREAM, 1, &[0; 10_000]);
    client.send([rest, get(3, "/")].concat()).await;
    sleep(10 * SECOND).await;
    node.drain.start();
    let frames = client.rest_of_frames().await;
    assert!(
        frames.iter().all(|frame| frame.kind != RST_STREAM),
        "{frames:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_upload_that_goes_on_is_reset_without_an_error_after_its_answer() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(64 * 1024);
    client.start_http2(WINDOW).await;
    refused(&mut client, 1, 10_000).await;
    let start = Instant::now();
    let reset = client.next_of(1).await;
    assert_eq!((reset.kind, reset.payload), (RST_STREAM, vec![0; 4]));
    let took = start.elapsed();
    assert!(took > SECOND / 2 && took < 2 * SECOND, "took {took:?}");
    client.is_served_http2(3).await;
}

/// The rest of the answer was kept, and its connection closed for that.
#[tokio::test(start_paused = true)]
async fn an_answer_to_an_upload_that_the_peer_cancels_is_given_up() {
    for length in [1 << 20, 10_000] {
        let node = Node::new(LIMITS, 1);
        let mut client = node.connect(64 * 1024);
        client.start_http2(5_000).await;
        let fields = request_fields(false, &format!("/bytes/{length}"));
        client.send(frame(HEADERS, END_HEADERS, 1, &fields)).await;
        client.send(frame(DATA, END_STREAM, 1, &[0; 10])).await;
        while client.next_of(1).await.kind != DATA {}
        client.send(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await;
        until("its bytes are given up", || node.held() == 0).await;
        sleep(10 * SECOND).await;
        client.is_served_http2(3).await;
        assert_eq!(node.counted(Reason::BodyTimeout), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_the_peer_cancels_ends_at_once() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(64 * 1024);
    client.start_http2(WINDOW).await;
    client.is_served_http2(1).await;
    let at_rest = Arc::strong_count(&node.state);
    let fields = request_fields(false, "/gate");
    client.send(frame(HEADERS, END_HEADERS, 3, &fields)).await;
    let at_work = || Arc::strong_count(&node.state) > at_rest;
    until("the service is at work", at_work).await;
    let start = Instant::now();
    client.send(frame(RST_STREAM, 0, 3, &[0, 0, 0, 8])).await;
    until("it has been given up", || !at_work()).await;
    assert!(start.elapsed() < SECOND / 10, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn only_so_many_refused_uploads_are_held() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(64 * 1024);
    client.start_http2(WINDOW).await;
    for count in 0..64 {
        refused(&mut client, 1 + 2 * count, 1).await;
    }
    let start = Instant::now();
    refused(&mut client, 201, 1).await;
    assert_eq!(client.next_of(201).await.kind, RST_STREAM, "one too many");
    assert!(start.elapsed() < SECOND / 10);
}
