//! The streams of one HTTP/2 connection, run inside the connection's own task.
//!
//! A stream whose response the peer's flow-control window does not let move is reset alone; the
//! others live on. That needs a hold on each stream's future, which is why they are not spawned,
//! and has a second benefit: when the connection ends, they all end with it.
//!
//! hyper hands its bytes to the connection and, once it has been told that a body has ended,
//! keeps no hold on the stream. A body therefore does not end before all but the last
//! [`END_WITHIN`] bytes are on the wire: up to that many save a frame and can, in a peer's closed
//! window, only be got back by closing the connection.
//!
//! A stream that is answered before its request has been read to the end is reset by the HTTP/2
//! implementation as soon as nothing holds it. Not every client gives an answer precedence over
//! the reset that follows it, so such a stream is held for a moment longer, as a refused HTTP/1
//! upload is: the peer sees the answer alone and can stop by itself. What it sends meanwhile is
//! discarded, and no more of it than its stream's window.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use futures_util::task::AtomicWaker;
use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::activity::Activity;
use crate::lease::Lease;
use crate::progress::{Demand, Progress};
use crate::slow_share::{Pace, SlowShare};

/// Bytes that may still be on their way when a response body ends: one frame of the default
/// maximum size.
const END_WITHIN: u64 = 16 * 1024;

/// Answered streams of a connection that are held at once until their requests have ended.
const HELD_AT_ONCE: u64 = 64;

/// Response bytes of one stream between the service and the wire.
#[derive(Debug)]
pub(crate) struct StreamBytes {
    activity: Arc<Activity>,
    /// The request has a body, of which some may never be read.
    has_body: bool,
    /// The response has been handed over whole.
    ended: AtomicBool,
    handed: AtomicU64,
    /// Written, or given up with the stream.
    gone: AtomicU64,
    /// Waits for bytes to be gone: the body for its end, then the stream's future for its own.
    waker: AtomicWaker,
    /// Of a response that may be taken back.
    lease: OnceLock<Lease>,
}

impl StreamBytes {
    /// The response may be taken back, or may not.
    pub(crate) fn lend(&self, lease: Option<Lease>) {
        if let Some(lease) = lease {
            // There is one response.
            let _ = self.lease.set(lease);
        }
    }

    fn is_revoked(&self) -> bool {
        self.lease.get().is_some_and(|lease| !lease.holds())
    }

    pub(crate) fn hand(&self, bytes: u64) {
        self.handed.fetch_add(bytes, Relaxed);
        self.activity.hand(bytes);
    }

    pub(crate) fn take(&self, bytes: u64) {
        self.gone.fetch_add(bytes, Relaxed);
        self.activity.take(bytes);
        if self.endable() {
            self.waker.wake();
        }
    }

    fn gives_way(&self) -> bool {
        self.lease.get().is_none_or(Lease::gives_way)
    }

    fn outstanding(&self) -> u64 {
        self.handed.load(Relaxed) - self.gone.load(Relaxed)
    }

    /// Whether the body may end with what is still outstanding.
    fn endable(&self) -> bool {
        self.outstanding() <= END_WITHIN
    }

    /// The body has no more to hand over: whether it ends now.
    pub(crate) fn end(&self) -> bool {
        let ends = self.endable();
        if ends {
            self.ended.store(true, Relaxed);
        }
        ends
    }

    pub(crate) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_within(END_WITHIN, cx));
        self.end();
        Poll::Ready(())
    }

    fn poll_within(&self, bytes: u64, cx: &mut Context<'_>) -> Poll<()> {
        // Registered before it is looked at: what is gone in between wakes.
        self.waker.register(cx.waker());
        if self.outstanding() <= bytes {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Takes the stream futures that the HTTP/2 implementation starts.
#[derive(Clone, Debug)]
pub(crate) struct Spawner {
    shared: Arc<Spawned>,
}

#[derive(Debug)]
struct Spawned {
    activity: Arc<Activity>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Of the call that was made last: hyper starts a stream's future right after the call.
    latest: Option<Arc<StreamBytes>>,
    /// Started and not yet taken over; at most the concurrent streams of the connection.
    started: Vec<StreamTask>,
}

impl Spawner {
    pub(crate) fn new(activity: Arc<Activity>) -> Self {
        let queue = Mutex::default();
        Self {
            shared: Arc::new(Spawned { activity, queue }),
        }
    }

    /// The account of the stream whose request is about to be called.
    pub(crate) fn begin_stream(&self, has_body: bool) -> Arc<StreamBytes> {
        let bytes = Arc::new(StreamBytes {
            activity: Arc::clone(&self.shared.activity),
            has_body,
            ended: AtomicBool::new(false),
            handed: AtomicU64::new(0),
            gone: AtomicU64::new(0),
            waker: AtomicWaker::new(),
            lease: OnceLock::new(),
        });
        self.shared.queue.lock().latest = Some(Arc::clone(&bytes));
        bytes
    }
}

impl<F> Executor<F> for Spawner
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let mut queue = self.shared.queue.lock();
        let bytes = queue.latest.take();
        queue.started.push(StreamTask {
            future: Some(Box::pin(future)),
            done: false,
            bytes,
            progress: Progress::default(),
            pace: None,
            hold: None,
            waker: None,
        });
    }
}

/// One stream: its future, and after that its bytes until they are gone and its hold until it is over.
struct StreamTask {
    /// Kept after it is done as long as the stream is held: dropping it lets go of the stream.
    future: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    done: bool,
    /// Absent for the futures of upgraded streams.
    bytes: Option<Arc<StreamBytes>>,
    progress: Progress,
    /// From the first sample on.
    pace: Option<Pace>,
    hold: Option<Hold>,
    waker: Option<Waker>,
}

/// A stream that is held although it has been answered.
struct Hold {
    activity: Arc<Activity>,
    /// A check of the streams has found it held, so the next one ends it.
    seen: bool,
}

impl Hold {
    fn begin(bytes: &StreamBytes) -> Option<Self> {
        let activity = Arc::clone(&bytes.activity);
        // An answer that was not given whole is not waited for either.
        let answered = bytes.has_body && bytes.ended.load(Relaxed);
        let wanted = answered && activity.held_streams.load(Relaxed) < HELD_AT_ONCE;
        wanted.then(|| {
            activity.held_streams.fetch_add(1, Relaxed);
            Self {
                activity,
                seen: false,
            }
        })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.activity.held_streams.fetch_sub(1, Relaxed);
    }
}

impl std::fmt::Debug for StreamTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamTask")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl StreamTask {
    /// The bytes of its response that have gone, while more of it waits.
    fn answering(&self) -> Option<u64> {
        let bytes = self.bytes.as_ref().filter(|_| !self.done)?;
        (bytes.outstanding() > 0).then(|| bytes.gone.load(Relaxed))
    }

    /// The same, of one that may have to give way.
    fn giving_way(&self) -> Option<u64> {
        self.answering()
            .filter(|_| self.bytes.as_deref().is_some_and(StreamBytes::gives_way))
    }

    /// Dropping a stream's future lets go of the stream, which resets it. Its bytes are gone once
    /// the connection can write the reset, for which it gets another interval.
    fn reset(&mut self) {
        self.future = None;
        self.done = true;
        self.hold = None;
        self.progress = Progress::default();
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

impl Future for StreamTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this
            .waker
            .as_ref()
            .is_none_or(|waker| !waker.will_wake(cx.waker()))
        {
            this.waker = Some(cx.waker().clone());
        }
        if let (Some(future), false) = (&mut this.future, this.done) {
            ready!(future.as_mut().poll(cx));
            this.done = true;
            this.hold = this.bytes.as_deref().and_then(Hold::begin);
            if this.hold.is_none() {
                this.future = None;
            }
        }
        if let Some(bytes) = &this.bytes {
            ready!(bytes.poll_within(0, cx));
        }
        if this.hold.is_some() {
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// A stream stalled that nothing holds any more: only closing the connection frees its bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreachable;

/// The running streams of a connection.
#[derive(Debug)]
pub(crate) struct Streams {
    spawner: Spawner,
    running: FuturesUnordered<StreamTask>,
}

impl Streams {
    pub(crate) fn new(spawner: Spawner) -> Self {
        Self {
            spawner,
            running: FuturesUnordered::new(),
        }
    }

    /// Takes over what was started and runs whatever can go on.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        self.running
            .extend(self.spawner.shared.queue.lock().started.drain(..));
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
    }

    /// Resets every stream whose peer does not meet the demand, and ends the holds that the last
    /// check has seen; returns how many were reset. To be called several times per interval while
    /// response bytes are outstanding or streams are held.
    pub(crate) fn check(&mut self, now: Instant, demand: Demand) -> Result<u64, Unreachable> {
        let mut reset = 0;
        for task in self.running.iter_mut() {
            let Some(bytes) = &task.bytes else { continue };
            let gone = bytes.gone.load(Relaxed);
            if bytes.outstanding() > 0 {
                task.progress.wait(now, gone);
            } else {
                task.progress.pause(now, gone);
            }
            if let Some(hold) = &mut task.hold {
                if std::mem::replace(&mut hold.seen, true) {
                    task.reset();
                }
                continue;
            }
            let fails = task.progress.deadline(demand);
            if fails.is_none_or(|fails| fails > now) {
                continue;
            }
            if task.done {
                return Err(Unreachable);
            }
            reset += 1;
            task.reset();
        }
        Ok(reset)
    }

    /// Samples the pace of every stream that is being answered; the rate of the slowest that is
    /// old enough to give way.
    pub(crate) fn sample(&mut self, now: Instant, share: &SlowShare) -> Option<u64> {
        let rates = self.running.iter_mut().filter_map(|task| {
            let gone = task.giving_way()?;
            let pace = task.pace.get_or_insert_with(|| Pace::new(now, gone));
            let rate = share.rate(pace, now, gone);
            pace.sample(gone);
            rate
        });
        rates.min()
    }

    /// Resets the streams whose responses have been taken back.
    pub(crate) fn revoke(&mut self) {
        for task in self.running.iter_mut() {
            let is_running = task.future.is_some();
            if is_running && task.bytes.as_deref().is_some_and(StreamBytes::is_revoked) {
                task.reset();
            }
        }
    }

    /// Resets the slowest stream that has to give way; false if there is none any more.
    pub(crate) fn cut_slowest(&mut self, now: Instant, share: &SlowShare) -> bool {
        let slowest = self.running.iter_mut().filter_map(|task| {
            let rate = share.slow_rate(task.pace.as_ref()?, now, task.giving_way()?)?;
            Some((rate, task))
        });
        match slowest.min_by_key(|(rate, _)| *rate) {
            Some((_, task)) => {
                task.reset();
                true
            }
            None => false,
        }
    }
}
