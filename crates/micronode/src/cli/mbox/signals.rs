//! What asks a worker to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// SIGINT and SIGTERM, heard from here on.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// One has come.
    pub(super) stopping: bool,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::local("signals", &error));
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            stopping: false,
        })
    }

    /// Waits for either.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        self.stopping = true;
    }

    /// Waits until one comes behind another.
    pub(super) async fn second(&mut self) {
        if !self.stopping {
            self.next().await;
        }
        self.next().await;
    }
}
