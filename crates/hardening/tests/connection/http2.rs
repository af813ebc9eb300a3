//! Beginnings, heads and idle connections of HTTP/2 with prior knowledge.

use std::time::Duration;

use micronode_hardening::Reason;
use tokio::time::{Instant, sleep};

use crate::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, frame, get, request_fields,
};
use crate::harness::{Client, LIMITS, Node, QUICK};

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

#[tokio::test]
async fn a_large_response_comes_whole_over_loopback() {
    let node = Node::new(QUICK, 2);
    let mut client = Client::connect(node.listen().await).await;
    client.start_http2(1 << 30).await;
    client.send(get(1, "/bytes/10000000")).await;
    assert_eq!(client.http2_response(1).await, 10_000_000);
    crate::harness::until("its memory is given back", || node.held() == 0).await;
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
