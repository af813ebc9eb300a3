//! The node's own counters. Names and labels are a contract with dashboards; see `exposition`.
//!
//! Everything on a request's path is a relaxed add on an array cell: no lock, no look-up by text,
//! and a set of labels that no peer can widen.

pub(crate) mod exposition;
pub(crate) mod histogram;

use crate::ingress::http::routes::Route;
use crate::readiness::Transition;
use histogram::Histogram;
use http::{Method, StatusCode};
use micronode_protocol::ErrorCode;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The values of the `method` label; anything else counts as `OTHER`.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "OTHER"];

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

/// Counters of the whole node. One per node, shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    routes: [RouteMetrics; Route::ALL.len()],
    rejected: [AtomicU64; ErrorCode::ALL.len()],
    /// From the call to the first verified piece, or to the answer that needs none.
    pub(crate) storage_get: Histogram,
    /// From the call to the object being visible, its body's arrival included.
    pub(crate) storage_put: Histogram,
    /// By (state entered, reason); both from fixed sets.
    transitions: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl Metrics {
    /// Counts an answer that refuses or fails.
    pub(crate) fn rejected(&self, code: ErrorCode) {
        self.rejected[code as usize].fetch_add(1, Relaxed);
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

    /// The last byte of the response is out (or given up).
    pub(crate) fn end(&self, route: Route, method: usize, latency: Duration) {
        let route = &self.routes[route as usize];
        route.in_flight.fetch_sub(1, Relaxed);
        route.latency[method].observe(latency);
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
    }
}
