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

mod driven;
mod parting;
mod slow;
mod supervision;

use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep_until};

use self::driven::{Http2, Opening};
use self::supervision::{Ending, Supervision};
use crate::activity::Activity;
use crate::drain::DrainSignal;
use crate::exchange::WatchedService;
use crate::flood::{Allowance, FloodMeter};
use crate::refusal::{Counters, Refusal};
use crate::slots::Slot;
use crate::slow_share::SlowShare;
use crate::stream::{Transport, WatchedStream};
use crate::streams::Spawner;

/// Bytes that HTTP/1 buffers before it writes, and the most it reads at once: a response piece
/// of this size is written as soon as it is there.
const HTTP1_BUFFER_BYTES: usize = 64 * 1024;

/// What HTTP/2 counts for a field beyond its name and value (RFC 9113, 6.5.2).
const H2_FIELD_OVERHEAD: usize = 32;

/// `:method`, `:scheme`, `:authority` and `:path` are not counted as fields of the head.
const PSEUDO_FIELDS: usize = 4;

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
    /// most this long. An idle HTTP/2 peer that has been asked to close has as long to agree.
    pub linger_time: Duration,
    /// Bytes discarded at most, so that the peer sees the answer instead of a reset.
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
    /// Where connections enter what is slow on them, to give way to newcomers.
    pub slow_share: SlowShare,
    /// A complete HTTP/1.1 response, with `Connection: close`, for a refusal that no service
    /// sees. [`plain_refusal`] is one.
    pub render: fn(&Refusal) -> Bytes,
}

/// A refusal as a complete HTTP/1.1 response with a line of text.
pub fn plain_refusal(refusal: &Refusal) -> Bytes {
    let retry_after = refusal
        .retry_after_seconds()
        .map_or_else(String::new, |seconds| format!("Retry-After: {seconds}\r\n"));
    let (status, line) = (refusal.reason.status(), refusal.detail);
    let length = line.len() + 1;
    Bytes::from(format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n{retry_after}\r\n{line}\n"
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
    let activity = Arc::new(Activity::new(slot.occupancy()));
    let mut stream = WatchedStream::new(io, Arc::clone(&activity));
    let (sleep, drain_started) = (pin!(sleep_until(Instant::now())), pin!(drain.started()));
    let mut supervision =
        Supervision::new(sleep, drain_started, &slot, &drain, &context, &activity);

    match supervision.run(&mut Opening::new(&mut stream)).await {
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
            stream.carry_http2(FloodMeter::new(allowance, Instant::now()));
            let spawner = Spawner::new(Arc::clone(&activity));
            let service =
                WatchedService::new(service, Arc::clone(&activity), Some(spawner.clone()));
            let connection = pin!(
                http2_builder(&limits, spawner.clone())
                    .serve_connection(TokioIo::new(stream), service)
            );
            let ending = supervision.run(&mut Http2::new(connection, spawner)).await;
            supervision.close_http2(&ending);
        }
        Ending::Finished(Err(_)) | Ending::Evicted | Ending::GaveWay | Ending::Revoked => {}
        Ending::Expired(_) => {
            let began = !stream.prefix().is_empty();
            supervision.refuse_head(began.then_some(stream)).await;
        }
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
