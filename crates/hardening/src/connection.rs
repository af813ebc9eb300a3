//! One connection from its first byte to its last: HTTP/1.1, or HTTP/2 with prior knowledge,
//! with every wait bounded.
//!
//! hyper speaks the protocols. What it leaves open is closed here: how long a head may take and
//! a connection be idle, how fast a response must be taken, how much may be said without asking,
//! what is answered when a head cannot be read, and how a refused upload gets to see its answer.
//! All of it runs on one timer per connection, re-armed only when it fires early or must fire
//! earlier.
//!
//! Not for what a request may ask: the service's own layers decide that.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::activity::Activity;
use crate::drain::DrainSignal;
use crate::exchange::WatchedService;
use crate::flood::{Allowance, FloodMeter};
use crate::progress::Demand;
use crate::refusal::{Counters, Reason, Refusal};
use crate::slots::Slot;
use crate::stream::{Transport, WatchedStream};
use crate::streams::{Spawner, Streams, Unreachable};
use crate::watchdog::{Deadlines, Expiry, Watchdog};

/// Bytes that HTTP/1 buffers before it writes, and the most it reads at once: a response piece
/// of this size is written as soon as it is there.
const HTTP1_BUFFER_BYTES: usize = 64 * 1024;

/// What HTTP/2 counts for a field beyond its name and value (RFC 9113, 6.5.2).
const H2_FIELD_OVERHEAD: usize = 32;

/// `:method`, `:scheme`, `:authority` and `:path` are not counted as fields of the head.
const PSEUDO_FIELDS: usize = 4;

/// Stalled HTTP/2 streams are looked for this often per progress interval.
const STALL_CHECKS: u32 = 8;

/// Bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// A request head is complete within this of its first byte; the first head, and the first
    /// request of an HTTP/2 connection, within this of the connection's start.
    pub head_deadline: Duration,
    /// A connection without a request is closed after this.
    pub idle: Duration,
    /// While a response waits for the peer, some bytes move in every such interval, ...
    pub progress_interval: Duration,
    /// ... and on average, once the first interval is over, this many per second. `0` = any.
    pub progress_min_rate: u64,
    /// After an answer to a request that was not read to its end, the rest is discarded for at
    /// most this long ...
    pub linger_time: Duration,
    /// ... and this many bytes, so that the peer sees the answer instead of a reset.
    pub linger_bytes: usize,
    /// Bytes of a request head: its line and fields as they are sent (HTTP/1), or its fields as
    /// HTTP/2 counts them, with the overhead per field taken off.
    pub head_bytes: usize,
    /// Fields of a request head.
    pub head_fields: usize,
    /// HTTP/2: concurrent streams.
    pub h2_streams: u32,
    /// HTTP/2: streams that the peer has reset before the service saw them.
    pub h2_pending_resets: usize,
    /// HTTP/2: request bytes per stream that the peer may send before they are read.
    pub h2_stream_window: u32,
    /// HTTP/2: the same for all streams together.
    pub h2_connection_window: u32,
    /// HTTP/2: response bytes buffered per stream.
    pub h2_send_buffer: usize,
    /// HTTP/2: frames that ask for nothing, at once ...
    pub h2_control_burst: u32,
    /// ... and per second after that.
    pub h2_control_per_second: u32,
}

/// What every connection of a listener shares.
#[derive(Debug)]
pub struct ConnectionContext {
    /// Bounds of each connection.
    pub limits: ConnectionLimits,
    /// Where refusals below the service are counted.
    pub counters: Arc<Counters>,
    /// Bytes read from sockets.
    pub bytes_in: Arc<AtomicU64>,
    /// Bytes written to sockets.
    pub bytes_out: Arc<AtomicU64>,
    /// A complete HTTP/1.1 response, with `Connection: close`, for a refusal that no service
    /// sees. [`plain_refusal`] is one.
    pub render: fn(&Refusal) -> Bytes,
    /// The same for bytes that are not an HTTP request. [`plain_bad_request`] is one.
    pub render_bad_request: fn() -> Bytes,
}

/// A refusal as a complete HTTP/1.1 response with a line of text.
pub fn plain_refusal(refusal: &Refusal) -> Bytes {
    let retry_after = refusal
        .retry_after_seconds()
        .map_or_else(String::new, |seconds| format!("Retry-After: {seconds}\r\n"));
    plain_response(refusal.reason.status(), &retry_after, refusal.detail)
}

/// The answer to bytes that are not an HTTP request, with a line of text.
pub fn plain_bad_request() -> Bytes {
    plain_response(
        http::StatusCode::BAD_REQUEST,
        "",
        "this is not an HTTP request",
    )
}

fn plain_response(status: http::StatusCode, fields: &str, line: &str) -> Bytes {
    let length = line.len() + 1;
    Bytes::from(format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n{fields}\r\n{line}\n"
    ))
}

/// Serves one connection until it ends: by the peer, by a bound, by `slot` being needed for
/// another or by the drain. Ends everything that the connection has begun when dropped.
pub async fn serve<I, S, B>(
    io: I,
    slot: Slot,
    context: Arc<ConnectionContext>,
    service: S,
    drain: DrainSignal,
) where
    I: Transport + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let limits = context.limits;
    let start = Instant::now();
    let activity = Arc::new(Activity::new(slot.occupancy()));
    let mut stream = WatchedStream::new(io, Arc::clone(&activity));
    let mut supervision = Supervision {
        watchdog: Watchdog::new(deadlines(&limits), start),
        armed: None,
        sleep: pin!(sleep_until(start)),
        drain_started: pin!(drain.started()),
        waker: None,
        stall_check: None,
        idle_after: 0,
        reported: (0, 0),
        slot: &slot,
        drain: &drain,
        context: &context,
        activity: &activity,
    };

    let mut opening = Opening {
        stream: &mut stream,
        shutting_down: false,
    };
    match supervision.run(&mut opening).await {
        Ending::Finished(Ok(false)) => {
            stream.carry_http1();
            let service = WatchedService::new(service, Arc::clone(&activity), None);
            let mut connection =
                http1_builder(&limits).serve_connection(TokioIo::new(stream), service);
            let ending = supervision.run(&mut connection).await;
            let stream = connection.into_parts().io.into_inner();
            supervision.close_http1(stream, ending).await;
        }
        Ending::Finished(Ok(true)) => {
            let allowance = Allowance {
                burst: limits.h2_control_burst,
                per_second: limits.h2_control_per_second,
            };
            stream.carry_http2(FloodMeter::new(allowance, start));
            let spawner = Spawner::new(Arc::clone(&activity));
            let service =
                WatchedService::new(service, Arc::clone(&activity), Some(spawner.clone()));
            let connection = pin!(
                http2_builder(&limits, spawner.clone())
                    .serve_connection(TokioIo::new(stream), service)
            );
            let mut connection = Http2 {
                connection,
                streams: Streams::new(spawner),
            };
            let ending = supervision.run(&mut connection).await;
            supervision.close_http2(&ending);
        }
        Ending::Finished(Err(_)) | Ending::Evicted => {}
        Ending::Expired(_) => {
            let began = !stream.prefix().is_empty();
            supervision.refuse_head(began.then_some(stream)).await;
        }
        Ending::Stalled => unreachable!("a connection without streams has none that stalls"),
    }
}

fn deadlines(limits: &ConnectionLimits) -> Deadlines {
    Deadlines {
        head: limits.head_deadline,
        idle: limits.idle,
        write: demand(limits),
    }
}

fn demand(limits: &ConnectionLimits) -> Demand {
    Demand {
        interval: limits.progress_interval,
        min_rate: limits.progress_min_rate,
    }
}

fn http1_builder(limits: &ConnectionLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // Its timer would also run while the connection is idle.
        .header_read_timeout(None)
        .max_header_size(limits.head_bytes)
        .max_headers(limits.head_fields)
        .max_buf_size(HTTP1_BUFFER_BYTES.max(limits.head_bytes));
    builder
}

fn http2_builder(limits: &ConnectionLimits, spawner: Spawner) -> http2::Builder<Spawner> {
    // A head with one field too many is still let through to the service, whose own check then
    // answers it in its own words; far more than that is answered here, tersely.
    let overhead = H2_FIELD_OVERHEAD * (limits.head_fields + PSEUDO_FIELDS + 1);
    let head_list = u32::try_from(limits.head_bytes + overhead).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(spawner);
    builder
        .max_header_list_size(head_list)
        .max_concurrent_streams(limits.h2_streams)
        .max_pending_accept_reset_streams(limits.h2_pending_resets)
        .max_local_error_reset_streams(limits.h2_streams as usize)
        .initial_stream_window_size(limits.h2_stream_window)
        .initial_connection_window_size(limits.h2_connection_window)
        .max_send_buf_size(limits.h2_send_buffer);
    builder
}

/// What a connection is polled as.
trait Driven {
    type Output;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output>;

    /// Finish what has begun and take nothing new.
    fn shut_down(&mut self);

    /// Resets the streams whose peer does not meet the demand; returns how many.
    fn cut_stalled(&mut self, _now: Instant, _demand: Demand) -> Result<u64, Unreachable> {
        Ok(0)
    }
}

/// A connection whose protocol is not known: whether it is HTTP/2.
struct Opening<'a, I: Transport> {
    stream: &'a mut WatchedStream<I>,
    shutting_down: bool,
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

struct Http2<'a, C> {
    connection: Pin<&'a mut C>,
    streams: Streams,
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

    fn cut_stalled(&mut self, now: Instant, demand: Demand) -> Result<u64, Unreachable> {
        self.streams.cut_stalled(now, demand)
    }
}

/// Why a connection, or a part of its life, is over.
#[derive(Debug)]
enum Ending<T> {
    Finished(T),
    Expired(Expiry),
    /// Its slot is needed for another.
    Evicted,
    /// The peer does not take bytes that only the connection's end can free.
    Stalled,
}

/// Everything that watches a connection from the outside.
struct Supervision<'a> {
    watchdog: Watchdog,
    /// The one timer of the connection, and what it is set to.
    sleep: Pin<&'a mut Sleep>,
    armed: Option<Instant>,
    /// When to look for stalled streams next, while response bytes are outstanding.
    stall_check: Option<Instant>,
    drain_started: Pin<&'a mut (dyn Future<Output = ()> + Send)>,
    /// The waker that `slot` and `drain_started` know.
    waker: Option<Waker>,
    /// The number of calls after which the slot was last marked as idle: every call marks it as
    /// busy.
    idle_after: u64,
    /// Bytes read and written that the context's totals include.
    reported: (u64, u64),
    slot: &'a Slot,
    drain: &'a DrainSignal,
    context: &'a ConnectionContext,
    activity: &'a Activity,
}

impl Supervision<'_> {
    async fn run<D: Driven>(&mut self, driven: &mut D) -> Ending<D::Output> {
        let mut asked_to_close = false;
        poll_fn(|cx| self.poll(cx, driven, &mut asked_to_close)).await
    }

    fn poll<D: Driven>(
        &mut self,
        cx: &mut Context<'_>,
        driven: &mut D,
        asked_to_close: &mut bool,
    ) -> Poll<Ending<D::Output>> {
        self.listen(cx);
        let mut result = driven.poll(cx);
        let evicted = self.slot.is_evicted();
        if result.is_pending() && !*asked_to_close && (evicted || self.drain.is_draining()) {
            *asked_to_close = true;
            driven.shut_down();
            result = driven.poll(cx);
        }
        self.report();
        if let Poll::Ready(output) = result {
            return Poll::Ready(Ending::Finished(output));
        }
        if evicted && self.activity.rests() {
            return Poll::Ready(Ending::Evicted);
        }
        self.observe();
        self.poll_clock(cx, driven)
    }

    /// Has the eviction of the slot and the start of the drain wake this task. Both remember the
    /// task, so this is for the first poll, and the rare one from another task.
    fn listen(&mut self, cx: &mut Context<'_>) {
        if self
            .waker
            .as_ref()
            .is_none_or(|waker| !waker.will_wake(cx.waker()))
        {
            self.waker = Some(cx.waker().clone());
            // The answers are looked at in every poll.
            let _ = self.slot.poll_evicted(cx);
            if !self.drain.is_draining() {
                let _ = self.drain_started.as_mut().poll(cx);
            }
        }
    }

    fn observe(&mut self) {
        let activity = self.activity;
        let calls = activity.calls();
        let written = activity.written.load(Relaxed);
        self.watchdog
            .observe(activity.phase(), calls, written, Instant::now);
        if self.idle_after != calls && activity.rests() {
            self.idle_after = calls;
            self.slot.idle(self.watchdog.idle_since());
        }
        if self.stall_check.is_none() && activity.outstanding() > 0 {
            self.stall_check = Some(Instant::now() + self.stall_check_interval());
        }
    }

    fn stall_check_interval(&self) -> Duration {
        let interval = self.context.limits.progress_interval / STALL_CHECKS;
        interval.max(Duration::from_millis(1))
    }

    fn poll_clock<D: Driven>(
        &mut self,
        cx: &mut Context<'_>,
        driven: &mut D,
    ) -> Poll<Ending<D::Output>> {
        loop {
            let wanted = [self.watchdog.deadline(), self.stall_check];
            let Some(wanted) = wanted.into_iter().flatten().min() else {
                return Poll::Pending;
            };
            if self.armed.is_none_or(|armed| wanted < armed) {
                self.sleep.as_mut().reset(wanted);
                self.armed = Some(wanted);
            }
            ready!(self.sleep.as_mut().poll(cx));
            self.armed = None;
            let now = Instant::now();
            if self.stall_check.is_some_and(|at| at <= now) {
                match driven.cut_stalled(now, demand(&self.context.limits)) {
                    Ok(cut) => (0..cut).for_each(|_| self.count(Reason::BodyTimeout)),
                    Err(Unreachable) => return Poll::Ready(Ending::Stalled),
                }
                let outstanding = self.activity.outstanding() > 0;
                self.stall_check = outstanding.then(|| now + self.stall_check_interval());
            }
            if let Some(expiry) = self.watchdog.expired(now) {
                return Poll::Ready(Ending::Expired(expiry));
            }
        }
    }

    fn count(&self, reason: Reason) {
        self.context.counters.count(reason);
    }

    /// Adds what has moved since the last time to the context's totals.
    fn report(&mut self) {
        let read = self.activity.read.load(Relaxed);
        let written = self.activity.written.load(Relaxed);
        let (read_before, written_before) = self.reported;
        if read > read_before {
            self.context.bytes_in.fetch_add(read - read_before, Relaxed);
        }
        if written > written_before {
            self.context
                .bytes_out
                .fetch_add(written - written_before, Relaxed);
        }
        self.reported = (read, written);
    }

    async fn close_http1<I: Transport>(
        &mut self,
        stream: WatchedStream<I>,
        ending: Ending<hyper::Result<()>>,
    ) {
        match ending {
            Ending::Finished(Ok(())) => self.part(stream, None).await,
            Ending::Finished(Err(error)) if error.is_parse() && !self.activity.in_progress() => {
                let answer = if error.is_parse_too_large() {
                    self.refusal(Reason::HeadTooLarge, "the request head is too large")
                } else {
                    (self.context.render_bad_request)()
                };
                self.part(stream, Some(answer)).await;
            }
            Ending::Expired(Expiry::Head) => self.refuse_head(Some(stream)).await,
            Ending::Expired(Expiry::Write) | Ending::Stalled => self.drop_reader(),
            Ending::Finished(Err(_)) | Ending::Expired(Expiry::Idle) | Ending::Evicted => {}
        }
    }

    fn close_http2(&self, ending: &Ending<hyper::Result<()>>) {
        match ending {
            Ending::Finished(_) if self.activity.flooded.load(Relaxed) => {
                self.count(Reason::Overloaded);
                self.activity.discard.store(true, Relaxed);
            }
            Ending::Expired(Expiry::Head) => self.count(Reason::HeadTimeout),
            Ending::Expired(Expiry::Write) | Ending::Stalled => self.drop_reader(),
            Ending::Finished(_) | Ending::Expired(Expiry::Idle) | Ending::Evicted => {}
        }
    }

    /// The peer did not read: what it has not taken is not worth keeping.
    fn drop_reader(&self) {
        self.count(Reason::BodyTimeout);
        self.activity.discard.store(true, Relaxed);
    }

    /// A head was not complete in time. A peer that has said nothing gets no answer: it may be
    /// about to send its first request, which the answer would then seem to belong to.
    async fn refuse_head<I: Transport>(&mut self, spoke: Option<WatchedStream<I>>) {
        let answer = self.refusal(
            Reason::HeadTimeout,
            "the request head was not complete in time",
        );
        if let Some(stream) = spoke {
            self.part(stream, Some(answer)).await;
        }
    }

    fn refusal(&self, reason: Reason, detail: &'static str) -> Bytes {
        self.count(reason);
        (self.context.render)(&Refusal::new(reason, detail))
    }

    /// Says the last word, if there is one, closes the sending side, and discards what the peer
    /// still sends. Closing at once would reset the connection, and a reset overtakes an answer
    /// that the peer has not read yet.
    async fn part<I: Transport>(&mut self, mut stream: WatchedStream<I>, answer: Option<Bytes>) {
        let owes_more = answer.is_some() || self.activity.has_body();
        if answer.is_none() && self.activity.ended.load(Relaxed) {
            return;
        }
        stream.carry_anything();
        self.slot.idle(Instant::now());
        let mut left = self.context.limits.linger_bytes;
        let parting = async {
            if let Some(answer) = answer {
                stream.write_all(&answer).await?;
            }
            stream.shutdown().await?;
            poll_fn(|cx| poll_discard(cx, &mut stream, &mut left, owes_more)).await
        };
        let mut parting = pin!(timeout(self.context.limits.linger_time, parting));
        let slot = self.slot;
        poll_fn(|cx| {
            let evicted = slot.poll_evicted(cx);
            if parting.as_mut().poll(cx).is_ready() {
                Poll::Ready(())
            } else {
                evicted
            }
        })
        .await;
        self.report();
    }
}

/// Reads and discards until the peer closes or `left` is used up; a peer that owes nothing more
/// is not waited for.
fn poll_discard<I: Transport>(
    cx: &mut Context<'_>,
    stream: &mut WatchedStream<I>,
    left: &mut usize,
    owes_more: bool,
) -> Poll<io::Result<()>> {
    let mut bytes = [0; 4096];
    while *left > 0 {
        let mut buffer = ReadBuf::new(&mut bytes);
        match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Pending if owes_more => return Poll::Pending,
            Poll::Pending => break,
            Poll::Ready(result) => result?,
        }
        if buffer.filled().is_empty() {
            break;
        }
        *left = left.saturating_sub(buffer.filled().len());
    }
    Poll::Ready(Ok(()))
}
