//! The slowest stream gives way to a newcomer; nothing else does.

use std::time::Duration;

use micronode_hardening::Reason;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::sleep;

use crate::frames::{RST_STREAM, get, window_update};
use crate::harness::{Client, LIMITS, Node, until};

const QUARTER: Duration = Duration::from_millis(250);

/// Reads at `per_second` for `seconds`.
async fn read_at<I: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<I>,
    per_second: usize,
    seconds: u32,
) {
    let mut bytes = vec![0; per_second / 4];
    for _ in 0..seconds * 4 {
        client.io.read_exact(&mut bytes).await.unwrap();
        sleep(QUARTER).await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_slowest_old_reader_gives_way() {
    let node = Node::new(LIMITS, 3);
    let [mut fast, mut slow, mut slowest] = [(); 3].map(|()| node.connect(8 * 1024));
    for client in [&mut fast, &mut slow, &mut slowest] {
        client.get("/bytes/100000000").await;
    }
    let share = &node.context.slow_share;
    tokio::join!(
        read_at(&mut fast, 128 * 1024, 4),
        read_at(&mut slow, 20 * 1024, 4),
        read_at(&mut slowest, 8 * 1024, 4),
    );
    assert!(!share.cut_slowest(), "none is old enough");
    tokio::join!(
        read_at(&mut fast, 128 * 1024, 4),
        read_at(&mut slow, 20 * 1024, 4),
        read_at(&mut slowest, 8 * 1024, 4),
    );
    assert!(share.cut_slowest());
    until("one has gone", || node.slots.open() == 2).await;
    assert_eq!(node.counted(Reason::SlowShare), 1);
    let mut rest = Vec::new();
    slowest.io.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() < 100_000, "the slowest was cut");

    // The next slowest follows; the fast one stays whatever is asked.
    tokio::join!(
        read_at(&mut fast, 128 * 1024, 1),
        read_at(&mut slow, 20 * 1024, 1)
    );
    assert!(share.cut_slowest());
    until("another has gone", || node.slots.open() == 1).await;
    read_at(&mut fast, 128 * 1024, 3).await;
    assert!(!share.cut_slowest());
    assert_eq!(node.counted(Reason::SlowShare), 2);
}

/// A stream of events moves as slowly as there is something to tell, and holds no place: with it cut
/// for a newcomer, nobody would have got anything.
#[tokio::test(start_paused = true)]
async fn what_only_waits_does_not_give_way() {
    let node = Node::new(LIMITS, 2);
    let mut http1 = node.connect(8 * 1024);
    http1.get("/waiting/100000000").await;
    let mut http2 = node.connect(1 << 20);
    http2.start_http2(50_000).await;
    http2.send(get(1, "/waiting/100000000")).await;
    for _ in 0..8 {
        read_at(&mut http1, 8 * 1024, 1).await;
        http2.send(window_update(1, 8 * 1024)).await;
    }
    assert!(!node.context.slow_share.cut_slowest());
}

#[tokio::test(start_paused = true)]
async fn a_slow_upload_that_gives_way_is_told_so() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(8 * 1024);
    client
        .send("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        .await;
    for _ in 0..8 {
        client.send([b'x'; 5000]).await;
        sleep(Duration::from_secs(1)).await;
    }
    assert!(node.context.slow_share.cut_slowest());
    let mut answer = Vec::new();
    client.io.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("Retry-After: 1\r\n"), "{answer}");
    assert_eq!(node.counted(Reason::SlowShare), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_has_caught_up_since_the_last_sample_stays() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(1 << 20);
    client.get("/bytes/100000000").await;
    let mut first = vec![0; 1 << 20];
    client.io.read_exact(&mut first[..1000]).await.unwrap();
    // Slow enough for the list, not for the least rate.
    read_at(&mut client, 20 * 1024, 8).await;
    client.io.read_exact(&mut first).await.unwrap();
    assert!(node.context.slow_share.cut_slowest(), "by its last sample");
    read_at(&mut client, 128 * 1024, 3).await;
    assert_eq!(node.counted(Reason::SlowShare), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_on_an_old_connection_is_young() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(8 * 1024);
    for _ in 0..4 {
        client.get("/pause/3").await;
        client.response().await;
    }
    client.get("/pause/4").await;
    sleep(Duration::from_secs(4)).await;
    assert!(!node.context.slow_share.cut_slowest());
}

#[tokio::test(start_paused = true)]
async fn an_http2_stream_gives_way_alone() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(1 << 20);
    client.start_http2(40_000).await;
    client.send(get(1, "/bytes/10000000")).await;
    // The window is opened a little, so that the stream keeps moving: slow, and not stalled.
    for _ in 0..7 {
        client.send(crate::frames::window_update(1, 8_000)).await;
        sleep(Duration::from_secs(1)).await;
    }
    assert!(node.context.slow_share.cut_slowest());
    while client.next_of(1).await.kind != RST_STREAM {}
    assert_eq!(node.counted(Reason::SlowShare), 1);
    client.is_served_http2(3).await;
    assert_eq!(node.slots.open(), 1);
}
