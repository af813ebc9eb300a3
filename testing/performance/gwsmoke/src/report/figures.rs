//! The plots of a run.

use super::axis::Scale;
use super::plot::{Axis, Plot};
use super::series::{STYLES, Series};
use super::text::number;
use crate::result::{Interval, Latency, LoadResult};
use crate::suite::result::{ClosedStep, Sweep};

const HEIGHT: f64 = 300.0;
/// Of one of several plots above each other.
const LOW: f64 = 170.0;
/// Most nines of a percentile axis.
const NINES: f64 = 7.0;

/// A latency with a name, and over how many requests it was taken.
pub(super) struct Latencies<'a> {
    pub(super) name: &'a str,
    pub(super) latency: &'a Latency,
    pub(super) requests: u64,
}

impl Latencies<'_> {
    /// What is known of the curve. A percentile that has less than one request above it is the
    /// longest, which stands where all but one request are.
    fn points(&self) -> Vec<(f64, f64)> {
        let Latency {
            p50,
            p90,
            p95,
            p99,
            p999,
            max,
            ..
        } = *self.latency;
        let last = 100.0 * (1.0 - 1.0 / self.requests.max(2) as f64);
        let known = [
            (50.0, p50),
            (90.0, p90),
            (95.0, p95),
            (99.0, p99),
            (99.9, p999),
        ];
        let known = known.into_iter().filter(|(percent, _)| *percent < last);
        known.chain([(last, max)]).collect()
    }
}

/// Latency by percentile, of at most [`STYLES`] runs or kinds of requests.
pub(super) fn percentiles<'a>(title: &'a str, of: &[Latencies<'_>]) -> Plot<'a> {
    let lines: Vec<Series> = of
        .iter()
        .take(STYLES)
        .enumerate()
        .map(|(style, latencies)| Series::new(latencies.name, style, latencies.points()))
        .collect();
    let most = of.iter().map(|each| each.requests.max(2) as f64);
    let decades = most.fold(100.0, f64::max).log10() + 0.1;
    let values = lines.iter().flat_map(Series::drawn).map(|point| point.1);
    let told = of.iter().take(STYLES).map(|each| {
        let (p50, p99) = (number(each.latency.p50), number(each.latency.p99));
        format!("{}: median {p50} ms, 99 % within {p99} ms", each.name)
    });
    Plot {
        title,
        description: told.collect::<Vec<_>>().join("; "),
        x: Axis {
            label: "percentile of requests, the slowest to the right",
            scale: Scale::Percentile(decades.min(NINES)),
            unit: "%",
        },
        y: Axis {
            label: "latency, ms",
            scale: Scale::log(values),
            unit: "ms",
        },
        height: HEIGHT,
        lines,
        mark: None,
    }
}

/// A quantity of each stretch of a run, at the stretch's end.
fn over_time(timeline: &[Interval], value: impl Fn(&Interval) -> Option<f64>) -> Vec<(f64, f64)> {
    let points = timeline
        .iter()
        .filter_map(|each| Some((each.at_s, value(each)?)));
    points.collect()
}

/// A count of each stretch as a rate.
fn rate(timeline: &[Interval], count: impl Fn(&Interval) -> u64) -> Vec<(f64, f64)> {
    let mut before = 0.0;
    let mut points = Vec::with_capacity(timeline.len());
    for each in timeline {
        let seconds = each.at_s - before;
        before = each.at_s;
        if seconds > 0.0 {
            points.push((each.at_s, count(each) as f64 / seconds));
        }
    }
    points
}

/// Lines over the seconds of a run, whose y axis begins at 0.
fn timeline<'a>(
    title: &'a str,
    (label, unit): (&'a str, &'a str),
    height: f64,
    lines: Vec<Series>,
) -> Plot<'a> {
    let points = || lines.iter().flat_map(Series::drawn);
    let scale = Scale::linear(points().map(|point| point.1));
    let most = points().map(|point| point.1).fold(0.0, f64::max);
    let description = format!("{label} over time, at most {}", number(most));
    let end = points().map(|point| point.0).fold(1.0, f64::max);
    Plot {
        title,
        description,
        x: Axis {
            label: "seconds since the measurement began",
            scale: Scale::Linear(0.0, end),
            unit: "s",
        },
        y: Axis { label, scale, unit },
        height,
        lines,
        mark: None,
    }
}

/// What was answered, refused and lost, second by second.
pub(super) fn throughput(result: &LoadResult) -> Plot<'static> {
    let of = |name, style, count: fn(&Interval) -> u64| {
        Series::new(name, style, rate(&result.timeline, count))
    };
    let lines = vec![
        of("answered", 0, |each| each.answered),
        of("refused (429, 503)", 1, |each| each.refused),
        of("errors", 2, |each| each.errors),
    ];
    let title = "Throughput over time";
    timeline(title, ("requests per second", "/s"), HEIGHT, lines)
}

/// Median and tail, second by second.
pub(super) fn latency_over_time(result: &LoadResult) -> Plot<'static> {
    // A stretch without an answer has no latency.
    let of = |name, style, value: fn(&Interval) -> f64| {
        let answered = |each: &Interval| (each.answered > 0).then(|| value(each));
        Series::new(name, style, over_time(&result.timeline, answered))
    };
    let lines = vec![
        of("median", 0, |each| each.p50_ms),
        of("99 of 100", 1, |each| each.p99_ms),
    ];
    let values: Vec<f64> = lines
        .iter()
        .flat_map(Series::drawn)
        .map(|point| point.1)
        .collect();
    let mut plot = timeline("Latency over time", ("latency, ms", "ms"), HEIGHT, lines);
    plot.y.scale = Scale::log(values.into_iter());
    plot
}

/// What the node used, second by second: as far as its process is known.
pub(super) fn resources(result: &LoadResult) -> Vec<Plot<'static>> {
    const MIB: f64 = (1 << 20) as f64;
    type Value = fn(&Interval) -> Option<f64>;
    let of: [(&str, (&str, &str), Value); 3] = [
        ("Node: processor", ("cores", "cores"), |each| {
            each.server_cpu_cores
        }),
        ("Node: resident memory", ("MiB", "MiB"), |each| {
            each.server_rss_bytes.map(|bytes| bytes as f64 / MIB)
        }),
        ("Node: file descriptors", ("open", "open"), |each| {
            each.server_fds.map(|count| count as f64)
        }),
    ];
    let plots = of.into_iter().map(|(title, unit, value)| {
        let points = over_time(&result.timeline, value);
        (!points.is_empty())
            .then(|| timeline(title, unit, LOW, vec![Series::new(title, 0, points)]))
    });
    plots.flatten().collect()
}

/// Where the node no longer follows: what it answers, and how late, by what it is offered.
pub(super) fn knee(sweep: &Sweep) -> [Plot<'static>; 2] {
    let steps = &sweep.steps;
    let of = |value: fn(&crate::suite::result::SweepStep) -> f64| {
        let points = steps
            .iter()
            .map(move |step| (step.offered_rps, value(step)));
        points.collect::<Vec<_>>()
    };
    let offered = || steps.iter().map(|step| step.offered_rps);
    let knee = match sweep.knee_rps {
        Some(rps) => format!("the knee is at {} per second", number(rps)),
        None => "no knee was found".to_owned(),
    };
    let mark = || {
        sweep
            .knee_rps
            .map(|rps| (rps, format!("knee {}/s", number(rps))))
    };
    let plot = |title, label, unit, scale, lines| Plot {
        title,
        description: knee.clone(),
        x: Axis {
            label: "offered, requests per second",
            scale: Scale::linear(offered()),
            unit: "/s offered",
        },
        y: Axis { label, scale, unit },
        height: HEIGHT,
        lines,
        mark: mark(),
    };
    let both = offered().chain(steps.iter().map(|step| step.achieved_rps));
    let achieved = vec![
        Series::new("achieved", 0, of(|step| step.achieved_rps)),
        Series::new("as offered", 2, of(|step| step.offered_rps)),
    ];
    let late = vec![
        Series::new("median", 0, of(|step| step.latency_ms.p50)),
        Series::new("99 of 100", 1, of(|step| step.latency_ms.p99)),
    ];
    let values = late.iter().flat_map(Series::drawn).map(|point| point.1);
    let (rates, values) = (Scale::linear(both), Scale::log(values));
    [
        plot(
            "Offered and achieved",
            "achieved per second",
            "/s",
            rates,
            achieved,
        ),
        plot("Latency by offered rate", "latency, ms", "ms", values, late),
    ]
}

/// Goodput of a closed loop by its connections.
pub(super) fn goodput(steps: &[ClosedStep], knee: u32) -> Plot<'static> {
    let points = steps
        .iter()
        .map(|step| (f64::from(step.connections), step.achieved_rps));
    let points: Vec<_> = points.collect();
    Plot {
        title: "Goodput by connections, closed loop",
        description: format!("the knee is at {knee} connections"),
        x: Axis {
            label: "connections",
            scale: Scale::log(points.iter().map(|point| point.0)),
            unit: "connections",
        },
        y: Axis {
            label: "answered per second",
            scale: Scale::linear(points.iter().map(|point| point.1)),
            unit: "/s",
        },
        height: HEIGHT,
        lines: vec![Series::new("answered as asked", 0, points)],
        mark: Some((f64::from(knee), format!("knee {knee}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_beyond_the_requests_is_not_drawn() {
        let latency = Latency {
            p50: 1.0,
            p90: 2.0,
            p95: 3.0,
            p99: 4.0,
            p999: 5.0,
            max: 6.0,
            mean: 1.5,
        };
        let points = |requests| {
            let name = "x";
            let latency = &latency;
            Latencies {
                name,
                latency,
                requests,
            }
            .points()
        };
        assert_eq!(points(100_000).len(), 6);
        assert_eq!(
            points(50),
            [(50.0, 1.0), (90.0, 2.0), (95.0, 3.0), (98.0, 6.0)]
        );
        assert_eq!(points(0), [(50.0, 6.0)]);
    }

    #[test]
    fn counts_become_rates_by_the_length_of_their_stretch() {
        let at = |at_s, answered| Interval {
            at_s,
            answered,
            ..Interval::default()
        };
        let timeline = [at(1.0, 100), at(1.5, 100), at(1.5, 7), at(2.5, 0)];
        let rates = rate(&timeline, |each| each.answered);
        assert_eq!(rates, [(1.0, 100.0), (1.5, 200.0), (2.5, 0.0)]);
    }
}
