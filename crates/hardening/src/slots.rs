//! How many connections may be open, and which one gives way when that many are.
//!
//! A connection without a request in progress is worth less than a newcomer: at the cap the one
//! that has been idle longest is told to close and the newcomer is admitted at once. Only when
//! every connection is serving a request is a newcomer turned away.
//!
//! A connection changes between idle and busy with one atomic operation on its own entry; the
//! registry's lock is taken when connections open and close, and for the rare request that comes
//! before its connection has heeded an eviction. Such a request is served, and the eviction is
//! void: one that does not leave soon must not count as leaving.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Values of [`Entry::idle_since`] that are not times.
const BUSY: u64 = u64::MAX;
const EVICTED: u64 = u64::MAX - 1;

/// How long a newcomer waits for a connection that has been told to close. An idle one leaves as
/// soon as its task runs.
const LEAVES_WITHIN: Duration = Duration::from_millis(100);

/// A bound on open connections, shared by every listener that draws on it.
#[derive(Clone, Debug)]
pub struct ConnectionSlots {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Idle times are microseconds since this.
    epoch: Instant,
    registry: Mutex<Registry>,
    /// A connection has left, or goes on although it was told to close.
    fewer_leaving: Notify,
}

#[derive(Debug)]
struct Registry {
    cap: usize,
    next_id: u64,
    /// Every connection whose [`Slot`] exists, those told to close included.
    open: HashMap<u64, Arc<Entry>>,
    /// Those of `open` that have been told to close.
    leaving: usize,
}

/// Why there is no slot for a newcomer.
enum Full {
    /// Every connection is serving a request.
    Busy,
    /// As many as may be leaving at once have been told to close and still are.
    Leaving,
}

#[derive(Debug)]
struct Entry {
    /// Microseconds since [`Shared::epoch`], [`BUSY`] or [`EVICTED`].
    idle_since: AtomicU64,
    /// The connection's task.
    waker: AtomicWaker,
}

impl ConnectionSlots {
    /// Slots for `cap` connections.
    pub fn new(cap: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                epoch: Instant::now(),
                registry: Mutex::new(Registry {
                    cap,
                    next_id: 0,
                    open: HashMap::new(),
                    leaving: 0,
                }),
                fewer_leaving: Notify::new(),
            }),
        }
    }

    /// Connections admitted at once, at most.
    pub fn cap(&self) -> usize {
        self.shared.registry.lock().cap
    }

    /// Changes the cap. Idle connections above a lowered one are told to close; busy ones finish.
    pub fn set_cap(&self, cap: usize) {
        let mut registry = self.shared.registry.lock();
        registry.cap = cap;
        while registry.staying() > cap && registry.evict_longest_idle() {}
    }

    /// Open connections, those included that have been told to close and still are.
    pub fn open(&self) -> usize {
        self.shared.registry.lock().open.len()
    }

    /// A slot for a newcomer, or `None` when every connection is serving a request (or as many
    /// as a quarter of the cap have been told to close and still are, which bounds the sockets
    /// that exist at once to one and a quarter times the cap).
    pub fn admit(&self) -> Option<Slot> {
        self.try_admit().ok()
    }

    /// The same, but newcomers that come faster than idle connections leave wait for one to be
    /// gone, if not for long.
    pub async fn admit_soon(&self) -> Option<Slot> {
        let until = Instant::now() + LEAVES_WITHIN;
        loop {
            // Made before it is looked, so that nothing is missed in between.
            let fewer_leaving = self.shared.fewer_leaving.notified();
            match self.try_admit() {
                Ok(slot) => return Some(slot),
                Err(Full::Busy) => return None,
                Err(Full::Leaving) => timeout_at(until, fewer_leaving).await.ok()?,
            }
        }
    }

    fn try_admit(&self) -> Result<Slot, Full> {
        let now = self.shared.since_epoch(Instant::now());
        let mut registry = self.shared.registry.lock();
        while registry.staying() >= registry.cap {
            if registry.leaving >= (registry.cap / 4).max(1) {
                return Err(Full::Leaving);
            }
            if !registry.evict_longest_idle() {
                return Err(Full::Busy);
            }
        }
        let id = registry.next_id;
        registry.next_id += 1;
        let entry = Arc::new(Entry {
            idle_since: AtomicU64::new(now),
            waker: AtomicWaker::new(),
        });
        registry.open.insert(id, Arc::clone(&entry));
        Ok(Slot {
            shared: Arc::clone(&self.shared),
            id,
            entry,
        })
    }

    /// Tells the connection that has been idle longest to close, for a process that is out of
    /// file descriptors. `false` when none is idle.
    pub fn evict_longest_idle(&self) -> bool {
        self.shared.registry.lock().evict_longest_idle()
    }
}

impl Shared {
    fn since_epoch(&self, now: Instant) -> u64 {
        let micros = now.saturating_duration_since(self.epoch).as_micros();
        u64::try_from(micros).unwrap_or(EVICTED).min(EVICTED - 1)
    }
}

impl Registry {
    fn staying(&self) -> usize {
        self.open.len() - self.leaving
    }

    fn evict_longest_idle(&mut self) -> bool {
        loop {
            let longest = self
                .open
                .iter()
                .map(|(id, entry)| (entry.idle_since.load(Ordering::Relaxed), *id, entry))
                .filter(|(since, ..)| *since < EVICTED)
                .min_by_key(|(since, id, _)| (*since, *id));
            let Some((since, _, entry)) = longest else {
                return false;
            };
            // Fails when it has begun a request meanwhile: then another one is the longest idle.
            let evicted = entry.idle_since.compare_exchange(
                since,
                EVICTED,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if evicted.is_ok() {
                entry.waker.wake();
                self.leaving += 1;
                return true;
            }
        }
    }
}

/// One connection's place; gives it back when dropped.
#[derive(Debug)]
pub struct Slot {
    shared: Arc<Shared>,
    id: u64,
    entry: Arc<Entry>,
}

impl Slot {
    /// What marks the connection as busy.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy {
            shared: Arc::clone(&self.shared),
            entry: Arc::clone(&self.entry),
        }
    }

    /// The connection has had no request in progress since `since`. An eviction stands.
    pub fn idle(&self, since: Instant) {
        let since = self.shared.since_epoch(since);
        let current = self.entry.idle_since.load(Ordering::Relaxed);
        if current != EVICTED {
            // Only an eviction can have come between: the connection is the one other writer.
            let _ = self.entry.idle_since.compare_exchange(
                current,
                since,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
        }
    }

    /// Whether the connection has been told to close, and no request has come since.
    pub fn is_evicted(&self) -> bool {
        self.entry.idle_since.load(Ordering::Acquire) == EVICTED
    }

    /// Ready when the connection has been told to close; otherwise its task will be woken then.
    pub fn poll_evicted(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.entry.waker.register(cx.waker());
        if self.is_evicted() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut registry = self.shared.registry.lock();
        registry.open.remove(&self.id);
        if self.is_evicted() {
            registry.leaving -= 1;
        }
        drop(registry);
        self.shared.fewer_leaving.notify_waiters();
    }
}

/// Marks a connection as serving a request.
#[derive(Debug)]
pub struct Occupancy {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
}

impl Occupancy {
    /// A request begins: the connection does not give way until it is idle again.
    pub fn busy(&self) {
        if self.entry.idle_since.swap(BUSY, Ordering::AcqRel) == EVICTED {
            self.shared.registry.lock().leaving -= 1;
            self.shared.fewer_leaving.notify_waiters();
        }
    }
}

/// The smaller of `max` and `percent` of the process's soft limit on open files.
pub fn cap_for_fd_limit(percent: usize, max: usize) -> usize {
    match getrlimit(Resource::Nofile).current {
        None => max,
        Some(limit) => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            (limit.saturating_mul(percent) / 100).clamp(1, max.max(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn at_the_cap_the_longest_idle_gives_way_and_busy_ones_stay() {
        let slots = ConnectionSlots::new(3);
        let first = slots.admit().expect("below the cap");
        tokio::time::advance(Duration::from_secs(1)).await;
        let second = slots.admit().expect("below the cap");
        let third = slots.admit().expect("at the cap");
        first.occupancy().busy();
        third.idle(Instant::now() + Duration::from_secs(1));

        let fourth = slots.admit().expect("an idle one gives way");
        assert!(second.is_evicted());
        assert!(!first.is_evicted() && !third.is_evicted() && !fourth.is_evicted());
        assert_eq!(slots.open(), 4, "the evicted one is still open");

        assert!(slots.admit().is_none(), "one eviction at a time");
        drop(second);
        third.occupancy().busy();
        fourth.occupancy().busy();
        assert!(slots.admit().is_none(), "all busy");
        assert!(!slots.evict_longest_idle());

        first.idle(Instant::now());
        assert!(slots.admit().is_some(), "idle again, so it gives way");
        assert!(first.is_evicted());
        drop((first, third, fourth));
        assert_eq!(slots.open(), 0);
    }

    #[test]
    fn a_request_that_comes_before_an_eviction_is_heeded_voids_it() {
        let slots = ConnectionSlots::new(1);
        let slot = slots.admit().expect("below the cap");
        assert!(slots.evict_longest_idle());
        slot.idle(Instant::now());
        assert!(slot.is_evicted(), "being idle does not");
        assert!(!slots.evict_longest_idle(), "nobody is told twice");

        let newcomer = slots.admit().expect("one is leaving");
        slot.occupancy().busy();
        assert!(!slot.is_evicted());
        assert_eq!(slots.open(), 2);
        assert!(slots.admit().is_none(), "both stay, which is over the cap");
        assert!(newcomer.is_evicted(), "the idle one had to try");
        drop(newcomer);
        slot.idle(Instant::now());
        assert!(slots.admit().is_some() && slot.is_evicted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_waits_for_one_that_leaves_and_not_for_long() {
        let slots = ConnectionSlots::new(4);
        let mut held: Vec<Slot> = (0..4).filter_map(|_| slots.admit()).collect();
        let fifth = slots.admit_soon().await.expect("the first gives way");
        assert!(held[0].is_evicted() && !held[1].is_evicted());

        let start = Instant::now();
        assert!(slots.admit_soon().await.is_none(), "the first does not go");
        assert_eq!(start.elapsed(), LEAVES_WITHIN);

        let leaves = held.remove(0);
        let (sixth, ()) = tokio::join!(slots.admit_soon(), async { drop(leaves) });
        assert!(sixth.is_some() && held[0].is_evicted());

        // The second goes on instead, so the third has to leave too.
        let (seventh, ()) = tokio::join!(slots.admit_soon(), async {
            held[0].occupancy().busy();
        });
        assert!(seventh.is_none() && held[1].is_evicted());

        for slot in [&held[0], &held[2], &fifth].into_iter().chain(&sixth) {
            slot.occupancy().busy();
        }
        drop(held.remove(1));
        let start = Instant::now();
        assert!(slots.admit_soon().await.is_none(), "all are busy");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn an_eviction_wakes_the_connection() {
        let slots = ConnectionSlots::new(1);
        let slot = slots.admit().expect("below the cap");
        let waiting = tokio::spawn(std::future::poll_fn(move |cx| slot.poll_evicted(cx)));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert!(slots.evict_longest_idle());
        waiting.await.expect("the connection was woken");
        assert_eq!(slots.open(), 0);
    }

    #[test]
    fn a_lowered_cap_evicts_down_to_it_and_a_raised_one_admits_more() {
        let slots = ConnectionSlots::new(4);
        let held: Vec<Slot> = (0..4).filter_map(|_| slots.admit()).collect();
        assert_eq!(held.len(), 4);
        held[0].occupancy().busy();
        slots.set_cap(2);
        let staying: Vec<bool> = held.iter().map(|slot| !slot.is_evicted()).collect();
        assert_eq!(staying, [true, false, false, true]);
        drop(held);
        slots.set_cap(3);
        let held: Vec<Slot> = (0..3).filter_map(|_| slots.admit()).collect();
        assert_eq!(held.len(), 3);
        assert_eq!(slots.cap(), 3);
    }

    #[test]
    fn the_fd_limit_lowers_the_cap_and_never_raises_it() {
        assert_eq!(cap_for_fd_limit(100, 1), 1);
        let half = cap_for_fd_limit(50, usize::MAX);
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            assert_eq!(half as u64, limit / 2);
        }
        assert!(cap_for_fd_limit(0, 10) >= 1);
    }
}
