//! What a measurement looks like as JSON.
//!
//! Keys carry their units. A reader takes files of its own [`SCHEMA`] alone: a key that changes its
//! meaning changes the number, a key that is new and may be absent does not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the schema below, in every file that is written.
pub const SCHEMA: u32 = 1;

/// What `load` found out, and each scenario of a suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadResult {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The scenario's name, or `load`.
    pub scenario: String,
    /// When it began: seconds since 1970.
    pub started_unix_s: u64,
    /// Where it ran.
    pub machine: Machine,
    /// What ran: the node's `/version`, as far as it tells.
    pub node: NodeBuild,
    /// What was asked for, every default filled in.
    pub spec: crate::spec::LoadSpec,
    /// Seconds measured, without the warm-up.
    pub measured_s: f64,
    /// Requests that were due per second. In a closed loop what was achieved.
    pub offered_rps: f64,
    /// Requests answered as asked per second while it was measured: a refusal or an error is none.
    pub achieved_rps: f64,
    /// Requests that were due, or begun in a closed loop, while it was measured.
    pub requests: u64,
    /// Those that failed: no answer, wrong bytes, a status that is neither what was asked for nor a
    /// refusal. Refusals (429, 503) are in `status_counts` alone.
    pub errors: u64,
    /// Of the errors: requests that were due and never sent, since every connection was busy to the
    /// end. They are of no operation.
    #[serde(default)]
    pub unsent: u64,
    /// Answers of which every byte was compared with what it has to be; of the others it is the
    /// status and the length.
    #[serde(default)]
    pub verified: u64,
    /// Connections opened: more than were asked for, where some were lost.
    #[serde(default)]
    pub connections_opened: u64,
    /// Answers by status; `none` counts requests without one.
    pub status_counts: BTreeMap<String, u64>,
    /// Bytes of bodies that came back.
    pub received_bytes: u64,
    /// Bytes of bodies that were sent.
    pub sent_bytes: u64,
    /// From when a request was due (closed loop: begun) to its answer's last byte, of those that
    /// were answered as asked.
    pub latency_ms: Latency,
    /// The same for each kind of request: `get`, `put`, `send`, …
    pub operations: BTreeMap<String, OperationResult>,
    /// Second by second.
    pub timeline: Vec<Interval>,
    /// User and system time of the node over the answers that came while it was measured; absent
    /// when its process is not known.
    pub server_cpu_us_per_request: Option<f64>,
    /// Cores that the node kept busy.
    pub server_cpu_cores: Option<f64>,
    /// Largest resident memory seen.
    pub server_rss_bytes_max: Option<u64>,
    /// Most file descriptors seen.
    pub server_fds_max: Option<u64>,
    /// The node's soft limit of file descriptors.
    pub server_fds_limit: Option<u64>,
    /// Cores that this tool kept busy. Near its number of threads, it was itself the limit.
    pub client_cpu_cores: f64,
    /// By how much requests of an open loop were released later than they were due, when the pacer
    /// woke for them. What it is late by is part of `latency_ms`.
    #[serde(default)]
    pub pacing_late_ms: Latency,
    /// What the node's counters rose by, those that did.
    pub server_counters: BTreeMap<String, f64>,
    /// The rates that were walked up, if they were; the other fields are then of the knee.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweep: Vec<SweepStep>,
    /// The highest rate that was kept up with within the bounds of a sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knee_rps: Option<f64>,
}

/// One rate of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SweepStep {
    /// Requests that were due per second.
    pub offered_rps: f64,
    /// Requests answered as asked per second.
    pub achieved_rps: f64,
    /// Requests that failed.
    pub errors: u64,
    /// Of those that were answered as asked.
    pub latency_ms: Latency,
    /// As in [`LoadResult::server_cpu_us_per_request`].
    pub server_cpu_us_per_request: Option<f64>,
    /// Cores that the node kept busy.
    pub server_cpu_cores: Option<f64>,
    /// Cores that this tool kept busy.
    pub client_cpu_cores: f64,
    /// Whether it was kept up with.
    pub is_within: bool,
}

/// Percentiles of a latency in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 90 of 100 took at most this.
    pub p90: f64,
    /// 95 of 100.
    pub p95: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// Arithmetic mean.
    pub mean: f64,
}

/// One kind of request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OperationResult {
    /// How many were due.
    pub requests: u64,
    /// How many failed, as in [`LoadResult::errors`].
    pub errors: u64,
    /// Latency of those that were answered as asked.
    pub latency_ms: Latency,
}

/// What happened in one stretch of a run, by when requests were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its end, in seconds since the measurement began.
    pub at_s: f64,
    /// Answers as asked.
    pub answered: u64,
    /// Refusals: 429 and 503.
    pub refused: u64,
    /// Failures.
    pub errors: u64,
    /// Median latency.
    pub p50_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// Cores that the node kept busy in it.
    pub server_cpu_cores: Option<f64>,
    /// The node's resident memory at its end.
    pub server_rss_bytes: Option<u64>,
    /// The node's file descriptors at its end.
    pub server_fds: Option<u64>,
}

/// A machine, as far as it decides whether two results may be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Architecture: `x86_64`, `aarch64`.
    pub arch: String,
    /// The processor's name.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: u32,
    /// Memory, rounded to GiB.
    pub memory_gib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// Hash over the fields above: equal prints are the same kind of machine.
    pub fingerprint: String,
}

/// A node's build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeBuild {
    /// Its version.
    pub version: String,
    /// Its source's revision, if it tells.
    pub revision: Option<String>,
}
