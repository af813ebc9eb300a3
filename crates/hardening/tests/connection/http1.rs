//! Heads, idle connections and last words of HTTP/1.

use std::time::Duration;

use micronode_hardening::Reason;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use crate::harness::{Client, LIMITS, Node, QUICK};

const SECOND: Duration = Duration::from_secs(1);

/// Timers fire up to a millisecond late.
fn assert_took(start: Instant, expected: Duration) {
    let took = start.elapsed();
    assert!(
        took >= expected && took < expected + Duration::from_millis(10),
        "took {took:?} and not {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_head_is_answered_408_at_its_deadline() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(4096);
    let start = Instant::now();
    client.send("GET / HT").await;
    for byte in ["T", "P", "/", "1"] {
        sleep(SECOND).await;
        client.send(byte).await;
    }
    let answer = client.rest().await;
    assert_took(start, LIMITS.head_deadline);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(
        answer.ends_with("the request head was not complete in time\n"),
        "{answer}"
    );
    assert_eq!(node.counted(Reason::HeadTimeout), 1);
    drop(client);
    until_free(&node).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_cut_without_an_answer() {
    let node = Node::new(LIMITS, 1);
    let start = Instant::now();
    assert_eq!(node.connect(4096).rest().await, "");
    assert_took(start, LIMITS.head_deadline);
    assert_eq!(node.counted(Reason::HeadTimeout), 1);
    assert_eq!(node.slots.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_its_time_and_not_before() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(4096);
    for _ in 0..3 {
        client.is_served().await;
        sleep(LIMITS.idle - SECOND).await;
    }
    client.is_served().await;
    let start = Instant::now();
    assert_eq!(client.rest().await, "");
    assert_took(start, LIMITS.idle);
    assert_eq!(node.counted(Reason::HeadTimeout), 0);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_dribbles_on_a_kept_alive_connection_counts_from_its_first_byte() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(4096);
    client.is_served().await;
    sleep(20 * SECOND).await;
    let start = Instant::now();
    for byte in ["G", "E", "T", " ", "/"] {
        client.send(byte).await;
        sleep(SECOND - Duration::from_millis(1)).await;
    }
    let answer = client.rest().await;
    assert_took(start, LIMITS.head_deadline);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_head_that_came_with_the_request_before_it_counts_from_its_turn() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(4096);
    client
        .send("GET /pause/20 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n")
        .await;
    client.response().await;
    let start = Instant::now();
    let answer = client.rest().await;
    assert_took(start, LIMITS.head_deadline);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn empty_lines_between_requests_are_not_a_head() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(4096);
    client.is_served().await;
    client.send("\r\n").await;
    sleep(LIMITS.head_deadline * 2).await;
    client.is_served().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_at_work_is_not_hurried() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(4096);
    client.get("/pause/600").await;
    client.response().await;
    client
        .send("POST /read HTTP/1.1\r\nContent-Length: 6\r\n\r\n")
        .await;
    for _ in 0..6 {
        sleep(100 * SECOND).await;
        client.send("x").await;
    }
    let (_, body) = client.response().await;
    assert_eq!(body.len(), 6);
    client.is_served().await;
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(4096);
    let request = |length: usize| format!("GET /bytes/{length} HTTP/1.1\r\n\r\n");
    client.send((1..=40).map(request).collect::<String>()).await;
    for length in 1..=40 {
        assert_eq!(client.response().await.1.len(), length);
    }
    let start = Instant::now();
    assert_eq!(client.rest().await, "");
    assert_took(start, LIMITS.idle);
}

/// A request whose head has exactly so many bytes and fields.
fn head(bytes: usize, fields: usize) -> String {
    let mut head = String::from("GET / HTTP/1.1\r\n");
    for _ in 1..fields {
        head.push_str("a: b\r\n");
    }
    let filler = bytes - head.len() - "f: \r\n\r\n".len();
    head.push_str("f: ");
    head.push_str(&"x".repeat(filler));
    head.push_str("\r\n\r\n");
    assert_eq!(head.len(), bytes);
    head
}

#[tokio::test(start_paused = true)]
async fn a_head_at_its_bounds_passes_and_one_above_is_answered_431_in_our_words() {
    let node = Node::new(LIMITS, 1);
    let (bytes, fields) = (LIMITS.head_bytes, LIMITS.head_fields);
    let mut client = node.connect(64 * 1024);
    for (bytes, fields) in [(bytes, 1), (1000, fields), (bytes, fields)] {
        client.send(head(bytes, fields)).await;
        assert!(client.response().await.0.starts_with("http/1.1 200 "));
    }
    drop(client);
    tokio::task::yield_now().await;

    for (count, (bytes, fields)) in [(bytes + 1, 1), (1000, fields + 1)].into_iter().enumerate() {
        let mut client = node.connect(64 * 1024);
        client.is_served().await;
        client.send(head(bytes, fields)).await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(
            answer.ends_with("the request head is too large\n"),
            "{answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert_eq!(node.counted(Reason::HeadTooLarge), count as u64 + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_http_is_answered_400_in_our_words() {
    let node = Node::new(LIMITS, 1);
    let broken = [
        "\0\0\0\0",
        "GET\r\n\r\n",
        "GET / HTTP/1.1\r\nbad name: x\r\n\r\n",
    ];
    for (count, bytes) in broken.into_iter().enumerate() {
        let mut client = node.connect(4096);
        client.send(bytes).await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(
            answer.ends_with("this is not an HTTP request\n"),
            "{answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert_eq!(node.counted(Reason::BadRequest), count as u64 + 1);
        until_free(&node).await;
    }
}

/// Two readers of such a request may disagree about where the next one begins.
#[tokio::test(start_paused = true)]
async fn a_body_with_a_length_and_a_transfer_coding_is_refused_and_ends_the_connection() {
    let length = "Content-Length: 3\r\n";
    let coding = "Transfer-Encoding: chunked\r\n";
    let body = "0\r\n\r\n";
    for (count, (first, second)) in [(length, coding), (coding, length)].into_iter().enumerate() {
        let node = Node::new(LIMITS, 1);
        let mut client = node.connect(4096);
        for _ in 0..count {
            client.is_served().await;
            client
                .send(format!("POST /read HTTP/1.1\r\n{coding}\r\n{body}"))
                .await;
            assert!(client.response().await.0.starts_with("http/1.1 200 "));
        }
        let smuggled = "GET /bytes/7 HTTP/1.1\r\n\r\n";
        client
            .send(format!(
                "POST /read HTTP/1.1\r\n{first}{second}\r\n{body}{smuggled}"
            ))
            .await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert_eq!(node.counted(Reason::BadRequest), 1);
        until_free(&node).await;
    }
}

/// A head that comes with the request before it is not looked at: the coding counts, and the
/// connection ends (RFC 9112, 6.3).
#[tokio::test(start_paused = true)]
async fn nothing_after_a_pipelined_body_with_two_ends_is_a_request() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(4096);
    let both = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n";
    let next = "GET /bytes/7 HTTP/1.1\r\n\r\n";
    client
        .send(format!(
            "GET /pause/1 HTTP/1.1\r\n\r\nPOST /read HTTP/1.1\r\n{both}\r\n0\r\n\r\n{next}"
        ))
        .await;
    let answers = client.rest().await;
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 2, "{answers}");
    assert_eq!(answers.matches("HTTP/1.1").count(), 2, "{answers}");
}

async fn until_free(node: &Node) {
    crate::harness::until("the connection is gone", || node.slots.open() == 0).await;
}

#[tokio::test]
async fn a_client_that_writes_its_whole_body_before_it_reads_sees_the_refusal() {
    let node = Node::new(QUICK, 4);
    let address = node.listen().await;
    let mut client = Client::connect(address).await;
    let length = QUICK.linger_bytes / 2;
    let head = format!("POST /refuse HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
    client.send(head).await;
    // Let the refusal be on its way before the body is.
    sleep(Duration::from_millis(50)).await;
    for part in vec![b'x'; length].chunks(length / 4) {
        client.send(part).await;
        sleep(Duration::from_millis(20)).await;
    }
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.ends_with("xxxxx"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn what_is_discarded_after_a_refusal_is_bounded_in_bytes_and_in_time() {
    let node = Node::new(LIMITS, 1);
    let head = "POST /refuse HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n";

    let mut client = node.connect(4096);
    client.send(head).await;
    let body = vec![b'x'; 100_000_000];
    let start = Instant::now();
    assert!(client.io.write_all(&body).await.is_err());
    assert!(start.elapsed() < LIMITS.linger_time);
    let read = node
        .context
        .bytes_in
        .load(std::sync::atomic::Ordering::Relaxed);
    let bound = (LIMITS.linger_bytes + 2 * 64 * 1024 + 4096) as u64;
    assert!(read < bound, "{read} bytes were read");
    until_free(&node).await;

    let mut client = node.connect(4096);
    client.send(head).await;
    let start = Instant::now();
    assert!(client.rest().await.starts_with("HTTP/1.1 413 "));
    assert_took(start, Duration::ZERO);
    until_free(&node).await;
    assert!(start.elapsed() >= LIMITS.linger_time);
    assert!(start.elapsed() < LIMITS.linger_time + SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_owes_nothing_is_closed_at_once() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(4096);
    client
        .send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    let start = Instant::now();
    assert!(client.rest().await.starts_with("HTTP/1.1 200 "));
    until_free(&node).await;
    assert!(start.elapsed() < SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn every_byte_is_counted_once() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(4096);
    let request = "GET /bytes/100000 HTTP/1.1\r\n\r\n";
    client.send(request).await;
    let (head, body) = client.response().await;
    client.send("broken\r\n\r\n").await;
    let answer = client.rest().await;
    until_free(&node).await;
    let sent = request.len() + "broken\r\n\r\n".len();
    let received = head.len() + body.len() + answer.len();
    let load = |total: &std::sync::atomic::AtomicU64| {
        total.load(std::sync::atomic::Ordering::Relaxed) as usize
    };
    assert_eq!(load(&node.context.bytes_in), sent);
    assert_eq!(load(&node.context.bytes_out), received);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_goes_away_takes_its_request_with_it() {
    let node = Node::new(LIMITS, 1);
    let mut client = node.connect(4096);
    client.get("/gate").await;
    let waiting = || node.state.waiting.load(std::sync::atomic::Ordering::SeqCst);
    crate::harness::until("the request waits", || waiting() == 1).await;
    drop(client);
    until_free(&node).await;
    node.connect(4096).is_served().await;
}
