//! HTTP/2 frames that cost the peer nothing and the server work.

use micronode_hardening::Reason;
use tokio::io::AsyncWriteExt;

use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, frame, get,
    request_fields, window_update,
};
use crate::harness::{LIMITS, Node, until};

const WINDOW: u32 = 65_535;

/// Repeats `frames` until the server closes, beside a connection that is served all along.
async fn is_cut(name: &str, first: Vec<u8>, frames: impl Fn(u32) -> Vec<u8>) {
    let node = Node::new(LIMITS, 2);
    let mut neighbour = node.connect(64 * 1024);
    neighbour.start_http2(WINDOW).await;
    neighbour.is_served_http2(1).await;

    let mut client = node.connect(64 * 1024);
    client.start_http2(WINDOW).await;
    client.send(&first).await;
    let mut sent = 0;
    // What the server answers is read, so that it is the flood that ends the connection.
    let (mut reading, mut writing) = tokio::io::split(client.io);
    let read =
        tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
    while writing.write_all(&frames(sent)).await.is_ok() {
        sent += 1;
        assert!(sent < 5 * LIMITS.h2_control_burst, "{name}: not cut");
        if sent.is_multiple_of(500) {
            neighbour.is_served_http2(1 + 2 * (sent / 500)).await;
        }
    }
    drop(writing);
    let _ = read.await;
    until("the connection is gone", || node.slots.open() == 1).await;
    neighbour.is_served_http2(101).await;
}

#[tokio::test(start_paused = true)]
async fn floods_are_cut_while_a_neighbour_is_served() {
    let post = frame(HEADERS, END_HEADERS, 1, &request_fields(false, "/read"));
    is_cut("PING", vec![], |_| frame(PING, 0, 0, &[0; 8])).await;
    is_cut("SETTINGS", vec![], |_| frame(SETTINGS, 0, 0, &[])).await;
    is_cut("PRIORITY", vec![], |_| {
        frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 9])
    })
    .await;
    is_cut("unknown", vec![], |_| frame(0xbe, 0, 0, &[0; 20])).await;
    is_cut("empty DATA", post.clone(), |_| frame(DATA, 0, 1, &[])).await;
    is_cut("padded DATA", post, |_| {
        frame(DATA, 0x8, 1, &[4, 0, 0, 0, 0])
    })
    .await;
    is_cut("WINDOW_UPDATE", vec![], |_| window_update(0, 1)).await;
    is_cut("rapid reset", vec![], |count| {
        let stream = 1 + 2 * count;
        [
            get(stream, "/gate"),
            frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
        ]
        .concat()
    })
    .await;
    let open = frame(HEADERS, 0, 1, &request_fields(false, "/read"));
    is_cut("CONTINUATION", open, |_| frame(CONTINUATION, 0, 1, &[])).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_cut_one_control_frame_after_its_burst() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(1 << 20);
    client.start_http2(WINDOW).await;
    client.is_served_http2(1).await;
    // Sent so far: SETTINGS, and a WINDOW_UPDATE before anything was written.
    for _ in 2..LIMITS.h2_control_burst {
        client.send(frame(0xbe, 0, 0, &[])).await;
    }
    client.is_served_http2(3).await;
    assert_eq!(node.counted(Reason::Overloaded), 0);
    client.send(frame(0xbe, 0, 0, &[]).repeat(2)).await;
    client.rest_of_frames().await;
    assert_eq!(node.counted(Reason::Overloaded), 1);
}

#[tokio::test(start_paused = true)]
async fn a_download_may_update_its_windows_as_it_goes() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(64 * 1024);
    client.start_http2(1000).await;
    client.send(get(1, "/bytes/2000000")).await;
    assert_eq!(client.next_of(1).await.kind, HEADERS);
    let mut received = 0;
    while received < 2_000_000 {
        let data = client.next_of(1).await;
        assert_eq!(data.kind, DATA);
        received += data.payload.len();
        let length = u32::try_from(data.payload.len()).unwrap();
        if length > 0 {
            client
                .send([window_update(1, length), window_update(0, length)].concat())
                .await;
        }
    }
    assert_eq!(node.counted(Reason::Overloaded), 0);
}
