//! The service of a connection, watched: each request counts as in progress until its response
//! body is dropped, and HTTP/2 response bytes are followed until they are on the wire.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use pin_project_lite::pin_project;

use crate::activity::{Activity, InProgress};
use crate::lease::Lease;
use crate::streams::{Spawner, StreamBytes};

/// The watched service.
#[derive(Debug)]
pub(crate) struct WatchedService<S> {
    service: S,
    activity: Arc<Activity>,
    /// HTTP/2: where its streams run.
    spawner: Option<Spawner>,
}

impl<S> WatchedService<S> {
    pub(crate) fn new(service: S, activity: Arc<Activity>, spawner: Option<Spawner>) -> Self {
        Self {
            service,
            activity,
            spawner,
        }
    }
}

impl<S, B> Service<Request<Incoming>> for WatchedService<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
{
    type Response = Response<WatchedBody<B>>;
    type Error = Infallible;
    type Future = WatchedFuture<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let has_body = !request.body().is_end_stream();
        let in_progress = self.activity.begin(has_body);
        let spawner = self.spawner.as_ref();
        let stream = spawner.map(|spawner| spawner.begin_stream(has_body));
        if stream.is_none() {
            self.activity.flushed.store(false, Relaxed);
        }
        WatchedFuture {
            without_body: stream.is_some() && request.method() == Method::HEAD,
            inner: self.service.call(request),
            exchange: Some((in_progress, stream)),
        }
    }
}

pin_project! {
    /// A call of the watched service.
    pub(crate) struct WatchedFuture<F> {
        #[pin]
        inner: F,
        // The answer to an HTTP/2 HEAD: the implementation would send its body.
        without_body: bool,
        exchange: Option<(InProgress, Option<Arc<StreamBytes>>)>,
    }
}

impl<F, B> Future for WatchedFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<WatchedBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.inner.poll(cx));
        let (in_progress, stream) = this.exchange.take().expect("not polled after it was ready");
        let lease = response.extensions_mut().remove::<Lease>();
        match &stream {
            Some(stream) => stream.lend(lease),
            None => in_progress.lend(lease),
        }
        in_progress.answered();
        let ended = *this.without_body;
        Poll::Ready(Ok(response.map(|inner| WatchedBody {
            inner,
            ended,
            in_progress,
            stream,
        })))
    }
}

pin_project! {
    /// The body of a watched service's response.
    pub(crate) struct WatchedBody<B> {
        #[pin]
        inner: B,
        // The inner body has returned its last frame, or none of it is to be sent.
        ended: bool,
        in_progress: InProgress,
        stream: Option<Arc<StreamBytes>>,
    }
}

impl<B: Body<Data = Bytes>> Body for WatchedBody<B> {
    type Data = Piece;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, B::Error>>> {
        let this = self.project();
        if !*this.ended {
            if let Some(frame) = ready!(this.inner.poll_frame(cx)) {
                let stream = this.stream.clone();
                let frame = frame.map(|frame| frame.map_data(|bytes| Piece::new(bytes, stream)));
                return Poll::Ready(Some(frame));
            }
            *this.ended = true;
        }
        if let Some(stream) = this.stream {
            ready!(stream.poll_end(cx));
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.ended || self.inner.is_end_stream();
        ended && self.stream.as_deref().is_none_or(StreamBytes::end)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Response bytes that tell when they have been written.
#[derive(Debug)]
pub(crate) struct Piece {
    bytes: Bytes,
    stream: Option<Arc<StreamBytes>>,
}

impl Piece {
    fn new(bytes: Bytes, stream: Option<Arc<StreamBytes>>) -> Self {
        if let Some(stream) = &stream {
            stream.hand(bytes.len() as u64);
        }
        Self { bytes, stream }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(stream) = &self.stream {
            stream.take(count as u64);
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            stream.take(self.bytes.len() as u64);
        }
    }
}
