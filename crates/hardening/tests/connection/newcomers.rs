//! Connections at the cap.

use std::sync::atomic::Ordering;
use std::time::Duration;

use micronode_hardening::Reason;
use tokio::time::{sleep, timeout};

use crate::harness::{Client, LIMITS, Node, until};

#[tokio::test]
async fn at_the_cap_the_longest_idle_connection_gives_way() {
    let node = Node::new(LIMITS, 2);
    let address = node.listen().await;
    let mut first = Client::connect(address).await;
    first.is_served().await;
    let mut second = Client::connect(address).await;
    second.is_served().await;
    let mut third = Client::connect(address).await;
    third.is_served().await;
    assert_eq!(first.rest().await, "");
    second.is_served().await;
    third.is_served().await;
    assert_eq!(node.counted(Reason::Overloaded), 0);
}

/// Some of them were refused: more came at once than may be leaving at once.
#[tokio::test]
async fn every_idle_connection_gives_way_to_newcomers_that_come_together() {
    const CAP: usize = 8;
    let node = Node::new(LIMITS, CAP);
    let address = node.listen().await;
    let mut idle = Vec::new();
    for _ in 0..CAP {
        let mut client = Client::connect(address).await;
        client.is_served().await;
        idle.push(client);
    }
    let mut newcomers = Vec::new();
    for _ in 0..CAP {
        newcomers.push(std::net::TcpStream::connect(address).unwrap());
    }
    for newcomer in newcomers {
        newcomer.set_nonblocking(true).unwrap();
        let io = tokio::net::TcpStream::from_std(newcomer).unwrap();
        let mut newcomer = Client { io };
        newcomer.is_served().await;
    }
    for mut client in idle {
        assert_eq!(client.rest().await, "");
    }
    assert_eq!(node.counted(Reason::Overloaded), 0);
}

#[tokio::test]
async fn a_connection_that_has_sent_nothing_gives_way_too() {
    let node = Node::new(LIMITS, 1);
    let address = node.listen().await;
    let mut silent = Client::connect(address).await;
    until("it is accepted", || node.slots.open() == 1).await;
    Client::connect(address).await.is_served().await;
    assert_eq!(silent.rest().await, "");
}

#[tokio::test]
async fn an_idle_http2_connection_gives_way_with_a_goaway() {
    let node = Node::new(LIMITS, 1);
    let address = node.listen().await;
    let mut first = Client::connect(address).await;
    first.start_http2(65_535).await;
    first.is_served_http2(1).await;
    Client::connect(address).await.is_served().await;
    let frames = timeout(Duration::from_secs(10), first.rest_of_frames()).await;
    let frames = frames.expect("it is closed long before its idle time is over");
    assert!(
        frames
            .iter()
            .any(|frame| frame.kind == crate::frames::GOAWAY),
        "{frames:?}"
    );
}

#[tokio::test]
async fn when_all_are_busy_a_newcomer_is_told_503_however_slowly_it_speaks() {
    let node = Node::new(LIMITS, 2);
    let address = node.listen().await;
    let mut busy = Vec::new();
    for count in 1..=2 {
        let mut client = Client::connect(address).await;
        client.get("/gate").await;
        busy.push(client);
        let waiting = || node.state.waiting.load(Ordering::SeqCst);
        until("the request waits", || waiting() == count).await;
    }
    for count in 1..=40 {
        let mut newcomer = Client::connect(address).await;
        until("it is refused", || {
            node.counted(Reason::Overloaded) == count
        })
        .await;
        newcomer.send("GET / HTTP/1.1\r\n").await;
        sleep(Duration::from_millis(5)).await;
        newcomer.send("\r\n").await;
        let answer = newcomer.rest().await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\r\nRetry-After: 1\r\n"), "{answer}");
    }
    node.state.gate.add_permits(2);
    for mut client in busy {
        client.response().await;
    }
    Client::connect(address).await.is_served().await;
}
