//! The standard scenarios: all of them beside each other, and each by itself.

use super::figures::{self, Latencies};
use super::series::STYLES;
use super::table::{Cell, Table, columns};
use super::text::{Escaped, bytes, count, number, or_dash};
use crate::result::LoadResult;
use crate::spec::{LoadSpec, Proto, Workload};

/// Most of a node's counters that are listed.
const COUNTERS: usize = 60;
/// A tool that kept more than this part of its threads busy may have been the limit itself.
const CLIENT_BUSY: f64 = 0.8;

/// All scenarios: two tables, and plots of as many as can be told apart.
pub(super) fn overview(scenarios: &[LoadResult]) -> String {
    let mut latency = Table::new(
        "Requests and latency in milliseconds, from when a request was due",
        columns(
            ["scenario"],
            [
                "offered/s",
                "achieved/s",
                "p50",
                "p90",
                "p95",
                "p99",
                "p99.9",
                "max",
                "errors",
                "refused",
            ],
        ),
    );
    let mut resources = Table::new(
        "What the node and this tool used",
        columns(
            ["scenario"],
            [
                "node CPU, µs per request",
                "node, cores",
                "resident memory",
                "descriptors",
                "of at most",
                "tool, cores",
            ],
        ),
    );
    for result in scenarios {
        let each = &result.latency_ms;
        let times = [each.p50, each.p90, each.p95, each.p99, each.p999, each.max];
        let rates = [result.offered_rps, result.achieved_rps];
        let numbers = rates
            .into_iter()
            .chain(times)
            .map(|value| number(value).into());
        let counts = [count(result.errors), count(refused(result))];
        let name = || Cell::from(result.scenario.as_str());
        latency.row(
            [name()]
                .into_iter()
                .chain(numbers)
                .chain(counts.map(Cell::from)),
        );
        resources.row([
            name(),
            or_dash(result.server_cpu_us_per_request, number).into(),
            or_dash(result.server_cpu_cores, number).into(),
            or_dash(result.server_rss_bytes_max, bytes).into(),
            or_dash(result.server_fds_max, count).into(),
            or_dash(result.server_fds_limit, count).into(),
            Cell::Text(format!(
                "{}{}",
                number(result.client_cpu_cores),
                busy_mark(result)
            )),
        ]);
    }
    let busy = scenarios.iter().any(is_client_busy);
    let note = match busy {
        true => {
            "<p class=\"note\">* The load tool was busy for most of its time: what is beyond that is its own.</p>\n"
        }
        false => "",
    };
    let asked: Vec<_> = scenarios
        .iter()
        .filter(|result| result.requests > 0)
        .collect();
    let groups = asked.len().div_ceil(STYLES);
    let plots = asked.chunks(STYLES).zip(1..).map(|(some, number)| {
        let of: Vec<_> = some.iter().map(|result| whole(result)).collect();
        let title = format!("Latency by percentile, {number} of {groups}");
        figures::percentiles(&title, &of).to_string()
    });
    let plots = plots.collect::<String>();
    format!("{latency}<div class=\"plots\">{plots}</div>\n{resources}{note}")
}

fn whole(result: &LoadResult) -> Latencies<'_> {
    Latencies {
        name: &result.scenario,
        latency: &result.latency_ms,
        requests: result.requests,
    }
}

fn is_client_busy(result: &LoadResult) -> bool {
    result.client_cpu_cores > CLIENT_BUSY * f64::from(result.spec.threads.max(1))
}

fn busy_mark(result: &LoadResult) -> &'static str {
    if is_client_busy(result) { " *" } else { "" }
}

/// Answers that were refusals.
fn refused(result: &LoadResult) -> u64 {
    let refusals = ["429", "503"].iter();
    let counts = refusals.filter_map(|status| result.status_counts.get(*status));
    counts.sum()
}

/// One scenario by itself.
pub(super) fn section(index: usize, result: &LoadResult) -> String {
    let (name, about) = (Escaped(&result.scenario), Escaped(&result.spec.about));
    let asked = words(&result.spec);
    let asked = Escaped(&asked);
    let mut operations = Table::new(
        "By kind of request, latency in milliseconds",
        columns(
            ["kind"],
            [
                "requests", "errors", "p50", "p90", "p95", "p99", "p99.9", "max", "mean",
            ],
        ),
    );
    for (kind, operation) in &result.operations {
        let each = &operation.latency_ms;
        let times = [
            each.p50, each.p90, each.p95, each.p99, each.p999, each.max, each.mean,
        ];
        let counts = [count(operation.requests), count(operation.errors)];
        let times = times.map(number);
        let cells = counts.into_iter().chain(times).map(Cell::from);
        operations.row([Cell::from(kind.as_str())].into_iter().chain(cells));
    }
    let (plots, trust) = (plots(result), trust(result));
    let rest = format!("{}{}", statuses(result), counters(result));
    format!(
        "<section class=\"scenario\" aria-labelledby=\"scenario-{index}\">\
         <h3 id=\"scenario-{index}\">{name}</h3><p>{about}</p><p class=\"asked\">{asked}</p>\n<p class=\"asked\">{trust}</p>\n\
         {operations}<div class=\"plots\">{plots}</div>\n{rest}</section>\n"
    )
}

/// What says how far the figures can be trusted.
fn trust(result: &LoadResult) -> String {
    let mut words = format!(
        "{} requests in {} s; {} connections opened, {} asked for; {} answers were compared byte by byte",
        count(result.requests),
        number(result.measured_s),
        count(result.connections_opened),
        count(result.spec.connections.into()),
        count(result.verified),
    );
    if result.spec.rate_rps.is_some() {
        let late = number(result.pacing_late_ms.p99);
        words +=
            &format!("; 99 % of requests were released within {late} ms of when they were due");
    }
    if result.unsent > 0 {
        words += &format!("; {} were never sent", count(result.unsent));
    }
    words
}

fn plots(result: &LoadResult) -> String {
    let kinds: Vec<_> = result
        .operations
        .iter()
        .filter(|(_, operation)| operation.requests > operation.errors)
        .map(|(kind, operation)| Latencies {
            name: kind,
            latency: &operation.latency_ms,
            requests: operation.requests,
        })
        .collect();
    let of = if kinds.is_empty() {
        vec![whole(result)]
    } else {
        kinds
    };
    let mut html = figures::percentiles("Latency by percentile", &of).to_string();
    if !result.timeline.is_empty() {
        html += &figures::throughput(result).to_string();
        html += &figures::latency_over_time(result).to_string();
        for plot in figures::resources(result) {
            html += &plot.to_string();
        }
    }
    html
}

fn statuses(result: &LoadResult) -> String {
    let mut table = Table::new("Answers by status", columns(["status"], ["answers"]));
    for (status, answers) in &result.status_counts {
        table.row([status.as_str().into(), count(*answers).into()]);
    }
    table.to_string()
}

/// What the node says of itself, folded away.
fn counters(result: &LoadResult) -> String {
    if result.server_counters.is_empty() {
        return String::new();
    }
    let mut table = Table::new(
        "What the node's counters rose by",
        columns(["counter"], ["by"]),
    );
    for (name, by) in result.server_counters.iter().take(COUNTERS) {
        table.row([name.as_str().into(), number(*by).into()]);
    }
    let left = result.server_counters.len().saturating_sub(COUNTERS);
    let more = match left {
        0 => String::new(),
        left => format!("<p>{left} more are in the JSON file.</p>"),
    };
    format!("<details><summary>Counters of the node</summary>{table}{more}</details>\n")
}

fn several(count: u32, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}

/// What was asked, in words.
pub(super) fn words(spec: &LoadSpec) -> String {
    let proto = match spec.proto {
        Proto::Http1 => "HTTP/1.1",
        Proto::Http2 => "HTTP/2",
        Proto::Oap => "OAP",
    };
    let tls = if spec.tls { " over TLS" } else { "" };
    let what = match spec.workload {
        Workload::Objects => match spec.read_ratio {
            ratio if ratio >= 1.0 => "GET".to_owned(),
            ratio if ratio <= 0.0 => "PUT".to_owned(),
            ratio => format!("{} % GET, otherwise PUT", number(ratio * 100.0)),
        },
        Workload::Mailbox => "send, receive and acknowledge".to_owned(),
        Workload::Echo => "echo".to_owned(),
    };
    let sizes: Vec<_> = spec.sizes.iter().map(|size| bytes(size.bytes)).collect();
    let pace = match spec.rate_rps {
        Some(rate) => format!("open loop, {} requests due per second", number(rate)),
        None => "closed loop".to_owned(),
    };
    let mut words = format!(
        "{proto}{tls}: {what} of {}; {pace}; {} with {} in flight on each, {}; {} s after a warm-up \
         of {} s",
        sizes.join(", "),
        several(spec.connections, "connection"),
        spec.streams,
        several(spec.threads, "thread"),
        number(spec.duration_s),
        number(spec.warm_up_s),
    );
    if spec.zipf > 0.0 {
        words += &format!(
            "; objects drawn by Zipf with exponent {}",
            number(spec.zipf)
        );
    }
    if spec.delay_ms > 0.0 {
        words += &format!(
            "; through a proxy that adds {} ms of round trip",
            number(spec.delay_ms)
        );
    }
    if !spec.node_flags.is_empty() {
        words += &format!("; node started with {}", spec.node_flags.join(" "));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Size;

    #[test]
    fn a_load_is_told_in_words() {
        let spec = LoadSpec {
            proto: Proto::Oap,
            tls: true,
            read_ratio: 0.9,
            rate_rps: None,
            sizes: [1024, 65536]
                .map(|bytes| Size { bytes, weight: 1.0 })
                .to_vec(),
            delay_ms: 120.0,
            node_flags: vec!["--rps".to_owned(), "0".to_owned()],
            ..LoadSpec::default()
        };
        assert_eq!(
            words(&spec),
            "OAP over TLS: 90 % GET, otherwise PUT of 1 KiB, 64 KiB; closed loop; 16 connections \
             with 1 in flight on each, 1 thread; 10 s after a warm-up of 1 s; through a proxy that \
             adds 120 ms of round trip; node started with --rps 0"
        );
    }
}
