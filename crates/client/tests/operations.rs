//! Uploads, questions, deletion and retries against a node that refuses, fails and lies.
#![allow(clippy::unwrap_used)]

mod fake;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use fake::{Node, Reply, answer, problem, receipt};
use micronode_client::{
    Client, ClientOptions, Error, Integrity, PutOptions, RetryPolicy, Token, TransportError,
};
use micronode_protocol::Address;
use micronode_protocol::limits::{GROUP_BYTES, HAS_ADDRESSES, ONE_SHOT_BYTES};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpSocket;
use tokio::time::Instant;

const PLAIN: PutOptions = PutOptions {
    expires_in: None,
    content_type: None,
    on_sent: None,
};

fn with(url: &str, retry: RetryPolicy) -> Client {
    Client::with_options(
        url,
        ClientOptions {
            retry,
            ..ClientOptions::default()
        },
    )
    .unwrap()
}

/// Retries at once, three attempts.
fn client(node: &Node) -> Client {
    with(
        &node.url,
        RetryPolicy {
            attempts: 3,
            first_delay: Duration::from_millis(1),
            ..RetryPolicy::default()
        },
    )
}

fn status(error: &Error) -> Option<u16> {
    error.status()
}

#[tokio::test]
async fn bytes_are_put_under_their_address_and_found_again() {
    let node = Node::honest().await;
    let client = client(&node);
    for size in [0, 1, GROUP_BYTES + 1, ONE_SHOT_BYTES + 1] {
        let bytes = Bytes::from(vec![7; size]);
        let stored = client.put_bytes(bytes.clone(), &PLAIN).await.unwrap();
        assert_eq!(
            (stored.address, stored.size, stored.existed),
            (Address::of(&bytes), size as u64, false)
        );
        assert!(
            node.requests()
                .pop()
                .unwrap()
                .is("PUT", &format!("/o/{}", stored.address))
        );
        assert_eq!(
            client.head(&stored.address).await.unwrap().size,
            size as u64
        );
        assert!(client.put_bytes(bytes, &PLAIN).await.unwrap().existed);
        client.delete(&stored.address).await.unwrap();
        assert_eq!(
            status(&client.delete(&stored.address).await.unwrap_err()),
            Some(404)
        );
    }
}

#[tokio::test]
async fn a_file_is_put_like_bytes_and_its_options_are_sent() {
    let node = Node::honest().await;
    let bytes = vec![9; 3 * ONE_SHOT_BYTES];
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let seen = std::sync::Arc::clone(&sent);
    let options = PutOptions {
        expires_in: Some(Duration::from_secs(90)),
        content_type: Some("text/plain".into()),
        on_sent: Some(std::sync::Arc::new(move |bytes| {
            seen.store(bytes, std::sync::atomic::Ordering::Relaxed);
        })),
    };
    let stored = client(&node).put_file(file.path(), &options).await.unwrap();
    assert_eq!(stored.address, Address::of(&bytes));
    assert_eq!(
        sent.load(std::sync::atomic::Ordering::Relaxed),
        bytes.len() as u64
    );
    let request = node.requests().pop().unwrap();
    assert_eq!(request.header("expires-in"), Some("90000ms"));
    assert_eq!(request.header("content-type"), Some("text/plain"));
    assert_eq!(
        request.header("content-length"),
        Some(bytes.len().to_string().as_str())
    );
    assert_eq!(request.body.as_deref(), Some(bytes.as_slice()));
}

#[tokio::test]
async fn a_missing_file_is_a_failure_of_the_source() {
    let node = Node::honest().await;
    let directory = tempfile::tempdir().unwrap();
    for path in [
        directory.path().join("missing"),
        directory.path().to_owned(),
    ] {
        let error = client(&node).put_file(&path, &PLAIN).await.unwrap_err();
        assert!(matches!(error, Error::Source(_)), "{error:?}");
    }
    assert!(node.requests().is_empty());
}

/// Asking whether an object is there saves sending it, but only where it also stays: a put also
/// says how long to keep the object.
#[tokio::test]
async fn an_object_is_sent_unless_it_is_there_to_stay() {
    let bytes = Bytes::from(vec![1; GROUP_BYTES + 1]);
    for (seconds, uploads) in [(31_536_000, 0), (60, 1)] {
        let node = Node::start(move |request, _| {
            let kept = format!("private, max-age={seconds}, immutable");
            (request.method == "HEAD")
                .then(|| Reply::Send(answer(200, &[("cache-control", &kept)], b"")))
        })
        .await;
        let stored = client(&node)
            .put_bytes(bytes.clone(), &PLAIN)
            .await
            .unwrap();
        assert_eq!(stored.address, Address::of(&bytes));
        assert_eq!(
            node.requests()
                .iter()
                .filter(|request| request.method == "PUT")
                .count(),
            uploads
        );
    }
    // A token that may only write cannot ask.
    let node = Node::start(|request, _| {
        (request.method == "HEAD")
            .then(|| Reply::Send(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_vec()))
    })
    .await;
    assert!(
        !client(&node)
            .put_bytes(bytes, &PLAIN)
            .await
            .unwrap()
            .existed
    );
}

#[tokio::test]
async fn refused_uploads_are_repeated_whole() {
    let bytes = Bytes::from(vec![3; GROUP_BYTES]);
    for code in [429, 503] {
        let node = Node::start(move |request, before| {
            (request.body.is_some() && before < 2)
                .then(|| Reply::Send(problem(code, "overloaded", &[("retry-after", "0")])))
        })
        .await;
        client(&node)
            .put_bytes(bytes.clone(), &PLAIN)
            .await
            .unwrap();
        let requests = node.requests();
        assert_eq!(requests.len(), 3);
        assert!(
            requests
                .iter()
                .all(|request| request.body.as_ref() == Some(&bytes.to_vec()))
        );
    }
}

#[tokio::test]
async fn attempts_end_with_the_last_error() {
    let node = Node::start(|_, _| {
        Some(Reply::Send(problem(
            503,
            "draining",
            &[("retry-after", "0")],
        )))
    })
    .await;
    match client(&node)
        .manifest(&Address::of(b"x"))
        .await
        .unwrap_err()
    {
        Error::Problem(problem) => {
            assert_eq!(
                (problem.status, problem.code.as_deref()),
                (503, Some("draining"))
            );
            assert_eq!(problem.detail.as_deref(), Some("on purpose"));
            assert!(problem.retryable);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(node.requests().len(), 3);
}

#[tokio::test]
async fn a_node_that_wants_more_time_than_there_is_gets_no_second_call() {
    let node = Node::start(|_, _| {
        Some(Reply::Send(problem(
            503,
            "overloaded",
            &[("retry-after", "31")],
        )))
    })
    .await;
    let started = Instant::now();
    let error = client(&node)
        .manifest(&Address::of(b"x"))
        .await
        .unwrap_err();
    assert_eq!(status(&error), Some(503));
    assert_eq!(node.requests().len(), 1);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let node = Node::start(|_, before| {
        (before == 0).then(|| Reply::Send(problem(503, "overloaded", &[("retry-after", "1")])))
    })
    .await;
    let address = node.objects.insert(b"x");
    let started = Instant::now();
    client(&node).head(&address).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn final_errors_are_not_repeated() {
    for (code, word) in [
        (400, "bad_request"),
        (401, "unauthenticated"),
        (403, "forbidden"),
        (404, "not_found"),
        (413, "body_too_large"),
    ] {
        let node = Node::start(move |_, _| Some(Reply::Send(problem(code, word, &[])))).await;
        let error = client(&node).delete(&Address::of(b"x")).await.unwrap_err();
        assert_eq!(status(&error), Some(code));
        assert_eq!(node.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_lost_connection_is_replaced() {
    let node =
        Node::start(|_, before| (before == 0).then(|| Reply::SendAndClose(Vec::new()))).await;
    let address = node.objects.insert(b"x");
    assert_eq!(client(&node).has(&[address]).await.unwrap(), [true]);
    assert_eq!(node.requests().len(), 2);
}

/// The port that this test had bound and given back became another test's node once.
#[tokio::test]
async fn a_node_that_is_not_there_is_said_so() {
    // Bound, so that nobody else gets the port, and not listening, so that it refuses.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let taken_at = taken.local_addr().unwrap();
    let client = with(&format!("http://{taken_at}"), RetryPolicy::NEVER);
    let error = client.has(&[Address::of(b"x")]).await.unwrap_err();
    assert!(
        matches!(error, Error::Transport(TransportError::Connect(_))),
        "{error:?}"
    );
    assert!(error.to_string().contains("refused"), "{error}");
    let error = client
        .put_reader(&vec![0; 2 * ONE_SHOT_BYTES][..], &PLAIN)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Transport(TransportError::Connect(_))),
        "{error:?}"
    );
}

/// A node refuses by the head alone and then discards what still comes.
#[tokio::test]
async fn a_refusal_before_the_body_was_read_is_seen() {
    let node = Node::start(|request, _| {
        (request.method != "HEAD")
            .then(|| Reply::SendAndDiscard(problem(413, "body_too_large", &[])))
    })
    .await;
    let bytes = vec![5; 16 * ONE_SHOT_BYTES];
    let client = client(&node);
    assert_eq!(
        status(
            &client
                .put_bytes(bytes.clone().into(), &PLAIN)
                .await
                .unwrap_err()
        ),
        Some(413)
    );
    assert_eq!(
        status(&client.put_reader(&bytes[..], &PLAIN).await.unwrap_err()),
        Some(413)
    );
}

/// The body of an error is read only as far as a problem document could reach: this one declares
/// much more, sends a part of it, and then nothing.
#[tokio::test]
async fn an_endless_error_is_cut_short() {
    let node = Node::start(|_, _| {
        let mut endless = b"HTTP/1.1 404 Not Found\r\ncontent-length: 99999999\r\n\r\n".to_vec();
        endless.resize(64 * 1024, b' ');
        Some(Reply::SendAndDiscard(endless))
    })
    .await;
    let (client, address) = (client(&node), Address::of(b"x"));
    let answer = tokio::time::timeout(Duration::from_secs(5), client.head(&address)).await;
    // HEAD has no body to read; GET has.
    assert_eq!(status(&answer.unwrap().unwrap_err()), Some(404));
    let answer = tokio::time::timeout(Duration::from_secs(5), client.manifest(&address)).await;
    assert_eq!(status(&answer.unwrap().unwrap_err()), Some(404));
}

#[tokio::test]
async fn bytes_that_do_not_match_are_reported_by_the_node() {
    let node = Node::start(|request, _| {
        request
            .body
            .is_some()
            .then(|| Reply::Send(problem(422, "digest_mismatch", &[])))
    })
    .await;
    assert_eq!(
        status(
            &client(&node)
                .put_bytes("x".into(), &PLAIN)
                .await
                .unwrap_err()
        ),
        Some(422)
    );
}

#[tokio::test]
async fn a_short_stream_is_put_like_bytes_and_a_long_one_is_streamed() {
    let node = Node::honest().await;
    let client = client(&node);
    for size in [0, 1, ONE_SHOT_BYTES, ONE_SHOT_BYTES + 1, 5 * ONE_SHOT_BYTES] {
        let bytes = vec![size as u8; size];
        let stored = client.put_reader(&bytes[..], &PLAIN).await.unwrap();
        assert_eq!(
            (stored.address, stored.size),
            (Address::of(&bytes), size as u64)
        );
        let request = node.requests().pop().unwrap();
        if size <= ONE_SHOT_BYTES {
            assert_eq!(request.method, "PUT");
        } else {
            assert!(request.is("POST", "/put"), "{size}");
            assert_eq!(request.header("transfer-encoding"), Some("chunked"));
            assert_eq!(request.header("content-length"), None);
        }
        assert_eq!(request.body, Some(bytes));
    }
}

#[tokio::test]
async fn a_stream_is_not_repeated_once_it_was_read_from() {
    let node = Node::start(|request, _| {
        request
            .body
            .is_some()
            .then(|| Reply::Send(problem(503, "overloaded", &[("retry-after", "0")])))
    })
    .await;
    let error = client(&node)
        .put_reader(&vec![1; 3 * ONE_SHOT_BYTES][..], &PLAIN)
        .await
        .unwrap_err();
    assert_eq!(status(&error), Some(503));
    assert_eq!(node.requests().len(), 1);
}

#[tokio::test]
async fn a_receipt_for_other_bytes_is_an_integrity_failure() {
    for size in [10, 2 * ONE_SHOT_BYTES] {
        let bytes = vec![2; size];
        for (address, of_size) in [
            (Address::of(b"other"), size),
            (Address::of(&bytes), size + 1),
        ] {
            let node = Node::start(move |request, _| {
                request
                    .body
                    .is_some()
                    .then(|| Reply::Send(receipt(201, &address, of_size)))
            })
            .await;
            // The question before the upload has a body too, an empty one, and no receipt.
            let error = client(&node)
                .put_reader(&bytes[..], &PLAIN)
                .await
                .unwrap_err();
            assert!(
                matches!(error, Error::Integrity(Integrity::Upload { .. })),
                "{error:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_no_receipt_is_a_protocol_error() {
    for body in ["", "{}", r#"{"address":"b3:x","size":1}"#, "[]"] {
        let node = Node::start(move |request, _| {
            request
                .body
                .is_some()
                .then(|| Reply::Send(answer(201, &[], body.as_bytes())))
        })
        .await;
        let error = client(&node)
            .put_bytes("x".into(), &PLAIN)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    }
}

/// Gives a megabyte and a half, then fails.
struct Failing(usize);

impl AsyncRead for Failing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0 == 0 {
            return Poll::Ready(Err(io::Error::other("the disk is gone")));
        }
        let length = buffer.remaining().min(self.0);
        buffer.put_slice(&vec![0; length]);
        self.0 -= length;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_source_that_fails_midway_is_named_and_leaves_no_object() {
    let node = Node::honest().await;
    let error = client(&node)
        .put_reader(Failing(ONE_SHOT_BYTES * 3 / 2), &PLAIN)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Source(_)), "{error:?}");
    assert!(error.to_string().contains("the disk is gone"), "{error}");
    assert_eq!(node.requests().len(), 1);
    assert_eq!(
        node.requests()[0].body,
        None,
        "the upload must not look complete"
    );
}

#[tokio::test]
async fn questions_are_asked_in_as_many_parts_as_needed() {
    let node = Node::honest().await;
    let client = client(&node);
    let there = node.objects.insert(b"there");
    let mut addresses = vec![Address::of(b"absent"); HAS_ADDRESSES];
    addresses[7] = there;
    let found = client.has(&addresses).await.unwrap();
    assert_eq!(found.iter().positions(), [7]);
    assert_eq!(node.requests().len(), 1);
    addresses.push(there);
    assert_eq!(
        client.has(&addresses).await.unwrap().iter().positions(),
        [7, HAS_ADDRESSES]
    );
    assert_eq!(node.requests().len(), 3);
    assert!(client.has(&[]).await.unwrap().is_empty());
    assert_eq!(node.requests().len(), 3);
}

trait Positions {
    fn positions(self) -> Vec<usize>;
}

impl<'a, I: Iterator<Item = &'a bool>> Positions for I {
    fn positions(self) -> Vec<usize> {
        self.enumerate()
            .filter_map(|(at, &found)| found.then_some(at))
            .collect()
    }
}

#[tokio::test]
async fn an_answer_about_another_number_of_addresses_is_refused() {
    for body in ["[]", "[true,true]", "{}", "[1]"] {
        let node =
            Node::start(move |_, _| Some(Reply::Send(answer(200, &[], body.as_bytes())))).await;
        let error = client(&node).has(&[Address::of(b"x")]).await.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{body}: {error:?}");
    }
}

#[tokio::test]
async fn the_token_goes_with_every_request() {
    let node = Node::honest().await;
    let options = ClientOptions {
        token: Some(Token::new("abc").unwrap()),
        ..ClientOptions::default()
    };
    let client = Client::with_options(&node.url, options).unwrap();
    assert!(!format!("{client:?}").contains("abc"));
    let stored = client.put_bytes("x".into(), &PLAIN).await.unwrap();
    client
        .get(&stored.address)
        .await
        .unwrap()
        .bytes(1)
        .await
        .unwrap();
    client
        .put_reader(&vec![0; 2 * ONE_SHOT_BYTES][..], &PLAIN)
        .await
        .unwrap();
    let requests = node.requests();
    assert_eq!(requests.len(), 4);
    assert!(
        requests
            .iter()
            .all(|request| request.header("authorization") == Some("Bearer abc"))
    );
}

/// A caller may run any operation as a task of its own.
#[tokio::test]
async fn operations_can_be_spawned() {
    fn assert_send<T: Send + 'static>(_: T) {}
    let node = Node::honest().await;
    let (client, address) = (client(&node), Address::of(b"x"));
    assert_send(client.clone());
    assert_send(async move {
        client.put_bytes(Bytes::new(), &PLAIN).await?;
        client.put_reader(tokio::io::empty(), &PLAIN).await?;
        client.put_file("file".as_ref(), &PLAIN).await?;
        client.get(&address).await?.bytes(0).await?;
        client.has(&[address]).await?;
        client.head(&address).await?;
        client.delete(&address).await
    });
}

#[tokio::test]
async fn a_media_type_that_is_no_header_is_refused_here() {
    let node = Node::honest().await;
    let options = PutOptions {
        content_type: Some("a\r\nb: c".into()),
        ..PutOptions::default()
    };
    let error = client(&node)
        .put_bytes("x".into(), &options)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::InvalidContentType(_)), "{error:?}");
    assert!(node.requests().is_empty());
}
