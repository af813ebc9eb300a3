//! A cap on how much happens at once, refusing instead of queueing.
//!
//! A [`Permit`] is worth something only while it is held: a service that gives it back with the
//! response head lets every streamed body run outside the cap. Put it into a
//! [`HeldBody`](crate::HeldBody).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::{Reason, Refusal};

/// What a refused peer is told to wait: work in flight is short, but a guess below a second is
/// not expressible in `Retry-After`.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A counted cap, shared by all its clones.
#[derive(Clone, Debug)]
pub struct InFlight {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cap: AtomicUsize,
    in_use: AtomicUsize,
}

impl InFlight {
    /// At most `cap` permits at once.
    pub fn new(cap: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                cap: AtomicUsize::new(cap),
                in_use: AtomicUsize::new(0),
            }),
        }
    }

    /// Changes the cap from now on. Permits already given out stay valid: after lowering it,
    /// nothing is admitted until enough of them came back.
    pub fn set_cap(&self, cap: usize) {
        self.shared.cap.store(cap, Ordering::Relaxed);
    }

    /// Most permits at once.
    pub fn cap(&self) -> usize {
        self.shared.cap.load(Ordering::Relaxed)
    }

    /// Permits held now.
    pub fn in_use(&self) -> usize {
        self.shared.in_use.load(Ordering::Relaxed)
    }

    /// Takes a permit, or refuses at once with [`Reason::Overloaded`].
    pub fn acquire(&self) -> Result<Permit, Refusal> {
        self.acquire_within(usize::MAX)
    }

    /// Takes a permit only while fewer than `share` are held, or refuses like
    /// [`acquire`](Self::acquire): for a kind of work that must leave room for another under the
    /// same cap.
    pub fn acquire_within(&self, share: usize) -> Result<Permit, Refusal> {
        let cap = self.cap().min(share);
        // Relaxed: the count guards no other memory.
        self.shared
            .in_use
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |in_use| {
                (in_use < cap).then_some(in_use + 1)
            })
            .map(|_| Permit {
                shared: Arc::clone(&self.shared),
            })
            .map_err(|_| {
                Refusal::new(Reason::Overloaded, "too much is in progress already")
                    .with_retry_after(RETRY_AFTER)
            })
    }
}

/// One unit of an [`InFlight`] cap, given back on drop.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once limits nothing"]
pub struct Permit {
    shared: Arc<Shared>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let before = self.shared.in_use.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a permit was given back twice");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_cap_is_admitted_and_one_more_is_refused() {
        let in_flight = InFlight::new(2);
        let shared = in_flight.clone();
        let first = in_flight.acquire().unwrap();
        let second = shared.acquire().unwrap();
        let refusal = in_flight.acquire().unwrap_err();
        assert_eq!(refusal.reason, Reason::Overloaded);
        assert!(refusal.retry_after.is_some());
        assert_eq!(in_flight.in_use(), 2, "a refusal takes nothing");

        drop(first);
        let third = in_flight.acquire().unwrap();
        drop((second, third));
        assert_eq!(in_flight.in_use(), 0);
        assert!(InFlight::new(0).acquire().is_err());
    }

    #[test]
    fn a_share_leaves_room_for_others() {
        let in_flight = InFlight::new(3);
        let first = in_flight.acquire_within(2).unwrap();
        let second = in_flight.acquire_within(2).unwrap();
        assert!(in_flight.acquire_within(2).is_err());
        let third = in_flight.acquire().unwrap();
        assert!(in_flight.acquire_within(9).is_err(), "the cap still binds");
        drop((first, second, third));
    }

    #[test]
    fn a_lowered_cap_waits_for_permits_to_come_back() {
        let in_flight = InFlight::new(3);
        let mut held: Vec<_> = (0..3).map(|_| in_flight.acquire().unwrap()).collect();
        in_flight.set_cap(1);
        assert_eq!((in_flight.cap(), in_flight.in_use()), (1, 3));
        held.pop();
        held.pop();
        assert!(
            in_flight.acquire().is_err(),
            "one is still held, which is all the cap allows"
        );
        held.pop();
        let _only = in_flight.acquire().unwrap();
        in_flight.set_cap(2);
        assert!(in_flight.acquire().is_ok());
    }

    #[test]
    fn threads_never_hold_more_than_the_cap() {
        const CAP: usize = 4;
        let in_flight = InFlight::new(CAP);
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let mut admitted = 0;
                        for _ in 0..2000 {
                            if let Ok(_permit) = in_flight.acquire() {
                                assert!(in_flight.in_use() <= CAP);
                                admitted += 1;
                            }
                        }
                        admitted
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert!(admitted > 0);
        assert_eq!(in_flight.in_use(), 0);
    }
}
