#![allow(clippy::unwrap_used)]
//! Caps, stalls and deadlines of request bodies, on paused time.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tokio::time::{Instant, sleep};

use crate::{BodyError, BodyPolicy, BodyWatch, Deadline, GuardedBody, Reason};

const SECOND: Duration = Duration::from_secs(1);
const ONE_SHOT: BodyPolicy = BodyPolicy::OneShot {
    cap: 10,
    deadline: Duration::from_secs(5),
};
const STREAMED: BodyPolicy = BodyPolicy::Streamed {
    cap: 1 << 30,
    interval: Duration::from_secs(5),
    min_rate: 4096,
};

/// A peer that sends pieces of these lengths, each after waiting so long, and then ends.
fn peer(pieces: Vec<(Duration, usize)>) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
    StreamBody::new(Box::pin(stream::unfold(
        pieces.into_iter(),
        |mut pieces| async {
            let (wait, len) = pieces.next()?;
            // A sleep of zero would still be pending once.
            if !wait.is_zero() {
                sleep(wait).await;
            }
            Some((Ok(Frame::data(Bytes::from(vec![b'x'; len]))), pieces))
        },
    )))
}

fn guard<B: Body>(body: B, declared: Option<u64>, policy: &BodyPolicy) -> Pin<Box<GuardedBody<B>>> {
    Box::pin(GuardedBody::new(body, declared, policy, Instant::now()).unwrap())
}

/// Bytes received, and the reason if the body was refused.
async fn read<B>(mut body: Pin<Box<GuardedBody<B>>>) -> (usize, Option<Reason>)
where
    B: Body<Data = Bytes, Error = Infallible>,
{
    let watch = body.watch();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => received += frame.into_data().unwrap().len(),
            Err(BodyError::Refused(refusal)) => {
                assert_eq!(watch.refused(), Some(refusal));
                assert!(
                    body.is_end_stream() && body.frame().await.is_none(),
                    "an error ends the body"
                );
                return (received, Some(refusal.reason));
            }
            Err(BodyError::Transport(error)) => panic!("{error}"),
        }
    }
    assert!(watch.ended_at().is_some() && watch.refused().is_none());
    (received, None)
}

#[tokio::test(start_paused = true)]
async fn a_declared_length_at_the_cap_passes_and_one_more_is_refused_unread() {
    let never_polled = || peer(vec![(Duration::from_secs(3600), 1)]);
    assert!(GuardedBody::new(never_polled(), Some(10), &ONE_SHOT, Instant::now()).is_ok());
    let refusal = GuardedBody::new(never_polled(), Some(11), &ONE_SHOT, Instant::now())
        .map(drop)
        .unwrap_err();
    assert_eq!(refusal.reason, Reason::BodyTooLarge);
}

#[tokio::test(start_paused = true)]
async fn the_cap_counts_bytes_that_come_not_those_declared() {
    let pieces = |last| vec![(Duration::ZERO, 5), (Duration::ZERO, last)];
    assert_eq!(
        read(guard(peer(pieces(5)), None, &ONE_SHOT)).await,
        (10, None)
    );
    assert_eq!(
        read(guard(peer(pieces(6)), None, &ONE_SHOT)).await,
        (5, Some(Reason::BodyTooLarge))
    );
}

#[tokio::test(start_paused = true)]
async fn a_one_shot_body_is_whole_in_time_or_refused_at_its_deadline() {
    let pieces = |last| vec![(2 * SECOND, 1), (2 * SECOND, 1), (last, 1)];
    let just = SECOND - Duration::from_millis(1);
    assert_eq!(
        read(guard(peer(pieces(just)), None, &ONE_SHOT)).await,
        (3, None)
    );
    let start = Instant::now();
    let outcome = read(guard(peer(pieces(2 * SECOND)), None, &ONE_SHOT)).await;
    assert_eq!(outcome, (2, Some(Reason::BodyTimeout)));
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_stalls_is_refused_after_one_interval() {
    let start = Instant::now();
    // Fast at first: a good average does not buy a long silence.
    let body = peer(vec![(SECOND, 10_000_000), (6 * SECOND, 1)]);
    assert_eq!(
        read(guard(body, None, &STREAMED)).await,
        (10_000_000, Some(Reason::BodyTimeout))
    );
    assert_eq!(start.elapsed().as_secs(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_empty_pieces_makes_no_progress() {
    let start = Instant::now();
    let body = peer(vec![(SECOND, 0); 100]);
    assert_eq!(
        read(guard(body, None, &STREAMED)).await,
        (0, Some(Reason::BodyTimeout))
    );
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_stream_keeps_its_average_after_the_first_interval() {
    let steady = |piece: usize| peer(vec![(SECOND / 10, piece); 600]);
    assert_eq!(
        read(guard(steady(450), None, &STREAMED)).await,
        (600 * 450, None)
    );
    let start = Instant::now();
    let (_, reason) = read(guard(steady(400), None, &STREAMED)).await;
    assert_eq!(reason, Some(Reason::BodyTimeout));
    assert_eq!(
        start.elapsed().as_secs(),
        5,
        "as soon as the average counts"
    );
    // Ahead at first, it may fall behind until the average is used up: 40 960 bytes are worth 10 s.
    let start = Instant::now();
    let mut pieces = vec![(SECOND, 40_960)];
    pieces.extend(vec![(SECOND, 1); 100]);
    assert_eq!(
        read(guard(peer(pieces), None, &STREAMED)).await.1,
        Some(Reason::BodyTimeout)
    );
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_does_not_make_its_peer_late() {
    let mut body = guard(peer(vec![(SECOND, 1); 4]), None, &STREAMED);
    for _ in 0..4 {
        body.frame().await.unwrap().unwrap();
        sleep(60 * SECOND).await;
    }
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_no_refusal() {
    let broken = stream::iter([Err::<Frame<Bytes>, _>(std::io::Error::other("reset"))]);
    let mut body = guard(StreamBody::new(broken), None, &ONE_SHOT);
    assert!(matches!(
        body.frame().await,
        Some(Err(BodyError::Transport(_)))
    ));
    assert!(body.frame().await.is_none());
    assert!(body.watch().refused().is_none() && body.watch().ended_at().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_watch_knows_when_the_body_ended() {
    let start = Instant::now();
    let empty = guard(Empty::<Bytes>::new(), Some(0), &ONE_SHOT);
    assert_eq!(empty.watch().ended_at(), Some(start));

    let mut body = guard(Full::new(Bytes::from_static(b"whole")), None, &ONE_SHOT);
    assert_eq!(body.watch().ended_at(), None);
    sleep(SECOND).await;
    body.frame().await.unwrap().unwrap();
    assert_eq!(
        body.watch().ended_at(),
        Some(start + SECOND),
        "known with the last piece"
    );

    let unread = guard(peer(vec![(SECOND, 1)]), None, &ONE_SHOT);
    let watch = unread.watch();
    sleep(SECOND).await;
    drop(unread);
    assert_eq!(watch.ended_at(), Some(start + 2 * SECOND), "given up");
}

/// Runs `handler` under a deadline of five seconds; whether it made it, and after how long.
async fn timed<F: Future>(watch: BodyWatch, handler: F) -> (bool, u64) {
    let start = Instant::now();
    let outcome = Deadline::new(handler, 5 * SECOND, watch).await;
    if let Err(refusal) = &outcome {
        assert_eq!(refusal.reason, Reason::Deadline);
    }
    (outcome.is_ok(), start.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_handler_has_its_time_from_the_head_when_there_is_no_body() {
    let watch = || BodyWatch::without_body(Instant::now());
    assert_eq!(timed(watch(), async {}).await, (true, 0));
    assert_eq!(timed(watch(), sleep(4 * SECOND)).await, (true, 4));
    assert_eq!(timed(watch(), sleep(6 * SECOND)).await, (false, 5));
    let earlier = watch();
    sleep(3 * SECOND).await;
    assert_eq!(
        timed(earlier, sleep(6 * SECOND)).await,
        (false, 2),
        "counted from the head, not from the call"
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_has_its_time_from_the_end_of_the_body() {
    for (work, expected) in [(4, (true, 4 * 4 + 4)), (6, (false, 4 * 4 + 5))] {
        let body = guard(peer(vec![(4 * SECOND, 65_536); 4]), None, &STREAMED);
        let watch = body.watch();
        let handler = async {
            read(body).await;
            sleep(work * SECOND).await;
        };
        assert_eq!(timed(watch, handler).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_leaves_its_body_unread_is_not_spared() {
    let body = guard(peer(vec![(SECOND, 1); 100]), None, &STREAMED);
    assert_eq!(
        timed(body.watch(), sleep(60 * SECOND)).await,
        (false, 5),
        "never read"
    );

    let mut body = guard(peer(vec![(SECOND, 1); 100]), None, &STREAMED);
    let watch = body.watch();
    let handler = async move {
        body.frame().await.unwrap().unwrap();
        sleep(60 * SECOND).await;
        drop(body);
    };
    assert_eq!(timed(watch, handler).await, (false, 6), "read in part");

    // Left in the middle of a wait for the peer: that wait is over after its interval.
    let mut body = guard(peer(vec![(60 * SECOND, 1)]), None, &STREAMED);
    let watch = body.watch();
    let handler = async move {
        let _ = tokio::time::timeout(SECOND, body.frame()).await;
        sleep(60 * SECOND).await;
        drop(body);
    };
    assert_eq!(timed(watch, handler).await, (false, 10));
}
