//! A bound on how long an answer may take, at the price of one timer for a connection.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::PATIENCE;
use crate::clock;

/// The timer is set again only when it goes off: most requests have ended long before.
#[derive(Debug)]
pub(crate) struct Patience {
    timer: Pin<Box<Sleep>>,
    limit: Duration,
    /// Since when it is waited.
    pub(crate) since: Instant,
    /// Whether something has come meanwhile.
    has_moved: bool,
}

impl Patience {
    /// For an answer.
    pub(crate) fn new() -> Self {
        Self::of(PATIENCE)
    }

    fn of(limit: Duration) -> Self {
        Self {
            timer: Box::pin(tokio::time::sleep(limit)),
            limit,
            since: clock::now(),
            has_moved: false,
        }
    }

    /// Waits from now on.
    pub(crate) fn begin(&mut self) {
        self.since = clock::now();
        self.has_moved = false;
    }

    /// Something has come: it is waited for the next as long again, at least.
    pub(crate) fn moved(&mut self) {
        self.has_moved = true;
    }

    /// Ready when it has been waited for too long.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = clock::now();
            let mut end = self.since + self.limit;
            if self.has_moved {
                self.has_moved = false;
                end = now + self.limit;
            }
            if now >= end {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(end.into());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::future::poll_fn;

    #[test]
    fn it_is_over_after_the_limit_from_the_last_beginning() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let limit = Duration::from_millis(30);
            let mut patience = Patience::of(limit);
            tokio::time::sleep(limit / 2).await;
            patience.begin();
            let begun = patience.since;
            poll_fn(|cx| patience.poll_over(cx)).await;
            assert!(clock::now() >= begun + limit);

            patience.begin();
            let begun = patience.since;
            patience.moved();
            patience.timer.as_mut().reset((begun + limit).into());
            poll_fn(|cx| patience.poll_over(cx)).await;
            assert!(clock::now() >= begun + 2 * limit, "as long again");
        });
    }
}
