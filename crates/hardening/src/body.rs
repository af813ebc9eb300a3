//! A request body that arrives in time and within its cap, or is refused.
//!
//! The timers cost nothing for a body that is already there: one is armed when the peer is first
//! waited for, and moved, not made anew, for every later wait.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{BodyError, BodyWatch, Reason, Refusal};

/// How large a body may be and how fast it must come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPolicy {
    /// Small enough to be taken as one.
    OneShot {
        /// Most bytes.
        cap: u64,
        /// The whole body is there this long after its head.
        deadline: Duration,
    },
    /// Taken piece by piece. Only time spent waiting for the peer counts: a service that is slow
    /// to take what has arrived never makes its peer late.
    Streamed {
        /// Most bytes.
        cap: u64,
        /// Some bytes arrive in every wait of this length.
        interval: Duration,
        /// Least average, in bytes per second of waiting, once `interval` has been waited in all;
        /// 0 for none.
        min_rate: u64,
    },
}

impl BodyPolicy {
    /// Most bytes.
    pub const fn cap(&self) -> u64 {
        match *self {
            Self::OneShot { cap, .. } | Self::Streamed { cap, .. } => cap,
        }
    }

    /// Refuses a body of `length` bytes that is over the cap with [`Reason::BodyTooLarge`].
    pub const fn check_length(&self, length: u64) -> Result<(), Refusal> {
        if length > self.cap() {
            Err(too_large())
        } else {
            Ok(())
        }
    }
}

pin_project! {
    /// A request body under a [`BodyPolicy`].
    ///
    /// Ends with [`BodyError::Refused`] once: after an error the body is over.
    #[derive(Debug)]
    pub struct GuardedBody<B> {
        #[pin]
        body: B,
        policy: BodyPolicy,
        declared: Option<u64>,
        received: u64,
        started: Instant,
        // Time waited for the peer in waits that are over.
        waited: Duration,
        waiting_since: Option<Instant>,
        #[pin]
        sleep: Option<Sleep>,
        over: bool,
        watch: BodyWatch,
    }

    impl<B> PinnedDrop for GuardedBody<B> {
        fn drop(this: Pin<&mut Self>) {
            if !this.over {
                this.watch.end(Instant::now());
            }
        }
    }
}

impl<B: Body> GuardedBody<B> {
    /// Puts `body` under `policy`, counting from `now`, the end of the request head.
    ///
    /// A `declared` length (from `Content-Length`) over the cap is refused with
    /// [`Reason::BodyTooLarge`] before the body is polled, so that a client that waits for
    /// `100 Continue` never gets one.
    pub fn new(
        body: B,
        declared: Option<u64>,
        policy: &BodyPolicy,
        now: Instant,
    ) -> Result<Self, Refusal> {
        if let Some(length) = declared {
            policy.check_length(length)?;
        }
        let over = body.is_end_stream();
        let watch = if over {
            BodyWatch::without_body(now)
        } else {
            BodyWatch::with_body(now)
        };
        Ok(Self {
            body,
            policy: *policy,
            declared,
            received: 0,
            started: now,
            waited: Duration::ZERO,
            waiting_since: None,
            sleep: None,
            over,
            watch,
        })
    }

    /// What others may know about this body while it is read.
    pub fn watch(&self) -> BodyWatch {
        self.watch.clone()
    }

    /// The reader does something else before it waits on, in its own time.
    pub(crate) fn pause(self: Pin<&mut Self>) {
        let this = self.project();
        if let Some(since) = this.waiting_since.take() {
            let now = Instant::now();
            *this.waited += now.saturating_duration_since(since);
            this.watch.count_from(now);
        }
    }

    /// The length that the head declared, in bytes.
    pub fn declared(&self) -> Option<u64> {
        self.declared
    }
}

impl<B> Body for GuardedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut this = self.project();
        if *this.over {
            return Poll::Ready(None);
        }
        let outcome = match this.body.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                *this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                if *this.received <= this.policy.cap() {
                    let now = Instant::now();
                    // An empty piece is no progress: the wait goes on.
                    if frame.data_ref().is_none_or(|data| !data.is_empty())
                        && let Some(since) = this.waiting_since.take()
                    {
                        *this.waited += now.saturating_duration_since(since);
                    }
                    *this.over = this.body.is_end_stream();
                    if *this.over {
                        this.watch.end(now);
                    } else {
                        this.watch.count_from(now);
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Err(BodyError::Refused(this.watch.refuse(too_large()))))
            }
            Poll::Ready(Some(Err(error))) => Some(Err(BodyError::Transport(error.into()))),
            Poll::Ready(None) => None,
            Poll::Pending => {
                if this.waiting_since.is_none() {
                    let now = Instant::now();
                    *this.waiting_since = Some(now);
                    let until = wait_until(
                        this.policy,
                        *this.started,
                        now,
                        *this.waited,
                        *this.received,
                    );
                    this.watch.count_from(until);
                    match this.sleep.as_mut().as_pin_mut() {
                        Some(sleep) => sleep.reset(until),
                        None => this.sleep.set(Some(sleep_until(until))),
                    }
                }
                let sleep = this.sleep.as_pin_mut().expect("armed when the wait began");
                ready!(sleep.poll(cx));
                let refusal = Refusal::new(Reason::BodyTimeout, "the request body came too slowly");
                Some(Err(BodyError::Refused(this.watch.refuse(refusal))))
            }
        };
        *this.over = true;
        this.watch.end(Instant::now());
        Poll::Ready(outcome)
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.over {
            SizeHint::with_exact(0)
        } else {
            self.body.size_hint()
        }
    }
}

/// When a wait that begins `now` has lasted too long.
fn wait_until(
    policy: &BodyPolicy,
    started: Instant,
    now: Instant,
    waited: Duration,
    received: u64,
) -> Instant {
    match *policy {
        BodyPolicy::OneShot { deadline, .. } => started + deadline,
        BodyPolicy::Streamed {
            interval, min_rate, ..
        } => {
            let in_all = time_for(received, min_rate).max(interval);
            now + in_all.saturating_sub(waited).min(interval)
        }
    }
}

/// How long `bytes` may take at `rate` bytes per second; a rate of 0 asks for nothing.
fn time_for(bytes: u64, rate: u64) -> Duration {
    if rate == 0 {
        return Duration::MAX;
    }
    let part = u128::from(bytes % rate) * 1_000_000_000 / u128::from(rate);
    Duration::from_secs(bytes / rate) + Duration::from_nanos(part as u64)
}

const fn too_large() -> Refusal {
    Refusal::new(Reason::BodyTooLarge, "the request body is over its cap")
}

#[cfg(test)]
mod tests;
