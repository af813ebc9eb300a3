//! The node's own counters. Names and labels are a contract with dashboards; see `exposition`.
//!
//! Everything on a request's path is a relaxed add on an array cell: no lock, no look-up by text,
//! and a set of labels that no peer can widen.

pub(crate) mod exposition;
pub(crate) mod histogram;
pub(crate) mod tls;

use crate::ingress::http::routes::Route;
use crate::readiness::Transition;
use histogram::Histogram;
use http::{Method, StatusCode};
use micronode_protocol::ErrorCode;
use micronode_protocol::connection::FrameCounts;
use micronode_protocol::frame::Kind;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tls::TlsMetrics;

/// The values of the `method` label; anything else counts as `OTHER`. Requests over OAP have no
/// method; those that do what a route does are timed under it as [`OAP`].
const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "OAP", "OTHER",
];
/// The index in [`METHODS`] of a request over OAP.
pub(crate) const OAP: usize = 6;

/// Statuses that are no error: those of errors come from the table of codes.
const SUCCESSES: [u16; 5] = [200, 201, 204, 206, 304];

#[derive(Debug, Default)]
struct RouteMetrics {
    /// Requests by method and by index of status.
    requests: [[AtomicU64; STATUSES.len()]; METHODS.len()],
    /// From the request head to the end of the response body, by method.
    latency: [Histogram; METHODS.len()],
    in_flight: AtomicI64,
}

/// Every status that a response can carry, each once; derived so that no table can be forgotten.
const STATUSES: [u16; SUCCESSES.len() + distinct_error_statuses()] = statuses();

const fn distinct_error_statuses() -> usize {
    let (mut index, mut count) = (0, 0);
    while index < ErrorCode::ALL.len() {
        count += !seen_before(index) as usize;
        index += 1;
    }
    count
}

const fn seen_before(index: usize) -> bool {
    let mut earlier = 0;
    while earlier < index {
        if ErrorCode::ALL[earlier].status() == ErrorCode::ALL[index].status() {
            return true;
        }
        earlier += 1;
    }
    false
}

const fn statuses() -> [u16; SUCCESSES.len() + distinct_error_statuses()] {
    let mut all = [0; SUCCESSES.len() + distinct_error_statuses()];
    let mut filled = 0;
    while filled < SUCCESSES.len() {
        all[filled] = SUCCESSES[filled];
        filled += 1;
    }
    let mut index = 0;
    while index < ErrorCode::ALL.len() {
        if !seen_before(index) {
            all[filled] = ErrorCode::ALL[index].status();
            filled += 1;
        }
        index += 1;
    }
    all
}

/// A counter for each error code.
#[derive(Debug)]
pub(crate) struct ByCode([AtomicU64; ErrorCode::ALL.len()]);

impl Default for ByCode {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; ErrorCode::ALL.len()])
    }
}

impl ByCode {
    fn count(&self, code: ErrorCode) {
        self.0[code as usize].fetch_add(1, Relaxed);
    }

    fn get(&self, code: ErrorCode) -> u64 {
        self.0[code as usize].load(Relaxed)
    }
}

/// Counters of the whole node. One per node, shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    routes: [RouteMetrics; Route::ALL.len()],
    rejected: ByCode,
    /// Those of [`rejected`](Self::rejected) that were answered, or closed without a word, over OAP.
    oap_rejects: ByCode,
    /// Frames by direction (in, out) and kind.
    oap_frames: [[AtomicU64; Kind::ALL.len()]; 2],
    /// From the call to the first verified piece, or to the answer that needs none.
    pub(crate) storage_get: Histogram,
    /// From the call to the object being visible, its body's arrival included.
    pub(crate) storage_put: Histogram,
    /// The engine's part of sending a message.
    pub(crate) mailbox_send: Histogram,
    /// The same of leasing messages, without the wait; what waits has it at hand.
    pub(crate) mailbox_recv: Arc<Histogram>,
    /// The same of acknowledging messages.
    pub(crate) mailbox_ack: Histogram,
    /// Waits that found no place.
    pub(crate) waiters_exhausted: AtomicU64,
    pub(crate) tls: TlsMetrics,
    /// By (state entered, reason); both from fixed sets.
    transitions: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl Metrics {
    /// Counts an answer that refuses or fails.
    pub(crate) fn rejected(&self, code: ErrorCode) {
        self.rejected.count(code);
    }

    /// The same for an answer over OAP.
    pub(crate) fn oap_rejected(&self, code: ErrorCode) {
        self.rejected(code);
        self.oap_rejects.count(code);
    }

    /// Counts the frames that have come and gone on a connection since `before`.
    pub(crate) fn oap_frames(
        &self,
        now: (FrameCounts, FrameCounts),
        before: (FrameCounts, FrameCounts),
    ) {
        let directions = [(now.0, before.0), (now.1, before.1)];
        for (counters, (now, before)) in self.oap_frames.iter().zip(directions) {
            for (counter, (now, before)) in counters.iter().zip(now.iter().zip(before)) {
                if *now > before {
                    counter.fetch_add(now - before, Relaxed);
                }
            }
        }
    }

    pub(crate) fn transition(&self, transition: Transition) {
        *self
            .transitions
            .lock()
            .entry((transition.to.as_str(), transition.reason))
            .or_default() += 1;
    }

    pub(crate) fn begin(&self, route: Route) {
        self.routes[route as usize].in_flight.fetch_add(1, Relaxed);
    }

    /// Counts a response when its head is decided.
    pub(crate) fn responded(&self, route: Route, method: &Method, status: StatusCode) {
        let status = STATUSES.iter().position(|known| *known == status.as_u16());
        debug_assert!(status.is_some(), "a status outside of the tables");
        if let Some(status) = status {
            self.routes[route as usize].requests[method_index(method)][status]
                .fetch_add(1, Relaxed);
        }
    }

    /// A request that had [begun](Self::begin) is no longer in progress: it waits, or is over.
    pub(crate) fn park(&self, route: Route) {
        self.routes[route as usize].in_flight.fetch_sub(1, Relaxed);
    }

    /// The last byte of the response is out (or given up).
    pub(crate) fn end(&self, route: Route, method: usize, latency: Duration) {
        self.routes[route as usize].latency[method].observe(latency);
    }
}

/// The index of a method in [`METHODS`].
pub(crate) fn method_index(method: &Method) -> usize {
    METHODS
        .iter()
        .position(|known| *known == method.as_str())
        .unwrap_or(METHODS.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_own_cell() {
        let mut sorted = STATUSES.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), STATUSES.len());
        for code in ErrorCode::ALL {
            assert!(STATUSES.contains(&code.status()), "{code}");
        }
    }

    #[test]
    fn unknown_methods_share_one_label() {
        let method = Method::from_bytes(b"BREW").expect("a method");
        assert_eq!(METHODS[method_index(&method)], "OTHER");
        assert_eq!(METHODS[method_index(&Method::DELETE)], "DELETE");
        assert_eq!(METHODS[OAP], "OAP");
    }
}
