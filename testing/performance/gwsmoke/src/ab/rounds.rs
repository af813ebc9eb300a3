//! What was measured of several builds in turn, round by round, as it is kept: every round that
//! ran is in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::gate::{Measure, per_core};
use crate::result::{LoadResult, Machine, NodeBuild, SCHEMA};
use crate::spec::LoadSpec;

/// Rounds of some variants in some scenarios.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rounds {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When it began: seconds since 1970.
    pub started_unix_s: u64,
    /// Seconds that it took, starts and warm-ups included.
    pub duration_s: f64,
    /// Where it ran.
    pub machine: Machine,
    /// What decided the order within each round.
    pub seed: u64,
    /// What was compared, the base first.
    pub variants: Vec<Variant>,
    /// What was measured of each.
    pub scenarios: Vec<Scenario>,
}

/// One of the builds that take turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// Short name: `base`, `new`.
    pub name: String,
    /// What ran: the node's `/version`, as far as it tells.
    pub node: NodeBuild,
    /// What it was given in its environment, beside everybody's.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// One scenario: a column of each measure for each variant, a value for each round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// What was asked for.
    pub spec: LoadSpec,
    /// By variant, in the order of [`Rounds::variants`].
    pub columns: Vec<Columns>,
}

/// The rounds of one variant in one scenario. Keys are those of a [`LoadResult`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    /// Milliseconds that 95 of 100 requests took at most.
    #[serde(rename = "latency_ms.p95")]
    pub latency_ms_p95: Vec<f64>,
    /// Requests answered as asked per second.
    pub achieved_rps: Vec<f64>,
    /// The node's processor time for each, in microseconds.
    pub server_cpu_us_per_request: Vec<f64>,
    /// The node's largest resident memory.
    pub server_rss_bytes_max: Vec<u64>,
    /// Requests that were due.
    pub requests: Vec<u64>,
    /// Those that failed.
    pub errors: Vec<u64>,
    /// Those that were refused: 429 and 503.
    pub refused: Vec<u64>,
    /// Cores that this tool kept busy.
    pub client_cpu_cores: Vec<f64>,
}

impl Columns {
    /// Adds a round.
    ///
    /// # Errors
    ///
    /// If something was not measured that has to be.
    pub fn push(&mut self, result: &LoadResult) -> Result<(), Failure> {
        let missing = |what: &str| {
            let scenario = &result.scenario;
            Failure::wrong(format!("{scenario}: a round without {what}"))
        };
        let cpu = result.server_cpu_us_per_request;
        let rss = result.server_rss_bytes_max;
        let status = |code: &str| result.status_counts.get(code).copied().unwrap_or(0);
        self.server_cpu_us_per_request
            .push(short(cpu.ok_or_else(|| missing("the node's CPU time"))?));
        self.server_rss_bytes_max
            .push(rss.ok_or_else(|| missing("the node's memory"))?);
        self.latency_ms_p95.push(short(result.latency_ms.p95));
        self.achieved_rps.push(short(result.achieved_rps));
        self.requests.push(result.requests);
        self.errors.push(result.errors);
        self.refused.push(status("429") + status("503"));
        self.client_cpu_cores.push(short(result.client_cpu_cores));
        Ok(())
    }

    /// How many rounds.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A measure of every round.
    pub fn of(&self, measure: Measure) -> Vec<f64> {
        match measure {
            Measure::P95 => self.latency_ms_p95.clone(),
            Measure::Throughput => self.achieved_rps.clone(),
            Measure::Cpu => self.server_cpu_us_per_request.clone(),
            Measure::PerCore => {
                let each = self.server_cpu_us_per_request.iter();
                each.map(|cpu_us| per_core(*cpu_us)).collect()
            }
            Measure::Memory => {
                let bytes = self.server_rss_bytes_max.iter();
                bytes.map(|bytes| *bytes as f64).collect()
            }
        }
    }

    fn lengths(&self) -> [usize; 8] {
        [
            self.latency_ms_p95.len(),
            self.achieved_rps.len(),
            self.server_cpu_us_per_request.len(),
            self.server_rss_bytes_max.len(),
            self.requests.len(),
            self.errors.len(),
            self.refused.len(),
            self.client_cpu_cores.len(),
        ]
    }
}

impl Rounds {
    /// Whether it is what this tool writes: as many values in every column, each of them a measure.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn check(&self) -> Result<(), Failure> {
        if self.schema != SCHEMA {
            let schema = self.schema;
            return Err(Failure::usage(format!(
                "rounds of schema {schema}, and this tool reads schema {SCHEMA}: measure again"
            )));
        }
        if self.scenarios.is_empty() || self.rounds() == 0 {
            return Err(Failure::usage("there are no rounds in it"));
        }
        for scenario in &self.scenarios {
            let name = &scenario.spec.name;
            let is_whole = scenario.columns.len() == self.variants.len()
                && scenario
                    .columns
                    .iter()
                    .all(|columns| columns.lengths() == [self.rounds(); 8]);
            if !is_whole {
                return Err(Failure::usage(format!(
                    "{name}: not every variant has as many rounds of everything"
                )));
            }
            let mut all = scenario.columns.iter().flat_map(|columns| {
                let of = |measure| columns.of(measure);
                Measure::ABSOLUTE.into_iter().flat_map(of)
            });
            if let Some(value) = all.find(|value| !value.is_finite() || *value < 0.0) {
                return Err(Failure::usage(format!("{name}: {value} is no measure")));
            }
        }
        Ok(())
    }

    /// How many rounds.
    pub fn rounds(&self) -> usize {
        let columns = self.scenarios.first().and_then(|s| s.columns.first());
        columns.map_or(0, Columns::len)
    }
}

/// Five digits: more than any of it is good for, in a file that is kept.
fn short(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powi(4 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_digits_are_kept() {
        assert_eq!(short(123_456.0), 123_460.0);
        assert_eq!(short(0.001_234_567), 0.001_234_6);
        assert_eq!(short(9.999_996), 10.0);
        assert_eq!(short(0.0), 0.0);
        assert!(short(f64::NAN).is_nan());
    }
}
