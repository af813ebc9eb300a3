//! A client that holds a grant, and nodes that exchange it, forget, refuse and lie.
#![allow(clippy::unwrap_used)]

mod fake;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use fake::authority::{Authority, GRANT, bearer, grant, token, token_answer};
use fake::{Node, Reply, Request, answer, problem};
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt};
use micronode_client::{
    Client, ClientOptions, Error, MintOptions, PutOptions, RetryPolicy, SPAN_BYTES, Token,
};
use micronode_protocol::Address;
use micronode_protocol::capability::base64url;
use micronode_protocol::limits::{CAPABILITY_BYTES, ONE_SHOT_BYTES, TOKEN_TTL};
use tokio::time::sleep;

const PLAIN: PutOptions = PutOptions {
    expires_in: None,
    content_type: None,
    on_sent: None,
};

/// A node whose authority is `authority`, and a client of it that makes one attempt.
async fn world(authority: &Arc<Authority>) -> (Node, Client) {
    let asked = Arc::clone(authority);
    let node = Node::start(move |request, _| asked.http(request)).await;
    let client = holder(&node, RetryPolicy::NEVER);
    (node, client)
}

/// A client that holds a grant.
fn holder(node: &Node, retry: RetryPolicy) -> Client {
    let options = ClientOptions {
        grant: Some(grant()),
        retry,
        ..ClientOptions::default()
    };
    Client::with_options(&node.url, options).unwrap()
}

/// Three attempts at once.
const AT_ONCE: RetryPolicy = RetryPolicy {
    attempts: 3,
    total: Duration::from_secs(30),
    first_delay: Duration::from_millis(1),
    max_delay: Duration::from_millis(1),
};

fn authority() -> Arc<Authority> {
    Arc::new(Authority::new(TOKEN_TTL))
}

/// The requests of a node: method, path, and token.
fn shown(node: &Node) -> Vec<String> {
    let show = |request: &Request| {
        let token = bearer(request).map(|text| {
            let bytes = base64url::decode(text.as_bytes(), 100).unwrap();
            String::from_utf8(bytes).unwrap()
        });
        let path = request.path.split('/').nth(1).unwrap();
        format!("{} {path} {}", request.method, token.unwrap_or_default())
    };
    node.requests().iter().map(show).collect()
}

#[tokio::test]
async fn many_calls_at_once_exchange_once_and_share_the_token_with_clones() {
    let authority = authority();
    let (node, client) = world(&authority).await;
    let address = node.objects.insert(b"object");
    let asked = (0..20).map(|_| {
        let client = client.clone();
        async move { client.has(&[address]).await }
    });
    let found = try_join_all(asked).await.unwrap();
    assert!(found.iter().all(|found| *found == [true]));
    assert_eq!(authority.exchanges(), 1);
    let requests = shown(&node);
    assert_eq!(requests[0], "POST cap ");
    assert!(requests[1..].iter().all(|it| it == "POST has token 1"));
    assert_eq!(requests.len(), 21);
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end() {
    let authority = Arc::new(Authority::new(Duration::from_secs(4)));
    let (node, client) = world(&authority).await;
    let address = node.objects.insert(b"object");
    for (pause, exchanges) in [(0, 1), (1000, 1), (2100, 2)] {
        sleep(Duration::from_millis(pause)).await;
        client.has(&[address]).await.unwrap();
        assert_eq!(authority.exchanges(), exchanges);
    }
    // The first was still good.
    assert!(authority.knows(&token(1)));
    assert_eq!(shown(&node).last().unwrap(), "POST has token 2");
}

#[tokio::test]
async fn a_node_that_has_forgotten_the_token_is_asked_once_more_with_another() {
    let authority = authority();
    let (node, client) = world(&authority).await;
    let address = node.objects.insert(b"object");
    client.has(&[address]).await.unwrap();
    authority.forget();
    let addresses = [address];
    let found = try_join_all((0..20).map(|_| client.has(&addresses))).await;
    assert!(found.unwrap().iter().all(|found| *found == [true]));
    assert_eq!(authority.exchanges(), 2);
}

#[tokio::test]
async fn a_401_for_a_new_token_is_final() {
    let node = Node::start(|request, before| {
        request.body.as_ref()?;
        match request.path.as_str() {
            "/cap/exchange" => Some(Reply::Send(token_answer(&token(before), u64::MAX >> 20))),
            _ if before < 2 => None,
            _ => Some(Reply::Send(problem(401, "unauthenticated", &[]))),
        }
    })
    .await;
    let client = holder(&node, AT_ONCE);
    let address = node.objects.insert(b"object");
    client.has(&[address]).await.unwrap();
    for expected in [
        // One that was good is exchanged anew, once.
        &["POST has token 0", "POST cap ", "POST has token 3"][..],
        // One that never was is not.
        &["POST has token 3"],
    ] {
        let before = node.requests().len();
        let error = client.has(&[address]).await.unwrap_err();
        assert_eq!(error.status(), Some(401));
        assert!(matches!(error, Error::Problem(_)) && !error.is_retryable());
        assert_eq!(shown(&node)[before..], *expected);
    }
}

#[tokio::test]
async fn without_a_grant_a_401_is_final() {
    let (node, _) = world(&authority()).await;
    let options = ClientOptions {
        token: Some(Token::new("c2VjcmV0").unwrap()),
        // Of no use beside a token.
        grant: Some(grant()),
        ..ClientOptions::default()
    };
    let client = Client::with_options(&node.url, options).unwrap();
    let error = client.has(&[Address::of(b"")]).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!(shown(&node), ["POST has secret"]);
}

#[tokio::test]
async fn an_upload_is_repeated_if_its_bytes_are_at_hand() {
    let authority = authority();
    let (node, client) = world(&authority).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let bytes = vec![5; 2 * ONE_SHOT_BYTES];
    std::fs::write(&path, &bytes).unwrap();
    client.has(&[Address::of(b"")]).await.unwrap();

    authority.forget();
    client.put_file(&path, &PLAIN).await.unwrap();
    assert_eq!(authority.exchanges(), 2);
    authority.forget();
    let held = &bytes[..ONE_SHOT_BYTES - 1];
    client.put_reader(held, &PLAIN).await.unwrap();
    assert_eq!(authority.exchanges(), 3);
    authority.forget();
    client
        .put_bytes(Bytes::from_static(b"few"), &PLAIN)
        .await
        .unwrap();
    assert_eq!(authority.exchanges(), 4);
    assert_eq!(
        node.requests().last().unwrap().body.as_deref(),
        Some(&b"few"[..])
    );

    // What has been read and sent cannot be sent again, but the next call has a token.
    authority.forget();
    let error = client.put_reader(&bytes[..], &PLAIN).await.unwrap_err();
    assert!(
        error.status() == Some(401) && error.is_retryable(),
        "{error:?}"
    );
    assert_eq!(authority.exchanges(), 5);
    client.put_reader(&bytes[1..], &PLAIN).await.unwrap();
    assert_eq!(authority.exchanges(), 5);
}

#[tokio::test]
async fn a_download_goes_on_when_its_token_is_forgotten() {
    let authority = authority();
    let (node, _) = world(&authority).await;
    let options = ClientOptions {
        grant: Some(grant()),
        retry: RetryPolicy::NEVER,
        // The second span is asked for when the first has been read.
        connections: NonZeroUsize::MIN,
        ..ClientOptions::default()
    };
    let client = Client::with_options(&node.url, options).unwrap();
    let bytes = vec![3; 2 * SPAN_BYTES as usize];
    let address = node.objects.insert(&bytes);
    let mut download = client.get(&address).await.unwrap();
    let mut whole = download.next().await.unwrap().unwrap().to_vec();
    authority.forget();
    while let Some(piece) = download.try_next().await.unwrap() {
        whole.extend_from_slice(&piece);
    }
    assert!(whole == bytes);
    assert_eq!(authority.exchanges(), 2);
}

#[tokio::test]
async fn an_exchange_is_repeated_as_the_policy_says_and_its_failure_is_told_as_its_own() {
    for (status, code, exchanges, expected) in [
        (503, "overloaded", 2, None),
        (429, "rate_limited", 2, None),
        (503, "overloaded", 3, Some(503)),
        (401, "unauthenticated", 1, Some(401)),
        (403, "forbidden", 1, Some(403)),
    ] {
        let node = Node::start(move |request, before| {
            request.body.as_ref()?;
            let is_exchange = request.is("POST", "/cap/exchange");
            is_exchange.then(|| {
                Reply::Send(if before < exchanges {
                    problem(status, code, &[])
                } else {
                    token_answer(&token(1), u64::MAX >> 20)
                })
            })
        })
        .await;
        let asked = holder(&node, AT_ONCE).has(&[Address::of(b"")]).await;
        match (asked, expected) {
            (Ok(found), None) => assert_eq!(found, [false]),
            (Err(error @ Error::Grant(_)), Some(expected)) => {
                assert_eq!(error.status(), Some(expected));
                let text = error.to_string();
                assert!(text.starts_with("cannot exchange the grant"), "{text}");
                assert!(shown(&node).iter().all(|it| it == "POST cap "));
                assert_eq!(node.requests().len(), exchanges);
            }
            (other, _) => panic!("{status}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_token_is_exchanged_for_and_minted_on_request() {
    let node = Node::start(|request, _| {
        request.body.as_ref()?;
        Some(Reply::Send(token_answer(&token(1), 1_795_552_270_952)))
    })
    .await;
    let options = ClientOptions {
        token: Some(Token::new(&token(7)).unwrap()),
        ..ClientOptions::default()
    };
    let client = Client::with_options(&node.url, options).unwrap();
    let exchanged = client.exchange(&grant()).await.unwrap();
    let all = MintOptions {
        caveats: vec!["op = get".into(), "name ^ \"".into()],
        ttl: Some(Duration::from_secs(90)),
    };
    let minted = client.mint(&all).await.unwrap();
    client.mint(&MintOptions::default()).await.unwrap();
    for token_made in [exchanged, minted] {
        assert_eq!(token_made.token.as_str(), token(1));
        let ends = UNIX_EPOCH + Duration::from_millis(1_795_552_270_952);
        assert_eq!(token_made.expires_at, ends);
        assert!(!format!("{token_made:?}").contains(&token(1)));
    }
    assert_eq!(
        shown(&node),
        ["POST cap ", "POST cap token 7", "POST cap token 7"]
    );
    let requests = node.requests();
    let bodies = requests.iter().map(|it| it.body.as_deref().unwrap());
    let expected: [&[u8]; 3] = [
        &GRANT,
        br#"{"caveats":["op = get","name ^ \""],"ttl":"90000ms"}"#,
        br#"{"caveats":[]}"#,
    ];
    assert!(bodies.eq(expected));
    assert!(requests[0].is("POST", "/cap/exchange") && requests[1].is("POST", "/cap/mint"));
}

#[tokio::test]
async fn what_is_no_token_is_not_taken_for_one() {
    let longest = base64url::encode(&[0; CAPABILITY_BYTES]);
    let date = "2027-01-01T00:00:00Z";
    let document = |token: &str, date: &str| {
        format!(r#"{{"token":"{token}","expires_at":"{date}","more":1}}"#)
    };
    for (body, good) in [
        (document("AgEJ", date), true),
        (document(&longest, date), true),
        (document(&format!("{longest}AA"), date), false),
        (document("AgEJ", &" ".repeat(1 << 20)), false),
        (document("AgEJ", "tomorrow"), false),
        (document("a+b/", date), false),
        (document("two words", date), false),
        (r#"{"token":"AgEJ"}"#.into(), false),
        ("AgEJ".into(), false),
        (String::new(), false),
    ] {
        let node = Node::start(move |request, _| {
            request.body.as_ref()?;
            Some(Reply::Send(answer(200, &[], body.as_bytes())))
        })
        .await;
        let client = Client::new(&node.url).unwrap();
        match client.exchange(&grant()).await {
            Ok(_) => assert!(good),
            Err(error) => assert!(!good && matches!(error, Error::Protocol(_)), "{error:?}"),
        }
    }
}
