//! Operations over OAP: calls that share a connection, with a node that is slow, fails and lies.
#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

mod fake;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fake::manifest_of;
use fake::oap::{END, EXPIRES_MS, Incoming, MORE, Node, START, WHOLE, get_fields};
use futures_util::future::{join, join_all, poll_immediate, try_join_all};
use futures_util::{StreamExt, TryStreamExt, stream};
use micronode_client::{
    Client, ClientOptions, Error, Integrity, ObjectInfo, PutOptions, RetryPolicy, SPAN_BYTES,
    Timeouts, Token, TransportError,
};
use micronode_protocol::frame::Flags;
use micronode_protocol::limits::{GROUP_BYTES, HAS_ADDRESSES, OAP_CHUNK_BYTES, ONE_SHOT_BYTES};
use micronode_protocol::operation::{GetRequest, Operation, PutRequest};
use micronode_protocol::{Address, VerifiedManifest};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

const PLAIN: PutOptions = PutOptions {
    expires_in: None,
    content_type: None,
    on_sent: None,
};

/// Long enough for anything that happens at all.
const SOON: Duration = Duration::from_secs(10);

fn object(size: usize) -> Vec<u8> {
    (0..size)
        .map(|i| (i % 251) as u8 ^ (i / 65536) as u8)
        .collect()
}

fn with(node: &Node, options: ClientOptions) -> Client {
    Client::with_options(&node.url, options).unwrap()
}

/// Retries at once, three attempts.
fn client(node: &Node) -> Client {
    let retry = RetryPolicy {
        attempts: 3,
        first_delay: Duration::from_millis(1),
        ..RetryPolicy::default()
    };
    with(
        node,
        ClientOptions {
            retry,
            ..ClientOptions::default()
        },
    )
}

/// One attempt.
fn once(node: &Node) -> Client {
    with(
        node,
        ClientOptions {
            retry: RetryPolicy::NEVER,
            ..ClientOptions::default()
        },
    )
}

async fn read(client: &Client, address: &Address) -> Result<Vec<u8>, Error> {
    Ok(client.get(address).await?.bytes(usize::MAX).await?.to_vec())
}

fn verified(bytes: &[u8]) -> VerifiedManifest {
    micronode_protocol::Manifest::decode(&manifest_of(bytes))
        .unwrap()
        .validate(Address::of(bytes))
        .unwrap()
}

// --- What HTTP can do ------------------------------------------------------------------------

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
        let range: micronode_client::ByteRange = range.parse().unwrap();
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

// --- Sharing a connection --------------------------------------------------------------------

#[tokio::test]
async fn answers_that_interleave_come_apart() {
    let node = Node::start(|mut wire, _, _| async move {
        wire.welcome(64).await?;
        let (first, second) = (wire.request().await?, wire.request().await?);
        assert_eq!((first.id, second.id), (1, 2));
        // The later one ends first, and each is cut where it pleases.
        for (request, flags, payload) in [
            (&second, START, &b"wor"[..]),
            (&first, START, b"h"),
            (&second, MORE, b""),
            (&first, MORE, b"ell"),
            (&second, END, b"ld"),
            (&first, MORE, b"o"),
            (&first, END, b""),
        ] {
            wire.send(flags, 200, request.id, payload).await?;
        }
        wire.frame().await.map(drop)
    })
    .await;
    let client = once(&node);
    let (first, second) = join(client.echo("hello".into()), client.echo("world".into())).await;
    assert_eq!(
        (first.unwrap(), second.unwrap()),
        ("hello".into(), "world".into())
    );
}

#[tokio::test]
async fn more_callers_than_the_node_takes_at_once_wait_for_their_turn() {
    const CALLS: usize = 70;
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let node = Node::start(move |mut wire, _, _| {
        let seen = Arc::clone(&seen);
        async move {
            wire.welcome(4).await?;
            let mut open = Vec::new();
            for _ in 0..CALLS {
                open.push(wire.request().await?);
                seen.fetch_max(open.len(), Ordering::Relaxed);
                // Until as many have come as may, and a little longer for one too many.
                while let Ok(request) = timeout(Duration::from_millis(1), wire.request()).await {
                    open.push(request?);
                    seen.fetch_max(open.len(), Ordering::Relaxed);
                }
                for request in open.drain(..) {
                    wire.send(WHOLE, 200, request.id, &request.payload).await?;
                }
            }
            Some(())
        }
    })
    .await;
    let client = once(&node);
    let calls = (0..CALLS).map(|call| {
        let client = client.clone();
        async move {
            let bytes = Bytes::from(call.to_string());
            assert_eq!(client.echo(bytes.clone()).await?, bytes);
            Ok::<_, Error>(())
        }
    });
    timeout(SOON, try_join_all(calls)).await.unwrap().unwrap();
    assert_eq!(most.load(Ordering::Relaxed), 4);
    assert_eq!(node.connections(), 1);
}

#[tokio::test]
async fn a_slow_reader_of_one_download_holds_up_no_other_call() {
    let node = Node::honest().await;
    let client = client(&node);
    let bytes = object(3 * SPAN_BYTES as usize);
    node.objects.insert(&bytes);
    let size = bytes.len() as u64;
    let mut slow = client.pieces(Arc::new(verified(&bytes)), vec![0..size]);
    let first = slow.try_next().await.unwrap().unwrap();
    // Its spans are on their way, and nobody takes them.
    for _ in 0..20 {
        timeout(SOON, client.ping()).await.unwrap().unwrap();
    }
    let mut whole = vec![0; bytes.len()];
    whole[first.offset as usize..][..first.bytes.len()].copy_from_slice(&first.bytes);
    while let Some(piece) = slow.try_next().await.unwrap() {
        whole[piece.offset as usize..][..piece.bytes.len()].copy_from_slice(&piece.bytes);
    }
    assert!(whole == bytes);
    assert_eq!(node.connections(), 1);
}

#[tokio::test]
async fn uploads_share_the_connection_chunk_by_chunk() {
    let node = Node::start(|mut wire, objects, _| async move {
        wire.welcome(64).await?;
        let mut order = Vec::new();
        let mut ended = 0;
        let mut bodies: std::collections::BTreeMap<u64, Vec<u8>> = Default::default();
        while ended < 2 {
            let frame = wire.frame().await?;
            order.push(frame.header.corr_id);
            bodies
                .entry(frame.header.corr_id)
                .or_default()
                .extend_from_slice(&frame.payload);
            ended += usize::from(frame.header.flags.has(Flags::END));
            // A slow node, so that both have something to send at any time.
            sleep(Duration::from_millis(1)).await;
        }
        let changes = order.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes * 2 > order.len(), "{order:?}");
        for (id, payload) in bodies {
            let request = fake::oap::Request {
                id,
                operation: Operation::ObjectPut,
                payload,
                frames: Vec::new(),
            };
            wire.answer(&objects, &request).await?;
        }
        wire.frame().await.map(drop)
    })
    .await;
    let client = once(&node);
    let (one, two) = (vec![1; 32 * GROUP_BYTES], vec![2; 32 * GROUP_BYTES]);
    let (first, second) = join(
        client.put_reader(&one[..], &PLAIN),
        client.put_reader(&two[..], &PLAIN),
    )
    .await;
    assert_eq!(first.unwrap().address, Address::of(&one));
    assert_eq!(second.unwrap().address, Address::of(&two));
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_and_frees_its_place() {
    let (cancelled, mut seen) = mpsc::channel(1);
    let node = Node::start(move |mut wire, _, _| {
        let cancelled = cancelled.clone();
        async move {
            wire.welcome(1).await?;
            let dropped = wire.request().await?;
            match wire.next().await? {
                Incoming::Cancel(id) => assert_eq!(id, dropped.id),
                other => panic!("{other:?}"),
            }
            cancelled.send(dropped.id).await.ok()?;
            // Its answer was on its way.
            wire.send(WHOLE, 200, dropped.id, b"late").await?;
            let next = wire.request().await?;
            wire.send(WHOLE, 200, next.id, &next.payload).await?;
            wire.frame().await.map(drop)
        }
    })
    .await;
    let client = once(&node);
    let dropped = timeout(Duration::from_millis(200), client.echo("first".into()));
    assert!(dropped.await.is_err());
    assert_eq!(timeout(SOON, seen.recv()).await.unwrap(), Some(1));
    let next = timeout(SOON, client.echo("next".into())).await.unwrap();
    assert_eq!(next.unwrap(), "next");
    assert_eq!(node.connections(), 1);
}

#[tokio::test]
async fn a_download_that_is_dropped_is_cancelled() {
    let bytes = object(8 * GROUP_BYTES);
    let manifest = verified(&bytes);
    let address = *manifest.address();
    let (cancelled, mut seen) = mpsc::channel(1);
    let node = Node::start(move |mut wire, _, _| {
        let (cancelled, bytes) = (cancelled.clone(), object(8 * GROUP_BYTES));
        async move {
            wire.welcome(64).await?;
            let request = wire.request().await?;
            assert_eq!(request.get().address, address);
            let first = [get_fields(bytes.len(), 0), bytes[..GROUP_BYTES].to_vec()].concat();
            wire.send(START, 200, request.id, &first).await?;
            match wire.next().await? {
                Incoming::Cancel(id) => cancelled.send(id).await.ok(),
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    let client = once(&node);
    let mut pieces = client.pieces(Arc::new(manifest), vec![0..bytes.len() as u64]);
    let piece = pieces.try_next().await.unwrap().unwrap();
    assert_eq!(piece.bytes, bytes[..GROUP_BYTES]);
    drop(pieces);
    assert_eq!(timeout(SOON, seen.recv()).await.unwrap(), Some(1));
}

#[tokio::test]
async fn a_refused_upload_is_sent_no_further() {
    let (told, mut seen) = mpsc::channel(1);
    let node = Node::start(move |mut wire, _, _| {
        let told = told.clone();
        async move {
            wire.welcome(64).await?;
            let start = wire.frame().await?;
            let id = start.header.corr_id;
            wire.problem(413, "body_too_large", id).await?;
            let mut bytes = start.payload.len();
            loop {
                let frame = wire.frame().await?;
                assert_eq!(frame.header.corr_id, id);
                let end = frame.header.flags.has(Flags::END);
                bytes += frame.payload.len();
                if end {
                    assert_eq!((frame.header.app, frame.header.code), (0, 0), "a cancel");
                    told.send(bytes).await.ok()?;
                    return wire.serve(&fake::Objects::default()).await;
                }
            }
        }
    })
    .await;
    let client = once(&node);
    let bytes = vec![5; 64 * ONE_SHOT_BYTES];
    let error = client.put_reader(&bytes[..], &PLAIN).await.unwrap_err();
    assert_eq!(error.status(), Some(413));
    let sent = timeout(SOON, seen.recv()).await.unwrap().unwrap();
    assert!(sent < bytes.len() / 2, "{sent} bytes were sent");
    // The connection is as good as before.
    client.ping().await.unwrap();
    assert_eq!(node.connections(), 1);
}

#[tokio::test]
async fn a_ping_of_the_node_is_answered() {
    let node = Node::start(|mut wire, objects, _| async move {
        wire.welcome(64).await?;
        let request = wire.request().await?;
        wire.send(Flags::EVENT, 1, 77, b"").await?;
        match wire.next().await? {
            Incoming::Event(header) => {
                assert_eq!((header.app, header.code, header.corr_id), (0, 1, 77));
                assert_eq!(header.flags, Flags::EVENT);
            }
            other => panic!("{other:?}"),
        }
        wire.answer(&objects, &request).await?;
        wire.frame().await.map(drop)
    })
    .await;
    timeout(SOON, once(&node).ping()).await.unwrap().unwrap();
}

// --- Answers that are wrong ------------------------------------------------------------------

#[tokio::test]
async fn an_answer_longer_than_asked_for_fails_its_call_and_no_other() {
    for (length, frames) in [(1, 1), (70_000, 1), (1_000_000, 1), (1, 3)] {
        let node = Node::start(move |mut wire, objects, _| async move {
            wire.welcome(64).await?;
            let (first, second) = (wire.request().await?, wire.request().await?);
            let payload = vec![0; length];
            wire.send(START, 200, first.id, &payload).await?;
            for _ in 1..frames {
                wire.send(MORE, 200, first.id, &payload).await?;
            }
            wire.answer(&objects, &second).await?;
            wire.serve(&objects).await
        })
        .await;
        let client = once(&node);
        let (ping, echo) = join(client.ping(), client.echo("fine".into())).await;
        assert!(matches!(ping, Err(Error::Protocol(_))), "{ping:?}");
        assert_eq!(echo.unwrap(), "fine");
        client.ping().await.unwrap();
        assert_eq!(node.connections(), 1);
    }
}

#[tokio::test]
async fn another_part_than_asked_for_is_refused() {
    let bytes = object(4 * GROUP_BYTES);
    let manifest = Arc::new(verified(&bytes));
    let (group, size) = (GROUP_BYTES, bytes.len());
    for (status, fields) in [
        (206, get_fields(size, group + 1)),
        (206, get_fields(size + 1, group)),
        (200, get_fields(size, group)),
        (206, vec![0xff; 26]),
    ] {
        let node = Node::start(move |mut wire, _, _| {
            let fields = fields.clone();
            async move {
                wire.welcome(64).await?;
                let request = wire.request().await?;
                let payload = [fields, vec![0; group]].concat();
                wire.send(WHOLE, status, request.id, &payload).await?;
                wire.frame().await.map(drop)
            }
        })
        .await;
        let range = group as u64..2 * group as u64;
        let mut pieces = once(&node).pieces(Arc::clone(&manifest), vec![range]);
        let error = pieces.try_next().await.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    }
}

#[tokio::test]
async fn fields_may_come_in_pieces() {
    let bytes = object(100);
    let manifest = Arc::new(verified(&bytes));
    let node = Node::start(|mut wire, _, _| async move {
        wire.welcome(64).await?;
        let request = wire.request().await?;
        let payload = [get_fields(100, 0), object(100)].concat();
        wire.send(START, 200, request.id, b"").await?;
        for byte in &payload {
            wire.send(MORE, 200, request.id, &[*byte]).await?;
            tokio::task::yield_now().await;
        }
        wire.send(END, 200, request.id, b"").await?;
        wire.frame().await.map(drop)
    })
    .await;
    let pieces = once(&node).pieces(manifest, vec![0..100]);
    let pieces: Vec<_> = pieces.try_collect().await.unwrap();
    assert_eq!(pieces[0].bytes, bytes);
}

#[tokio::test]
async fn answers_that_are_not_of_their_operation_are_protocol_errors() {
    let node = Node::start(|mut wire, _, _| async move {
        wire.welcome(64).await?;
        loop {
            let request = wire.request().await?;
            wire.send(WHOLE, 200, request.id, &[2]).await?;
        }
    })
    .await;
    let (client, address) = (once(&node), Address::of(b"x"));
    let head = client.head(&address).await.unwrap_err();
    let has = client.has(&[address]).await.unwrap_err();
    let put = client.put_bytes("x".into(), &PLAIN).await.unwrap_err();
    let delete = client.delete(&address).await.unwrap_err();
    for error in [head, has, put, delete] {
        assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    }
    let error = client.manifest(&address).await.unwrap_err();
    assert!(matches!(error, Error::Integrity(Integrity::Manifest(_))));
}

#[tokio::test]
async fn success_before_the_end_of_an_upload_is_none() {
    let node = Node::start(|mut wire, _, _| async move {
        wire.welcome(64).await?;
        let start = wire.frame().await?;
        wire.send(WHOLE, 201, start.header.corr_id, &[0; 41])
            .await?;
        while wire.frame().await.is_some() {}
        Some(())
    })
    .await;
    let bytes = vec![1; 8 * ONE_SHOT_BYTES];
    let error = once(&node)
        .put_reader(&bytes[..], &PLAIN)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
}

#[tokio::test]
async fn corruption_found_in_the_middle_of_an_answer_ends_it_behind_what_was_good() {
    let bytes = object(4 * GROUP_BYTES);
    let manifest = Arc::new(verified(&bytes));
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let node = Node::start(move |mut wire, _, _| {
        let counted = Arc::clone(&counted);
        async move {
            let bytes = object(4 * GROUP_BYTES);
            wire.welcome(64).await?;
            loop {
                let request = wire.request().await?;
                counted.fetch_add(1, Ordering::Relaxed);
                let first = [&get_fields(bytes.len(), 0), &bytes[..GROUP_BYTES]].concat();
                wire.send(START, 200, request.id, &first).await?;
                let second = &bytes[GROUP_BYTES..2 * GROUP_BYTES];
                wire.send(MORE, 200, request.id, second).await?;
                wire.problem(502, "integrity_fail", request.id).await?;
            }
        }
    })
    .await;
    let mut pieces = client(&node).pieces(manifest, vec![0..bytes.len() as u64]);
    for group in 0..2 {
        let piece = pieces.try_next().await.unwrap().unwrap();
        assert_eq!(piece.bytes, bytes[group * GROUP_BYTES..][..GROUP_BYTES]);
    }
    let error = pieces.try_next().await.unwrap_err();
    assert!(
        matches!(error, Error::Integrity(Integrity::Stored { .. })),
        "{error:?}"
    );
    assert_eq!(requests.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_busy_node_is_asked_again_a_second_later() {
    let node = Node::faulty(|_, before| (before == 0).then_some((503, "overloaded"))).await;
    let started = tokio::time::Instant::now();
    client(&node).ping().await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(node.requests().len(), 2);
}

// --- Connections that end --------------------------------------------------------------------

#[tokio::test]
async fn a_cut_answer_goes_on_at_the_first_unverified_group() {
    let bytes = object(6 * GROUP_BYTES + 1);
    let asked: Arc<parking_lot::Mutex<Vec<GetRequest>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let node = Node::start(move |mut wire, objects, before| {
        let seen = Arc::clone(&seen);
        async move {
            let bytes = object(6 * GROUP_BYTES + 1);
            wire.welcome(64).await?;
            let request = wire.request().await?;
            if request.operation == Operation::ObjectGet {
                seen.lock().push(request.get());
            }
            if before == 0 {
                // Two groups and a half, and nothing more.
                let payload = [get_fields(bytes.len(), 0), bytes].concat();
                let cut = get_fields(0, 0).len() + 5 * GROUP_BYTES / 2;
                for (at, chunk) in payload[..cut].chunks(GROUP_BYTES).enumerate() {
                    let flags = if at == 0 { START } else { MORE };
                    wire.send(flags, 200, request.id, chunk).await?;
                }
                return wire.close().await;
            }
            wire.answer(&objects, &request).await?;
            wire.serve(&objects).await
        }
    })
    .await;
    node.objects.insert(&bytes);
    let download = client(&node).download(verified(&bytes), 0..bytes.len() as u64);
    assert_eq!(download.bytes(usize::MAX).await.unwrap(), bytes);
    let asked = asked.lock().clone();
    let parts: Vec<_> = asked.iter().map(|get| (get.offset, get.length)).collect();
    let (group, size) = (GROUP_BYTES as u64, bytes.len() as u64);
    assert_eq!(parts, [(0, 0), (2 * group, size - 2 * group)]);
}

#[tokio::test]
async fn a_connection_that_was_closed_in_idleness_is_replaced_unnoticed() {
    let node = Node::start(|mut wire, objects, before| async move {
        wire.welcome(64).await?;
        let request = wire.request().await?;
        wire.answer(&objects, &request).await?;
        if before == 0 {
            return wire.close().await;
        }
        wire.serve(&objects).await
    })
    .await;
    let client = once(&node);
    client.ping().await.unwrap();
    sleep(Duration::from_millis(100)).await;
    client.ping().await.unwrap();
    client.ping().await.unwrap();
    assert_eq!(node.connections(), 2);
}

/// Who waits for a place has sent nothing, and loses nothing with the connection.
#[tokio::test]
async fn who_waits_when_a_connection_ends_goes_to_the_next() {
    let node = Node::start(|mut wire, objects, before| async move {
        wire.welcome(1).await?;
        if before == 0 {
            wire.request().await?;
            return wire.close().await;
        }
        wire.serve(&objects).await
    })
    .await;
    let client = once(&node);
    let results = join_all((0..5).map(|_| client.ping())).await;
    let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(matches!(
        failed[0],
        Error::Transport(TransportError::Connection(_))
    ));
    assert_eq!(node.connections(), 2);
}

#[tokio::test]
async fn last_words_of_the_node_are_the_reason_of_every_call_under_way() {
    let node = Node::start(|mut wire, _, _| async move {
        wire.welcome(64).await?;
        wire.request().await?;
        wire.request().await?;
        wire.problem(400, "bad_flags", 0).await?;
        wire.close().await
    })
    .await;
    let client = once(&node);
    for result in join_all([client.ping(), client.ping()]).await {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Transport(_)), "{error:?}");
        assert!(
            error.to_string().contains("400 bad_flags: on purpose"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn bytes_that_are_no_frame_end_the_connection_and_the_call_is_repeated() {
    let node = Node::start(|mut wire, objects, before| async move {
        wire.welcome(64).await?;
        if before == 0 {
            wire.request().await?;
            wire.raw(&[0xff; 64]).await?;
            return wire.frame().await.map(drop);
        }
        wire.serve(&objects).await
    })
    .await;
    client(&node).ping().await.unwrap();
    assert_eq!(node.connections(), 2);
}

#[tokio::test]
async fn silence_ends_with_the_time_allowed_and_the_next_call_has_another_connection() {
    let node = Node::start(|mut wire, objects, before| async move {
        wire.welcome(64).await?;
        if before == 0 {
            while wire.frame().await.is_some() {}
            return None;
        }
        wire.serve(&objects).await
    })
    .await;
    let options = ClientOptions {
        retry: RetryPolicy::NEVER,
        timeouts: Timeouts {
            read: Duration::from_millis(50),
            ..Timeouts::default()
        },
        ..ClientOptions::default()
    };
    let client = with(&node, options);
    let error = client.ping().await.unwrap_err();
    assert!(
        matches!(error, Error::Transport(TransportError::Stalled(_))),
        "{error:?}"
    );
    client.ping().await.unwrap();
    assert_eq!(node.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let (closed, mut seen) = mpsc::channel(1);
    let node = Node::start(move |mut wire, objects, _| {
        let closed = closed.clone();
        async move {
            wire.welcome(64).await?;
            wire.serve(&objects).await;
            closed.send(()).await.ok()
        }
    })
    .await;
    let client = once(&node);
    client.ping().await.unwrap();
    tokio::time::pause();
    sleep(Duration::from_secs(29)).await;
    assert!(poll_immediate(seen.recv()).await.is_none(), "not yet");
    sleep(Duration::from_secs(2)).await;
    tokio::time::resume();
    timeout(SOON, seen.recv()).await.unwrap().unwrap();
    client.ping().await.unwrap();
    assert_eq!(node.connections(), 2);
}

#[tokio::test]
async fn a_connection_ends_with_its_last_user() {
    let (closed, mut seen) = mpsc::channel(1);
    let node = Node::start(move |mut wire, objects, _| {
        let closed = closed.clone();
        async move {
            wire.welcome(64).await?;
            wire.serve(&objects).await;
            closed.send(()).await.ok()
        }
    })
    .await;
    let client = once(&node);
    client.clone().ping().await.unwrap();
    sleep(Duration::from_millis(50)).await;
    assert!(poll_immediate(seen.recv()).await.is_none(), "not yet");
    drop(client);
    timeout(SOON, seen.recv()).await.unwrap().unwrap();
}

// --- HELLO -----------------------------------------------------------------------------------

#[tokio::test]
async fn the_token_goes_with_hello_and_many_callers_open_one_connection() {
    let node = Node::start(|mut wire, objects, _| async move {
        wire.welcome(64).await?;
        assert_eq!(wire.cap, b"\xfb\xffmacaroon");
        let hello = String::from_utf8(wire.hello.clone()).unwrap();
        assert!(hello.starts_with(r#"{"ua":"micronode/"#), "{hello}");
        assert!(hello.ends_with(r#""accept_comp":false}"#), "{hello}");
        wire.serve(&objects).await
    })
    .await;
    let client = with(
        &node,
        ClientOptions {
            token: Some(Token::new("-_9tYWNhcm9vbg").unwrap()),
            retry: RetryPolicy::NEVER,
            ..ClientOptions::default()
        },
    );
    let printed = format!("{client:?}");
    assert!(
        !printed.contains("macaroon") && !printed.contains("YWNh"),
        "{printed}"
    );
    try_join_all((0..20).map(|_| client.ping())).await.unwrap();
    assert_eq!(node.connections(), 1);
}

#[tokio::test]
async fn a_token_that_is_not_base64url_is_refused_here() {
    let options = ClientOptions {
        token: Some(Token::new("a+b/").unwrap()),
        ..ClientOptions::default()
    };
    let refused = Client::with_options("oap://127.0.0.1:1", options.clone()).unwrap_err();
    assert!(matches!(refused, Error::TokenNotBase64));
    assert!(!refused.to_string().contains("a+b/"), "{refused}");
    assert!(Client::with_options("http://127.0.0.1:1", options).is_ok());
}

#[tokio::test]
async fn a_refused_hello_is_the_error_of_the_call() {
    let node = Node::start(|mut wire, _, _| async move {
        let id = wire.hello().await?;
        wire.problem(401, "unauthenticated", id).await?;
        wire.close().await
    })
    .await;
    let error = client(&node).ping().await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!(node.connections(), 1, "no use in asking again");
}

#[tokio::test]
async fn what_does_not_speak_oap_is_said_so() {
    let node = fake::Node::start(|_, _| None).await;
    let url = node.url.replace("http://", "oap://");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = format!("oap://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let answer = fake::answer(400, &[], b"what?");
            let _ = tokio::io::AsyncWriteExt::write_all(&mut socket, &answer).await;
            sleep(SOON).await;
        }
    });
    let error = Client::new(&other).unwrap().ping().await.unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    assert!(error.to_string().contains("another protocol"), "{error}");
    // One that says nothing, or hangs up, is not there.
    let options = ClientOptions {
        retry: RetryPolicy::NEVER,
        timeouts: Timeouts {
            connect: Duration::from_millis(100),
            ..Timeouts::default()
        },
        ..ClientOptions::default()
    };
    let client = Client::with_options(&url, options).unwrap();
    let error = client.ping().await.unwrap_err();
    assert!(
        matches!(error, Error::Transport(TransportError::Connect(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_node_that_is_not_there_is_said_so_and_a_stream_is_not_consumed_for_it() {
    // Bound, so that nobody else gets the port, and not listening, so that it refuses.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("oap://{}", taken.local_addr().unwrap());
    let options = ClientOptions {
        retry: RetryPolicy::NEVER,
        ..ClientOptions::default()
    };
    let client = Client::with_options(&url, options).unwrap();
    let bytes = vec![0; 2 * ONE_SHOT_BYTES];
    let mut rest = &bytes[..];
    let put = client.put_reader(&mut rest, &PLAIN).await.unwrap_err();
    assert_eq!(rest.len(), ONE_SHOT_BYTES - 1, "only what is held was read");
    for error in [client.ping().await.unwrap_err(), put] {
        assert!(
            matches!(error, Error::Transport(TransportError::Connect(_))),
            "{error:?}"
        );
        assert!(error.to_string().contains("refused"), "{error}");
    }
}

/// The task of a connection lives in the runtime of the call that opened it.
#[test]
fn a_client_outlives_the_runtime_of_its_first_call() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let outer = runtime();
    let node = outer.block_on(Node::honest());
    let client = once(&node);
    let running = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&running);
    let server = std::thread::spawn(move || {
        outer.block_on(async {
            let _ = wait.acquire().await;
        });
    });
    for _ in 0..2 {
        let inner = runtime();
        inner
            .block_on(async { timeout(SOON, client.ping()).await })
            .unwrap()
            .unwrap();
    }
    assert_eq!(node.connections(), 2);
    running.add_permits(1);
    server.join().unwrap();
}
