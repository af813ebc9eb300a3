#![allow(clippy::unwrap_used)]
//! Stacks of layers over small services, as a foreign service would use them.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::{Instant, sleep};
use tower_layer::Layer;
use tower_service::Service;

use super::*;
use crate::*;

type Answer = Response<Full<Bytes>>;
type Handled = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

/// A service that is always ready and runs a function of the request.
#[derive(Clone)]
struct Handler<F>(F);

impl<B, F, H> Service<Request<B>> for Handler<F>
where
    F: Fn(Request<B>) -> H,
    H: Future<Output = Answer> + Send + 'static,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Handled;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Handled {
        let answer = (self.0)(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

fn hello<B>() -> Handler<impl Fn(Request<B>) -> std::future::Ready<Answer> + Clone> {
    Handler(|_request| std::future::ready(Response::new(Full::from("hello"))))
}

async fn call<S: Service<Request<B>>, B>(
    service: &mut S,
    request: Request<B>,
) -> Result<S::Response, S::Error> {
    std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
    service.call(request).await
}

fn get() -> Request<Full<Bytes>> {
    Request::new(Full::default())
}

fn post(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post("/").body(Full::new(body.into())).unwrap()
}

fn one_shot<B>(cap: u64) -> impl Fn(&Request<B>) -> BodyPolicy + Clone {
    move |_request| BodyPolicy::OneShot {
        cap,
        deadline: Duration::from_secs(5),
    }
}

#[tokio::test]
async fn heads_rates_and_sheds_refuse_before_the_service_is_called() {
    let limits = HeadLimits {
        bytes: 1000,
        fields: 1,
    };
    let limiter = Arc::new(RateLimiter::new(1, Duration::ZERO, Instant::now()));
    let shed = Shed(|request: &Request<_>| {
        (request.method() == Method::PUT).then(|| Refusal::new(Reason::Degraded, "writes are shed"))
    });
    let service = AdmitLayer::new(shed).layer(hello());
    let service = RateLayer::new(limiter).layer(service);
    let mut service = HeadLayer::new(limits).layer(service);

    let mut large = get();
    large.headers_mut().insert("one", "1".parse().unwrap());
    large.headers_mut().insert("two", "2".parse().unwrap());
    assert_eq!(
        call(&mut service, large).await.unwrap_err().reason,
        Reason::HeadTooLarge
    );
    let mut write = get();
    *write.method_mut() = Method::PUT;
    assert_eq!(
        call(&mut service, write).await.unwrap_err().reason,
        Reason::Degraded,
        "the rate passed one"
    );
    assert_eq!(
        call(&mut service.clone(), get()).await.unwrap_err().reason,
        Reason::RateLimited
    );
}

#[tokio::test]
async fn a_permit_is_shared_by_clones_and_held_to_the_end_of_the_body() {
    let in_flight = InFlight::new(1);
    let layer = InFlightLayer::new(in_flight.clone());
    let mut service = layer.layer(hello());
    let mut clone = layer.clone().layer(hello());

    let answer = call(&mut service, get()).await.unwrap();
    for service in [&mut service.clone(), &mut clone] {
        assert_eq!(
            call(service, get()).await.unwrap_err().reason,
            Reason::Overloaded,
            "the head is not the end"
        );
    }
    let mut body = answer.into_body();
    let bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
    drop(body);
    assert_eq!(in_flight.in_use(), 1, "the bytes are not written yet");
    drop(bytes);
    let unread = call(&mut clone, get()).await.unwrap();
    drop(unread);
    let waiting = service.call(get());
    assert_eq!(
        in_flight.in_use(),
        1,
        "taken by the call, not by its first poll"
    );
    drop(waiting);
    assert_eq!(in_flight.in_use(), 0);
}

#[tokio::test]
async fn a_refused_body_is_the_answer_whatever_the_handler_says() {
    let handler = Handler(|request: Request<GuardedBody<_>>| async {
        let read = request.into_body().collect().await;
        let status = if read.is_ok() {
            StatusCode::OK
        } else {
            StatusCode::IM_A_TEAPOT
        };
        let mut answer = Answer::default();
        *answer.status_mut() = status;
        answer
    });
    let mut service = BodyLayer::new(one_shot(10)).layer(handler);
    assert_eq!(
        call(&mut service, post("ten bytes!"))
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );
    assert_eq!(
        call(&mut service, post("eleven byte"))
            .await
            .unwrap_err()
            .reason,
        Reason::BodyTooLarge
    );

    let mut declared = post("");
    declared
        .headers_mut()
        .insert(CONTENT_LENGTH, "11".parse().unwrap());
    assert_eq!(
        call(&mut service, declared).await.unwrap_err().reason,
        Reason::BodyTooLarge
    );
}

#[tokio::test]
async fn a_handler_reads_decoded_bodies_and_decoders_are_counted() {
    use std::io::Write;
    let limits = DecompressLimits {
        ratio: 10,
        slack: 0,
        absolute: 1000,
        zstd_window_log: 21,
        brotli_window_bits: 22,
        silent_bytes: 1000,
    };
    let decoders = InFlight::new(1);
    let handler = Handler(|request: Request<DecodedBody<Full<Bytes>, Permit>>| async {
        assert!(
            !request.headers().contains_key(CONTENT_ENCODING)
                && !request.headers().contains_key(CONTENT_LENGTH)
        );
        match request.into_body().collect().await {
            Ok(body) => Answer::new(Full::new(body.to_bytes())),
            Err(_) => Answer::default(),
        }
    });
    let service = DecompressLayer::new(limits, decoders.clone()).layer(handler);
    let mut service = BodyLayer::new(one_shot(1000)).layer(service);

    let gzip = |data: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        let body = encoder.finish().unwrap();
        let mut request = post("");
        request
            .headers_mut()
            .insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        request
            .headers_mut()
            .insert(CONTENT_LENGTH, body.len().into());
        *request.body_mut() = Full::new(Bytes::from(body));
        request
    };
    let answer = call(&mut service, gzip(b"hello")).await.unwrap();
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
    assert_eq!(
        call(&mut service, gzip(&[0; 900]))
            .await
            .unwrap_err()
            .reason,
        Reason::DecompressBound
    );
    let answer = call(&mut service, post("plain")).await;
    assert_eq!(
        answer
            .unwrap()
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes(),
        "plain"
    );

    let mut unknown = post("");
    unknown
        .headers_mut()
        .insert(CONTENT_ENCODING, "deflate".parse().unwrap());
    assert_eq!(
        call(&mut service, unknown).await.unwrap_err().reason,
        Reason::UnsupportedEncoding
    );
    let _all = decoders.acquire().unwrap();
    assert_eq!(
        call(&mut service, gzip(b"hello")).await.unwrap_err().reason,
        Reason::Overloaded
    );
    call(&mut service, post("plain needs no decoder"))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_counts_from_the_end_of_the_body() {
    let slow_body = || {
        let pieces = [1, 2].map(|piece| async move {
            sleep(Duration::from_secs(2)).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from(vec![piece])))
        });
        let pieces = stream::unfold(pieces.into_iter(), |mut pieces| async {
            Some((pieces.next()?.await, pieces))
        });
        Request::new(StreamBody::new(Box::pin(pieces)))
    };
    let handler = |work| {
        Handler(move |request: Request<GuardedBody<_>>| async move {
            let mut body = std::pin::pin!(request.into_body());
            while let Some(frame) = body.frame().await {
                frame.unwrap();
            }
            sleep(Duration::from_secs(work)).await;
            Answer::default()
        })
    };
    for (work, made_it, seconds) in [(2, true, 6), (4, false, 7)] {
        let service = DeadlineLayer::new(Duration::from_secs(3)).layer(handler(work));
        let mut service = BodyLayer::new(one_shot(10)).layer(service);
        let start = Instant::now();
        let answer = call(&mut service, slow_body()).await;
        assert_eq!(answer.is_ok(), made_it);
        assert_eq!(start.elapsed().as_secs(), seconds);
        assert!(answer.is_ok_and(|_| made_it) || !made_it);
    }
}

#[tokio::test]
async fn refusals_are_counted_and_answered() {
    let counters = Arc::new(Counters::new());
    let in_flight = InFlight::new(1);
    let service = InFlightLayer::new(in_flight.clone()).layer(hello());
    let mut service = RespondLayer::new(Arc::clone(&counters), text_response).layer(service);

    let answer = call(&mut service, get()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let refused = call(&mut service, get()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[RETRY_AFTER], "1");
    assert!(
        !refused
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );
    assert_eq!(counters.get(Reason::Overloaded), 1);
    drop(answer);
    assert_eq!(
        call(&mut service, get()).await.unwrap().status(),
        StatusCode::OK
    );
    assert_eq!(counters.get(Reason::Overloaded), 1);
}

/// The future of a whole stack can be sent to another thread, as servers do.
#[tokio::test]
async fn a_whole_stack_works_on_another_thread() {
    fn is_body<B: Body<Data = Bytes>>(_: &B) {}
    let service = DeadlineLayer::new(Duration::from_secs(5)).layer(hello());
    let service = BodyLayer::new(one_shot(10)).layer(service);
    let service = InFlightLayer::new(InFlight::new(1)).layer(service);
    let mut service = RespondLayer::new(Arc::default(), text_response).layer(service);
    let answer = tokio::spawn(async move { call(&mut service, get()).await.unwrap() })
        .await
        .unwrap();
    is_body(answer.body());
    assert_eq!(answer.status(), StatusCode::OK);
}

/// A service that has failed for good.
struct Broken;

impl<B> Service<Request<B>> for Broken {
    type Response = Answer;
    type Error = Refusal;
    type Future = std::future::Ready<Result<Answer, Refusal>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Err(Refusal::new(Reason::Starting, "not yet")))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        panic!("called without being ready");
    }
}

#[tokio::test]
async fn a_service_that_is_not_ready_is_answered_for() {
    let counters = Arc::new(Counters::new());
    let service = DeadlineLayer::new(Duration::from_secs(1)).layer(Broken);
    let mut service = RespondLayer::new(Arc::clone(&counters), text_response).layer(service);
    for count in 1..=2 {
        let answer = call(&mut service, get()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(counters.get(Reason::Starting), count);
    }
}
