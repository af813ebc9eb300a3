//! From what was seen to a [`LoadResult`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::fleet::Measured;
use crate::record::{Kind, Recorder, Stretch, Window, histogram, latency};
use crate::result::{Interval, LoadResult, Machine, NodeBuild, OperationResult, SCHEMA};
use crate::sample::Sample;
use crate::spec::LoadSpec;

/// What is known beside what was measured.
pub(super) struct About {
    pub(super) started_unix_s: u64,
    pub(super) machine: Machine,
    pub(super) node: NodeBuild,
    pub(super) fds_limit: Option<u64>,
    pub(super) counters: BTreeMap<String, f64>,
}

/// Puts it all together.
pub(super) fn of(spec: &LoadSpec, measured: &Measured, about: About) -> LoadResult {
    let Measured {
        window,
        record,
        unsent,
        samples,
        ..
    } = measured;
    let measured_s = (window.end - window.start).as_secs_f64();
    let begun: u64 = record.operations.iter().map(|each| each.begun).sum();
    let failed: u64 = record.operations.iter().map(|each| each.failed).sum();
    let requests = begun + unsent;
    let achieved_rps = record.answered as f64 / measured_s;
    let mut status_counts = record.status_counts();
    if *unsent > 0 {
        *status_counts.entry("none".to_owned()).or_default() += unsent;
    }
    let cpu = samples.first().zip(samples.last());
    let cpu = cpu.map(|((from, first), (to, last))| (last.cpu - first.cpu, *to - *from));
    let most = |value: fn(&Sample) -> Option<u64>| {
        let values = samples.iter().filter_map(|(_, sample)| value(sample));
        values.max()
    };
    LoadResult {
        schema: SCHEMA,
        scenario: spec.name.clone(),
        started_unix_s: about.started_unix_s,
        machine: about.machine,
        node: about.node,
        spec: spec.clone(),
        measured_s,
        offered_rps: match spec.rate_rps {
            Some(_) => requests as f64 / measured_s,
            None => achieved_rps,
        },
        achieved_rps,
        requests,
        errors: failed + unsent,
        unsent: *unsent,
        verified: record.verified,
        connections_opened: measured.opened,
        status_counts,
        received_bytes: record.received,
        sent_bytes: record.sent,
        latency_ms: latency(&all(record)),
        operations: operations(record),
        timeline: timeline(*window, &record.stretches, samples),
        server_cpu_us_per_request: cpu.and_then(|(cpu, time)| {
            // Over the time between the two looks, which is a little longer than the window.
            let per_second = cpu.as_secs_f64() / time.as_secs_f64();
            (record.answers > 0).then(|| per_second * measured_s * 1e6 / record.answers as f64)
        }),
        server_cpu_cores: cpu.map(|(cpu, time)| cores(cpu, time)),
        server_rss_bytes_max: most(|sample| Some(sample.rss_bytes)),
        server_fds_max: most(|sample| sample.fds),
        server_fds_limit: about.fds_limit,
        client_cpu_cores: measured.cpu.as_secs_f64() / measured_s,
        pacing_late_ms: latency(&measured.late),
        server_counters: about.counters,
        sweep: Vec::new(),
        knee_rps: None,
    }
}

fn cores(cpu: Duration, time: Duration) -> f64 {
    cpu.as_secs_f64() / time.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// Latencies of all kinds of requests.
fn all(record: &Recorder) -> Histogram<u64> {
    let mut all = histogram();
    for latency in record.operations.iter().flat_map(|each| &each.latency) {
        all.add(&**latency)
            .expect("all of them have the same bounds");
    }
    all
}

fn operations(record: &Recorder) -> BTreeMap<String, OperationResult> {
    let kinds = Kind::ALL.iter().zip(&record.operations);
    let asked = kinds.filter(|(_, operation)| operation.begun > 0);
    let results = asked.map(|(kind, operation)| {
        let result = OperationResult {
            requests: operation.begun,
            errors: operation.failed,
            latency_ms: operation
                .latency
                .as_deref()
                .map(latency)
                .unwrap_or_default(),
        };
        (kind.as_str().to_owned(), result)
    });
    results.collect()
}

/// Every stretch of the window, and those behind it in which answers still came.
fn timeline(window: Window, stretches: &[Stretch], samples: &[(Instant, Sample)]) -> Vec<Interval> {
    let mut intervals = Vec::new();
    let mut start = window.start;
    for index in 0.. {
        let stretch = stretches.get(index);
        if start >= window.end && stretch.is_none() {
            break;
        }
        let end = start + window.stretch;
        // Looked at right after the end of each.
        let look = samples.get(index).zip(samples.get(index + 1));
        let cpu = look.map(|((from, first), (to, last))| cores(last.cpu - first.cpu, *to - *from));
        let last = look.map(|(_, (_, last))| last);
        let at = |quantile: f64| {
            let ns = stretch.map(|stretch| stretch.latency.value_at_quantile(quantile));
            (ns.unwrap_or(0) as f64 / 1e3).round() / 1e3
        };
        intervals.push(Interval {
            at_s: (end - window.start).as_secs_f64(),
            answered: stretch.map_or(0, |stretch| stretch.answered),
            refused: stretch.map_or(0, |stretch| stretch.refused),
            errors: stretch.map_or(0, |stretch| stretch.errors),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            server_cpu_cores: cpu,
            server_rss_bytes: last.map(|sample| sample.rss_bytes),
            server_fds: last.and_then(|sample| sample.fds),
        });
        start = end;
    }
    intervals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::record::{Outcome, Verdict};

    #[test]
    fn the_course_covers_the_window_and_what_came_behind_it() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let window = Window {
            start,
            end: at(500),
            stretch: Duration::from_millis(100),
        };
        let mut record = Recorder::new(window);
        let outcome = Outcome {
            status: Some(200),
            verdict: Verdict::AsAsked,
            is_verified: false,
            sent: 0,
            received: 0,
        };
        for (due, ended) in [(0, 10), (150, 170), (490, 720)] {
            record.begin(Kind::Get, at(due));
            record.end(Kind::Get, at(due), &outcome, at(ended));
        }
        let sample = |ms: u64| {
            let sample = Sample {
                cpu: Duration::from_millis(ms / 2),
                rss_bytes: ms,
                fds: None,
            };
            (at(ms), sample)
        };
        let samples: Vec<_> = [0, 100, 200, 300, 400, 500].map(sample).to_vec();
        let course = timeline(window, &record.stretches, &samples);
        let answered: Vec<u64> = course.iter().map(|each| each.answered).collect();
        assert_eq!(answered, [1, 1, 0, 0, 0, 0, 0, 1]);
        let ends: Vec<f64> = course.iter().map(|each| each.at_s).collect();
        assert_eq!(ends[..3], [0.1, 0.2, 0.3]);
        assert!((9.0..=11.0).contains(&course[0].p50_ms), "{course:?}");
        assert_eq!(course[2].p50_ms, 0.0, "nothing was answered");
        for interval in &course[..5] {
            assert_eq!(interval.server_cpu_cores, Some(0.5));
        }
        assert_eq!(course[1].server_rss_bytes, Some(200));
        assert_eq!(course[7].server_cpu_cores, None, "nobody looked any more");
    }
}
