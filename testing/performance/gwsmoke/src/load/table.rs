//! A result for people.

use std::fmt::Write;

use crate::result::{Latency, LoadResult};

/// The result as a table.
pub fn of(result: &LoadResult) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _written = write(&mut text, result);
    text
}

fn write(text: &mut String, result: &LoadResult) -> std::fmt::Result {
    let spec = &result.spec;
    let s = if spec.tls { " over TLS" } else { "" };
    writeln!(
        text,
        "{}: {:?}{s}, {} connections, {} threads, {:.1} s measured",
        result.scenario, spec.proto, spec.connections, spec.threads, result.measured_s
    )?;
    writeln!(text)?;
    writeln!(
        text,
        "{:<10} {:>10} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "ms", "requests", "errors", "p50", "p90", "p95", "p99", "p99.9", "max"
    )?;
    let rows = result.operations.iter();
    for (name, operation) in rows.filter(|_| result.operations.len() > 1) {
        row(
            text,
            name,
            operation.requests,
            operation.errors,
            &operation.latency_ms,
        )?;
    }
    row(
        text,
        "all",
        result.requests,
        result.errors,
        &result.latency_ms,
    )?;
    writeln!(text)?;

    let mut fact = |name: &str, value: String| writeln!(text, "{name:<24} {value}");
    fact("offered", format!("{:.1}/s", result.offered_rps))?;
    fact("answered as asked", format!("{:.1}/s", result.achieved_rps))?;
    let statuses = result.status_counts.iter();
    let statuses: Vec<String> = statuses
        .map(|(status, count)| format!("{status}: {count}"))
        .collect();
    fact("answers", statuses.join(", "))?;
    if result.unsent > 0 {
        fact("never sent", result.unsent.to_string())?;
    }
    fact("verified", result.verified.to_string())?;
    fact(
        "received, sent",
        format!(
            "{}, {}",
            bytes(result.received_bytes),
            bytes(result.sent_bytes)
        ),
    )?;
    if let (Some(cores), Some(us)) = (result.server_cpu_cores, result.server_cpu_us_per_request) {
        fact(
            "node's CPU",
            format!("{cores:.3} cores, {us:.1} µs/request"),
        )?;
    }
    if let Some(rss) = result.server_rss_bytes_max {
        fact("node's memory", bytes(rss))?;
    }
    if let (Some(fds), Some(limit)) = (result.server_fds_max, result.server_fds_limit) {
        fact("node's descriptors", format!("{fds} of {limit}"))?;
    }
    fact("this tool's CPU", client(result))?;
    if spec.rate_rps.is_some() {
        let late = &result.pacing_late_ms;
        fact(
            "paced late by",
            format!("{:.3} ms at p50, {:.3} ms at p99", late.p50, late.p99),
        )?;
    }
    sweep(text, result)
}

/// What this tool took, and what a core of it could offer by that.
fn client(result: &LoadResult) -> String {
    let cores = result.client_cpu_cores;
    let per_core = result.achieved_rps / cores;
    if per_core.is_finite() && per_core > 0.0 {
        let us = 1e6 / per_core;
        format!("{cores:.3} cores, {us:.1} µs/request: {per_core:.0}/s from one core")
    } else {
        format!("{cores:.3} cores")
    }
}

fn sweep(text: &mut String, result: &LoadResult) -> std::fmt::Result {
    if result.sweep.is_empty() {
        return Ok(());
    }
    writeln!(text)?;
    writeln!(
        text,
        "{:>12} {:>12} {:>8} {:>9} {:>9} {:>11} {:>11}",
        "offered/s", "answered/s", "errors", "p50 ms", "p99 ms", "node cores", "tool cores"
    )?;
    for step in &result.sweep {
        let knee = if Some(step.offered_rps) == result.knee_rps {
            "  <- knee"
        } else {
            ""
        };
        writeln!(
            text,
            "{:>12.0} {:>12.0} {:>8} {:>9.3} {:>9.3} {:>11.3} {:>11.3}{knee}",
            step.offered_rps,
            step.achieved_rps,
            step.errors,
            step.latency_ms.p50,
            step.latency_ms.p99,
            step.server_cpu_cores.unwrap_or(f64::NAN),
            step.client_cpu_cores,
        )?;
    }
    Ok(())
}

fn row(
    text: &mut String,
    name: &str,
    requests: u64,
    errors: u64,
    latency: &Latency,
) -> std::fmt::Result {
    writeln!(
        text,
        "{name:<10} {requests:>10} {errors:>8} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>9.3}",
        latency.p50, latency.p90, latency.p95, latency.p99, latency.p999, latency.max
    )
}

fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
