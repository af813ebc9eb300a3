//! Telling every connection of a service to finish what it has begun and take nothing new.
//!
//! Not the place for deadlines: whoever starts the drain decides how long to wait for it.

use std::future::pending;

use tokio::sync::watch;

/// Starts the drain, once, for every [`DrainSignal`] made from it.
#[derive(Debug)]
pub struct Drain {
    sender: watch::Sender<bool>,
    /// Never marks a value as seen, so that its clones can tell "started" from a version number
    /// alone, without taking the channel's lock.
    receiver: watch::Receiver<bool>,
}

impl Drain {
    /// A drain that has not started.
    pub fn new() -> Self {
        let (sender, receiver) = watch::channel(false);
        Self { sender, receiver }
    }

    /// What the connections listen to.
    pub fn signal(&self) -> DrainSignal {
        DrainSignal {
            receiver: self.receiver.clone(),
        }
    }

    /// Starts the drain; starting twice changes nothing.
    pub fn start(&self) {
        self.sender
            .send_if_modified(|started| !std::mem::replace(started, true));
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

/// Says when the drain has started. A [`Drain`] that is dropped without starting never does.
#[derive(Clone, Debug)]
pub struct DrainSignal {
    receiver: watch::Receiver<bool>,
}

impl DrainSignal {
    /// Whether the drain has started: one atomic load while the [`Drain`] exists.
    pub fn is_draining(&self) -> bool {
        self.receiver
            .has_changed()
            .unwrap_or_else(|_| *self.receiver.borrow())
    }

    /// Returns when the drain starts.
    pub async fn started(&self) {
        let mut receiver = self.receiver.clone();
        if receiver.wait_for(|started| *started).await.is_err() {
            pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_signal_sees_a_drain_that_started_before_or_after_it() {
        let drain = Drain::new();
        let early = drain.signal();
        let waiting = tokio::spawn({
            let early = early.clone();
            async move { early.started().await }
        });
        assert!(!early.is_draining());
        assert!(early.started().now_or_never().is_none());

        drain.start();
        drain.start();
        let late = drain.signal();
        waiting.await.expect("the waiting task returns");
        for signal in [&early, &late] {
            assert!(signal.is_draining());
            signal.started().await;
        }

        drop(drain);
        assert!(early.is_draining() && late.is_draining());
        early.started().await;
    }

    #[tokio::test]
    async fn a_drain_dropped_without_starting_never_starts() {
        let drain = Drain::new();
        let signal = drain.signal();
        drop(drain);
        assert!(!signal.is_draining());
        assert!(signal.started().now_or_never().is_none());
    }
}
