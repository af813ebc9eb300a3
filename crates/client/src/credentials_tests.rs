#![allow(clippy::unwrap_used)]

use std::future::{pending, ready};
use std::sync::atomic::AtomicU32;

use futures_util::FutureExt;
use futures_util::future::join_all;
use micronode_protocol::capability::base64url;
use tokio::time::{advance, sleep};

use super::*;
use crate::error::Problem;
use crate::secret::tests::grant;

/// A node that counts exchanges, and the client's side of it.
struct World {
    credentials: Credentials,
    exchanges: AtomicU32,
}

fn options() -> ClientOptions {
    let grant = Grant::new(&base64url::encode(&grant())).unwrap();
    ClientOptions {
        grant: Some(grant),
        ..ClientOptions::default()
    }
}

fn problem(status: u16) -> Error {
    Error::Problem(Box::new(Problem {
        status,
        code: None,
        detail: None,
        retryable: status == 503,
        corr_id: None,
        retry_after: None,
    }))
}

impl World {
    fn new() -> Self {
        World {
            credentials: Credentials::new(&options()),
            exchanges: AtomicU32::new(0),
        }
    }

    /// Answers after a second, with a token of the usual life.
    async fn exchange(&self, _: Grant) -> Result<Minted, Error> {
        let number = self.exchanges.fetch_add(1, Ordering::Relaxed) + 1;
        sleep(Duration::from_secs(1)).await;
        Ok(Minted {
            token: Token::new(&format!("token{number}")).unwrap(),
            expires_at: clock::date(u64::MAX),
        })
    }

    async fn lease(&self) -> Arc<Lease> {
        let lease = self.credentials.lease(|grant| self.exchange(grant)).await;
        lease.unwrap().unwrap()
    }

    async fn token(&self) -> String {
        self.lease().await.token().as_str().to_owned()
    }

    /// What becomes of a lease while the node is busy.
    async fn refused(&self) -> Result<Arc<Lease>, Error> {
        let lease = self.credentials.lease(|_| async {
            self.exchanges.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
            Err(problem(503))
        });
        Ok(lease.await?.unwrap())
    }

    async fn judge(&self, lease: &Arc<Lease>, result: Result<(), Error>) -> Result<(), Error> {
        let exchange = |grant| self.exchange(grant);
        self.credentials
            .judge(Some(Arc::clone(lease)), result, exchange)
            .await
    }

    fn exchanges(&self) -> u32 {
        self.exchanges.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_set_up_is_presented_and_never_exchanged_for() {
    let fixed = ClientOptions {
        token: Some(Token::new("fixed").unwrap()),
        ..options()
    };
    for (options, expected) in [(fixed, Some("fixed")), (ClientOptions::default(), None)] {
        let credentials = Credentials::new(&options);
        let never = |_| ready(Err(Error::Protocol("asked for")));
        advance(10 * TOKEN_TTL).await;
        let lease = credentials.lease(never).await.unwrap();
        assert_eq!(lease.as_ref().map(|lease| lease.token().as_str()), expected);
        for status in [401, 403] {
            let result = credentials.judge(lease.clone(), Err::<(), _>(problem(status)), never);
            let error = result.await.unwrap_err();
            assert!(error.status() == Some(status) && !error.is_retryable());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_who_have_no_token_make_one_exchange() {
    let world = World::new();
    let tokens = join_all((0..20).map(|_| world.token())).await;
    assert!(tokens.iter().all(|token| token == "token1"), "{tokens:?}");
    assert_eq!(world.exchanges(), 1);
}

/// Twenty callers used to ask a node that had just refused one of them, one after the other.
#[tokio::test(start_paused = true)]
async fn many_who_wait_for_an_exchange_share_its_failure() {
    let world = World::new();
    for round in 1..=2 {
        let began = Instant::now();
        for result in join_all((0..20).map(|_| world.refused())).await {
            let error = result.map(drop).unwrap_err();
            assert!(matches!(error, Error::Grant(_)), "{error:?}");
            assert!(error.status() == Some(503) && error.is_retryable());
        }
        assert_eq!(world.exchanges(), round);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }
    assert_eq!(world.token().await, "token3");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_ahead_by_one_while_the_others_go_on_with_it() {
    let world = World::new();
    assert_eq!(world.token().await, "token1");
    // It counts from when it was asked for, a second ago.
    advance(TOKEN_TTL - AHEAD - Duration::from_millis(1001)).await;
    assert_eq!(world.token().await, "token1");
    assert_eq!(world.exchanges(), 1);
    advance(Duration::from_millis(1)).await;
    let mut tokens = join_all((0..20).map(|_| world.token())).await;
    tokens.sort();
    assert_eq!(tokens.pop().unwrap(), "token2");
    assert!(tokens.iter().all(|token| token == "token1"), "{tokens:?}");
    assert_eq!(world.token().await, "token2");
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_ahead_is_no_harm_before_the_end() {
    let world = World::new();
    world.lease().await;
    advance(TOKEN_TTL - AHEAD - Duration::from_secs(1)).await;
    let mut calls = 0;
    let error = loop {
        match world.refused().await {
            Ok(lease) => assert_eq!(lease.token().as_str(), "token1"),
            Err(error) => break error,
        }
        calls += 1;
        advance(Duration::from_millis(100)).await;
    };
    assert!(matches!(error, Error::Grant(_)), "{error:?}");
    // Of hundreds of calls, those at 0, 1/2, 3/4… of the time that was left.
    assert!(calls > 400, "{calls}");
    let exchanges = world.exchanges();
    assert!((6..=12).contains(&exchanges), "{exchanges}");
    assert_eq!(world.token().await, format!("token{}", exchanges + 1));
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_during_an_exchange_leaves_it_to_the_next() {
    let world = World::new();
    let first = world.credentials.lease(|_| pending());
    let mut first = Box::pin(first);
    assert!((&mut first).now_or_never().is_none());
    let mut second = Box::pin(world.token());
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    assert_eq!(second.await, "token1");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_exchange_waits_for_so_long() {
    let world = World::new();
    let patience = world.credentials.patience;
    let mut first = Box::pin(world.credentials.lease(|_| pending()));
    assert!((&mut first).now_or_never().is_none());
    let began = Instant::now();
    let second = world.credentials.lease(|_| pending()).await;
    assert!(matches!(
        second.map(drop),
        Err(Error::Transport(TransportError::Stalled(_)))
    ));
    assert_eq!(began.elapsed(), patience);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_exchanged_anew_where_that_may_help() {
    for (status, was_taken, age, renewed) in [
        // It was good once: the node has forgotten it.
        (401, true, 0, true),
        // It never was, and is new: nor would another be.
        (401, false, 9, false),
        (401, false, 10, true),
        // Not allowed, or over by the node's clock.
        (403, true, 9, false),
        (403, true, 10, true),
        (404, true, 10, false),
        (429, true, 10, false),
    ] {
        let world = World::new();
        let lease = world.lease().await;
        if was_taken {
            world.judge(&lease, Ok(())).await.unwrap();
        }
        // Exchanging took one.
        advance(Duration::from_secs(age).saturating_sub(Duration::from_secs(1))).await;
        let error = world.judge(&lease, Err(problem(status))).await.unwrap_err();
        let found = (error.is_retryable(), error.is_renewed(), world.exchanges());
        let expected = (renewed, renewed, 1 + u32::from(renewed));
        assert_eq!(found, expected, "{status} {was_taken} {age}");
        assert_eq!(error.status(), Some(status));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_told_to_whom_it_may_be_told() {
    let world = World::new();
    let lease = world.lease().await;
    world.judge(&lease, Err(problem(404))).await.unwrap_err();
    let error = world.judge(&lease, Err(problem(401))).await.unwrap_err();
    assert!(error.is_renewed());
}

#[tokio::test(start_paused = true)]
async fn many_who_are_refused_make_one_exchange() {
    let world = World::new();
    let lease = world.lease().await;
    world.judge(&lease, Ok(())).await.unwrap();
    let refused = (0..20).map(|_| world.judge(&lease, Err(problem(401))));
    for result in join_all(refused).await {
        assert!(result.unwrap_err().is_renewed());
    }
    assert_eq!(world.exchanges(), 2);
    // One that hears of it late has a token already.
    let error = world.judge(&lease, Err(problem(401))).await.unwrap_err();
    assert!(error.is_renewed());
    assert_eq!(world.exchanges(), 2);
}

#[test]
fn a_life_is_believed_within_bounds() {
    let second = Duration::from_secs(1);
    for (left, believed) in [
        (Duration::ZERO, TOKEN_TTL),
        (Duration::from_millis(1), second),
        (second, second),
        (100 * second, 100 * second),
        (TOKEN_TTL, TOKEN_TTL),
        (TOKEN_TTL + second, TOKEN_TTL),
        (Duration::MAX, TOKEN_TTL),
    ] {
        assert_eq!(life(left), believed, "{left:?}");
    }
}
