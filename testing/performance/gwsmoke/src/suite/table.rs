//! A suite for people: what each scenario measured, what matters at the edge, and the service levels.

use std::fmt::Write;

use super::result::{BeyondCap, BeyondCpu, Edge, LimitProbe, Memory, SuiteResult};
use crate::peers;
use crate::result::LoadResult;
use crate::slo::{self, number};

/// Width of a scenario's name.
const NAME: usize = 22;

/// All of it, the service levels last.
pub(super) fn of(suite: &SuiteResult) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _written = write(&mut text, suite);
    text
}

/// What the columns of [`scenario`] are.
pub(super) fn head() -> String {
    format!(
        "{:NAME$} {:>9} {:>9} {:>7} {:>9} {:>9} {:>9} {:>9}",
        "scenario", "offered/s", "as asked", "errors", "p50 ms", "p95 ms", "p99 ms", "CPU us"
    )
}

/// One scenario, in a line.
pub(super) fn scenario(result: &LoadResult) -> String {
    let cpu = optional(result.server_cpu_us_per_request);
    let latency = &result.latency_ms;
    format!(
        "{:NAME$} {:>9.0} {:>9.0} {:>7} {:>9} {:>9} {:>9} {:>9}",
        result.scenario,
        result.offered_rps,
        result.achieved_rps,
        result.errors,
        number(latency.p50),
        number(latency.p95),
        number(latency.p99),
        cpu,
    )
}

fn write(text: &mut String, suite: &SuiteResult) -> std::fmt::Result {
    if !suite.scenarios.is_empty() {
        writeln!(text, "{}", head())?;
        for result in &suite.scenarios {
            writeln!(text, "{}", scenario(result))?;
        }
        writeln!(text)?;
    }
    if let Some(beyond) = &suite.beyond_cap {
        beyond_cap(text, beyond)?;
    }
    if let Some(beyond) = &suite.beyond_cpu {
        beyond_cpu(text, beyond)?;
    }
    edge(text, &suite.machine.arch, &suite.edge)?;
    memory(text, &suite.memory)?;
    limits(text, &suite.limits)?;
    for found in suite.peers.iter().chain(&suite.cross_check) {
        writeln!(text, "{}", peers::table::of(found))?;
    }
    for skipped in &suite.skipped {
        writeln!(text, "not measured: {skipped}")?;
    }
    write!(text, "{}", slo::table(&suite.slo))
}

fn beyond_cap(text: &mut String, beyond: &BeyondCap) -> std::fmt::Result {
    writeln!(
        text,
        "beyond the cap of {}/s: {} offered, {} accepted ({} %), p99 {} ms; admin plane p99 {} ms of {}\n",
        number(beyond.cap_rps),
        number(beyond.offered_rps),
        number(beyond.accepted_rps),
        number(beyond.accepted_percent),
        number(beyond.accepted_latency_ms.p99),
        number(beyond.admin_latency_ms.p99),
        beyond.admin_requests,
    )
}

fn beyond_cpu(text: &mut String, beyond: &BeyondCpu) -> std::fmt::Result {
    writeln!(
        text,
        "{:>11} {:>10} {:>9} {:>9}",
        "connections", "req/s", "p50 ms", "p99 ms"
    )?;
    for step in &beyond.steps {
        writeln!(
            text,
            "{:>11} {:>10.0} {:>9} {:>9}",
            step.connections,
            step.achieved_rps,
            number(step.p50_ms),
            number(step.p99_ms),
        )?;
    }
    writeln!(
        text,
        "the knee is at {}; at twice that {} % of its goodput, back to normal after {} s\n",
        beyond.knee_connections,
        number(beyond.goodput_percent),
        optional(beyond.recovery_s),
    )
}

fn edge(text: &mut String, arch: &str, edge: &Edge) -> std::fmt::Result {
    if edge.operations.is_empty() && edge.idle_rss_bytes.is_none() {
        return Ok(());
    }
    let rss = edge
        .idle_rss_bytes
        .map(|bytes| bytes as f64 / f64::from(1 << 20));
    writeln!(
        text,
        "edge, {arch}: idle {} wake-ups/s, {} % of a core, {} MiB",
        optional(edge.idle_wakeups_per_s),
        optional(edge.idle_cpu_percent),
        optional(rss),
    )?;
    if !edge.operations.is_empty() {
        let (ms, instructions) = ("CPU ms", "instructions");
        writeln!(
            text,
            "{:56} {ms:>9} {instructions:>13}",
            "for 1000 operations"
        )?;
    }
    for operation in &edge.operations {
        writeln!(
            text,
            "{:56} {:>9} {:>13}",
            operation.operation,
            optional(operation.cpu_ms_per_1000),
            optional(operation.instructions_per_1000),
        )?;
    }
    if let Some(why) = &edge.instructions_missing {
        writeln!(text, "instructions were not counted: {why}")?;
    }
    writeln!(text)
}

fn memory(text: &mut String, memory: &[Memory]) -> std::fmt::Result {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    for it in memory {
        let risen = it.rss_bytes.saturating_sub(it.idle_rss_bytes);
        writeln!(
            text,
            "memory: {} objects of {}: {:.1} MiB resident, of {:.1} allowed ({} %); the node counts {:.1}",
            it.objects,
            it.size,
            mib(risen),
            mib(it.allowed_bytes),
            number(it.percent_of_allowed),
            mib(it.counted_bytes),
        )?;
    }
    match memory {
        [] => Ok(()),
        _ => writeln!(text),
    }
}

fn limits(text: &mut String, limits: &[LimitProbe]) -> std::fmt::Result {
    for limit in limits {
        writeln!(
            text,
            "{} {} = {}{}",
            if limit.holds { "ok  " } else { "FAIL" },
            limit.key,
            limit.stated.as_deref().unwrap_or("not told"),
            limit
                .probe
                .as_ref()
                .map(|probe| format!("; {probe}"))
                .unwrap_or_default(),
        )?;
    }
    match limits {
        [] => Ok(()),
        _ => writeln!(text),
    }
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), number)
}
