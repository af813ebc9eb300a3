//! Names and events over HTTP, with a node that fails and lies.
#![allow(clippy::unwrap_used)]

mod fake;

use std::time::Duration;

use fake::{Node, Reply, Request, answer, problem};
use futures_util::{StreamExt, TryStreamExt};
use micronode_client::{
    BusEvent, Client, ClientOptions, Error, Event, Expected, NameChange, NameEvent, RetryPolicy,
};
use micronode_protocol::Address;
use serde_json::{Value, json};
use tokio::time::timeout;

/// Long enough for anything that happens at all.
const SOON: Duration = Duration::from_secs(10);

/// Retries at once, three attempts.
fn client(node: &Node) -> Client {
    let retry = RetryPolicy {
        attempts: 3,
        first_delay: Duration::from_millis(1),
        ..RetryPolicy::default()
    };
    let options = ClientOptions {
        retry,
        ..ClientOptions::default()
    };
    Client::with_options(&node.url, options).unwrap()
}

fn document(status: u16, document: &Value) -> Reply {
    Reply::Send(answer(status, &[], document.to_string().as_bytes()))
}

fn entry(name: &str, revision: u64) -> Value {
    json!({"name": name, "address": Address::of(name.as_bytes()).to_string(), "revision": revision})
}

fn changed(name: &str, revision: u64, is_there: bool) -> NameEvent {
    NameEvent::Changed(NameChange {
        name: name.into(),
        address: is_there.then(|| Address::of(name.as_bytes())),
        revision,
    })
}

/// The head of a read through a name.
fn points_at(address: &Address, revision: u64) -> Reply {
    let location = format!("/o/{address}");
    let revision = revision.to_string();
    let head = [
        ("content-location", location.as_str()),
        ("name-revision", &revision),
    ];
    Reply::Send(answer(200, &head, b""))
}

/// Begins a stream of events.
fn events(text: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    [head, text].concat().into_bytes()
}

fn sse(id: u64, kind: &str, data: &Value) -> String {
    format!("id: boot-{id}\nevent: {kind}\ndata: {data}\n\n")
}

#[tokio::test]
async fn a_set_and_a_removal_carry_their_condition() {
    let address = Address::of(b"x");
    let node = Node::start(move |request, _| {
        let body = request.body.as_ref()?;
        Some(match request.method.as_str() {
            "PUT" => {
                let asked: Value = serde_json::from_slice(body).unwrap();
                assert_eq!(asked, json!({"address": address.to_string()}));
                let set = json!({"name": "a/b", "address": address.to_string(), "revision": 7});
                document(201, &set)
            }
            _ => Reply::Send(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        })
    })
    .await;
    let client = client(&node);
    for expected in [Expected::Any, Expected::Absent, Expected::Revision(5)] {
        let revision = client.set_name("a/b", &address, expected).await.unwrap();
        assert_eq!(revision, 7);
    }
    client.remove_name("a/b", None).await.unwrap();
    client.remove_name("a/b", Some(6)).await.unwrap();
    let conditions: Vec<_> = node
        .requests()
        .iter()
        .map(|request| {
            assert_eq!(request.path, "/n/a/b");
            let header = |name| request.header(name).map(str::to_owned);
            (header("if-match"), header("if-none-match"))
        })
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        conditions,
        [
            (None, None),
            (None, text("*")),
            (text("\"5\""), None),
            (None, None),
            (text("\"6\""), None)
        ]
    );
}

/// After an answer that was lost, a second attempt would be refused for what the first one did.
#[tokio::test]
async fn a_change_under_a_condition_is_not_repeated_when_it_may_have_been_made() {
    let address = Address::of(b"x");
    let lost = || Reply::SendAndClose(Vec::new());
    let refused = || Reply::Send(problem(503, "overloaded", &[("retry-after", "0")]));
    let late = || Reply::Send(problem(504, "deadline", &[]));
    for (fault, conditional, plain) in [
        (lost as fn() -> Reply, 1, 3),
        (refused as fn() -> Reply, 3, 3),
        (late as fn() -> Reply, 1, 3),
    ] {
        let node = Node::start(move |request, _| request.body.is_some().then(fault)).await;
        let client = client(&node);
        let mut before = 0;
        let mut made = || {
            let requests = node.requests().len();
            requests - std::mem::replace(&mut before, requests)
        };
        for (expected, attempts) in [
            (Expected::Any, plain),
            (Expected::Absent, conditional),
            (Expected::Revision(5), conditional),
        ] {
            client.set_name("n", &address, expected).await.unwrap_err();
            assert_eq!(made(), attempts);
        }
        for (revision, attempts) in [(None, plain), (Some(5), conditional)] {
            client.remove_name("n", revision).await.unwrap_err();
            assert_eq!(made(), attempts);
        }
    }
}

#[tokio::test]
async fn what_is_no_name_is_not_asked_for() {
    let node = Node::honest().await;
    let client = client(&node);
    for name in ["", "/a", "a//b", "a/../b", "A", "a b", "a?x"] {
        let error = client.resolve(name).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{name}: {error:?}");
        let mut names = client.names(&format!("{name}\0"));
        let error = names.try_next().await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{name}: {error:?}");
    }
    assert!(node.requests().is_empty());
}

#[tokio::test]
async fn an_answer_that_does_not_say_where_a_name_points_is_none() {
    let address = Address::of(b"x").to_string();
    let location = format!("/o/{address}");
    for head in [
        &[("content-location", location.as_str())][..],
        &[("name-revision", "7")],
        &[("content-location", &address), ("name-revision", "7")],
        &[("content-location", &location), ("name-revision", "-7")],
    ] {
        let reply = answer(200, head, b"");
        let node = Node::start(move |_, _| Some(Reply::Send(reply.clone()))).await;
        let error = client(&node).resolve("n").await.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    }
    // Another name than the one that was set.
    let node = Node::start(|request, _| {
        request.body.as_ref()?;
        Some(document(200, &entry("other", 7)))
    })
    .await;
    let set = client(&node)
        .set_name("n", &Address::of(b"other"), Expected::Any)
        .await;
    assert!(matches!(set, Err(Error::Protocol(_))));
}

#[tokio::test]
async fn names_are_listed_page_by_page_as_far_as_they_are_wanted() {
    let node = Node::start(|request, _| {
        Some(match request.path.as_str() {
            "/n?prefix=a&after=&limit=1000" => document(
                200,
                &json!({"names": [entry("a", 1), entry("ab", 9)], "next": "ab"}),
            ),
            "/n?prefix=a&after=ab&limit=1000" => {
                document(200, &json!({"names": [entry("ac", 2)], "next": null}))
            }
            other => panic!("{other}"),
        })
    })
    .await;
    let client = client(&node);
    let names: Vec<_> = client.names("a").try_collect().await.unwrap();
    let names: Vec<_> = names.iter().map(|it| (&*it.name, it.revision)).collect();
    assert_eq!(names, [("a", 1), ("ab", 9), ("ac", 2)]);
    assert_eq!(node.requests().len(), 2);
    let first: Vec<_> = client.names("a").take(2).try_collect().await.unwrap();
    assert_eq!((first.len(), node.requests().len()), (2, 3));
}

#[tokio::test]
async fn a_list_that_does_not_go_on_is_no_list() {
    let node = Node::start(|_, _| {
        let page = json!({"names": [entry("a", 1)], "next": "a"});
        Some(document(200, &page))
    })
    .await;
    let names: Result<Vec<_>, _> = client(&node).names("").try_collect().await;
    assert!(matches!(names, Err(Error::Protocol(_))));
    assert_eq!(node.requests().len(), 2);
}

#[tokio::test]
async fn a_name_that_moves_while_it_is_read_does_not_mix_two_objects() {
    let (first, second) = (vec![1; 200_000], vec![2; 300_000]);
    let addresses = [&first, &second].map(|bytes| Address::of(bytes));
    let node = Node::start(move |request, before| {
        let moved = usize::from(before > 0);
        (request.method == "HEAD").then(|| points_at(&addresses[moved], before as u64 + 1))
    })
    .await;
    node.objects.insert(&first);
    node.objects.insert(&second);
    let client = client(&node);
    for bytes in [first, second] {
        let download = client.get_name("n").await.unwrap();
        assert!(download.bytes(usize::MAX).await.unwrap() == bytes);
    }
}

#[tokio::test]
async fn events_go_on_behind_the_last_one_that_came() {
    let node = Node::start(|request, before| {
        assert!(request.is("GET", "/events"));
        let last = request.header("last-event-id");
        Some(match before {
            0 => {
                assert_eq!(last, None);
                let first = sse(1, "health", &json!({"state": "ready"}));
                // The second one is cut.
                Reply::SendAndClose(events(&format!(":\n\n{first}id: boot-2\ndata: {{")))
            }
            1 => {
                assert_eq!(last, Some("boot-1"));
                let lagged = "event: lagged\ndata: {\"missed\":3}\n\n";
                let next = sse(5, "object.put", &json!({"size": 1}));
                Reply::SendAndClose(events(&format!("{lagged}{next}")))
            }
            _ => {
                assert_eq!(last, Some("boot-5"));
                Reply::Send(problem(403, "forbidden", &[]))
            }
        })
    })
    .await;
    let mut told = client(&node).events(None);
    let event = |id: &str, kind: &str, data: &str| {
        BusEvent::Event(Event {
            id: id.into(),
            kind: kind.into(),
            data: data.into(),
        })
    };
    for expected in [
        event("boot-1", "health", r#"{"state":"ready"}"#),
        BusEvent::Lagged(3),
        event("boot-5", "object.put", r#"{"size":1}"#),
    ] {
        let next = timeout(SOON, told.try_next()).await.unwrap();
        assert_eq!(next.unwrap(), Some(expected));
    }
    let error = told.try_next().await.unwrap_err();
    assert_eq!(error.status(), Some(403));
    assert!(told.next().await.is_none());
}

/// A way that broke before its first event left nothing to go on behind: what happened until the
/// next one was open was lost without a word.
#[tokio::test]
async fn events_that_nobody_can_count_are_told_as_missed() {
    let node = Node::start(|_, before| {
        Some(match before {
            0 => Reply::SendAndClose(Vec::new()),
            1 => Reply::SendAndClose(events(":\n\n")),
            _ => Reply::SendAndDiscard(events(&sse(7, "health", &json!({})))),
        })
    })
    .await;
    let mut told = client(&node).events(None);
    let event = BusEvent::Event(Event {
        id: "boot-7".into(),
        kind: "health".into(),
        data: "{}".into(),
    });
    // None for the one that was never open.
    for expected in [BusEvent::Lagged(0), event] {
        let next = timeout(SOON, told.try_next()).await.unwrap();
        assert_eq!(next.unwrap(), Some(expected));
    }
    assert_eq!(node.requests().len(), 3);
}

/// What is told of a break is not told by the node, whose attempts are still counted.
#[tokio::test]
async fn a_node_that_ends_every_stream_at_once_is_given_up() {
    let node = Node::start(|_, _| Some(Reply::SendAndClose(events("")))).await;
    let told: Vec<_> = client(&node).events(None).collect().await;
    assert_eq!((told.len(), node.requests().len()), (3, 3));
    for told in &told[..2] {
        assert_eq!(*told.as_ref().unwrap(), BusEvent::Lagged(0));
    }
    told[2].as_ref().unwrap_err();
}

#[tokio::test]
async fn what_is_no_stream_of_events_ends_it() {
    let cut = "data: ".to_owned() + &"x".repeat(20_000) + "\n\n";
    let endless = events(&cut);
    for reply in [answer(200, &[], b"data: x\n\n"), endless] {
        let node = Node::start(move |_, _| Some(Reply::SendAndClose(reply.clone()))).await;
        let error = client(&node).events(None).try_next().await.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{error:?}");
        assert_eq!(node.requests().len(), 1);
    }
}

/// One after another, because nothing of a stream may come before it is asked for.
async fn take(
    events: &mut (impl StreamExt<Item = Result<NameEvent, Error>> + Unpin),
    count: usize,
) -> Vec<NameEvent> {
    let mut taken = Vec::new();
    for _ in 0..count {
        let next = timeout(SOON, events.next()).await.unwrap();
        taken.push(next.unwrap().unwrap());
    }
    taken
}

#[tokio::test]
async fn a_watch_lists_what_is_there_and_tells_what_is_news() {
    let watched = |request: &Request, before: usize| {
        Some(match (before, request.path.as_str()) {
            // Before the list, so that nothing falls between the two.
            (0, "/events") => Reply::SendAndClose(events(
                &[
                    sse(1, "name.set", &entry("a/x", 3)),
                    sse(2, "object.put", &json!({"size": 1})),
                    sse(3, "name.set", &entry("b/x", 8)),
                    sse(4, "name.set", &entry("a/x", 9)),
                    sse(5, "name.deleted", &json!({"name": "a/y", "revision": 10})),
                ]
                .concat(),
            )),
            (1, "/n?prefix=a/&after=&limit=1000") => {
                let names = json!({"names": [entry("a/x", 3)], "next": "a/x"});
                document(200, &names)
            }
            (2, "/n?prefix=a/&after=a/x&limit=1000") => {
                let names = json!({"names": [entry("a/y", 4)], "next": null});
                document(200, &names)
            }
            // The stream broke: everything again.
            (3, "/events") => {
                let lagged = "event: lagged\ndata: {\"missed\":2}\n\n";
                Reply::SendAndDiscard(events(lagged))
            }
            (4, "/n?prefix=a/&after=&limit=1000") => {
                document(200, &json!({"names": [entry("a/x", 9)], "next": null}))
            }
            (5, "/n?prefix=a/&after=&limit=1000") => {
                document(200, &json!({"names": [], "next": null}))
            }
            other => panic!("{other:?}"),
        })
    };
    let node = Node::start(watched).await;
    let mut names = client(&node).watch_names("a/");
    assert_eq!(
        take(&mut names, 5).await,
        [
            changed("a/x", 3, true),
            changed("a/y", 4, true),
            NameEvent::Synced,
            changed("a/x", 9, true),
            changed("a/y", 10, false),
        ]
    );
    assert_eq!(
        take(&mut names, 5).await,
        [
            NameEvent::Lagged(0),
            changed("a/x", 9, true),
            NameEvent::Synced,
            NameEvent::Lagged(2),
            NameEvent::Synced,
        ]
    );
}

/// A node that drains ends its streams at once and lists names all the same. It used to be listed
/// as fast as it answered.
#[tokio::test]
async fn a_watch_that_is_cut_again_and_again_is_not_begun_without_end() {
    let node = Node::start(|request, _| {
        Some(if request.path == "/events" {
            Reply::SendAndClose(events(""))
        } else {
            document(200, &json!({"names": [entry("a", 1)]}))
        })
    })
    .await;
    let mut watch = client(&node).watch_names("");
    let watched = async { while watch.try_next().await.unwrap().is_some() {} };
    let wait = Duration::from_millis(1500);
    timeout(wait, watched).await.unwrap_err();
    let requests = node.requests();
    let lists = requests.iter().filter(|it| it.path != "/events").count();
    assert!((1..=4).contains(&lists), "{lists}");
}
