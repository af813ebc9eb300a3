//! The journal of a node that keeps what it holds: changes on their way to disk, and who waits for
//! them.
//!
//! The engine records what changes, in order; one thread takes what has come as a batch and
//! commits it as a whole. So everybody who changed something while a batch was on its way shares
//! the next one, and the disk is asked to sync once for all of them. A request is answered when
//! all that had been recorded by its end is durable, its own changes among it.
//!
//! When the disk fails, nothing that was recorded is dropped: the batch is tried again until it is
//! written, requests that change something are refused meanwhile, and those that wait are told
//! that what they asked for may or may not last. What is in memory is what will be on disk, or, if
//! the node ends before, what is on disk is a state that there was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use micronode_engine::{Change, Journal};
use micronode_protocol::ErrorCode;
use micronode_protocol::limits::{PERSIST_BACKLOG, PERSIST_BATCH, PERSIST_RETRY};
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::backend::{Backend, BackendError, Committed, Staging};
use crate::call::{CallError, Room};
use crate::clock;
use crate::log;
use crate::metrics::histogram::Histogram;

/// Where there is little room, what is not used is looked for so often at most.
const MAKE_ROOM_EVERY: Duration = Duration::from_secs(1);

/// See the [module](self).
pub(crate) struct Keeper {
    backlog: Mutex<Backlog>,
    /// Told when there is something to write, and when there will not be.
    work: Condvar,
    progress: watch::Sender<Progress>,
    /// The disk has too little room for more, as of the last look.
    is_full: AtomicBool,
    /// Changes are durable before their requests are answered.
    waits: bool,
    pub(crate) staging: Arc<dyn Staging>,
    pub(crate) failures: AtomicU64,
    pub(crate) latency: Histogram,
}

/// Why nothing can be kept for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There is no room.
    Full,
    /// It does not work.
    Broken,
}

impl From<&BackendError> for Failure {
    fn from(error: &BackendError) -> Self {
        match error {
            BackendError::Full(_) => Self::Full,
            _ => Self::Broken,
        }
    }
}

#[derive(Default)]
struct Backlog {
    changes: Vec<Change>,
    /// Changes recorded since the start, those in `changes` included.
    recorded: u64,
    is_closed: bool,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    /// Changes that are durable.
    durable: u64,
    /// The disk does not take what it is given.
    failing: Option<Failure>,
}

impl Journal for Keeper {
    fn record(&self, change: Change) {
        let mut backlog = self.backlog.lock();
        backlog.changes.push(change);
        backlog.recorded += 1;
        let is_first = backlog.changes.len() == 1;
        drop(backlog);
        if is_first {
            self.work.notify_one();
        }
    }
}

impl Keeper {
    /// One that nobody writes for yet. With `waits`, requests are answered when their changes are
    /// durable.
    pub(crate) fn new(waits: bool, staging: Arc<dyn Staging>) -> Arc<Self> {
        Arc::new(Self {
            backlog: Mutex::default(),
            work: Condvar::new(),
            progress: watch::Sender::new(Progress::default()),
            is_full: AtomicBool::new(false),
            waits,
            staging,
            failures: AtomicU64::new(0),
            latency: Histogram::default(),
        })
    }

    /// Whether a request that changes something may begin.
    ///
    /// # Errors
    ///
    /// If the disk fails, or is full and this takes room, or too much waits to be written.
    pub(crate) fn admit(&self, room: Room) -> Result<(), CallError> {
        if let Some(failing) = self.progress.borrow().failing {
            return Err(refused(failing));
        }
        if room == Room::Needed && self.is_full.load(Relaxed) {
            return Err(CallError::new(
                ErrorCode::Degraded,
                "there is little room on the disk: delete objects, or make some; reads are served",
            ));
        }
        if self.pending() >= PERSIST_BACKLOG {
            return Err(CallError::new(
                ErrorCode::Degraded,
                "more waits to be written to disk than may; come back later",
            ));
        }
        Ok(())
    }

    /// Waits until there is room for changes among those that wait to be written.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub(crate) async fn room(&self) -> Result<(), CallError> {
        let mut progress = self.progress.subscribe();
        loop {
            let now = *progress.borrow_and_update();
            match now.failing {
                Some(failing) => return Err(refused(failing)),
                None if self.pending() < PERSIST_BACKLOG => return Ok(()),
                // The sender is in `self`.
                None => drop(progress.changed().await),
            }
        }
    }

    /// Waits until the disk works, and has caught up so far that more may be changed.
    pub(crate) async fn works(&self) {
        let mut progress = self.progress.subscribe();
        while self.admit(Room::Spared).is_err() {
            drop(progress.changed().await);
        }
    }

    /// Waits until all that has been recorded is durable.
    ///
    /// # Errors
    ///
    /// If the disk fails. What was recorded is kept, and may become durable later.
    pub(crate) async fn settled(&self) -> Result<(), CallError> {
        if !self.waits {
            return Ok(());
        }
        let recorded = self.backlog.lock().recorded;
        let mut progress = self.progress.subscribe();
        let over = |progress: &Progress| progress.durable >= recorded || progress.failing.is_some();
        // The sender is in `self`.
        let Ok(progress) = progress.wait_for(over).await else {
            return Ok(());
        };
        match progress.failing {
            Some(failing) if progress.durable < recorded => Err(unsettled(failing)),
            _ => Ok(()),
        }
    }

    /// Whether the disk fails, or is full: for readiness.
    pub(crate) fn is_down(&self) -> bool {
        self.is_full.load(Relaxed) || self.progress.borrow().failing.is_some()
    }

    /// Changes that have happened and are not durable.
    pub(crate) fn pending(&self) -> usize {
        let recorded = self.backlog.lock().recorded;
        let pending = recorded.saturating_sub(self.progress.borrow().durable);
        usize::try_from(pending).unwrap_or(usize::MAX)
    }

    /// Starts the thread that writes. It ends after [`close`](Self::close), when all is written
    /// or the disk fails.
    pub(crate) fn write_to(
        self: &Arc<Self>,
        backend: Box<dyn Backend>,
        pause: Duration,
    ) -> std::io::Result<JoinHandle<()>> {
        let keeper = Arc::clone(self);
        std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || keeper.write(backend, pause))
    }

    /// Nothing more will be recorded.
    pub(crate) fn close(&self) {
        self.backlog.lock().is_closed = true;
        self.work.notify_one();
    }

    fn write(&self, mut backend: Box<dyn Backend>, pause: Duration) {
        // Should this thread panic, nobody waits for it.
        let _guard = Broken(self);
        let mut batch = Vec::new();
        // What was removed since leaves room in files that are no shorter for it.
        let mut made_room = clock::instant();
        loop {
            let mut has_room = self.staging.has_room();
            if !has_room && made_room.elapsed() > MAKE_ROOM_EVERY {
                if let Err(error) = backend.make_room() {
                    log::disk_fails(&error);
                }
                made_room = clock::instant();
                has_room = self.staging.has_room();
            }
            self.is_full.store(!has_room, Relaxed);
            if !self.next(&mut batch, pause) {
                return;
            }
            while !batch.is_empty() {
                let part = batch.len().min(PERSIST_BATCH);
                if !self.commit(backend.as_mut(), &batch[..part]) {
                    return;
                }
                // What is written is let go of, with the memory that it kept.
                batch.drain(..part);
            }
            batch.shrink_to(PERSIST_BATCH);
        }
    }

    /// Waits for changes and takes them; false when there will be none. Looks after the disk's
    /// room from time to time.
    fn next(&self, batch: &mut Vec<Change>, pause: Duration) -> bool {
        let mut backlog = self.backlog.lock();
        if backlog.changes.is_empty() && !backlog.is_closed {
            self.work.wait_for(&mut backlog, PERSIST_RETRY);
        }
        if !self.waits && !backlog.is_closed && !backlog.changes.is_empty() {
            // More will come in the time that may be lost, unless the node ends.
            self.work.wait_for(&mut backlog, pause);
        }
        std::mem::swap(batch, &mut backlog.changes);
        !(batch.is_empty() && backlog.is_closed)
    }

    /// Commits a batch, however often it takes; false if the node ends before that.
    fn commit(&self, backend: &mut dyn Backend, batch: &[Change]) -> bool {
        loop {
            let committed = self.latency.time(|| backend.commit(batch));
            let error = match committed {
                Ok(Committed { damaged }) => {
                    if damaged > 0 {
                        log::damaged_in_memory(damaged);
                    }
                    self.progress.send_modify(|progress| {
                        progress.durable += batch.len() as u64;
                        progress.failing = None;
                    });
                    return true;
                }
                Err(error) => error,
            };
            self.failures.fetch_add(1, Relaxed);
            let failure = Failure::from(&error);
            self.progress.send_if_modified(|progress| {
                let is_news = progress.failing != Some(failure);
                progress.failing = Some(failure);
                if is_news {
                    log::disk_fails(&error);
                }
                is_news
            });
            let mut backlog = self.backlog.lock();
            if backlog.is_closed {
                return false;
            }
            self.work.wait_for(&mut backlog, PERSIST_RETRY);
        }
    }
}

/// Tells everybody that nothing is kept any more.
struct Broken<'a>(&'a Keeper);

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        let failing = Some(Failure::Broken);
        let progress = &self.0.progress;
        progress.send_modify(|progress| progress.failing = failing);
    }
}

/// Nothing has been changed.
pub(crate) fn refused(failure: Failure) -> CallError {
    let detail = match failure {
        Failure::Full => "the disk is full: make room on it; reads are served",
        Failure::Broken => "the disk fails, and changes are refused; reads are served",
    };
    CallError::new(ErrorCode::Degraded, detail)
}

/// It has been changed, and may be forgotten again.
fn unsettled(failure: Failure) -> CallError {
    let detail = match failure {
        Failure::Full => "the disk is full: this has been done, and lasts when there is room again",
        Failure::Broken => "the disk fails: this has been done, and lasts when it works again",
    };
    CallError::new(ErrorCode::Degraded, detail)
}

#[cfg(test)]
mod tests;
