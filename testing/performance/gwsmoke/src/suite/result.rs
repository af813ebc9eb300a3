//! What a suite found out, as JSON. Keys carry their units; see [`crate::result`] for the rules.

use serde::{Deserialize, Serialize};

use crate::result::{Latency, LoadResult, Machine, NodeBuild, SCHEMA};

pub use crate::result::SweepStep;
use crate::slo::Row;

/// All of one suite: `suite.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuiteResult {
    /// [`crate::result::SCHEMA`].
    pub schema: u32,
    /// How much was run.
    pub level: Level,
    /// When it began: seconds since 1970.
    pub started_unix_s: u64,
    /// Seconds that it took, starts and warm-ups included.
    pub duration_s: f64,
    /// Where it ran.
    pub machine: Machine,
    /// What ran.
    pub node: NodeBuild,
    /// The standard scenarios, in the order in which they ran.
    pub scenarios: Vec<LoadResult>,
    /// The rate walked up until the node no longer follows.
    pub sweep: Option<Sweep>,
    /// What is offered beyond the node's cap of requests per second.
    pub beyond_cap: Option<BeyondCap>,
    /// What is asked beyond what the processor can do.
    pub beyond_cpu: Option<BeyondCpu>,
    /// What matters where power is scarce.
    pub edge: Edge,
    /// From exec to the first 200 of `/readyz`.
    pub cold_start: Option<ColdStart>,
    /// What objects cost in memory, by their size.
    pub memory: Vec<Memory>,
    /// The hard limits, as the node tells them and as they were probed.
    pub limits: Vec<LimitProbe>,
    /// Every service level beside what was measured.
    pub slo: Vec<Row>,
    /// Other programs, side by side in the same run, if asked for.
    pub peers: Option<Comparisons>,
    /// The same scenarios by tools of others, if asked for.
    pub cross_check: Option<Comparisons>,
    /// What could not be run, and why: one sentence each.
    pub skipped: Vec<String>,
}

impl SuiteResult {
    /// One that has measured nothing yet.
    pub(crate) fn begun(level: Level, started_unix_s: u64, machine: Machine) -> Self {
        Self {
            schema: SCHEMA,
            level,
            started_unix_s,
            duration_s: 0.0,
            machine,
            node: NodeBuild::default(),
            scenarios: Vec::new(),
            sweep: None,
            beyond_cap: None,
            beyond_cpu: None,
            edge: Edge::default(),
            cold_start: None,
            memory: Vec::new(),
            limits: Vec::new(),
            slo: Vec::new(),
            peers: None,
            cross_check: None,
            skipped: Vec::new(),
        }
    }
}

/// How much of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A minute or two; service levels that need longer are left out.
    Quick,
    /// About ten minutes; a service level that was not measured is a failure.
    Full,
}

/// Rates walked up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// The scenario that was swept.
    pub scenario: String,
    /// By rising rate.
    pub steps: Vec<SweepStep>,
    /// The highest rate that the node followed; absent if it followed none, or all.
    pub knee_rps: Option<f64>,
}

/// Ten times a cap of requests per second, offered to a node that has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BeyondCap {
    /// The node's cap.
    pub cap_rps: f64,
    /// What was offered; the run itself is among the scenarios.
    pub offered_rps: f64,
    /// Answered as asked per second.
    pub accepted_rps: f64,
    /// That over the cap, in percent.
    pub accepted_percent: f64,
    /// Latency of what was accepted.
    pub accepted_latency_ms: Latency,
    /// Latency of `/healthz` and `/readyz` meanwhile.
    pub admin_latency_ms: Latency,
    /// How often the admin plane was asked.
    pub admin_requests: u64,
    /// How often it did not answer as it should.
    pub admin_errors: u64,
    /// Answers that were neither as asked nor 429 nor 503, and requests without one, in percent of
    /// all.
    pub other_percent: f64,
}

/// A closed loop with twice the connections beyond which a node does no more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BeyondCpu {
    /// Goodput by connections, rising.
    pub steps: Vec<ClosedStep>,
    /// The fewest connections that reach nineteen twentieths of the best goodput.
    pub knee_connections: u32,
    /// Goodput at the knee, requests per second.
    pub knee_rps: f64,
    /// Goodput at twice the knee's connections.
    pub beyond_rps: f64,
    /// That over the knee's, in percent.
    pub goodput_percent: f64,
    /// Statuses of 500 and above but 503, and requests without an answer, at twice the knee's
    /// connections.
    pub failures: u64,
    /// From the end of that until requests at a low rate are answered as fast as before, in
    /// seconds; absent if they were not within the time that was waited.
    pub recovery_s: Option<f64>,
}

/// One number of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClosedStep {
    /// Connections, each of which asks again when it has been answered.
    pub connections: u32,
    /// Answered as asked per second.
    pub achieved_rps: f64,
    /// Half of the answers took at most this.
    pub p50_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
}

/// What an operation and what doing nothing cost: of interest where power is scarce.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// Kinds of operations.
    pub operations: Vec<EdgeOperation>,
    /// Why no instructions were counted, if none were.
    pub instructions_missing: Option<String>,
    /// Voluntary context switches of the idle node per second, over all its threads.
    pub idle_wakeups_per_s: Option<f64>,
    /// Of one core, by the idle node, in percent.
    pub idle_cpu_percent: Option<f64>,
    /// Resident memory of the idle node.
    pub idle_rss_bytes: Option<u64>,
    /// Seconds over which the idle node was watched.
    pub idle_s: f64,
}

/// One kind of operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EdgeOperation {
    /// The scenario that it was measured in.
    pub scenario: String,
    /// What it is, in words: `GET 1 KiB, HTTP/1.1`.
    pub operation: String,
    /// User and system time of the node for a thousand of them.
    pub cpu_ms_per_1000: Option<f64>,
    /// The same as a part of one core, were a thousand of them done each second, in percent.
    pub cpu_percent_per_1000_per_s: Option<f64>,
    /// Instructions of the node for a thousand of them, user and kernel.
    pub instructions_per_1000: Option<f64>,
}

/// Several starts, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColdStart {
    /// How many.
    pub starts: u32,
    /// The shortest.
    pub min_ms: f64,
    /// The median.
    pub p50_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// What objects of a size cost in memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Their size: `1 KiB`.
    pub size: String,
    /// Objects that were stored.
    pub objects: u64,
    /// Their bytes, together.
    pub object_bytes: u64,
    /// Resident memory before, of a node that has stored a few.
    pub idle_rss_bytes: u64,
    /// Resident memory with all of them.
    pub rss_bytes: u64,
    /// What the node says that it uses for them.
    pub counted_bytes: u64,
    /// 1.05 times their bytes, and 300 bytes for each: what they may cost.
    pub allowed_bytes: u64,
    /// What resident memory rose by, over what it may, in percent.
    pub percent_of_allowed: f64,
}

/// A cap that the node states, and what happened beyond it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitProbe {
    /// The key of the configuration.
    pub key: String,
    /// What it is by default, as it is written there.
    pub expected: String,
    /// What the node's `/version` says.
    pub stated: Option<String>,
    /// The same as a number: seconds, bytes, or how many.
    pub stated_number: Option<f64>,
    /// What was asked beyond the cap, and what came; absent where that is tested elsewhere alone.
    pub probe: Option<String>,
    /// Stated as expected, and the probe refused as it should be.
    pub holds: bool,
}

/// What a comparison with programs or tools of others found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparisons {
    /// In the order in which they were run.
    pub comparisons: Vec<Comparison>,
    /// What is not installed, and how to get it.
    pub missing: Vec<Missing>,
}

/// One quantity of this node or tool beside that of another, from rounds that took turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Short name, which service levels refer to: `get_1k_cpu_nginx`.
    pub id: String,
    /// What is compared, in words.
    pub title: String,
    /// The other program.
    pub against: String,
    /// Unit of both values.
    pub unit: String,
    /// Median over the rounds.
    pub ours: f64,
    /// The same of the other.
    pub theirs: f64,
    /// Median of the rounds' ratios, ours over theirs.
    pub ratio: f64,
    /// Least ratio of any round.
    pub ratio_min: f64,
    /// Greatest ratio of any round.
    pub ratio_max: f64,
    /// How many rounds.
    pub rounds: u32,
}

/// A program that is not installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Its name.
    pub program: String,
    /// How to get it, as a command or an address.
    pub how: String,
}
