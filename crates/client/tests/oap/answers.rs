//! Answers that are wrong: they fail their call and no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::join;
use micronode_client::{Error, Integrity};
use micronode_protocol::Address;
use micronode_protocol::limits::{GROUP_BYTES, ONE_SHOT_BYTES};

use crate::fake::oap::{END, MORE, Node, START, WHOLE, get_fields};
use crate::{PLAIN, client, object, once, verified};

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
