//! HELLO, and what is there instead of a node.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use micronode_client::{
    Client, ClientOptions, Error, RetryPolicy, Timeouts, Token, TransportError,
};
use micronode_protocol::frame::{Flags, HEADER_BYTES};
use micronode_protocol::limits::{OAP_FRAME_BYTES, OAP_READ_BYTES, ONE_SHOT_BYTES};
use micronode_protocol::operation::Welcome;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::fake;
use crate::fake::oap::{Incoming, Node, WHOLE, frame};
use crate::{PLAIN, SOON, client, once, with};

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

/// Frames that came together with the welcome were not looked at before more came. A node that
/// waits for an answer to one of them sends nothing more.
#[tokio::test]
async fn frames_that_come_together_with_the_welcome_are_looked_at() {
    for fills_the_buffer in [false, true] {
        let node = Node::start(move |mut wire, objects, _| async move {
            let id = wire.hello().await?;
            let welcome = Welcome::new(OAP_FRAME_BYTES as u32, 64).encode();
            let ping = frame(Flags::EVENT, 1, 77, b"");
            let mut bytes = [frame(WHOLE, 200, id, &welcome), ping].concat();
            if fills_the_buffer {
                let rest = OAP_READ_BYTES - bytes.len() - HEADER_BYTES;
                bytes.extend(frame(Flags::EVENT, 2, 0, &vec![0; rest]));
            }
            wire.raw(&bytes).await?;
            match wire.next().await? {
                Incoming::Event(header) => assert_eq!(header.corr_id, 77),
                other => panic!("{other:?}"),
            }
            wire.serve(&objects).await
        })
        .await;
        timeout(SOON, once(&node).ping()).await.unwrap().unwrap();
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
