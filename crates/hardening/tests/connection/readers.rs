//! Peers that take their responses slowly, or not at all.

use std::time::Duration;

use micronode_hardening::Reason;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

use crate::frames::{HEADERS, RST_STREAM, get, window_update};
use crate::harness::{Client, LIMITS, Node, QUICK, until};

const SECOND: Duration = Duration::from_secs(1);
const MIB: usize = 1 << 20;

/// Until the stall is noticed: the interval, and what passes between two looks.
const NOTICED: Duration = Duration::from_secs(7);

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_is_dropped_after_the_interval() {
    for http2 in [false, true] {
        let node = Node::new(LIMITS, 1);
        let mut client = node.connect(64 * 1024);
        if http2 {
            client.start_http2(1 << 30).await;
            client.send(get(1, "/bytes/10000000")).await;
        } else {
            client.get("/bytes/10000000").await;
        }
        let start = Instant::now();
        until("it is dropped", || node.slots.open() == 0).await;
        let took = start.elapsed();
        assert!(
            took >= LIMITS.progress_interval && took < NOTICED,
            "took {took:?}"
        );
        assert_eq!(node.held(), 0);
        assert_eq!(node.counted(Reason::BodyTimeout), 1);
    }
}

#[tokio::test]
async fn the_memory_of_a_peer_that_reads_nothing_is_given_back() {
    for http2 in [false, true] {
        let node = Node::new(QUICK, 1);
        let mut client = Client::connect(node.listen().await).await;
        if http2 {
            client.start_http2(1 << 30).await;
            client.send(get(1, "/bytes/100000000")).await;
        } else {
            client.get("/bytes/100000000").await;
        }
        until("the response is held", || node.held() > 0).await;
        until("the connection is gone", || node.slots.open() == 0).await;
        assert_eq!(node.held(), 0);
        assert_eq!(node.counted(Reason::BodyTimeout), 1);
        // The kernel's part is discarded too: a reset, not the rest of the bytes.
        let mut received = Vec::new();
        assert!(client.io.read_to_end(&mut received).await.is_err());
    }
}

/// A reader at 10 KiB/s, well above the least rate, was cut after the interval: the kernel wakes a
/// blocked writer only when a large part of its buffer has drained, which takes longer than that.
#[tokio::test]
async fn a_reader_whose_progress_only_the_kernel_sees_survives() {
    let node = Node::new(QUICK, 1);
    let mut client = Client::connect_with_small_window(node.listen().await).await;
    client.get("/bytes/100000000").await;
    let start = Instant::now();
    // The same pace for the shortened interval: it would take several to drain 64 KiB.
    let mut bytes = [0; 1024];
    while start.elapsed() < QUICK.progress_interval * 6 {
        client
            .io
            .read_exact(&mut bytes)
            .await
            .expect("it is not cut");
        sleep(QUICK.progress_interval / 20).await;
    }
    assert_eq!(node.counted(Reason::BodyTimeout), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_lives_above_the_least_rate_and_not_below() {
    for (per_second, survives) in [(6 * 1024, true), (3 * 1024, false)] {
        let node = Node::new(LIMITS, 1);
        let mut client = node.connect(4096);
        client.get("/bytes/400000").await;
        let mut bytes = vec![0; per_second];
        let mut received = 0;
        while client.io.read_exact(&mut bytes).await.is_ok() {
            received += bytes.len();
            sleep(SECOND).await;
        }
        assert_eq!(
            received > 390_000,
            survives,
            "{per_second} B/s received {received}"
        );
        assert_eq!(node.counted(Reason::BodyTimeout), u64::from(!survives));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_http2_reader_lives_above_the_least_rate_and_not_below() {
    for (per_second, survives) in [(6 * 1024, true), (3 * 1024, false)] {
        let node = Node::new(LIMITS, 1);
        let mut client = node.connect(MIB);
        client.start_http2(0).await;
        client.send(get(1, "/bytes/400000")).await;
        assert_eq!(client.next_of(1).await.kind, HEADERS);
        let mut received = 0;
        while received < 400_000 {
            client.send(window_update(1, per_second)).await;
            sleep(SECOND).await;
            let frame = client.next_of(1).await;
            if frame.kind == RST_STREAM {
                break;
            }
            received += frame.payload.len();
        }
        assert_eq!(
            received >= 400_000,
            survives,
            "{per_second} B/s received {received}"
        );
        assert_eq!(node.counted(Reason::BodyTimeout), u64::from(!survives));
    }
}

/// `window` bytes of a response of `length` are taken, then nothing: that stream is reset, and
/// the one beside it and those after it are served.
async fn is_reset_alone(window: u32, length: usize) {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(MIB);
    client.start_http2(window).await;
    client.send(get(1, &format!("/bytes/{length}"))).await;
    client.send(get(3, "/bytes/100000")).await;
    for _ in 0..12 {
        client.send(window_update(3, 10_000)).await;
        sleep(SECOND).await;
    }
    assert_eq!(
        node.counted(Reason::BodyTimeout),
        1,
        "window {window}, length {length}"
    );
    let (mut reset, mut ended, mut received) = (false, false, 0);
    while !(reset && ended) {
        let frame = client.next_frame().await.expect("the connection lives");
        match (frame.stream, frame.kind) {
            (1, RST_STREAM) => reset = true,
            (3, 0) => {
                received += frame.payload.len();
                ended = frame.flags & 1 != 0;
            }
            _ => {}
        }
    }
    assert_eq!(received, 100_000);
    until("nothing is held", || node.held() == 0).await;
    client.send(get(5, "/bytes/5")).await;
    client.send(window_update(5, 5)).await;
    assert_eq!(client.http2_response(5).await, 5);
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_closed_window_is_reset_alone() {
    is_reset_alone(0, 5).await;
    is_reset_alone(0, MIB).await;
    is_reset_alone(20_000, MIB).await;
    // The last piece is handed over and does not fit the window.
    is_reset_alone(20_000, 60_000).await;
    is_reset_alone(1, 17_000).await;
}

#[tokio::test(start_paused = true)]
async fn a_small_response_that_only_the_connection_holds_ends_the_connection() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(MIB);
    client.start_http2(1).await;
    client.send(get(1, "/bytes/16000")).await;
    let took = client.closed().await;
    assert!(
        took >= LIMITS.progress_interval && took < NOTICED,
        "took {took:?}"
    );
    assert_eq!(node.held(), 0);
    assert_eq!(node.counted(Reason::BodyTimeout), 1);
}
