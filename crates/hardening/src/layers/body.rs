//! Puts request bodies under a policy.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Request;
use http::header::CONTENT_LENGTH;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::AdmitFuture;
use crate::{BodyPolicy, BodyWatch, GuardedBody, Refusal};

/// Gives every request body the [`BodyPolicy`] that a function chooses for its request, and its
/// [`BodyWatch`] to the request's extensions.
///
/// When the body is refused while it is read, that refusal is the answer, whatever the handler
/// made of the failed read.
#[derive(Clone, Debug)]
pub struct BodyLayer<F>(F);

impl<F> BodyLayer<F> {
    /// Chooses policies with `policy`.
    pub fn new(policy: F) -> Self {
        Self(policy)
    }
}

impl<S, F: Clone> Layer<S> for BodyLayer<F> {
    type Service = BodyService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyService {
            inner,
            policy: self.0.clone(),
        }
    }
}

/// The service of a [`BodyLayer`].
#[derive(Clone, Debug)]
pub struct BodyService<S, F> {
    inner: S,
    policy: F,
}

impl<S, F, B> Service<Request<B>> for BodyService<S, F>
where
    S: Service<Request<GuardedBody<B>>, Error: Into<Refusal>>,
    F: Fn(&Request<B>) -> BodyPolicy,
    B: Body,
{
    type Response = S::Response;
    type Error = Refusal;
    type Future = AdmitFuture<BodyFuture<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let policy = (self.policy)(&request);
        // A length that does not parse never comes this far: the server's parser refuses it.
        let declared = request
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let (mut head, body) = request.into_parts();
        match GuardedBody::new(body, declared, &policy, Instant::now()) {
            Ok(body) => {
                let watch = body.watch();
                head.extensions.insert(watch.clone());
                let future = self.inner.call(Request::from_parts(head, body));
                AdmitFuture::passed(BodyFuture { future, watch })
            }
            Err(refusal) => AdmitFuture::refused(refusal),
        }
    }
}

pin_project! {
    /// A request whose body is watched.
    #[derive(Debug)]
    pub struct BodyFuture<F> {
        #[pin]
        future: F,
        watch: BodyWatch,
    }
}

impl<F, T, E> Future for BodyFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<Refusal>,
{
    type Output = Result<T, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.future.poll(cx));
        Poll::Ready(match this.watch.refused() {
            Some(refusal) => Err(refusal),
            None => answer.map_err(Into::into),
        })
    }
}
