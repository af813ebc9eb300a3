//! Worker threads: one single-threaded runtime each, and every connection on one of them.
//!
//! A request never changes threads, so that there is no work stealing, no wake-up across cores,
//! and a core's caches keep what the core just hashed. The accept loop runs elsewhere and hands a
//! connection to the worker that has the fewest.

use crate::{clock, console, log, stack};
use micronode_protocol::limits::WORKER_BACKLOG;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often a worker looks at its own punctuality, and clears its stack of what requests have left
/// there.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);

/// Polls of tasks that are ready before sockets and timers are looked at again. A connection works
/// for up to a millisecond a poll and may make itself ready again by what it does, so the runtime's
/// own 61 are a long time for who waits at a socket.
const POLLS_PER_LOOK: u32 = 16;

/// Worker threads that run `T`s: a task type that is handed over before it has a runtime.
pub(crate) struct Workers<T> {
    workers: Vec<Worker<T>>,
}

struct Worker<T> {
    tasks: mpsc::Sender<T>,
    /// Tasks handed over and not yet ended.
    load: Arc<AtomicUsize>,
    /// How late the event loop was when it was last looked at, in milliseconds.
    delay_ms: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl<T: Send + 'static> Workers<T> {
    /// Starts `count` threads, each of which turns what it is handed into a future with `run`.
    ///
    /// Requests are hashed on the thread that serves them, so these threads are also the hash
    /// lanes: with `pin`, each stays on a core of its own.
    pub(crate) fn start<F>(
        count: usize,
        pin: bool,
        run: impl Fn(T) -> F + Clone + Send + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let cores = if pin { own_cores()? } else { Vec::new() };
        let mut workers = Vec::with_capacity(count);
        for index in 0..count {
            // The runtime is built here, so that its failure is a start-up error.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .event_interval(POLLS_PER_LOOK)
                .build()?;
            let (tasks, handed_over) = mpsc::channel(WORKER_BACKLOG);
            let load = Arc::new(AtomicUsize::new(0));
            let delay_ms = Arc::new(AtomicU64::new(0));
            let body = work(
                handed_over,
                Arc::clone(&load),
                Arc::clone(&delay_ms),
                run.clone(),
            );
            let core = (!cores.is_empty()).then(|| cores[index % cores.len()]);
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    stay_on(core);
                    runtime.block_on(body);
                })?;
            workers.push(Worker {
                tasks,
                load,
                delay_ms,
                thread,
            });
        }
        Ok(Self { workers })
    }

    /// Hands a task to the least loaded worker; gives it back when that one's backlog is full.
    pub(crate) fn hand_over(&self, task: T) -> Result<(), T> {
        let Some(worker) = self
            .workers
            .iter()
            .min_by_key(|worker| worker.load.load(Relaxed))
        else {
            return Err(task);
        };
        worker.load.fetch_add(1, Relaxed);
        worker.tasks.try_send(task).map_err(|refused| {
            worker.load.fetch_sub(1, Relaxed);
            match refused {
                mpsc::error::TrySendError::Full(task) | mpsc::error::TrySendError::Closed(task) => {
                    task
                }
            }
        })
    }

    /// Tasks not yet ended, over all workers.
    pub(crate) fn load(&self) -> usize {
        self.workers
            .iter()
            .map(|worker| worker.load.load(Relaxed))
            .sum()
    }

    /// The delay of the event loop that is latest, in milliseconds. Stands until that loop is on
    /// time again: one that is always late looks at itself less often than it is asked.
    pub(crate) fn delay_ms(&self) -> u64 {
        self.workers
            .iter()
            .map(|worker| worker.delay_ms.load(Relaxed))
            .max()
            .unwrap_or(0)
    }

    /// Ends all workers and whatever still runs on them.
    pub(crate) fn stop(self) {
        let threads: Vec<JoinHandle<()>> = self
            .workers
            .into_iter()
            .map(|worker| worker.thread)
            .collect();
        for thread in threads {
            // A worker that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// The cores that this process may run on.
fn own_cores() -> io::Result<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .collect())
}

/// Keeps the calling thread on one core. A system that refuses leaves it free to move, which
/// costs speed and nothing else.
fn stay_on(core: Option<usize>) {
    let Some(core) = core else { return };
    let mut only = CpuSet::new();
    only.set(core);
    if let Err(error) = sched_setaffinity(None, &only) {
        log::worker_not_pinned(core, error);
    }
}

/// A worker's life: takes what it is handed until the channel closes. Dropping the runtime after
/// that ends the tasks that are left.
async fn work<T, F>(
    mut handed_over: mpsc::Receiver<T>,
    load: Arc<AtomicUsize>,
    delay_ms: Arc<AtomicU64>,
    run: impl Fn(T) -> F + Clone + Send + 'static,
) where
    T: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    console::spawn("probe", probe(delay_ms));
    while let Some(task) = handed_over.recv().await {
        let (ends, run) = (Ends(Arc::clone(&load)), run.clone());
        // A panic, also one of `run` itself, ends this task alone: the runtime catches it, and
        // `ends` still counts.
        console::spawn("connection", async move {
            let _ends = ends;
            run(task).await;
        });
    }
}

struct Ends(Arc<AtomicUsize>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

async fn probe(delay_ms: Arc<AtomicU64>) {
    loop {
        let due = clock::instant() + PROBE_INTERVAL;
        tokio::time::sleep_until(due).await;
        let late = u64::try_from((clock::instant() - due).as_millis()).unwrap_or(u64::MAX);
        delay_ms.store(late, Relaxed);
        stack::wipe_unused();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinned_workers_stay_on_one_core_each() {
        let (tell, told) = std::sync::mpsc::sync_channel(2);
        let workers = Workers::start(2, true, move |()| {
            let tell = tell.clone();
            async move { tell.send(own_cores()).expect("the test listens") }
        })
        .expect("threads");
        for _ in 0..2 {
            workers.hand_over(()).expect("room in the backlog");
            let cores = told.recv().expect("a worker answers").expect("an affinity");
            assert_eq!(cores.len(), 1);
        }
        workers.stop();
    }

    #[test]
    fn tasks_spread_and_a_panic_ends_only_itself() {
        let workers = Workers::start(2, false, |fail: bool| async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(!fail, "asked to fail");
        })
        .expect("threads");
        for fail in [false, true, false, false] {
            workers.hand_over(fail).expect("room in the backlog");
        }
        let loads: Vec<usize> = workers
            .workers
            .iter()
            .map(|worker| worker.load.load(Relaxed))
            .collect();
        assert_eq!(loads, [2, 2]);
        while workers.load() > 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        workers.stop();
    }

    /// The delay used to be taken and reset by each sample. A loop that is late by more than the
    /// time between samples had every other one read 0, so that readiness never saw it.
    #[test]
    fn a_delay_stands_while_it_lasts() {
        let workers = Workers::start(1, false, |()| async {
            for _ in 0..6 {
                std::thread::sleep(PROBE_INTERVAL * 3 / 2);
                tokio::task::yield_now().await;
            }
        })
        .expect("threads");
        workers.hand_over(()).expect("room in the backlog");
        let mut delays = Vec::new();
        loop {
            std::thread::sleep(PROBE_INTERVAL / 5);
            let delay_ms = workers.delay_ms();
            if workers.load() == 0 {
                break;
            }
            delays.push(delay_ms);
        }
        workers.stop();
        let late: Vec<u64> = delays.into_iter().skip_while(|delay| *delay == 0).collect();
        assert!(late.len() > 5 && !late.contains(&0), "{late:?}");
    }
}
