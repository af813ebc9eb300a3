//! What is judged, and how far it may go.

use crate::result::LoadResult;

/// A measure of a node that a gate watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// 95 of 100 requests took at most this.
    P95,
    /// Requests answered as asked per second.
    Throughput,
    /// The node's processor time for each request.
    Cpu,
    /// The node's largest resident memory.
    Memory,
    /// Requests answered as asked per second of the node's processor time, in a closed loop: the
    /// throughput of a core that is the node's alone.
    PerCore,
}

/// Bounds are told in percent and measured in fractions that no computer writes exactly: a change
/// of just 10 % has to be one of at most 10 %.
const ROUNDING: f64 = 1e-9;

impl Measure {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 5] = [
        Self::P95,
        Self::Throughput,
        Self::Cpu,
        Self::Memory,
        Self::PerCore,
    ];
    /// Those that are compared between two results.
    pub const ABSOLUTE: [Self; 4] = [Self::P95, Self::Throughput, Self::Cpu, Self::Memory];

    /// Those that are compared between two builds that take turns under a load. Throughput by the
    /// clock on the wall is that of the node and of whoever else is on its cores; in a closed loop
    /// it is also told by processor time, which nobody else has a part in.
    pub fn side_by_side(is_closed: bool) -> &'static [Self] {
        if is_closed {
            &Self::ALL
        } else {
            &Self::ABSOLUTE
        }
    }

    /// Its key in a [`LoadResult`], and what a waiver calls it.
    pub fn key(self) -> &'static str {
        match self {
            Self::P95 => "latency_ms.p95",
            Self::Throughput => "achieved_rps",
            Self::Cpu => "server_cpu_us_per_request",
            Self::Memory => "server_rss_bytes_max",
            Self::PerCore => "achieved_rps_per_core",
        }
    }

    /// How far it may change for the worse, in percent of what it was: less of throughput, more of
    /// anything else. A change of just as much is still allowed.
    pub fn allowed_percent(self) -> f64 {
        match self {
            Self::P95 | Self::Throughput | Self::PerCore => 10.0,
            Self::Cpu | Self::Memory => 15.0,
        }
    }

    /// Whether more of it is better.
    pub fn is_better_higher(self) -> bool {
        matches!(self, Self::Throughput | Self::PerCore)
    }

    /// Whether `ratio`, new over base, is further than it may go.
    pub fn is_beyond(self, ratio: f64) -> bool {
        let allowed = self.allowed_percent() / 100.0;
        // What is not a number is beyond any bound.
        let is_within = if self.is_better_higher() {
            ratio >= (1.0 - allowed) * (1.0 - ROUNDING)
        } else {
            ratio <= (1.0 + allowed) * (1.0 + ROUNDING)
        };
        !is_within
    }

    /// Whether all of an interval of ratios is for the worse.
    pub fn is_worse_throughout(self, low: f64, high: f64) -> bool {
        if self.is_better_higher() {
            high < 1.0
        } else {
            low > 1.0
        }
    }

    /// Its value in a result, if it was measured.
    pub fn of(self, result: &LoadResult) -> Option<f64> {
        match self {
            Self::P95 => Some(result.latency_ms.p95),
            Self::Throughput => Some(result.achieved_rps),
            Self::Cpu => result.server_cpu_us_per_request,
            // Exact up to 8 PiB.
            Self::Memory => result.server_rss_bytes_max.map(|bytes| bytes as f64),
            Self::PerCore => result.server_cpu_us_per_request.map(per_core),
        }
    }

    /// A value of it for a table, with its unit.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::P95 => format!("{value:.3} ms"),
            Self::Throughput | Self::PerCore => format!("{value:.0}/s"),
            Self::Cpu => format!("{value:.2} µs"),
            Self::Memory => format!("{:.2} MiB", value / f64::from(1 << 20)),
        }
    }
}

/// Requests per second of processor time, at so many microseconds for each.
pub(crate) fn per_core(cpu_us: f64) -> f64 {
    1e6 / cpu_us
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn just_the_bound_is_allowed_and_a_little_more_is_not() {
        for (measure, bound, more) in [
            (Measure::P95, 1.10, 1.1001),
            (Measure::Throughput, 0.90, 0.8999),
            (Measure::PerCore, 0.90, 0.8999),
            (Measure::Cpu, 1.15, 1.1501),
            (Measure::Memory, 1.15, 1.1501),
        ] {
            assert!(!measure.is_beyond(bound), "{measure:?}");
            assert!(measure.is_beyond(more), "{measure:?}");
            assert!(!measure.is_beyond(1.0), "{measure:?}");
            assert!(measure.is_beyond(f64::NAN), "{measure:?}");
        }
        // Better by any amount is allowed.
        assert!(!Measure::Throughput.is_beyond(100.0));
        assert!(!Measure::P95.is_beyond(0.001));
    }

    proptest! {
        /// 10 % of a value that was measured, added as a computer adds it.
        #[test]
        fn rounding_decides_nothing(base in 1e-6..1e12_f64) {
            for measure in Measure::ALL {
                let allowed = measure.allowed_percent() / 100.0;
                let sign = if measure.is_better_higher() { -1.0 } else { 1.0 };
                let at = |change: f64| (base + sign * base * change) / base;
                prop_assert!(!measure.is_beyond(at(allowed)));
                prop_assert!(!measure.is_beyond(at(allowed * 0.999)));
                prop_assert!(measure.is_beyond(at(allowed * 1.001)));
            }
        }

        #[test]
        fn an_interval_around_1_is_not_worse_throughout(low in 0.5..1.0_f64, high in 1.0..2.0_f64) {
            for measure in Measure::ALL {
                prop_assert!(!measure.is_worse_throughout(low, high));
            }
        }
    }
}
