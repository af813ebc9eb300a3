//! Reads against a node that fails and lies: what comes out is right or an error.
#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

mod fake;

use std::sync::Arc;
use std::time::Duration;

use fake::{Node, Reply, answer, manifest_of, problem};
use futures_util::TryStreamExt;
use micronode_client::{
    ByteRange, Client, ClientOptions, Error, Integrity, RetryPolicy, SPAN_BYTES, Timeouts,
    TransportError,
};
use micronode_protocol::Address;
use micronode_protocol::limits::GROUP_BYTES;

const SPAN: usize = SPAN_BYTES as usize;

fn object(size: usize) -> Vec<u8> {
    (0..size)
        .map(|i| (i % 251) as u8 ^ (i / 65536) as u8)
        .collect()
}

/// Retries at once, three attempts.
fn client(node: &Node) -> Client {
    let retry = RetryPolicy {
        attempts: 3,
        first_delay: Duration::from_millis(1),
        ..RetryPolicy::default()
    };
    Client::with_options(
        &node.url,
        ClientOptions {
            retry,
            ..ClientOptions::default()
        },
    )
    .unwrap()
}

async fn read(client: &Client, address: &Address) -> Result<Vec<u8>, Error> {
    Ok(client.get(address).await?.bytes(usize::MAX).await?.to_vec())
}

/// The honest answer, changed.
fn changed(bytes: &[u8], range: Option<&str>, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let objects = fake::Objects::default();
    let address = objects.insert(bytes);
    let headers = range
        .map(|range| ("range".to_owned(), range.to_owned()))
        .into_iter()
        .collect();
    let request = fake::Request {
        method: "GET".into(),
        path: format!("/o/{address}"),
        headers,
        body: None,
    };
    let mut answer = objects.answer(&request).unwrap();
    change(&mut answer);
    answer
}

#[tokio::test]
async fn objects_of_every_shape_come_back() {
    let node = Node::honest().await;
    let client = client(&node);
    for size in [
        0,
        1,
        GROUP_BYTES - 1,
        GROUP_BYTES,
        GROUP_BYTES + 1,
        SPAN - 1,
        SPAN,
        SPAN + 1,
        3 * SPAN + 5,
    ] {
        let bytes = object(size);
        let address = node.objects.insert(&bytes);
        assert_eq!(read(&client, &address).await.unwrap(), bytes, "{size}");

        let manifest = Arc::new(client.manifest(&address).await.unwrap());
        let mut unordered = vec![0; size];
        let mut total = 0;
        let mut pieces = client.pieces(manifest, vec![0..size as u64]);
        while let Some(piece) = pieces.try_next().await.unwrap() {
            let at = piece.offset as usize;
            unordered[at..at + piece.bytes.len()].copy_from_slice(&piece.bytes);
            total += piece.bytes.len();
        }
        assert_eq!((total, unordered), (size, bytes), "{size}");
    }
}

#[tokio::test]
async fn ranges_come_back_and_ask_only_for_the_groups_they_touch() {
    let node = Node::honest().await;
    let client = client(&node);
    let bytes = object(SPAN + 3 * GROUP_BYTES + 9);
    let address = node.objects.insert(&bytes);
    let (group, size) = (GROUP_BYTES as u64, bytes.len() as u64);
    for (range, asked) in [
        (ByteRange::Between(0, 0), (0, group)),
        (ByteRange::Between(group - 1, group), (0, 2 * group)),
        (
            ByteRange::Between(2 * group, 3 * group - 1),
            (2 * group, 3 * group),
        ),
        (ByteRange::From(size - 1), (size - 9, size)),
        (ByteRange::Last(10), (size - 9 - group, size)),
        (ByteRange::Between(size - 5, u64::MAX), (size - 9, size)),
    ] {
        let download = client.get_range(&address, range).await.unwrap();
        let at = download.range();
        assert_eq!(download.size(), size);
        assert_eq!(
            download.bytes(GROUP_BYTES).await.unwrap(),
            bytes[at.start as usize..at.end as usize],
            "{range}"
        );
        let request = node.requests().pop().unwrap();
        assert_eq!(
            request.header("range"),
            Some(format!("bytes={}-{}", asked.0, asked.1 - 1).as_str()),
            "{range}"
        );
    }
    let outside = client.get_range(&address, ByteRange::From(size)).await;
    assert!(matches!(outside, Err(Error::RangeUnsatisfiable { size: s }) if s == size));
}

#[tokio::test]
async fn a_bound_on_the_size_holds_before_anything_is_fetched() {
    let node = Node::honest().await;
    let address = node.objects.insert(&object(10));
    let client = client(&node);
    assert!(client.get(&address).await.unwrap().bytes(10).await.is_ok());
    let over = client.get(&address).await.unwrap().bytes(9).await;
    assert!(matches!(over, Err(Error::TooLarge { size: 10, limit: 9 })));
    assert_eq!(
        node.requests()
            .iter()
            .filter(|request| request.is_data())
            .count(),
        1
    );
}

#[tokio::test]
async fn wrong_bytes_never_come_out_and_are_not_asked_for_again() {
    let bytes = object(4 * GROUP_BYTES);
    let corrupt = changed(&bytes, None, |answer| {
        let at = answer.len() - 2 * GROUP_BYTES + 7;
        answer[at] ^= 1;
    });
    let node =
        Node::start(move |request, _| request.is_data().then(|| Reply::Send(corrupt.clone())))
            .await;
    let address = node.objects.insert(&bytes);
    let client = client(&node);
    let manifest = Arc::new(client.manifest(&address).await.unwrap());
    let mut pieces = client.pieces(manifest, vec![0..bytes.len() as u64]);
    for good in 0..2 {
        let piece = pieces.try_next().await.unwrap().unwrap();
        assert_eq!(
            piece.bytes,
            bytes[good * GROUP_BYTES..(good + 1) * GROUP_BYTES]
        );
    }
    match pieces.try_next().await {
        Err(Error::Integrity(Integrity::Group {
            address: of,
            offset,
        })) => {
            assert_eq!((of, offset), (address, 2 * GROUP_BYTES as u64));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(node.requests().len(), 2);
}

#[tokio::test]
async fn a_small_object_is_checked_against_its_address_alone() {
    let bytes = object(100);
    for change in [
        |answer: &mut Vec<u8>| *answer.last_mut().unwrap() ^= 1,
        |answer: &mut Vec<u8>| *answer = fake::answer(200, &[], &[7; 100]),
    ] {
        let corrupt = changed(&bytes, None, change);
        let node =
            Node::start(move |request, _| request.is_data().then(|| Reply::Send(corrupt.clone())))
                .await;
        let address = node.objects.insert(&bytes);
        let error = read(&client(&node), &address).await.unwrap_err();
        assert!(
            matches!(error, Error::Integrity(Integrity::Group { offset: 0, .. })),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_manifest_that_lies_is_found_out() {
    let bytes = object(3 * GROUP_BYTES);
    let honest = manifest_of(&bytes);
    let mut lies = vec![
        manifest_of(b""),
        manifest_of(&object(3 * GROUP_BYTES + 1)),
        manifest_of(&vec![0; 3 * GROUP_BYTES]),
        Vec::new(),
        b"B3M1".to_vec(),
        [honest.as_slice(), &[0]].concat(),
        honest[..honest.len() - 32].to_vec(),
    ];
    for at in [0, 12, 43, honest.len() - 1] {
        let mut lie = honest.clone();
        lie[at] ^= 1;
        lies.push(lie);
    }
    for lie in lies {
        let wire = lie.clone();
        let node = Node::start(move |request, _| {
            request
                .path
                .ends_with("/manifest")
                .then(|| Reply::Send(answer(200, &[], &lie)))
        })
        .await;
        let address = node.objects.insert(&bytes);
        let error = client(&node).manifest(&address).await.unwrap_err();
        assert!(
            matches!(error, Error::Integrity(Integrity::Manifest(of)) if of == address),
            "{error:?} for {wire:?}"
        );
        assert_eq!(node.requests().len(), 1);
    }
}

/// A wrong size within the last group merges to the right address; only the group itself shows it.
#[tokio::test]
async fn a_manifest_that_lies_about_the_size_alone_is_found_out_by_the_last_group() {
    for (true_size, claimed) in [
        (100, 99),
        (100, 101),
        (2 * GROUP_BYTES - 10, 2 * GROUP_BYTES - 11),
    ] {
        let bytes = object(true_size);
        let mut lie = manifest_of(&bytes);
        lie[4..12].copy_from_slice(&(claimed as u64).to_be_bytes());
        let data = answer(200, &[], &object(claimed));
        let node = Node::start(move |request, _| {
            let lie = if request.is_data() {
                data.clone()
            } else {
                answer(200, &[], &lie)
            };
            Some(Reply::Send(lie))
        })
        .await;
        let error = read(&client(&node), &Address::of(&bytes))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Integrity(Integrity::Group { .. })),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_manifest_beyond_the_cap_is_refused_by_its_declared_length() {
    let node = Node::start(|_, _| {
        Some(Reply::Send(
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec(),
        ))
    })
    .await;
    let error = client(&node)
        .manifest(&Address::of(b"x"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
}

#[tokio::test]
async fn a_cut_answer_goes_on_at_the_first_unverified_group() {
    let bytes = object(6 * GROUP_BYTES + 1);
    // The whole object is declared; two groups and a half arrive.
    let cut = changed(&bytes, None, |answer| {
        answer.truncate(answer.len() - (4 * GROUP_BYTES - 100));
    });
    let node = Node::start(move |request, _| {
        (request.is_data() && request.header("range").is_none())
            .then(|| Reply::SendAndClose(cut.clone()))
    })
    .await;
    let address = node.objects.insert(&bytes);
    assert_eq!(read(&client(&node), &address).await.unwrap(), bytes);
    let last = node.requests().pop().unwrap();
    assert_eq!(
        last.header("range"),
        Some(format!("bytes={}-{}", 2 * GROUP_BYTES, bytes.len() - 1).as_str())
    );
}

/// Each attempt advances by a group, so a download takes as many as it needs; without progress it
/// ends after the policy's number.
#[tokio::test]
async fn attempts_are_counted_between_steps_of_progress() {
    let bytes = object(8 * GROUP_BYTES);
    let objects = fake::Objects::default();
    objects.insert(&bytes);
    let node = Node::start(move |request, _| {
        request.is_data().then(|| {
            let mut whole = objects.answer(request).unwrap();
            let head = whole.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
            whole.truncate(head + GROUP_BYTES + 1);
            Reply::SendAndClose(whole)
        })
    })
    .await;
    let address = node.objects.insert(&bytes);
    // The last group is never followed by the one byte more, and so is complete.
    assert_eq!(read(&client(&node), &address).await.unwrap(), bytes);
    assert_eq!(
        node.requests()
            .iter()
            .filter(|request| request.is_data())
            .count(),
        8
    );

    let node =
        Node::start(|request, _| request.is_data().then(|| Reply::SendAndClose(Vec::new()))).await;
    let address = node.objects.insert(&bytes);
    let error = read(&client(&node), &address).await.unwrap_err();
    assert!(
        matches!(error, Error::Transport(TransportError::Connection(_))),
        "{error:?}"
    );
    assert_eq!(
        node.requests()
            .iter()
            .filter(|request| request.is_data())
            .count(),
        3
    );
}

#[tokio::test]
async fn an_answer_that_is_complete_but_short_is_not_taken_for_the_object() {
    let bytes = object(3 * GROUP_BYTES);
    let short = answer(200, &[], &bytes[..2 * GROUP_BYTES + 1]);
    let node =
        Node::start(move |request, _| (request.is_data()).then(|| Reply::Send(short.clone())))
            .await;
    let address = node.objects.insert(&bytes);
    // Asked for the rest, the node gives the whole again: that is not a range.
    let error = read(&client(&node), &address).await.unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
}

#[tokio::test]
async fn another_range_than_asked_for_is_refused() {
    let bytes = object(4 * GROUP_BYTES);
    let (first, last) = (GROUP_BYTES, 2 * GROUP_BYTES - 1);
    for (status, content_range) in [
        (206, format!("bytes {}-{last}/{}", first + 1, bytes.len())),
        (206, format!("bytes {first}-{last}/{}", bytes.len() + 1)),
        (206, String::new()),
        (200, format!("bytes {first}-{last}/{}", bytes.len())),
    ] {
        let data = bytes[first..=last].to_vec();
        let node = Node::start(move |request, _| {
            request
                .is_data()
                .then(|| Reply::Send(answer(status, &[("content-range", &content_range)], &data)))
        })
        .await;
        let address = node.objects.insert(&bytes);
        let download = client(&node)
            .get_range(&address, ByteRange::Between(first as u64, last as u64))
            .await
            .unwrap();
        assert!(
            matches!(download.bytes(GROUP_BYTES).await, Err(Error::Protocol(_))),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_node_that_finds_its_bytes_corrupt_is_an_integrity_failure_and_is_asked_once() {
    let node = Node::start(|_, _| Some(Reply::Send(problem(502, "integrity_fail", &[])))).await;
    let error = client(&node)
        .manifest(&Address::of(b"x"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Integrity(Integrity::Stored { .. })),
        "{error:?}"
    );
    assert_eq!(node.requests().len(), 1);
}

#[tokio::test]
async fn silence_ends_with_the_time_allowed() {
    let bytes = object(2 * GROUP_BYTES);
    let half = changed(&bytes, None, |answer| {
        answer.truncate(answer.len() - GROUP_BYTES);
    });
    for reply in [None, Some(half)] {
        let sent = reply.clone();
        let node = Node::start(move |request, _| {
            request
                .is_data()
                .then(|| sent.clone().map_or(Reply::Silence, Reply::SendAndDiscard))
        })
        .await;
        let address = node.objects.insert(&bytes);
        let timeouts = Timeouts {
            connect: Duration::from_millis(10),
            read: Duration::from_millis(50),
            ..Timeouts::default()
        };
        let options = ClientOptions {
            timeouts,
            retry: RetryPolicy::NEVER,
            ..ClientOptions::default()
        };
        let error = read(&Client::with_options(&node.url, options).unwrap(), &address)
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Transport(TransportError::Stalled(_))),
            "{error:?} after {reply:?}"
        );
    }
}

#[tokio::test]
async fn a_download_has_as_many_requests_under_way_as_connections() {
    let bytes = object(8 * SPAN);
    for connections in [1, 3] {
        let node = Node::start(|request, _| request.is_data().then_some(Reply::Silence)).await;
        let address = node.objects.insert(&bytes);
        let options = ClientOptions {
            connections: connections.try_into().unwrap(),
            ..ClientOptions::default()
        };
        let client = Client::with_options(&node.url, options).unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(300), read(&client, &address));
        assert!(waiting.await.is_err());
        let under_way = node
            .requests()
            .iter()
            .filter(|request| request.is_data())
            .count();
        assert_eq!(under_way, connections);
    }
}
