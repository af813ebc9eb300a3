//! Restarts long-lived tasks that end or panic, and remembers how often.

use crate::{clock, console, log};
use futures_util::FutureExt;
use micronode_protocol::limits::{
    RESTART_BACKOFF_MAX, RESTART_BACKOFF_MIN, RESTART_WINDOW, RESTARTS_PER_WINDOW,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Counts restarts; the tasks themselves belong to the runtime that they were started on.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    restarts: Mutex<Restarts>,
}

#[derive(Debug, Default)]
struct Restarts {
    /// By task; names are known at compile time.
    by_task: BTreeMap<&'static str, u64>,
    /// The latest restarts, at most one more than [`RESTARTS_PER_WINDOW`].
    recent: VecDeque<Instant>,
}

impl Supervisor {
    /// Runs a task for ever: `task` makes its future anew for every life.
    pub(crate) fn spawn<F>(
        self: &Arc<Self>,
        name: &'static str,
        mut task: impl FnMut() -> F + Send + 'static,
    ) -> tokio::task::AbortHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let supervisor = Arc::clone(self);
        supervisor.restarts.lock().by_task.insert(name, 0);
        let life = async move {
            let mut backoff = RESTART_BACKOFF_MIN;
            loop {
                let started = clock::instant();
                // The call too: it may panic before there is a future.
                let ended = AssertUnwindSafe(async { task().await })
                    .catch_unwind()
                    .await;
                let cause = if ended.is_ok() { "ended" } else { "panicked" };
                let now = clock::instant();
                if now - started > RESTART_WINDOW {
                    backoff = RESTART_BACKOFF_MIN;
                }
                log::restarting(name, cause);
                supervisor.count(name, now);
                tokio::time::sleep(jittered(backoff)).await;
                backoff = (backoff * 2).min(RESTART_BACKOFF_MAX);
            }
        };
        console::spawn(name, life).abort_handle()
    }

    fn count(&self, name: &'static str, now: Instant) {
        let mut restarts = self.restarts.lock();
        *restarts.by_task.entry(name).or_default() += 1;
        restarts.recent.push_back(now);
        if restarts.recent.len() > RESTARTS_PER_WINDOW as usize + 1 {
            restarts.recent.pop_front();
        }
    }

    /// Restarts within the window, counted up to one more than what degrades readiness.
    pub(crate) fn recent(&self, now: Instant) -> u32 {
        let restarts = self.restarts.lock();
        let within = restarts
            .recent
            .iter()
            .filter(|&&at| now.saturating_duration_since(at) <= RESTART_WINDOW);
        u32::try_from(within.count()).unwrap_or(u32::MAX)
    }

    /// Restarts so far, by task.
    pub(crate) fn restarts(&self) -> BTreeMap<&'static str, u64> {
        self.restarts.lock().by_task.clone()
    }
}

/// Between half of and the whole backoff, so that tasks which fell together do not rise together.
fn jittered(backoff: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    backoff / 2 + (backoff / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_or_panics_is_started_again_with_growing_pauses() {
        let supervisor = Arc::new(Supervisor::default());
        let lives = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&lives);
        let task = supervisor.spawn("test", move || {
            let life = count.fetch_add(1, Relaxed);
            // Half of the panics come before there is a future.
            assert_ne!(life % 4, 1, "a life that does not begin");
            async move { assert_ne!(life % 4, 3, "a life that ends in a panic") }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after_a_second = lives.load(Relaxed);
        // Pauses of at most 100, 200, 400 and 800 ms, at least half of that.
        assert!((4..=6).contains(&after_a_second), "{after_a_second}");
        tokio::time::sleep(Duration::from_secs(59)).await;
        let after_a_minute = lives.load(Relaxed);
        assert!((14..=30).contains(&after_a_minute), "{after_a_minute}");
        assert_eq!(supervisor.restarts()["test"], u64::from(after_a_minute));
        assert_eq!(supervisor.recent(clock::instant()), RESTARTS_PER_WINDOW + 1);
        task.abort();
        tokio::time::sleep(RESTART_WINDOW + Duration::from_secs(6)).await;
        assert_eq!(supervisor.recent(clock::instant()), 0);
    }
}
