//! Calls that share a connection: none waits for another, and none leaves anything behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::{join, try_join_all};
use micronode_client::{Error, SPAN_BYTES};
use micronode_protocol::Address;
use micronode_protocol::frame::Flags;
use micronode_protocol::limits::{GROUP_BYTES, ONE_SHOT_BYTES};
use micronode_protocol::operation::Operation;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::fake;
use crate::fake::oap::{END, Incoming, MORE, Node, START, WHOLE, get_fields};
use crate::{PLAIN, SOON, client, object, once, verified};

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
