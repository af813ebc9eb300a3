//! Connections that end, with calls under way and without.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all, poll_immediate};
use micronode_client::{ClientOptions, Error, RetryPolicy, Timeouts, TransportError};
use micronode_protocol::Address;
use micronode_protocol::codec::Frame;
use micronode_protocol::frame::Flags;
use micronode_protocol::limits::GROUP_BYTES;
use micronode_protocol::operation::{GetRequest, Operation};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::fake::oap::{MORE, Node, Request, START, get_fields};
use crate::{PLAIN, SOON, client, object, once, verified, with};

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

/// One attempt, and no more than `read` for an answer.
fn impatient(read: Duration) -> ClientOptions {
    ClientOptions {
        retry: RetryPolicy::NEVER,
        timeouts: Timeouts {
            read,
            ..Timeouts::default()
        },
        ..ClientOptions::default()
    }
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
    let client = with(&node, impatient(Duration::from_millis(50)));
    let error = client.ping().await.unwrap_err();
    assert!(
        matches!(error, Error::Transport(TransportError::Stalled(_))),
        "{error:?}"
    );
    client.ping().await.unwrap();
    assert_eq!(node.connections(), 2);
}

/// What is written ends in a buffer of this host also when the node is gone. Calls that came often
/// enough kept such a connection alive: all of them stalled, and so did every one after them.
#[tokio::test]
async fn calls_that_go_out_all_the_time_do_not_hide_that_none_is_answered() {
    let node = Node::start(|mut wire, objects, before| async move {
        wire.welcome(64).await?;
        if before == 0 {
            while wire.frame().await.is_some() {}
            return None;
        }
        wire.serve(&objects).await
    })
    .await;
    let client = with(&node, impatient(Duration::from_millis(200)));
    let mut pings = JoinSet::new();
    let first = loop {
        let client = client.clone();
        pings.spawn(async move { client.ping().await });
        if let Ok(first) = timeout(Duration::from_millis(20), pings.join_next()).await {
            break first.unwrap().unwrap();
        }
    };
    // The others have been on their way for less than the time allowed.
    client.ping().await.unwrap();
    assert_eq!(node.connections(), 2);
    let mut results = pings.join_all().await;
    results.push(first);
    let pings = results.len();
    let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    for error in &failed {
        assert!(
            matches!(error, Error::Transport(TransportError::Stalled(_))),
            "{error:?}"
        );
    }
    // The last of them may have come too late for the first connection.
    assert!(failed.len() + 1 >= pings, "{} of {pings}", failed.len());
}

/// A connection on which something came was good, also for an upload that the node did not take:
/// the next one stalled like the first.
#[tokio::test]
async fn a_node_that_reads_nothing_is_left_however_much_it_says() {
    let node = Node::start(|mut wire, objects, before| async move {
        wire.welcome(64).await?;
        if before == 0 {
            loop {
                wire.send(Flags::EVENT, 2, 0, b"news").await?;
                sleep(Duration::from_millis(10)).await;
            }
        }
        wire.serve(&objects).await
    })
    .await;
    let mut options = impatient(SOON);
    options.timeouts.write = Duration::from_millis(200);
    let client = with(&node, options);
    let bytes = vec![7; 512 * GROUP_BYTES];
    let stalled = client.put_reader(&bytes[..], &PLAIN).await;
    assert!(
        matches!(stalled, Err(Error::Transport(TransportError::Stalled(_)))),
        "{stalled:?}"
    );
    client.ping().await.unwrap();
    assert_eq!(node.connections(), 2);
}

/// A request that waits behind an upload in the buffers on its way is answered late. If only what
/// is read showed that the node is there, its caller took the upload down, which advances.
#[tokio::test]
async fn an_upload_that_advances_outlives_a_call_that_stalls_behind_it() {
    let node = Node::start(|mut wire, objects, _| async move {
        wire.welcome(64).await?;
        let mut payload = Vec::new();
        loop {
            let Frame {
                header,
                payload: part,
                ..
            } = wire.frame().await?;
            if Operation::of(header.app, header.code) != Some(Operation::ObjectPut) {
                continue;
            }
            payload.extend_from_slice(&part);
            if header.flags.has(Flags::END) {
                let request = Request {
                    id: header.corr_id,
                    operation: Operation::ObjectPut,
                    payload,
                    frames: Vec::new(),
                };
                wire.answer(&objects, &request).await?;
                return wire.serve(&objects).await;
            }
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    let client = with(&node, impatient(Duration::from_millis(500)));
    let bytes = vec![7; 512 * GROUP_BYTES];
    let ping = async {
        sleep(Duration::from_millis(50)).await;
        client.ping().await
    };
    let (stored, stalled) = join(client.put_reader(&bytes[..], &PLAIN), ping).await;
    assert!(
        matches!(stalled, Err(Error::Transport(TransportError::Stalled(_)))),
        "{stalled:?}"
    );
    assert_eq!(stored.unwrap().address, Address::of(&bytes));
    assert_eq!(node.connections(), 1);
}

/// An honest node that tells when a connection has been closed.
async fn tells_of_closing() -> (Node, mpsc::Receiver<()>) {
    let (closed, seen) = mpsc::channel(1);
    let node = Node::start(move |mut wire, objects, _| {
        let closed = closed.clone();
        async move {
            wire.welcome(64).await?;
            wire.serve(&objects).await;
            closed.send(()).await.ok()
        }
    })
    .await;
    (node, seen)
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let (node, mut seen) = tells_of_closing().await;
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
    let (node, mut seen) = tells_of_closing().await;
    let client = once(&node);
    client.clone().ping().await.unwrap();
    sleep(Duration::from_millis(50)).await;
    assert!(poll_immediate(seen.recv()).await.is_none(), "not yet");
    drop(client);
    timeout(SOON, seen.recv()).await.unwrap().unwrap();
}
