//! Turns refusals into answers, and counts them.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::AdmitFuture;
use crate::{Counters, Refusal};

/// Answers what the layers below refuse; the outermost of them.
#[derive(Clone, Debug)]
pub struct RespondLayer<F> {
    counters: Arc<Counters>,
    respond: F,
}

impl<F> RespondLayer<F> {
    /// Counts refusals in `counters` and answers them with what `respond` makes of them, for
    /// instance [`text_response`].
    pub fn new(counters: Arc<Counters>, respond: F) -> Self {
        Self { counters, respond }
    }
}

/// A refusal as plain text: its status, one line, and `Retry-After` where a time is known.
pub fn text_response<B: From<&'static str>>(refusal: &Refusal) -> Response<B> {
    let mut response = Response::new(B::from(refusal.detail));
    *response.status_mut() = refusal.reason.status();
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    if let Some(seconds) = refusal.retry_after_seconds() {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

impl<S, F: Clone> Layer<S> for RespondLayer<F> {
    type Service = RespondService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        RespondService {
            inner,
            layer: self.clone(),
            unready: None,
        }
    }
}

/// The service of a [`RespondLayer`].
#[derive(Clone, Debug)]
pub struct RespondService<S, F> {
    inner: S,
    layer: RespondLayer<F>,
    /// Why the service below is not ready: the answer to the next request.
    unready: Option<Refusal>,
}

impl<S, F, B, R> Service<Request<B>> for RespondService<S, F>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<Refusal>>,
    F: Fn(&Refusal) -> Response<R> + Clone,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = RespondFuture<S::Future, F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.unready = ready!(self.inner.poll_ready(cx)).err().map(Into::into);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let future = match self.unready.take() {
            Some(refusal) => AdmitFuture::refused(refusal),
            None => AdmitFuture::passed(self.inner.call(request)),
        };
        RespondFuture {
            future,
            layer: self.layer.clone(),
        }
    }
}

pin_project! {
    /// An answer, one way or the other.
    #[derive(Debug)]
    pub struct RespondFuture<F, R> {
        #[pin]
        future: AdmitFuture<F>,
        layer: RespondLayer<R>,
    }
}

impl<F, R, B, E> Future for RespondFuture<F, R>
where
    F: Future<Output = Result<Response<B>, E>>,
    R: Fn(&Refusal) -> Response<B>,
    E: Into<Refusal>,
{
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(Ok(ready!(this.future.poll(cx)).unwrap_or_else(|refusal| {
            this.layer.counters.count(refusal.reason);
            (this.layer.respond)(&refusal)
        })))
    }
}
