//! Finishing what has begun and taking nothing new.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::frames::{ACK, DATA, END_STREAM, GOAWAY, PING, frame, get};
use crate::harness::{LIMITS, Node, until};

#[tokio::test(start_paused = true)]
async fn idle_connections_close_and_requests_in_progress_finish() {
    let node = Node::new(LIMITS, 3);
    let mut idle = node.connect(4096);
    idle.is_served().await;
    let mut silent = node.connect(4096);
    let mut busy = node.connect(4096);
    busy.get("/gate").await;
    until("the request waits", || {
        node.state.waiting.load(Ordering::SeqCst) == 1
    })
    .await;

    let start = Instant::now();
    node.drain.start();
    assert_eq!(idle.rest().await, "");
    assert_eq!(silent.rest().await, "");
    assert!(start.elapsed() < Duration::from_millis(10));
    until("only the busy one is left", || node.slots.open() == 1).await;
    sleep(Duration::from_secs(1)).await;
    node.state.gate.add_permits(1);
    let (head, body) = busy.response().await;
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    assert_eq!(body, b"xxxxx");
    assert_eq!(busy.rest().await, "");
    until("all are gone", || node.slots.open() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_has_begun_is_still_served() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(4096);
    client.send("GET / HTTP/1.1\r\n").await;
    sleep(Duration::from_secs(1)).await;
    node.drain.start();
    sleep(Duration::from_secs(1)).await;
    client.send("\r\n").await;
    assert!(client.response().await.0.starts_with("http/1.1 200 "));
    assert_eq!(client.rest().await, "");
}

/// A drain once took as long as its slowest idle peer wanted, up to the idle time.
#[tokio::test(start_paused = true)]
async fn an_http2_peer_that_does_not_agree_to_close_is_closed() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(64 * 1024);
    client.start_http2(65_535).await;
    client.is_served_http2(1).await;
    sleep(LIMITS.idle / 2).await;
    let start = Instant::now();
    node.drain.start();
    let frames = client.rest_of_frames().await;
    assert!(frames.iter().any(|frame| frame.kind == GOAWAY));
    let took = start.elapsed();
    assert!(
        took >= LIMITS.linger_time && took < LIMITS.linger_time + Duration::from_millis(10),
        "took {took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_http2_peer_is_told_to_go_away_and_its_streams_finish() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(64 * 1024);
    client.start_http2(65_535).await;
    client.send(get(1, "/gate")).await;
    until("the request waits", || {
        node.state.waiting.load(Ordering::SeqCst) == 1
    })
    .await;
    node.drain.start();
    // The server learns with a PING of its own when the peer has seen the GOAWAY.
    let mut told = false;
    let ping = loop {
        let frame = client.next_frame().await.expect("the connection lives");
        told |= frame.kind == GOAWAY;
        if frame.kind == PING {
            break frame.payload;
        }
    };
    assert!(told);
    client.send(frame(PING, ACK, 0, &ping)).await;
    node.state.gate.add_permits(1);
    let frames = client.rest_of_frames().await;
    let ends = |frame: &&crate::frames::Frame| {
        frame.stream == 1 && frame.kind == DATA && frame.flags & END_STREAM != 0
    };
    assert_eq!(frames.iter().filter(ends).count(), 1, "{frames:?}");
    until("it is gone", || node.slots.open() == 0).await;
}
