//! Caps requests in flight, to the last byte of their responses.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::AdmitFuture;
use crate::{HeldBody, InFlight, Permit, Refusal};

/// Takes a permit for every request, which its response body holds to the end.
#[derive(Clone, Debug)]
pub struct InFlightLayer(InFlight);

impl InFlightLayer {
    /// Permits come from `in_flight`, which may be shared with other layers and listeners.
    pub fn new(in_flight: InFlight) -> Self {
        Self(in_flight)
    }
}

impl<S> Layer<S> for InFlightLayer {
    type Service = InFlightService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        InFlightService {
            inner,
            in_flight: self.0.clone(),
        }
    }
}

/// The service of an [`InFlightLayer`].
#[derive(Clone, Debug)]
pub struct InFlightService<S> {
    inner: S,
    in_flight: InFlight,
}

impl<S, B, R> Service<Request<B>> for InFlightService<S>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<Refusal>>,
{
    type Response = Response<HeldBody<R, Permit>>;
    type Error = Refusal;
    type Future = AdmitFuture<InFlightFuture<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.in_flight.acquire() {
            Ok(permit) => {
                let future = InFlightFuture {
                    future: self.inner.call(request),
                    permit: Some(permit),
                };
                AdmitFuture::passed(future)
            }
            Err(refusal) => AdmitFuture::refused(refusal),
        }
    }
}

pin_project! {
    /// A request in flight.
    #[derive(Debug)]
    pub struct InFlightFuture<F> {
        #[pin]
        future: F,
        permit: Option<Permit>,
    }
}

impl<F, R, E> Future for InFlightFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<HeldBody<R, Permit>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.future.poll(cx))?;
        let permit = this
            .permit
            .take()
            .expect("a future is not polled after it is ready");
        Poll::Ready(Ok(response.map(|body| HeldBody::new(body, permit))))
    }
}
