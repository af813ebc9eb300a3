//! A response that is taken back ends, however little its reader takes, and nothing else does.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

use crate::frames::{
    CONTINUATION, DATA, END_STREAM, HEADERS, RST_STREAM, frame, get, request_fields, window_update,
};
use crate::harness::{LIMITS, Node};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_is_closed_within_a_second() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(8 * 1024);
    client.get("/leased/100000000").await;
    sleep(3 * SECOND).await;
    node.state.revoked.store(true, Ordering::SeqCst);
    let revoked = Instant::now();
    while node.slots.open() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(revoked.elapsed() < SECOND, "{:?}", revoked.elapsed());
    let mut rest = Vec::new();
    client.io.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() <= 8 * 1024, "{} bytes", rest.len());
}

/// The lease of a finished response used to be asked during the next request: who shared a
/// connection with somebody whose right had ended lost an upload to it.
#[tokio::test(start_paused = true)]
async fn the_lease_of_a_response_is_over_with_it() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(64 * 1024);
    client.get("/leased/100000").await;
    assert_eq!(client.response().await.1.len(), 100_000);
    client
        .send("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n")
        .await;
    node.state.revoked.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        sleep(SECOND).await;
        client.send([b'x'; 10_000]).await;
    }
    assert_eq!(client.response().await.1.len(), 50_000);
}

#[tokio::test(start_paused = true)]
async fn an_http2_stream_is_reset_alone() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(64 * 1024);
    client.start_http2(50_000).await;
    client.send(get(1, "/leased/100000000")).await;
    client.send(get(3, "/bytes/100000000")).await;
    sleep(3 * SECOND).await;
    node.state.revoked.store(true, Ordering::SeqCst);
    sleep(SECOND).await;
    let mut taken = 0;
    loop {
        let frame = client.next_of(1).await;
        match frame.kind {
            HEADERS => {}
            DATA => taken += frame.payload.len(),
            RST_STREAM => break,
            _ => panic!("{frame:?}"),
        }
    }
    assert!(taken <= 50_000, "no more than its window");
    client.send(window_update(3, 10_000)).await;
    client.is_served_http2(5).await;
}

/// The lease used to be asked only while no head was on its way: a peer that was always in the
/// middle of one kept its download for as long as it liked.
#[tokio::test(start_paused = true)]
async fn a_head_that_is_on_its_way_does_not_put_it_off() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(1 << 20);
    client.start_http2(50_000).await;
    client.send(get(1, "/leased/100000000")).await;
    let fields = request_fields(true, "/");
    let (first, _) = fields.split_at(3);
    sleep(3 * SECOND).await;
    client.send(frame(HEADERS, END_STREAM, 3, first)).await;
    client.send(frame(CONTINUATION, 0, 3, &[])).await;
    sleep(Duration::from_millis(100)).await;
    node.state.revoked.store(true, Ordering::SeqCst);
    let revoked = Instant::now();
    while client.next_of(1).await.kind != RST_STREAM {}
    assert!(revoked.elapsed() < SECOND, "{:?}", revoked.elapsed());
}
