//! Bounds the time from the end of the request body to the response head.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Request;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::{BodyWatch, Deadline, Refusal};

/// Gives up on handlers that take longer than a limit.
///
/// Inside of a [`BodyLayer`](super::BodyLayer) the time counts from the end of the body; without
/// one, from the call.
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer(Duration);

impl DeadlineLayer {
    /// Handlers have `limit`.
    pub fn new(limit: Duration) -> Self {
        Self(limit)
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService {
            inner,
            limit: self.0,
        }
    }
}

/// The service of a [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct DeadlineService<S> {
    inner: S,
    limit: Duration,
}

impl<S, B> Service<Request<B>> for DeadlineService<S>
where
    S: Service<Request<B>, Error: Into<Refusal>>,
{
    type Response = S::Response;
    type Error = Refusal;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let watch = request.extensions().get::<BodyWatch>().cloned();
        let watch = watch.unwrap_or_else(|| BodyWatch::without_body(Instant::now()));
        DeadlineFuture {
            future: Deadline::new(self.inner.call(request), self.limit, watch),
        }
    }
}

pin_project! {
    /// A handler under a deadline.
    #[derive(Debug)]
    pub struct DeadlineFuture<F> {
        #[pin]
        future: Deadline<F>,
    }
}

impl<F, T, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<Refusal>,
{
    type Output = Result<T, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.project().future.poll(cx))?.map_err(Into::into))
    }
}
