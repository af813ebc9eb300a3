//! Rounds that were never measured, for tests of what is said of them.

use super::rounds::{Columns, Rounds, Scenario, Variant};
use crate::result::{Machine, NodeBuild, SCHEMA};
use crate::spec::LoadSpec;

/// Rounds of a base, and of a build that takes `slower` times as long and `fatter` times as much
/// memory, in which round `r` of both ran at the speed `pace[r]`.
pub(super) fn rounds(pace: &[f64], slower: f64, fatter: f64) -> Rounds {
    let columns = |slower: f64, fatter: f64| Columns {
        latency_ms_p95: pace.iter().map(|pace| pace * slower).collect(),
        achieved_rps: pace.iter().map(|pace| 1e4 / (pace * slower)).collect(),
        server_cpu_us_per_request: pace.iter().map(|pace| 20.0 * pace * slower).collect(),
        server_rss_bytes_max: pace.iter().map(|_| (1e8 * fatter) as u64).collect(),
        requests: pace.iter().map(|_| 10_000).collect(),
        errors: pace.iter().map(|_| 0).collect(),
        refused: pace.iter().map(|_| 0).collect(),
        client_cpu_cores: pace.iter().map(|_| 0.5).collect(),
    };
    let variant = |name: &str| Variant {
        name: name.to_owned(),
        node: NodeBuild::default(),
        environment: std::collections::BTreeMap::new(),
    };
    Rounds {
        schema: SCHEMA,
        started_unix_s: 0,
        duration_s: 1.0,
        machine: Machine::here(),
        seed: 1,
        variants: vec![variant("base"), variant("new")],
        scenarios: vec![Scenario {
            spec: LoadSpec {
                name: "get".to_owned(),
                rate_rps: None,
                ..LoadSpec::default()
            },
            columns: vec![columns(1.0, 1.0), columns(slower, fatter)],
        }],
    }
}
