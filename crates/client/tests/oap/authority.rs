//! A client that holds a grant: its token is that of a connection, and outlives none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use micronode_client::{Client, ClientOptions, Error, MintOptions, RetryPolicy, Token};
use micronode_protocol::capability::base64url;
use micronode_protocol::limits::{GROUP_BYTES, OAP_CHUNK_BYTES, ONE_SHOT_BYTES, TOKEN_TTL};
use micronode_protocol::operation::{Operation, TokenReply};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::fake::authority::{Authority, GRANT, grant, token};
use crate::fake::oap::{END, MORE, Node, START, WHOLE, Wire, get_fields};
use crate::{PLAIN, SOON, object, read, with};

/// What a node did, in order: the token of each HELLO, and each operation.
type Log = Arc<Mutex<Vec<String>>>;

/// One attempt.
fn holder(node: &Node) -> Client {
    let options = ClientOptions {
        grant: Some(grant()),
        retry: RetryPolicy::NEVER,
        ..ClientOptions::default()
    };
    with(node, options)
}

/// Takes HELLO as a node does that knows its tokens. False if it was refused.
async fn welcome(wire: &mut Wire, authority: &Authority, log: &Log) -> Option<bool> {
    let id = wire.hello().await?;
    log.lock()
        .push(String::from_utf8(wire.cap.clone()).unwrap());
    if wire.cap.is_empty() || authority.knows(&base64url::encode(&wire.cap)) {
        let welcome = micronode_protocol::operation::Welcome::new(1 << 20, 64);
        wire.send(WHOLE, 200, id, &welcome.encode()).await?;
        Some(true)
    } else {
        wire.problem(401, "unauthenticated", id).await?;
        Some(false)
    }
}

fn token_reply(token: &str, expires_ms: u64) -> Vec<u8> {
    let mut payload = Vec::new();
    TokenReply { token, expires_ms }.encode(&mut payload);
    payload
}

/// A node that exchanges, and does nothing for whom it does not know.
async fn node(authority: &Arc<Authority>) -> (Node, Log) {
    let (authority, log) = (Arc::clone(authority), Log::default());
    let told = Arc::clone(&log);
    let node = Node::start(move |mut wire, objects, _| {
        let (authority, log) = (Arc::clone(&authority), Arc::clone(&told));
        async move {
            if !welcome(&mut wire, &authority, &log).await? {
                return wire.close().await;
            }
            loop {
                let request = wire.request().await?;
                log.lock().push(request.operation.name().to_owned());
                if request.operation == Operation::Exchange {
                    assert!(request.payload == *GRANT);
                    let (token, ends) = authority.exchange();
                    wire.send(WHOLE, 200, request.id, &token_reply(&token, ends))
                        .await?;
                } else if authority.knows(&base64url::encode(&wire.cap)) {
                    wire.answer(&objects, &request).await?;
                } else {
                    wire.problem(401, "unauthenticated", request.id).await?;
                }
            }
        }
    })
    .await;
    (node, log)
}

#[tokio::test]
async fn many_calls_at_once_exchange_once_and_share_a_connection_with_the_token() {
    let authority = Arc::new(Authority::new(TOKEN_TTL));
    let (node, log) = node(&authority).await;
    let client = holder(&node);
    try_join_all((0..20).map(|_| client.ping())).await.unwrap();
    assert_eq!(authority.exchanges(), 1);
    let log = log.lock();
    assert_eq!(log[..3], ["", "exchange", "token 1"]);
    assert!(
        log[3..].iter().all(|it| it == "ping") && log.len() == 23,
        "{log:?}"
    );
}

#[tokio::test]
async fn a_node_that_has_forgotten_the_token_is_asked_once_more_with_another() {
    let authority = Arc::new(Authority::new(TOKEN_TTL));
    let (node, log) = node(&authority).await;
    let client = holder(&node);
    client.ping().await.unwrap();
    log.lock().clear();
    authority.forget();
    try_join_all((0..20).map(|_| client.ping())).await.unwrap();
    assert_eq!(authority.exchanges(), 2);
    {
        let log = log.lock();
        // The grant goes over the connection that is there.
        let connections = log.iter().filter(|it| it.starts_with("token"));
        assert!(connections.eq(["token 2"]), "{log:?}");
    }

    authority.forget();
    let bytes = Bytes::from(object(2 * ONE_SHOT_BYTES));
    let stored = client.put_bytes(bytes.clone(), &PLAIN).await.unwrap();
    authority.forget();
    assert_eq!(read(&client, &stored.address).await.unwrap(), bytes);
    assert_eq!(authority.exchanges(), 4);
}

#[tokio::test]
async fn a_restart_between_two_calls_refuses_hello() {
    let authority = Arc::new(Authority::new(TOKEN_TTL));
    let (told, log) = (Arc::clone(&authority), Log::default());
    let seen = Arc::clone(&log);
    // Each connection ends after what it was opened for.
    let node = Node::start(move |mut wire, _, _| {
        let (authority, log) = (Arc::clone(&told), Arc::clone(&seen));
        async move {
            if welcome(&mut wire, &authority, &log).await? {
                let request = wire.request().await?;
                let reply = match request.operation {
                    Operation::Exchange => {
                        let (token, ends) = authority.exchange();
                        token_reply(&token, ends)
                    }
                    _ => Vec::new(),
                };
                wire.send(WHOLE, 200, request.id, &reply).await?;
            }
            wire.close().await
        }
    })
    .await;
    let client = holder(&node);
    client.ping().await.unwrap();
    authority.forget();
    client.ping().await.unwrap();
    assert_eq!(*log.lock(), ["", "token 1", "token 1", "", "token 2"]);
}

#[tokio::test]
async fn a_401_for_a_new_token_is_final() {
    for taken in [false, true] {
        let node = Node::start(move |mut wire, objects, before| async move {
            wire.welcome(64).await?;
            let mut pings = 0;
            loop {
                let request = wire.request().await?;
                if request.operation == Operation::Exchange {
                    let reply = token_reply(&token(before), u64::MAX >> 20);
                    wire.send(WHOLE, 200, request.id, &reply).await?;
                    continue;
                }
                pings += 1;
                // One ping is answered, on the first connection with a token.
                if taken && before == 1 && pings == 1 {
                    wire.answer(&objects, &request).await?;
                } else {
                    wire.problem(401, "unauthenticated", request.id).await?;
                }
            }
        })
        .await;
        let client = holder(&node);
        if taken {
            client.ping().await.unwrap();
        }
        let error = client.ping().await.unwrap_err();
        assert_eq!(error.status(), Some(401));
        assert!(!error.is_retryable(), "{error:?}");
        assert_eq!(node.connections(), 2 + usize::from(taken));
    }
}

/// A token that is renewed must not cut what is in progress under the old one.
#[tokio::test]
async fn a_renewed_token_has_a_connection_of_its_own_and_the_old_one_ends_in_peace() {
    let authority = Arc::new(Authority::new(Duration::from_secs(2)));
    let bytes = object(3 * GROUP_BYTES);
    let sent = bytes.clone();
    let (go_on, log) = (Arc::new(Notify::new()), Log::default());
    let (wait, seen) = (Arc::clone(&go_on), Arc::clone(&log));
    let node = Node::start(move |mut wire, objects, _| {
        let (authority, wait, log) = (Arc::clone(&authority), Arc::clone(&wait), seen.clone());
        let bytes = sent.clone();
        async move {
            welcome(&mut wire, &authority, &log).await?;
            let (mut reading, rest) = (None, &bytes[2 * GROUP_BYTES..]);
            loop {
                let request = tokio::select! {
                    request = wire.request() => request,
                    () = wait.notified(), if reading.is_some() => {
                        wire.send(END, 200, reading.take()?, rest).await?;
                        continue;
                    }
                };
                let Some(request) = request else {
                    let token = String::from_utf8_lossy(&wire.cap);
                    log.lock().push(format!("closed {token}"));
                    return None;
                };
                match request.operation {
                    Operation::Exchange => {
                        let (token, ends) = authority.exchange();
                        wire.send(WHOLE, 200, request.id, &token_reply(&token, ends))
                            .await?;
                    }
                    // All but the last group, and that when it is told to.
                    Operation::ObjectGet => {
                        let (first, second) = bytes[..2 * GROUP_BYTES].split_at(GROUP_BYTES);
                        let first = [&get_fields(bytes.len(), 0), first].concat();
                        wire.send(START, 200, request.id, &first).await?;
                        wire.send(MORE, 200, request.id, second).await?;
                        reading = Some(request.id);
                    }
                    _ => wire.answer(&objects, &request).await?,
                }
            }
        }
    })
    .await;
    let address = node.objects.insert(&bytes);
    let client = holder(&node);
    let reader = client.clone();
    let reading = tokio::spawn(async move { read(&reader, &address).await });
    sleep(Duration::from_millis(1600)).await;
    client.ping().await.unwrap();
    let told = || log.lock().join(", ");
    assert_eq!(told(), ", closed , token 1, token 2");

    go_on.notify_one();
    assert!(reading.await.unwrap().unwrap() == bytes);
    let closed = async {
        while !told().ends_with("token 2, closed token 1") {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, closed).await.unwrap();
    assert_eq!(node.connections(), 3);
}

/// A stream that outlives its token ends with 401, which is not the answer to what it asked.
#[tokio::test]
async fn a_download_goes_on_when_its_token_ends_in_the_middle() {
    let bytes = object(3 * GROUP_BYTES);
    let sent = bytes.clone();
    let node = Node::start(move |mut wire, objects, _| {
        let bytes = sent.clone();
        async move {
            wire.welcome(64).await?;
            loop {
                let request = wire.request().await?;
                if request.operation == Operation::ObjectGet && request.get().offset == 0 {
                    let chunk = &bytes[..OAP_CHUNK_BYTES];
                    let first = [&get_fields(bytes.len(), 0), chunk].concat();
                    wire.send(START, 200, request.id, &first).await?;
                    wire.problem(401, "unauthenticated", request.id).await?;
                } else {
                    wire.answer(&objects, &request).await?;
                }
            }
        }
    })
    .await;
    let address = node.objects.insert(&bytes);
    let options = ClientOptions {
        token: Some(Token::new("AgEJ").unwrap()),
        retry: RetryPolicy::NEVER,
        ..ClientOptions::default()
    };
    let found = read(&with(&node, options), &address).await.unwrap();
    assert!(found == bytes);
}

#[tokio::test]
async fn a_token_is_exchanged_for_and_minted_on_request() {
    let log = Log::default();
    let seen = Arc::clone(&log);
    let node = Node::start(move |mut wire, _, _| {
        let log = Arc::clone(&seen);
        async move {
            wire.welcome(64).await?;
            log.lock()
                .push(String::from_utf8(wire.cap.clone()).unwrap());
            loop {
                let request = wire.request().await?;
                if request.operation == Operation::Mint {
                    let document = String::from_utf8(request.payload).unwrap();
                    log.lock().push(document);
                }
                wire.send(WHOLE, 200, request.id, &token_reply(&token(1), 5))
                    .await?;
            }
        }
    })
    .await;
    let options = ClientOptions {
        token: Some(Token::new(&token(7)).unwrap()),
        ..ClientOptions::default()
    };
    let client = with(&node, options);
    let exchanged = client.exchange(&grant()).await.unwrap();
    let asked = MintOptions {
        caveats: vec!["op = get".into()],
        ttl: Some(Duration::from_secs(90)),
    };
    let minted = client.mint(&asked).await.unwrap();
    for made in [exchanged, minted] {
        assert_eq!(made.token.as_str(), token(1));
        assert_eq!(
            made.expires_at,
            std::time::UNIX_EPOCH + Duration::from_millis(5)
        );
    }
    assert_eq!(
        *log.lock(),
        ["", "token 7", r#"{"caveats":["op = get"],"ttl":"90000ms"}"#]
    );
}

#[tokio::test]
async fn what_is_no_token_is_not_taken_for_one() {
    let good = token_reply("AgEJ", 5);
    for payload in [
        Vec::new(),
        good[..good.len() - 1].to_vec(),
        [&good[..], &[0]].concat(),
        token_reply("a+b/", 5),
        token_reply("", 5),
        vec![0xff; 20_000],
    ] {
        let node = Node::start(move |mut wire, _, _| {
            let payload = payload.clone();
            async move {
                wire.welcome(64).await?;
                let request = wire.request().await?;
                wire.send(WHOLE, 200, request.id, &payload).await?;
                wire.close().await
            }
        })
        .await;
        let client = with(&node, ClientOptions::default());
        let error = client.exchange(&grant()).await.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    }
}
