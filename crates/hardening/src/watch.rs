//! What is known about a request body outside of whoever reads it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::Refusal;

/// A view of a request body, shared with the one who reads it.
///
/// A layer asks it whether the body was refused, because a handler may answer anything after a
/// failed read; a [`Deadline`](crate::Deadline) asks it since when the handler, not the peer, is
/// the one to wait for. A request without a body costs no allocation.
#[derive(Clone, Debug)]
pub struct BodyWatch {
    started: Instant,
    shared: Option<Arc<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Nanoseconds after `started` from which the handler's time counts.
    count_from: AtomicU64,
    ended_at: OnceLock<Instant>,
    refused: OnceLock<Refusal>,
}

impl BodyWatch {
    /// For a request without a body, whose head ended at `started`.
    pub fn without_body(started: Instant) -> Self {
        Self {
            started,
            shared: None,
        }
    }

    pub(crate) fn with_body(started: Instant) -> Self {
        Self {
            started,
            shared: Some(Arc::default()),
        }
    }

    /// Why the body was refused, if it was.
    pub fn refused(&self) -> Option<Refusal> {
        self.shared.as_ref()?.refused.get().copied()
    }

    /// When the body ended or was given up; the end of the head for a request without one.
    /// `None` while it is still to be read.
    pub fn ended_at(&self) -> Option<Instant> {
        match &self.shared {
            Some(shared) => shared.ended_at.get().copied(),
            None => Some(self.started),
        }
    }

    /// From when the handler's time counts: the end of the body once it has ended; before, the
    /// last piece that arrived or, while the peer is waited for, the time at which that wait is
    /// over at the latest.
    pub(crate) fn counts_from(&self) -> Instant {
        let nanos = self
            .shared
            .as_ref()
            .map_or(0, |shared| shared.count_from.load(Ordering::Relaxed));
        self.started + Duration::from_nanos(nanos)
    }

    pub(crate) fn count_from(&self, from: Instant) {
        if let Some(shared) = &self.shared {
            let nanos = from.saturating_duration_since(self.started).as_nanos();
            // Relaxed: read for this one value alone. 584 years fit.
            shared
                .count_from
                .store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Marks the body as ended; the first mark counts.
    pub(crate) fn end(&self, now: Instant) {
        if let Some(shared) = &self.shared
            && shared.ended_at.set(now).is_ok()
        {
            self.count_from(now);
        }
    }

    /// Keeps the first refusal, and returns the one given.
    pub(crate) fn refuse(&self, refusal: Refusal) -> Refusal {
        if let Some(shared) = &self.shared {
            // Already set when a decoder passes on the refusal of the body below it.
            let _ = shared.refused.set(refusal);
        }
        refusal
    }
}
