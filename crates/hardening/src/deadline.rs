//! The time that a handler has, from the end of the request body to the response head.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{BodyWatch, Reason, Refusal};

pin_project! {
    /// `future`, given up with [`Reason::Deadline`] when it takes longer than `limit`.
    ///
    /// The time that it spends waiting for the peer's body is not its own; each piece that arrives
    /// starts its time again, so that for a handler which reads its body to the end, `limit`
    /// counts from there. A handler that leaves a body unread is not spared by it.
    ///
    /// A future that is ready when first polled costs no timer.
    #[derive(Debug)]
    pub struct Deadline<F> {
        #[pin]
        future: F,
        limit: Duration,
        watch: BodyWatch,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl<F: Future> Deadline<F> {
    /// Bounds `future`, which handles the request whose body `watch` belongs to.
    pub fn new(future: F, limit: Duration, watch: BodyWatch) -> Self {
        Self {
            future,
            limit,
            watch,
            sleep: None,
        }
    }
}

impl<F: Future> Future for Deadline<F> {
    type Output = Result<F::Output, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let limit = *this.limit;
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        // While the peer is waited for, a piece that arrives may bring the handler's deadline
        // nearer, but not nearer than a full limit from now. So the timer need not move with every
        // piece: it looks again when it fires.
        let look_at = |watch: &BodyWatch, now: Instant| watch.counts_from().min(now) + limit;
        if this.sleep.is_none() {
            this.sleep
                .set(Some(sleep_until(look_at(this.watch, Instant::now()))));
        }
        loop {
            let mut sleep = this.sleep.as_mut().as_pin_mut().expect("armed above");
            ready!(sleep.as_mut().poll(cx));
            let now = Instant::now();
            if this.watch.counts_from() + limit <= now {
                let refusal = Refusal::new(Reason::Deadline, "the request took too long to handle");
                return Poll::Ready(Err(refusal));
            }
            sleep.reset(look_at(this.watch, now));
        }
    }
}
