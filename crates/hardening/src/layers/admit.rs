//! Layers that look at a request and let it pass or not: head, rate, shedding.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::{HeadLimits, RateLimiter, Refusal, check_head};

/// A decision on a request before anything else is done for it.
pub trait Admission<B> {
    /// Lets `request` pass, or says why not.
    fn admit(&self, request: &Request<B>) -> Result<(), Refusal>;
}

/// Refuses heads over their [`HeadLimits`].
pub type HeadLayer = AdmitLayer<HeadLimits>;

/// Refuses requests over the rate of a shared [`RateLimiter`].
pub type RateLayer = AdmitLayer<Arc<RateLimiter>>;

/// Refuses what a function of the service says; see [`Shed`].
pub type ShedLayer<F> = AdmitLayer<Shed<F>>;

/// Refuses a request when the function, given it, returns a refusal: for instance writes while
/// the service is degraded.
#[derive(Clone, Copy, Debug)]
pub struct Shed<F>(pub F);

impl<B> Admission<B> for HeadLimits {
    fn admit(&self, request: &Request<B>) -> Result<(), Refusal> {
        check_head(request, self)
    }
}

impl<B> Admission<B> for Arc<RateLimiter> {
    fn admit(&self, _request: &Request<B>) -> Result<(), Refusal> {
        RateLimiter::admit(self, Instant::now())
    }
}

impl<B, F: Fn(&Request<B>) -> Option<Refusal>> Admission<B> for Shed<F> {
    fn admit(&self, request: &Request<B>) -> Result<(), Refusal> {
        (self.0)(request).map_or(Ok(()), Err)
    }
}

/// Lets only those requests through that an [`Admission`] lets pass.
#[derive(Clone, Debug)]
pub struct AdmitLayer<A>(A);

impl<A> AdmitLayer<A> {
    /// Asks `admission` about every request.
    pub fn new(admission: A) -> Self {
        Self(admission)
    }
}

impl<S, A: Clone> Layer<S> for AdmitLayer<A> {
    type Service = AdmitService<S, A>;

    fn layer(&self, inner: S) -> Self::Service {
        AdmitService {
            inner,
            admission: self.0.clone(),
        }
    }
}

/// The service of an [`AdmitLayer`].
#[derive(Clone, Debug)]
pub struct AdmitService<S, A> {
    inner: S,
    admission: A,
}

impl<S, A, B> Service<Request<B>> for AdmitService<S, A>
where
    S: Service<Request<B>, Error: Into<Refusal>>,
    A: Admission<B>,
{
    type Response = S::Response;
    type Error = Refusal;
    type Future = AdmitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.admission.admit(&request) {
            Ok(()) => AdmitFuture::passed(self.inner.call(request)),
            Err(refusal) => AdmitFuture::refused(refusal),
        }
    }
}

pin_project! {
    /// The answer of the service below, or the refusal that kept the request from it.
    #[derive(Debug)]
    pub struct AdmitFuture<F> {
        // `None` when refused.
        #[pin]
        passed: Option<F>,
        refused: Option<Refusal>,
    }
}

impl<F> AdmitFuture<F> {
    pub(super) fn passed(future: F) -> Self {
        Self {
            passed: Some(future),
            refused: None,
        }
    }

    pub(super) fn refused(refusal: Refusal) -> Self {
        Self {
            passed: None,
            refused: Some(refusal),
        }
    }
}

impl<F, T, E> Future for AdmitFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<Refusal>,
{
    type Output = Result<T, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.passed.as_pin_mut() {
            Some(future) => future.poll(cx).map_err(Into::into),
            None => Poll::Ready(Err(this.refused.expect("either passed or refused"))),
        }
    }
}
