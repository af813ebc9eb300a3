//! What is kept of a run: a histogram for each kind of request, counts, and what happened in each
//! stretch of time. Every thread has its own, which are added up at the end.

mod request;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::result::Latency;

pub(crate) use request::{Kind, Outcome, Verdict};

/// Least latency that is told apart, and the longest, in ns.
const NS: (u64, u64) = (100, 600_000_000_000);
/// Statuses that are counted apart; those beyond that many are counted together.
const STATUSES: usize = 32;

/// Latencies in ns, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(NS.0, NS.1, 3).expect("these bounds are in order")
}

/// What a histogram of ns says, in ms.
pub(crate) fn latency(histogram: &Histogram<u64>) -> Latency {
    let ms = |ns: f64| (ns / 100.0).round() / 10_000.0;
    let at = |quantile: f64| ms(histogram.value_at_quantile(quantile) as f64);
    if histogram.is_empty() {
        return Latency::default();
    }
    Latency {
        p50: at(0.5),
        p90: at(0.9),
        p95: at(0.95),
        p99: at(0.99),
        p999: at(0.999),
        max: ms(histogram.max() as f64),
        mean: ms(histogram.mean()),
    }
}

/// One kind of request.
#[derive(Debug, Default)]
pub(crate) struct Operation {
    /// How many were begun.
    pub(crate) begun: u64,
    /// How many have ended, however.
    pub(crate) ended: u64,
    pub(crate) failed: u64,
    /// Of those that were answered as asked; there is none before the first.
    pub(crate) latency: Option<Box<Histogram<u64>>>,
}

/// A stretch of time.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub(crate) answered: u64,
    pub(crate) refused: u64,
    pub(crate) errors: u64,
    /// To two digits: there is one for each stretch.
    pub(crate) latency: Histogram<u32>,
}

impl Stretch {
    fn new() -> Self {
        let latency = Histogram::new(2).expect("two digits are fine");
        Self {
            answered: 0,
            refused: 0,
            errors: 0,
            latency,
        }
    }
}

/// When something is measured, and how finely its course is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    /// Length of a stretch.
    pub(crate) stretch: Duration,
}

impl Window {
    pub(crate) fn has(&self, instant: Instant) -> bool {
        self.start <= instant && instant < self.end
    }
}

/// What a thread has seen.
#[derive(Debug)]
pub(crate) struct Recorder {
    window: Window,
    /// By kind: requests that were due in the window.
    pub(crate) operations: [Operation; Kind::ALL.len()],
    /// Their answers; no answer is 0.
    pub(crate) statuses: Vec<(u16, u64)>,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) verified: u64,
    /// Whatever ended since the window's start, by when it ended.
    pub(crate) stretches: Vec<Stretch>,
    /// Answers of any kind that came in the window.
    pub(crate) answers: u64,
    /// Answers as asked that came in the window.
    pub(crate) answered: u64,
}

impl Recorder {
    pub(crate) fn new(window: Window) -> Self {
        Self {
            window,
            operations: Default::default(),
            statuses: Vec::new(),
            sent: 0,
            received: 0,
            verified: 0,
            stretches: Vec::new(),
            answers: 0,
            answered: 0,
        }
    }

    /// A request goes out that was due at `due`.
    pub(crate) fn begin(&mut self, kind: Kind, due: Instant) {
        if self.window.has(due) {
            self.operations[kind as usize].begun += 1;
        }
    }

    /// A request that was begun has ended at `now`.
    pub(crate) fn end(&mut self, kind: Kind, due: Instant, outcome: &Outcome, now: Instant) {
        let ns = u64::try_from(now.saturating_duration_since(due).as_nanos()).unwrap_or(u64::MAX);
        if self.window.has(due) {
            let operation = &mut self.operations[kind as usize];
            operation.ended += 1;
            match outcome.verdict {
                Verdict::AsAsked => operation
                    .latency
                    .get_or_insert_with(|| Box::new(histogram()))
                    .saturating_record(ns),
                Verdict::Refused => {}
                Verdict::Failed => operation.failed += 1,
            }
            count(&mut self.statuses, outcome.status.unwrap_or(0), 1);
            self.sent += outcome.sent;
            self.received += outcome.received;
            self.verified += u64::from(outcome.is_verified);
        }
        let Some(since) = now.checked_duration_since(self.window.start) else {
            return;
        };
        if now < self.window.end {
            self.answers += u64::from(outcome.status.is_some());
            self.answered += u64::from(outcome.verdict == Verdict::AsAsked);
        }
        let index = (since.as_nanos() / self.window.stretch.as_nanos().max(1)) as usize;
        if self.stretches.len() <= index {
            self.stretches.resize_with(index + 1, Stretch::new);
        }
        let stretch = &mut self.stretches[index];
        match outcome.verdict {
            Verdict::AsAsked => {
                stretch.answered += 1;
                // It grows with what is recorded; saturating would keep it from that.
                let recorded = stretch.latency.record(ns.min(NS.1));
                recorded.expect("any latency up to the longest fits");
            }
            Verdict::Refused => stretch.refused += 1,
            Verdict::Failed => stretch.errors += 1,
        }
    }

    /// What nobody will end any more has failed without an answer.
    pub(crate) fn give_up(&mut self) {
        for operation in &mut self.operations {
            let open = operation.begun - operation.ended;
            operation.ended += open;
            operation.failed += open;
            if open > 0 {
                count(&mut self.statuses, 0, open);
            }
        }
    }

    /// Adds what another thread has seen in the same window.
    pub(crate) fn add(&mut self, other: Self) {
        for (own, others) in self.operations.iter_mut().zip(other.operations) {
            own.begun += others.begun;
            own.ended += others.ended;
            own.failed += others.failed;
            match (&mut own.latency, others.latency) {
                (Some(own), Some(others)) => own.add(&*others).expect("both have the same bounds"),
                (own @ None, others) => *own = others,
                (Some(_), None) => {}
            }
        }
        for (status, times) in other.statuses {
            count(&mut self.statuses, status, times);
        }
        self.sent += other.sent;
        self.received += other.received;
        self.verified += other.verified;
        self.answers += other.answers;
        self.answered += other.answered;
        if self.stretches.len() < other.stretches.len() {
            self.stretches
                .resize_with(other.stretches.len(), Stretch::new);
        }
        for (own, others) in self.stretches.iter_mut().zip(other.stretches) {
            own.answered += others.answered;
            own.refused += others.refused;
            own.errors += others.errors;
            own.latency
                .add(&others.latency)
                .expect("it grows with what is added");
        }
    }

    /// How often each status came; `none` is no answer, `other` what is beyond counting.
    pub(crate) fn status_counts(&self) -> BTreeMap<String, u64> {
        let name = |status: u16| match status {
            0 => "none".to_owned(),
            u16::MAX => "other".to_owned(),
            status => status.to_string(),
        };
        let counts = self.statuses.iter();
        counts
            .map(|(status, times)| (name(*status), *times))
            .collect()
    }
}

fn count(statuses: &mut Vec<(u16, u64)>, status: u16, times: u64) {
    // A run sees very few of them, the same one nearly always.
    match statuses.iter().position(|(known, _)| *known == status) {
        Some(at) => statuses[at].1 += times,
        None if statuses.len() < STATUSES => statuses.push((status, times)),
        None => statuses[STATUSES - 1] = (u16::MAX, statuses[STATUSES - 1].1 + times),
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
