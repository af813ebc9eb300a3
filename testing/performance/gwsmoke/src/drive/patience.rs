//! A bound on how long an answer may take, at the price of one timer for a connection.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

use super::PATIENCE;
use crate::clock;

/// The timer is set again only when it goes off: most requests have ended long before.
#[derive(Debug)]
pub(crate) struct Patience {
    timer: Pin<Box<Sleep>>,
    /// Since when it is waited.
    pub(crate) since: Instant,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self {
            timer: Box::pin(tokio::time::sleep(PATIENCE)),
            since: clock::now(),
        }
    }

    /// Waits from now on.
    pub(crate) fn begin(&mut self) {
        self.since = clock::now();
    }

    /// Ready when it has been waited for too long.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let end = self.since + PATIENCE;
            if clock::now() >= end {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(end.into());
        }
        Poll::Pending
    }
}
