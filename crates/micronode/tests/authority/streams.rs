//! Streams of one HTTP/2 connection that end with their tokens, each by itself.

use crate::narrowed;
use crate::support::{Node, object};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::Request;
use micronode_protocol::capability::base64url;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// More than any of the readers takes while the others' tokens end.
const LONG: usize = 24 * 1024 * 1024;
const WINDOW: u32 = 64 * 1024;
const PAUSE: Duration = Duration::from_millis(100);

/// A connection with room for all of its streams, each of which has a window of its own.
async fn connect(node: &Node) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(node.http).await.unwrap();
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(16 * WINDOW)
        .handshake(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

/// The body of an answer to a GET with this token.
async fn get(node: &Node, sender: &SendRequest<Bytes>, path: &str, token: &[u8]) -> RecvStream {
    let request = Request::get(format!("http://{}{path}", node.http)).header(
        "authorization",
        format!("Bearer {}", base64url::encode(token)),
    );
    let mut sender = sender.clone().ready().await.unwrap();
    let request = request.body(()).unwrap();
    let response = sender.send_request(request, true).unwrap().0.await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// Reads to the end and takes each piece after a pause, or takes none: how many bytes came, and the
/// error that ended them.
async fn read(mut body: RecvStream, pause: Option<Duration>) -> (usize, Option<h2::Error>) {
    let mut count = 0;
    while let Some(piece) = body.data().await {
        let length = match piece {
            Ok(piece) => piece.len(),
            Err(error) => return (count, Some(error)),
        };
        count += length;
        if let Some(pause) = pause {
            sleep(pause).await;
            body.flow_control().release_capacity(length).unwrap();
        }
    }
    (count, None)
}

/// A reader whose window is shut is never written to, so the node has to remember its token by
/// itself; one that reads slowly is found out on the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_ends_with_its_token_and_its_neighbour_does_not() {
    let node = Node::guarded(&[]);
    let object = object(LONG);
    let path = format!("/o/b3:{}", blake3::hash(&object));
    let operator = format!("Bearer {}", node.token());
    let stored = node.request("PUT", &path, &[("authorization", &operator)], &object);
    assert_eq!(stored.status, 201);

    let end = SystemTime::now() + Duration::from_secs(2);
    let before = format!("before = {}", humantime::format_rfc3339_millis(end));
    let short = narrowed(node.token(), &["op = get", &before]);
    let long = narrowed(node.token(), &["op = get"]);
    let sender = connect(&node).await;
    let shut = get(&node, &sender, &path, &short).await;
    let slow = get(&node, &sender, &path, &short).await;
    let mut neighbour = get(&node, &sender, &path, &long).await;

    let ended = async |body, pause| {
        let reading = timeout(Duration::from_secs(20), read(body, pause)).await;
        (reading.expect("it ends"), SystemTime::now())
    };
    let neighbour = tokio::spawn(async move {
        let mut bytes = Vec::new();
        while let Some(piece) = neighbour.data().await {
            let piece = piece.unwrap();
            bytes.extend_from_slice(&piece);
            if SystemTime::now() < end + Duration::from_secs(3) {
                sleep(PAUSE / 10).await;
            }
            neighbour
                .flow_control()
                .release_capacity(piece.len())
                .unwrap();
        }
        (bytes, SystemTime::now())
    });
    let (shut, slow) = tokio::join!(ended(shut, None), ended(slow, Some(PAUSE)));
    for (reader, ((count, error), at)) in [("shut", shut), ("slow", slow)] {
        let error = error.unwrap_or_else(|| panic!("{reader}: it ended after {count} bytes"));
        assert!(error.is_reset() && error.is_remote(), "{reader}: {error}");
        assert!(count < LONG, "{reader}");
        let late = at.duration_since(end);
        let late = late.unwrap_or_else(|_| panic!("{reader}: before its time"));
        assert!(late < Duration::from_millis(1800), "{reader}: {late:?}");
    }
    assert_eq!(
        node.metric(r#"auth_failures_total{reason="ended"}"#),
        Some(2.0)
    );
    let (bytes, at) = neighbour.await.unwrap();
    assert!(bytes == object && at > end + Duration::from_secs(2));
    // Its connection serves others.
    let mut again = get(&node, &sender, &path, &long).await;
    assert!(again.data().await.unwrap().is_ok());
}

/// It was looked at before the wait and never again, so that a message could go to who had no right
/// to it any more.
#[test]
fn a_receive_that_waits_ends_with_its_token() {
    let node = Node::guarded(&[]);
    let end = SystemTime::now() + Duration::from_millis(1500);
    let before = format!("before = {}", humantime::format_rfc3339_millis(end));
    let bearer = |token: &[u8]| format!("Bearer {}", base64url::encode(token));
    let short = bearer(&narrowed(node.token(), &["op = recv", &before]));
    let mut waiting: Vec<_> = (0..2)
        .map(|_| {
            let mut client = node.connect();
            let fields = [("authorization", &*short), ("content-length", "0")];
            client.send_head("POST", "/mbox/jobs/recv?wait=4s", &fields);
            client
        })
        .collect();
    let answer = waiting[0].response("POST");
    answer.assert_problem("unauthenticated");
    assert!(SystemTime::now() >= end, "not before its time");
    assert!(SystemTime::now() < end + Duration::from_millis(1500));
    waiting[1]
        .response("POST")
        .assert_problem("unauthenticated");

    // Neither does one that a message wakes in that moment have it.
    let end = SystemTime::now() + Duration::from_millis(700);
    let before = format!("before = {}", humantime::format_rfc3339_millis(end));
    let short = bearer(&narrowed(node.token(), &["op = recv", &before]));
    let mut client = node.connect();
    let fields = [("authorization", &*short), ("content-length", "0")];
    client.send_head("POST", "/mbox/jobs/recv?wait=4s", &fields);
    std::thread::sleep(Duration::from_millis(800));
    let operator = format!("Bearer {}", node.token());
    let operator = [("authorization", &*operator)];
    let sent = node.request("POST", "/mbox/jobs/send", &operator, b"secret");
    assert_eq!(sent.status, 201);
    client.response("POST").assert_problem("unauthenticated");
    let stats = node.get("/mbox/jobs", &operator).json();
    assert_eq!((&stats["ready"], &stats["leased"]), (&1.into(), &0.into()));
}
