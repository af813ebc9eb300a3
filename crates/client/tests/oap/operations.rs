//! What HTTP can do, OAP does.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use micronode_client::{ByteRange, Client, Error, ObjectInfo, PutOptions, SPAN_BYTES};
use micronode_protocol::Address;
use micronode_protocol::limits::{GROUP_BYTES, HAS_ADDRESSES, OAP_CHUNK_BYTES, ONE_SHOT_BYTES};
use micronode_protocol::operation::{Operation, PutRequest};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::fake;
use crate::fake::oap::{EXPIRES_MS, Incoming, Node};
use crate::{PLAIN, SOON, client, object, read};

#[tokio::test]
async fn objects_of_every_shape_are_put_found_read_and_deleted_over_one_connection() {
    let node = Node::honest().await;
    let client = client(&node);
    let span = SPAN_BYTES as usize;
    for size in [0, 1, GROUP_BYTES, GROUP_BYTES + 1, span, 2 * span + 5] {
        let bytes = object(size);
        let stored = client
            .put_bytes(bytes.clone().into(), &PLAIN)
            .await
            .unwrap();
        assert_eq!(
            (stored.address, stored.size, stored.existed),
            (Address::of(&bytes), size as u64, false)
        );
        let address = stored.address;
        let info = client.head(&address).await.unwrap();
        assert_eq!(info.size, size as u64);
        assert_eq!(info.content_type.as_deref(), Some("text/plain"));
        assert_eq!(info.kept_for, Some(ObjectInfo::FOR_EVER));
        assert_eq!(client.has(&[address]).await.unwrap(), [true]);
        assert_eq!(read(&client, &address).await.unwrap(), bytes, "{size}");
        let again = client.put_bytes(bytes.into(), &PLAIN).await.unwrap();
        assert!(again.existed);
        client.delete(&address).await.unwrap();
        assert_eq!(client.has(&[address]).await.unwrap(), [false]);
        let gone = client.delete(&address).await.unwrap_err();
        assert_eq!(gone.status(), Some(404));
    }
    assert_eq!(node.connections(), 1);
}

#[tokio::test]
async fn echo_and_ping_are_answered_over_both_wires() {
    let node = Node::honest().await;
    let client = client(&node);
    client.ping().await.unwrap();
    for size in [0, 1, OAP_CHUNK_BYTES, OAP_CHUNK_BYTES + 1, ONE_SHOT_BYTES] {
        let bytes = Bytes::from(object(size));
        assert_eq!(client.echo(bytes.clone()).await.unwrap(), bytes);
    }
    let node = fake::Node::start(|request, _| {
        let body = request.body.as_ref()?;
        assert!(request.is("POST", "/echo"));
        Some(fake::Reply::Send(fake::answer(200, &[], body)))
    })
    .await;
    let client = Client::new(&node.url).unwrap();
    client.ping().await.unwrap();
    assert_eq!(client.echo("hi".into()).await.unwrap(), "hi");
}

#[tokio::test]
async fn a_question_of_many_addresses_is_one_request() {
    let node = Node::honest().await;
    let there = node.objects.insert(b"there");
    let mut addresses = vec![Address::of(b"absent"); HAS_ADDRESSES];
    addresses[7] = there;
    let found = client(&node).has(&addresses).await.unwrap();
    assert!(
        found
            .iter()
            .enumerate()
            .all(|(at, found)| *found == (at == 7))
    );
    let requests = node.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].frames, [OAP_CHUNK_BYTES; 2]);
}

#[tokio::test]
async fn parts_are_asked_for_as_parts_and_the_whole_as_the_whole() {
    let node = Node::honest().await;
    let client = client(&node);
    let bytes = object(3 * GROUP_BYTES + 9);
    let (address, group) = (node.objects.insert(&bytes), GROUP_BYTES as u64);
    for (range, offset, length) in [
        ("0-", 0, 0),
        ("0-0", 0, group),
        ("65536-131071", group, group),
        ("-1", 3 * group, 9),
    ] {
        let range: ByteRange = range.parse().unwrap();
        let download = client.get_range(&address, range).await.unwrap();
        let at = download.range();
        assert_eq!(
            download.bytes(usize::MAX).await.unwrap(),
            bytes[at.start as usize..at.end as usize]
        );
        let asked = node.requests().pop().unwrap().get();
        assert_eq!((asked.offset, asked.length), (offset, length), "{range}");
    }
}

#[tokio::test]
async fn an_upload_says_what_http_says_in_its_fields() {
    let node = Node::honest().await;
    let client = client(&node);
    let options = PutOptions {
        expires_in: Some(Duration::from_secs(90)),
        content_type: Some("text/html".into()),
        on_sent: None,
    };
    let stored = client.put_bytes("x".into(), &options).await.unwrap();
    // Told by the node when it is asked for it, in the form that HTTP gives.
    assert_eq!(
        stored.expires_at.as_deref(),
        Some("2100-01-01T00:00:00.123Z")
    );
    assert_eq!(EXPIRES_MS, 4_102_444_800_123);
    let requests = node.requests();
    let (put, _) = PutRequest::parse(&requests[0].payload).unwrap().unwrap();
    assert_eq!(put.expected, Some(Address::of(b"x")));
    assert_eq!((put.ttl_ms, put.media_type), (90_000, "text/html"));
    assert_eq!(requests[1].operation, Operation::ObjectHead);

    // Less than a millisecond is not for ever.
    let options = PutOptions {
        expires_in: Some(Duration::from_nanos(1)),
        ..PutOptions::default()
    };
    client.put_bytes("y".into(), &options).await.unwrap();
    let requests = node.requests();
    let (put, _) = PutRequest::parse(&requests[2].payload).unwrap().unwrap();
    assert_eq!(put.ttl_ms, 1);
}

#[tokio::test]
async fn a_media_type_that_does_not_fit_is_refused_here() {
    let node = Node::honest().await;
    for content_type in ["a\r\nb".to_owned(), "x".repeat(256)] {
        let options = PutOptions {
            content_type: Some(content_type),
            ..PutOptions::default()
        };
        let error = client(&node).put_bytes("x".into(), &options).await;
        assert!(matches!(error, Err(Error::InvalidContentType(_))));
    }
    assert!(node.requests().is_empty());
}

#[tokio::test]
async fn uploads_go_in_one_frame_or_in_chunks_and_a_stream_without_an_address() {
    const CHUNK: usize = OAP_CHUNK_BYTES;
    let node = Node::honest().await;
    let client = client(&node);
    for size in [0, 1, CHUNK, CHUNK + 1, 5 * CHUNK] {
        client
            .put_bytes(vec![size as u8; size].into(), &PLAIN)
            .await
            .unwrap();
        let mut frames = node.requests().pop().unwrap().frames;
        frames[0] -= 42;
        let expected = size.div_ceil(CHUNK).max(1);
        assert_eq!(frames.len(), expected, "{size}: {frames:?}");
        assert!(frames.iter().all(|frame| *frame <= CHUNK));
    }
    let bytes = object(3 * ONE_SHOT_BYTES + 1);
    let stored = client.put_reader(&bytes[..], &PLAIN).await.unwrap();
    assert_eq!(stored.address, Address::of(&bytes));
    let request = node.requests().pop().unwrap();
    let (put, at) = PutRequest::parse(&request.payload).unwrap().unwrap();
    assert_eq!((put.expected, &request.payload[at..]), (None, &bytes[..]));
    assert!(request.frames.iter().all(|frame| *frame <= CHUNK + at));
}

#[tokio::test]
async fn a_source_that_fails_midway_cancels_the_upload() {
    let (cancelled, mut seen) = mpsc::channel(1);
    let node = Node::start(move |mut wire, _, _| {
        let cancelled = cancelled.clone();
        async move {
            wire.welcome(64).await?;
            match wire.next().await? {
                Incoming::Cancel(id) => cancelled.send(id).await.ok(),
                other => panic!("the upload must not look complete: {other:?}"),
            }
        }
    })
    .await;
    let half = stream::iter([
        Ok(Bytes::from(vec![0; 3 * ONE_SHOT_BYTES / 2])),
        Err(io::Error::other("the disk is gone")),
    ]);
    let reader = tokio_reader(half);
    let client = client(&node);
    let error = client.put_reader(reader, &PLAIN).await.unwrap_err();
    assert!(matches!(error, Error::Source(_)), "{error:?}");
    assert!(error.to_string().contains("the disk is gone"), "{error}");
    assert_eq!(timeout(SOON, seen.recv()).await.unwrap(), Some(1));
}

/// Pieces, and an error among them, as a reader.
fn tokio_reader(
    pieces: impl stream::Stream<Item = io::Result<Bytes>> + Unpin,
) -> impl tokio::io::AsyncRead + Unpin {
    struct Reader<S>(S, Bytes);
    impl<S: stream::Stream<Item = io::Result<Bytes>> + Unpin> tokio::io::AsyncRead for Reader<S> {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            if self.1.is_empty() {
                match std::task::ready!(self.0.poll_next_unpin(context)) {
                    Some(piece) => self.1 = piece?,
                    None => return std::task::Poll::Ready(Ok(())),
                }
            }
            let length = buffer.remaining().min(self.1.len());
            buffer.put_slice(&self.1.split_to(length));
            std::task::Poll::Ready(Ok(()))
        }
    }
    Reader(pieces, Bytes::new())
}
