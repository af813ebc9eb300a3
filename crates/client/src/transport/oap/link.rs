//! A connection as its users see it: who may open a stream, and when it is no use any more.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, Semaphore};

use super::call::Call;
use super::connect::Opened;
use super::driver;
use super::ended::Ended;
use super::progress::Progress;
use super::stream::Request;
use super::streams::Streams;

/// What the users of a connection share with its task.
pub(super) struct Shared {
    pub(super) streams: Mutex<Streams>,
    /// Wakes the task: there is something to send, or the connection has ended.
    pub(super) work: Notify,
    /// Streams that may still be opened; those who wait for one are served in order.
    slots: Arc<Semaphore>,
    pub(super) progress: Mutex<Progress>,
}

impl Shared {
    /// Nothing more can be written: no stream opens any more.
    pub(super) fn break_off(&self, broken: Ended) {
        self.streams.lock().break_off(broken);
        self.slots.close();
    }

    pub(super) fn end(&self, ended: Ended) {
        self.streams.lock().end(ended);
        self.slots.close();
        self.work.notify_one();
    }
}

/// A connection. It is closed when nobody has it any more.
pub(super) struct Link(Arc<Shared>);

impl Link {
    /// Starts the task of a connection.
    pub(super) fn start(opened: Opened) -> Arc<Self> {
        let shared = Arc::new(Shared {
            streams: Mutex::default(),
            work: Notify::new(),
            slots: Arc::new(Semaphore::new(opened.streams)),
            progress: Mutex::new(Progress::new()),
        });
        tokio::spawn(driver::drive(
            Arc::clone(&shared),
            opened.socket,
            opened.decoder,
        ));
        Arc::new(Link(shared))
    }

    /// Whether nothing speaks against using it.
    pub(super) fn is_open(&self) -> bool {
        self.streams().closed().is_none()
    }

    /// Opens a stream, as soon as the node takes one more.
    ///
    /// # Errors
    ///
    /// If the connection closes before. Nothing of the request has left then.
    pub(super) async fn open(self: &Arc<Self>, request: Request) -> Result<Call, Ended> {
        let slot = Arc::clone(&self.0.slots).acquire_owned().await;
        let slot = slot.map_err(|_| {
            let streams = self.streams();
            streams.closed().cloned().unwrap_or(Ended::Closed)
        })?;
        let id = self.streams().open(request, slot)?;
        self.wake();
        Ok(Call::new(Arc::clone(self), id))
    }

    pub(super) fn streams(&self) -> MutexGuard<'_, Streams> {
        self.0.streams.lock()
    }

    pub(super) fn wake(&self) {
        self.0.work.notify_one();
    }

    /// For how long nothing has shown that the node is there.
    pub(super) fn silent_for(&self) -> Duration {
        self.0.progress.lock().silent_for()
    }

    /// The call of a stream has waited for `time` in vain. If nothing that it could have waited
    /// for came to any other call either, the way to the node is dead, and the next call shall
    /// have another.
    pub(super) fn stalled(&self, id: u64, time: Duration) {
        let sends = self.streams().waits_to_send(id);
        let silent = {
            let progress = self.0.progress.lock();
            if sends {
                progress.unwritten_for()
            } else {
                progress.silent_for()
            }
        };
        if silent >= time {
            self.0.end(Ended::Silent(time));
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.0.end(Ended::Unused);
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
