//! What a service level may be measured by: keys of the JSON files, and what is worked out from
//! them.

use crate::result::LoadResult;
use crate::suite::catalogue;
use crate::suite::result::SuiteResult;

type Entry<T> = (&'static str, fn(&T) -> Option<f64>);

/// A key of a scenario's result.
#[derive(Clone, Copy, Debug)]
pub struct ScenarioKey(&'static Entry<LoadResult>);

/// A key of the suite.
#[derive(Clone, Copy, Debug)]
pub struct SuiteKey(&'static Entry<SuiteResult>);

const SCENARIO: &[Entry<LoadResult>] = &[
    ("latency_ms.p50", |it| answered(it, it.latency_ms.p50)),
    ("latency_ms.p95", |it| answered(it, it.latency_ms.p95)),
    ("latency_ms.p99", |it| answered(it, it.latency_ms.p99)),
    ("latency_ms.p999", |it| answered(it, it.latency_ms.p999)),
    ("latency_ms.max", |it| answered(it, it.latency_ms.max)),
    ("offered_rps", |it| Some(it.offered_rps)),
    ("achieved_rps", |it| Some(it.achieved_rps)),
    ("errors", |it| Some(it.errors as f64)),
    ("server_cpu_us_per_request", |it| {
        it.server_cpu_us_per_request
    }),
    ("server_cpu_cores", |it| it.server_cpu_cores),
    ("server_rss_bytes_max", |it| {
        Some(it.server_rss_bytes_max? as f64)
    }),
    ("server_fds_max", |it| Some(it.server_fds_max? as f64)),
    ("knee_rps", |it| it.knee_rps),
    // Of all the machine's cores.
    ("server_cpu_percent_per_core", |it| {
        Some(it.server_cpu_cores? / f64::from(it.machine.cores) * 100.0)
    }),
    // Of one core.
    ("server_cpu_percent", |it| {
        Some(it.server_cpu_cores? * 100.0)
    }),
    ("server_fds_percent", |it| {
        Some(it.server_fds_max? as f64 / it.server_fds_limit? as f64 * 100.0)
    }),
    // µs for each is ms for a thousand.
    ("server_cpu_ms_per_1000", |it| it.server_cpu_us_per_request),
    // Of all requests: 500 and above but 503, wrong bytes, no answer.
    ("failed_percent", |it| percent(it.errors, it.requests)),
    // Of all requests: 429 and 503.
    ("refused_percent", |it| {
        percent(status(it, "429") + status(it, "503"), it.requests)
    }),
    // Of the events that were published meanwhile.
    ("bus_overflow_percent", |it| {
        let lagged = counter(it, "bus_lagged_total");
        let published = counter(it, "bus_published_total");
        (published > 0.0).then(|| lagged / published * 100.0)
    }),
];

const SUITE: &[Entry<SuiteResult>] = &[
    ("cold_start.p50_ms", |it| {
        Some(it.cold_start.as_ref()?.p50_ms)
    }),
    ("cold_start.max_ms", |it| {
        Some(it.cold_start.as_ref()?.max_ms)
    }),
    ("edge.idle_rss_mib", |it| {
        Some(it.edge.idle_rss_bytes? as f64 / f64::from(1 << 20))
    }),
    ("edge.idle_wakeups_per_s", |it| it.edge.idle_wakeups_per_s),
    ("edge.idle_cpu_percent", |it| it.edge.idle_cpu_percent),
    // Of the scenario that CPU is told of, too.
    ("edge.instructions_per_1000", |it| {
        let mut operations = it.edge.operations.iter();
        operations
            .find(|it| it.scenario == catalogue::CAPACITY)?
            .instructions_per_1000
    }),
    ("beyond_cap.accepted_percent", |it| {
        Some(it.beyond_cap.as_ref()?.accepted_percent)
    }),
    ("beyond_cap.accepted_latency_ms.p99", |it| {
        Some(it.beyond_cap.as_ref()?.accepted_latency_ms.p99)
    }),
    ("beyond_cap.admin_latency_ms.p99", |it| {
        let beyond = it.beyond_cap.as_ref()?;
        (beyond.admin_requests > 0).then_some(beyond.admin_latency_ms.p99)
    }),
    ("beyond_cap.admin_errors", |it| {
        let beyond = it.beyond_cap.as_ref()?;
        (beyond.admin_requests > 0).then_some(beyond.admin_errors as f64)
    }),
    ("beyond_cap.other_percent", |it| {
        Some(it.beyond_cap.as_ref()?.other_percent)
    }),
    ("beyond_cpu.goodput_percent", |it| {
        Some(it.beyond_cpu.as_ref()?.goodput_percent)
    }),
    ("beyond_cpu.failures", |it| {
        Some(it.beyond_cpu.as_ref()?.failures as f64)
    }),
    ("beyond_cpu.recovery_s", |it| {
        it.beyond_cpu.as_ref()?.recovery_s
    }),
    // The worst of all sizes.
    ("memory.percent_of_allowed", |it| {
        let percents = it.memory.iter().map(|memory| memory.percent_of_allowed);
        percents.reduce(f64::max)
    }),
    ("limits.request_deadline_s", |it| {
        limit(it, "limits.request_deadline")
    }),
    ("limits.in_flight", |it| limit(it, "limits.in_flight")),
    ("limits.rps", |it| limit(it, "limits.rps")),
    ("limits.one_shot_body_bytes", |it| {
        limit(it, "limits.one_shot_body")
    }),
    ("limits.decompress_ratio", |it| {
        limit(it, "limits.decompress_ratio")
    }),
    // Those that are not stated as they should be, or did not refuse what is beyond them.
    ("limits.broken", |it| {
        let broken = it.limits.iter().filter(|limit| !limit.holds);
        (!it.limits.is_empty()).then(|| broken.count() as f64)
    }),
];

impl ScenarioKey {
    /// As it is written in the file.
    pub fn name(self) -> &'static str {
        self.0.0
    }

    /// What was measured.
    pub fn of(self, result: &LoadResult) -> Option<f64> {
        (self.0.1)(result)
    }
}

impl SuiteKey {
    /// As it is written in the file.
    pub fn name(self) -> &'static str {
        self.0.0
    }

    /// What was measured.
    pub fn of(self, result: &SuiteResult) -> Option<f64> {
        (self.0.1)(result)
    }
}

impl PartialEq for ScenarioKey {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl PartialEq for SuiteKey {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

/// The key of a scenario's result that has this name.
pub fn of_scenario(name: &str) -> Option<ScenarioKey> {
    SCENARIO.iter().find(|it| it.0 == name).map(ScenarioKey)
}

/// The key of a suite that has this name.
pub fn of_suite(name: &str) -> Option<SuiteKey> {
    SUITE.iter().find(|it| it.0 == name).map(SuiteKey)
}

/// All keys of a scenario's result.
pub fn scenario_names() -> impl Iterator<Item = &'static str> {
    SCENARIO.iter().map(|it| it.0)
}

/// The comparison with another program of this id, as [`crate::peers`] calls them.
pub fn of_peers(id: &str) -> Option<String> {
    let parts: Vec<&str> = id.split('_').collect();
    let is_one_of = |part: &str, all: &[&str]| all.contains(&part);
    let is_size = |size: &str| is_one_of(size, &["1k", "64k", "1m", "16m"]);
    let is_queue = |queue: &str| is_one_of(queue, &["nats", "beanstalkd", "redis"]);
    let is_measure = |measure: &str| is_one_of(measure, &["rate", "cpu"]);
    let is_known = match parts[..] {
        ["get", size, "cpu" | "rps", "nginx"] => is_size(size),
        ["get", size, "cpu", "nginx", "blake3"] => is_size(size),
        ["put", size, "cpu" | "rps", "nginx" | "redis"] => is_size(size),
        ["put", size, "cpu", "redis", "blake3"] => is_size(size),
        ["send" | "take", measure, queue] => is_measure(measure) && is_queue(queue),
        ["take", "batched", measure, queue] => is_measure(measure) && is_queue(queue),
        _ => false,
    };
    is_known.then(|| id.to_owned())
}

/// All keys of a suite.
pub fn suite_names() -> impl Iterator<Item = &'static str> {
    SUITE.iter().map(|it| it.0)
}

/// What is said of a key that is none.
pub(super) fn unknown(key: &str, known: impl Iterator<Item = &'static str>) -> String {
    let known: Vec<&str> = known.collect();
    format!("no key is called `{key}`; there are {}", known.join(", "))
}

/// Percentiles of nothing are zero, which is no latency.
fn answered(result: &LoadResult, latency: f64) -> Option<f64> {
    (result.achieved_rps > 0.0).then_some(latency)
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64 * 100.0)
}

fn status(result: &LoadResult, status: &str) -> u64 {
    result
        .status_counts
        .get(status)
        .copied()
        .unwrap_or_default()
}

/// What a counter rose by, all its labels together.
fn counter(result: &LoadResult, name: &str) -> f64 {
    let is_it = |key: &str| key.split('{').next() == Some(name);
    let risen = result.server_counters.iter();
    // From zero, as the sum of no floats is minus zero.
    risen
        .filter(|(key, _)| is_it(key))
        .fold(0.0, |sum, (_, value)| sum + value)
}

fn limit(suite: &SuiteResult, key: &str) -> Option<f64> {
    suite.limits.iter().find(|it| it.key == key)?.stated_number
}
