//! The stages of a connection, polled alike: finding out its protocol, HTTP/1 and HTTP/2.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::exchange::WatchedService;
use crate::progress::Demand;
use crate::slow_share::SlowShare;
use crate::stream::{Transport, WatchedStream};
use crate::streams::{Spawner, Streams, Unreachable};

/// What a connection is polled as.
pub(super) trait Driven {
    type Output;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output>;

    /// Finish what has begun and take nothing new.
    fn shut_down(&mut self);

    /// Resets the streams whose peer does not meet the demand and lets go of those that are held;
    /// returns how many were reset.
    fn check_streams(&mut self, _now: Instant, _demand: Demand) -> Result<u64, Unreachable> {
        Ok(0)
    }

    /// Samples the streams; the rate of the slowest that is old enough to give way. `connection`
    /// is that of the connection as a whole.
    fn sample_streams(
        &mut self,
        _now: Instant,
        _share: &SlowShare,
        connection: Option<u64>,
    ) -> Option<u64> {
        connection
    }

    /// Resets the streams whose responses have been taken back.
    fn revoke(&mut self) {}

    /// Resets the slowest stream.
    fn cut_slowest(&mut self, _now: Instant, _share: &SlowShare) -> Cut {
        Cut::Connection
    }
}

/// What there is to cut.
pub(super) enum Cut {
    /// The slowest of several streams has been reset.
    Stream,
    /// There is one stream, which is the connection.
    Connection,
    /// What was slow has ended by itself.
    Nothing,
}

/// A connection whose protocol is not known: whether it is HTTP/2.
pub(super) struct Opening<'a, I: Transport> {
    stream: &'a mut WatchedStream<I>,
    shutting_down: bool,
}

impl<'a, I: Transport> Opening<'a, I> {
    pub(super) fn new(stream: &'a mut WatchedStream<I>) -> Self {
        Self {
            stream,
            shutting_down: false,
        }
    }
}

impl<I: Transport> Driven for Opening<'_, I> {
    type Output = io::Result<bool>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let result = self.stream.poll_is_http2(cx);
        if result.is_pending() && self.shutting_down && self.stream.prefix().is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        result
    }

    fn shut_down(&mut self) {
        self.shutting_down = true;
    }
}

impl<I, S, B> Driven for http1::Connection<TokioIo<WatchedStream<I>>, WatchedService<S>>
where
    I: Transport + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = hyper::Result<()>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        Future::poll(Pin::new(self), cx)
    }

    fn shut_down(&mut self) {
        Pin::new(self).graceful_shutdown();
    }
}

/// An HTTP/2 connection and the streams on it.
pub(super) struct Http2<'a, C> {
    connection: Pin<&'a mut C>,
    streams: Streams,
}

impl<'a, C> Http2<'a, C> {
    pub(super) fn new(connection: Pin<&'a mut C>, spawner: Spawner) -> Self {
        Self {
            connection,
            streams: Streams::new(spawner),
        }
    }
}

impl<I, S, B> Driven
    for Http2<'_, http2::Connection<TokioIo<WatchedStream<I>>, WatchedService<S>, Spawner>>
where
    I: Transport + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = hyper::Result<()>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let result = self.connection.as_mut().poll(cx);
        self.streams.poll(cx);
        result
    }

    fn shut_down(&mut self) {
        self.connection.as_mut().graceful_shutdown();
    }

    fn check_streams(&mut self, now: Instant, demand: Demand) -> Result<u64, Unreachable> {
        self.streams.check(now, demand)
    }

    fn sample_streams(
        &mut self,
        now: Instant,
        share: &SlowShare,
        _connection: Option<u64>,
    ) -> Option<u64> {
        self.streams.sample(now, share)
    }

    fn revoke(&mut self) {
        self.streams.revoke();
    }

    fn cut_slowest(&mut self, now: Instant, share: &SlowShare) -> Cut {
        if self.streams.cut_slowest(now, share) {
            Cut::Stream
        } else {
            Cut::Nothing
        }
    }
}
