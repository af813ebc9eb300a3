//! Names, queues and events over OAP: what is told for as long as it is listened to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use micronode_client::{
    BusEvent, Error, Event, Expected, NameChange, NameEvent, QueueStats, ReceiveOptions, Redriven,
    SendOptions, Verdict,
};
use micronode_protocol::Address;
use micronode_protocol::frame::Flags;
use micronode_protocol::limits::OAP_CHUNK_BYTES;
use micronode_protocol::operation::{
    AckRequest, Delivery, EventFrame, EventsRequest, ExtendRequest, LaggedFrame, NackRequest,
    NameDeleteRequest, NameEntry, NameListRequest, NameReply, NameSetReply, NameSetRequest,
    NameWatchRequest, Operation, PurgeReply, ReceiveRequest, RedriveReply, RedriveRequest,
    SendReply, SendRequest, SubscribeRequest,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::fake::oap::{Incoming, Node, WHOLE, Wire};
use crate::{SOON, client, object, once};

const EVENT: Flags = Flags::EVENT;
const SYNCED: Flags = Flags::EVENT.with(Flags::ACK_REQ);
const SECOND: Duration = Duration::from_secs(1);

/// The payload that these fields are.
macro_rules! fields {
    ($fields:expr) => {{
        let mut payload = Vec::new();
        $fields.encode(&mut payload);
        payload
    }};
}

fn delivery(number: usize, body: &[u8]) -> Vec<u8> {
    let (id, receipt) = (format!("m{number}"), format!("r{number}"));
    let fields = fields!(Delivery {
        id: &id,
        receipt: &receipt,
        attempt: 2,
        enqueued_ms: 1500,
        body,
    });
    [&fields, body].concat()
}

fn entry(name: &str, revision: u64, is_there: bool) -> Vec<u8> {
    fields!(NameEntry {
        name,
        address: is_there.then(|| Address::of(b"x")),
        revision,
    })
}

fn changed(name: &str, revision: u64, is_there: bool) -> NameEvent {
    NameEvent::Changed(NameChange {
        name: name.into(),
        address: is_there.then(|| Address::of(b"x")),
        revision,
    })
}

async fn next<T>(stream: &mut (impl StreamExt<Item = Result<T, Error>> + Unpin)) -> T {
    let next = timeout(SOON, stream.next()).await.unwrap();
    next.unwrap().unwrap()
}

#[tokio::test]
async fn operations_on_names_say_in_their_fields_what_http_says() {
    let node = Node::start(|mut wire, _, _| async move {
        wire.welcome(64).await?;
        loop {
            let request = wire.request().await?;
            let payload = &request.payload[..];
            let answer = match request.operation {
                Operation::NameGet => fields!(NameReply {
                    address: Address::of(b"x"),
                    revision: 7,
                }),
                Operation::NameSet => {
                    let set = NameSetRequest::decode(payload).unwrap();
                    assert_eq!((set.name, set.address), ("n", Address::of(b"x")));
                    let revision = set.expected;
                    fields!(NameSetReply { revision })
                }
                Operation::NameDelete => {
                    let delete = NameDeleteRequest::decode(payload).unwrap();
                    if delete.expected == 5 {
                        wire.problem(412, "precondition_failed", request.id).await?;
                        continue;
                    }
                    assert_eq!(delete.expected, u64::MAX);
                    Vec::new()
                }
                Operation::NameList => {
                    let list = NameListRequest::decode(payload).unwrap();
                    assert_eq!((list.prefix, list.limit), ("p", 1000));
                    let names = if list.after.is_empty() {
                        0..1000
                    } else {
                        1000..1001
                    };
                    names
                        .flat_map(|number| entry(&format!("p{number:04}"), number + 1, true))
                        .collect()
                }
                other => panic!("{other:?}"),
            };
            wire.send(WHOLE, 200, request.id, &answer).await?;
        }
    })
    .await;
    let (client, address) = (once(&node), Address::of(b"x"));
    let named = client.resolve("n").await.unwrap();
    assert_eq!((named.address, named.revision), (address, 7));
    for (expected, number) in [
        (Expected::Any, u64::MAX),
        (Expected::Absent, 0),
        (Expected::Revision(5), 5),
    ] {
        let set = client.set_name("n", &address, expected).await;
        assert_eq!(set.unwrap(), number);
    }
    client.remove_name("n", None).await.unwrap();
    let moved = client.remove_name("n", Some(5)).await.unwrap_err();
    assert_eq!(moved.status(), Some(412));
    // Numbers that mean something else on the wire.
    for revision in [0, u64::MAX] {
        let set = Expected::Revision(revision);
        let set = client.set_name("n", &address, set).await;
        assert!(matches!(set, Err(Error::Invalid { .. })));
        let removed = client.remove_name("n", Some(revision)).await;
        assert!(matches!(removed, Err(Error::Invalid { .. })));
    }
    let names: Vec<_> = client.names("p").try_collect().await.unwrap();
    assert_eq!(names.len(), 1001);
    assert_eq!((&*names[1000].name, names[1000].revision), ("p1000", 1001));
    assert_eq!(node.connections(), 1);
}

#[tokio::test]
async fn operations_on_queues_say_in_their_fields_what_http_says() {
    let node = Node::start(|mut wire, _, before| async move {
        wire.welcome(64).await?;
        loop {
            let request = wire.request().await?;
            let payload = &request.payload[..];
            let answer = match request.operation {
                Operation::Send => {
                    let (send, at) = SendRequest::parse(payload).unwrap().unwrap();
                    assert_eq!((send.queue, send.delay_ms), ("q", 1000));
                    // Sixteen random bytes.
                    assert_eq!(send.key.len(), 22);
                    assert_eq!(&payload[at..], object(100_000));
                    let duplicate = true;
                    fields!(SendReply {
                        id: "m1",
                        duplicate
                    })
                }
                Operation::Receive => {
                    let receive = ReceiveRequest::decode(payload).unwrap();
                    // What is waited for is on a connection of its own.
                    assert_eq!(receive.wait_ms > 0, before == 1, "{receive:?}");
                    assert_eq!((receive.max, receive.visibility_ms), (3, 1000));
                    [delivery(1, b""), delivery(2, b"hello")].concat()
                }
                Operation::Ack => {
                    let (_, receipts) = AckRequest::decode_with_receipts(payload).unwrap();
                    assert_eq!(receipts, ["r1", "r2", "r3"]);
                    vec![0, 1, 2]
                }
                Operation::Nack => {
                    let (nack, _) = NackRequest::decode_with_receipts(payload).unwrap();
                    assert_eq!(nack.delay_ms, 1000);
                    vec![0]
                }
                Operation::Extend => {
                    let (extend, _) = ExtendRequest::decode_with_receipts(payload).unwrap();
                    assert_eq!(extend.visibility_ms, 1);
                    vec![0]
                }
                Operation::QueueStats => {
                    br#"{"ready":1,"leased":2,"delayed":3,"dead":4,"bytes":5}"#.to_vec()
                }
                Operation::Purge => fields!(PurgeReply { removed: 7 }),
                Operation::Redrive => {
                    let redrive = RedriveRequest::decode(payload).unwrap();
                    let moved = redrive.limit;
                    fields!(RedriveReply { moved, left: 9 })
                }
                other => panic!("{other:?}"),
            };
            wire.send(WHOLE, 200, request.id, &answer).await?;
        }
    })
    .await;
    let client = once(&node);
    let options = SendOptions {
        delay: Some(SECOND),
        ..SendOptions::default()
    };
    let body = Bytes::from(object(100_000));
    let sent = client.send("q", body, &options).await.unwrap();
    assert_eq!((&*sent.id, sent.duplicate), ("m1", true));
    for wait in [Duration::ZERO, SECOND] {
        let options = ReceiveOptions {
            max: 3,
            wait,
            visibility: SECOND,
        };
        let messages = client.receive("q", &options).await.unwrap();
        let bodies: Vec<_> = messages.iter().map(|it| it.body.clone()).collect();
        assert_eq!(bodies, ["", "hello"]);
        assert_eq!((&*messages[1].receipt, messages[1].attempt), ("r2", 2));
    }
    let verdicts = client.ack("q", &["r1", "r2", "r3"]).await.unwrap();
    assert_eq!(verdicts, [Verdict::Ok, Verdict::Late, Verdict::Unknown]);
    client.nack("q", SECOND, &["r1"]).await.unwrap();
    let least = Duration::from_millis(1);
    client.extend("q", least, &["r1"]).await.unwrap();
    let stats = QueueStats {
        ready: 1,
        leased: 2,
        delayed: 3,
        dead: 4,
        bytes: 5,
    };
    assert_eq!(client.queue_stats("q").await.unwrap(), stats);
    assert_eq!(client.purge("q").await.unwrap(), 7);
    let redriven = Redriven { moved: 8, left: 9 };
    assert_eq!(client.redrive("q", 8).await.unwrap(), redriven);
    assert_eq!(node.connections(), 2);
}

#[tokio::test]
async fn a_watch_tells_what_the_node_tells_and_everything_again_after_a_break() {
    let node = Node::start(|mut wire, _, before| async move {
        wire.welcome(64).await?;
        let request = wire.request().await?;
        let id = request.id;
        assert_eq!(
            NameWatchRequest::decode(&request.payload).unwrap().prefix,
            "a/"
        );
        wire.send(EVENT, 200, id, &entry("a/x", 3, true)).await?;
        wire.send(SYNCED, 200, id, b"").await?;
        if before == 0 {
            wire.send(EVENT, 200, id, &entry("a/x", 4, false)).await?;
            return wire.close().await;
        }
        let lagged = fields!(LaggedFrame { missed: 9 });
        wire.send(EVENT, 429, id, &lagged).await?;
        wire.problem(403, "forbidden", id).await?;
        wire.frame().await.map(drop)
    })
    .await;
    let mut names = client(&node).watch_names("a/");
    for expected in [
        changed("a/x", 3, true),
        NameEvent::Synced,
        changed("a/x", 4, false),
        NameEvent::Lagged(0),
        changed("a/x", 3, true),
        NameEvent::Synced,
        NameEvent::Lagged(9),
    ] {
        assert_eq!(next(&mut names).await, expected);
    }
    let error = names.try_next().await.unwrap_err();
    assert_eq!(error.status(), Some(403));
}

#[tokio::test]
async fn events_go_on_behind_the_last_one_that_came() {
    let node = Node::start(|mut wire, _, before| async move {
        wire.welcome(64).await?;
        let request = wire.request().await?;
        let last = EventsRequest::decode(&request.payload).unwrap().last_id;
        assert_eq!(last, ["", "boot-1"][before]);
        let id = ["boot-1", "boot-2"][before];
        let event = [&fields!(EventFrame { id })[..], br#"{"type":"health"}"#].concat();
        wire.send(EVENT, 200, request.id, &event).await?;
        if before == 0 {
            return wire.close().await;
        }
        // Nothing that is an event.
        let event = fields!(EventFrame { id: "boot-3" });
        wire.send(EVENT, 200, request.id, &event).await?;
        wire.frame().await.map(drop)
    })
    .await;
    let mut events = client(&node).events(None);
    for id in ["boot-1", "boot-2"] {
        let expected = Event {
            id: id.into(),
            kind: "health".into(),
            data: r#"{"type":"health"}"#.into(),
        };
        assert_eq!(next(&mut events).await, BusEvent::Event(expected));
    }
    let error = events.try_next().await.unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
}

/// Serves calls on other connections than the first, which `first` does as it likes.
async fn first_connection<F>(
    before: usize,
    mut wire: Wire,
    first: impl FnOnce(Wire) -> F,
) -> Option<()>
where
    F: Future<Output = Option<()>>,
{
    if before == 0 {
        return first(wire).await;
    }
    wire.welcome(64).await?;
    wire.serve(&crate::fake::Objects::default()).await
}

#[tokio::test]
async fn what_is_told_and_not_taken_is_left_with_the_node_and_holds_up_no_call() {
    const EVENTS: usize = 40_000;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let node = Node::start(move |wire, _, before| {
        let counted = Arc::clone(&counted);
        first_connection(before, wire, async move |mut wire| {
            wire.welcome(64).await?;
            let id = wire.request().await?.id;
            let name = "n".repeat(255);
            for revision in 1..=EVENTS as u64 {
                wire.send(EVENT, 200, id, &entry(&name, revision, true))
                    .await?;
                counted.fetch_add(1, Ordering::Relaxed);
            }
            wire.frame().await.map(drop)
        })
    })
    .await;
    let client = once(&node);
    let mut names = client.watch_names("");
    next(&mut names).await;
    // Until the buffers of both sockets are full.
    let mut before = 0;
    while before != sent.load(Ordering::Relaxed) {
        before = sent.load(Ordering::Relaxed);
        sleep(Duration::from_millis(200)).await;
    }
    assert!(before < EVENTS, "nothing held the node back");
    timeout(SOON, client.ping()).await.unwrap().unwrap();
    for revision in 2..=EVENTS as u64 {
        match next(&mut names).await {
            NameEvent::Changed(change) => assert_eq!(change.revision, revision),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(node.connections(), 2);
}

#[tokio::test]
async fn subscriptions_share_a_connection_take_no_place_and_are_cancelled_when_dropped() {
    let (cancelled, mut seen) = mpsc::channel(1);
    let node = Node::start(move |wire, _, before| {
        let cancelled = cancelled.clone();
        first_connection(before, wire, async move |mut wire| {
            // One stream at once, and three that wait.
            wire.welcome(1).await?;
            let mut subscribed = Vec::new();
            for queue in ["q0", "q1", "q2"] {
                let request = wire.request().await?;
                let subscribe = SubscribeRequest::decode(&request.payload).unwrap();
                assert_eq!((subscribe.queue, subscribe.credit), (queue, 5));
                assert_eq!(subscribe.visibility_ms, 1000);
                subscribed.push(request.id);
            }
            for (number, id) in subscribed.iter().enumerate().rev() {
                let delivery = delivery(number, b"hello");
                wire.send(EVENT, 200, *id, &delivery).await?;
            }
            match wire.next().await? {
                Incoming::Cancel(id) => assert_eq!(id, subscribed[1]),
                other => panic!("{other:?}"),
            }
            cancelled.send(()).await.ok()?;
            // It was on its way.
            wire.send(EVENT, 200, subscribed[1], &delivery(8, b"late"))
                .await?;
            wire.send(EVENT, 200, subscribed[2], &delivery(9, b"next"))
                .await?;
            wire.frame().await.map(drop)
        })
    })
    .await;
    let client = once(&node);
    let mut subscriptions: Vec<_> = ["q0", "q1", "q2"]
        .map(|queue| client.subscribe(queue, 5, SECOND))
        .into();
    let first = join_all(subscriptions.iter_mut().map(next)).await;
    let ids: Vec<_> = first.iter().map(|message| &*message.id).collect();
    assert_eq!(ids, ["m0", "m1", "m2"]);
    drop(subscriptions.remove(1));
    timeout(SOON, seen.recv()).await.unwrap().unwrap();
    assert_eq!(next(&mut subscriptions[1]).await.body, "next");
    client.ping().await.unwrap();
    assert_eq!(node.connections(), 2);
}

#[tokio::test]
async fn a_long_message_comes_in_several_frames() {
    let node = Node::start(|mut wire, _, _| async move {
        wire.welcome(64).await?;
        let id = wire.request().await?.id;
        let payload = [delivery(1, &object(300_000)), delivery(2, b"short")];
        for payload in &payload {
            for frame in payload.chunks(OAP_CHUNK_BYTES) {
                wire.send(EVENT, 200, id, frame).await?;
            }
        }
        wire.frame().await.map(drop)
    })
    .await;
    let mut messages = once(&node).subscribe("q", 1, SECOND);
    // Nobody is there to take the first when the second comes: with a credit of one, its lease
    // has ended.
    assert!(messages.next().now_or_never().is_none());
    let first = next(&mut messages).await;
    if first.id == "m1" {
        assert_eq!(first.body, object(300_000));
        assert_eq!(next(&mut messages).await.body, "short");
    } else {
        assert_eq!(first.body, "short");
    }
}

#[tokio::test]
async fn what_is_no_delivery_ends_a_subscription() {
    for payload in [vec![0xff; 10], [&delivery(1, b"x")[..], b"more"].concat()] {
        let node = Node::start(move |mut wire, _, _| {
            let payload = payload.clone();
            async move {
                wire.welcome(64).await?;
                let id = wire.request().await?.id;
                wire.send(EVENT, 200, id, &payload).await?;
                wire.frame().await.map(drop)
            }
        })
        .await;
        let mut messages = once(&node).subscribe("q", 1, SECOND);
        let error = timeout(SOON, messages.try_next()).await.unwrap();
        assert!(matches!(error, Err(Error::Protocol(_))), "{error:?}");
    }
}
