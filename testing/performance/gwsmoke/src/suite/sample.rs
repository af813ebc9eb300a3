//! Results for tests: well-formed, and with nothing remarkable in them.

use super::result::{Level, SuiteResult};
use crate::result::{Latency, LoadResult, Machine, NodeBuild, SCHEMA};
use crate::spec::LoadSpec;

pub(crate) fn machine() -> Machine {
    Machine {
        arch: "x86_64".to_owned(),
        cpu: "a processor".to_owned(),
        cores: 2,
        memory_gib: 24,
        kernel: "6.18".to_owned(),
        fingerprint: "0123456789abcdef".to_owned(),
    }
}

pub(crate) fn load() -> LoadResult {
    LoadResult {
        schema: SCHEMA,
        scenario: "load".to_owned(),
        started_unix_s: 1_795_000_000,
        machine: machine(),
        node: NodeBuild::default(),
        spec: LoadSpec::default(),
        measured_s: 10.0,
        offered_rps: 400.0,
        achieved_rps: 400.0,
        requests: 4000,
        errors: 0,
        unsent: 0,
        verified: 63,
        connections_opened: 16,
        status_counts: [("200".to_owned(), 4000)].into(),
        received_bytes: 4_096_000,
        sent_bytes: 0,
        latency_ms: Latency::default(),
        operations: Default::default(),
        timeline: Vec::new(),
        server_cpu_us_per_request: Some(60.0),
        server_cpu_cores: Some(0.024),
        server_rss_bytes_max: Some(20 << 20),
        server_fds_max: Some(40),
        server_fds_limit: Some(20_000),
        client_cpu_cores: 0.1,
        pacing_late_ms: Latency::default(),
        server_counters: Default::default(),
        sweep: Vec::new(),
        knee_rps: None,
    }
}

pub(crate) fn suite() -> SuiteResult {
    SuiteResult {
        duration_s: 60.0,
        scenarios: vec![load()],
        ..SuiteResult::begun(Level::Quick, 1_795_000_000, machine())
    }
}
