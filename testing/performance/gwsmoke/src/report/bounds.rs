//! Where a node's bounds are: the knee, what is beyond the cap and beyond the processor, what
//! things cost, and the hard limits.

use super::figures;
use super::table::{Cell, Table, columns};
use super::text::{bytes, count, number, or_dash};
use crate::suite::result::{BeyondCap, BeyondCpu, ColdStart, Edge, LimitProbe, Memory, Sweep};

/// Rates walked up.
pub(super) fn sweep(sweep: &Sweep) -> String {
    let mut table = Table::new(
        format!(
            "Rates of {}, walked up; latency in milliseconds",
            sweep.scenario
        ),
        columns(
            [],
            [
                "offered/s",
                "achieved/s",
                "p50",
                "p99",
                "p99.9",
                "node, cores",
                "tool, cores",
            ],
        ),
    );
    for step in &sweep.steps {
        let latency = &step.latency_ms;
        let cores = or_dash(step.server_cpu_cores, number);
        let numbers = [
            step.offered_rps,
            step.achieved_rps,
            latency.p50,
            latency.p99,
            latency.p999,
        ];
        let cells = numbers.map(number).into_iter();
        let cells = cells.chain([cores, number(step.client_cpu_cores)]);
        table.row(cells.map(Cell::from));
    }
    let knee = match sweep.knee_rps {
        Some(rps) => format!(
            "The highest rate that the node followed: {} per second.",
            number(rps)
        ),
        None => "The node followed every rate that was offered, or none.".to_owned(),
    };
    let plots = match sweep.steps.is_empty() {
        true => String::new(),
        false => figures::knee(sweep).map(|plot| plot.to_string()).concat(),
    };
    format!("<p>{knee}</p><div class=\"plots\">{plots}</div>\n{table}")
}

/// Names and values below each other.
fn facts<const N: usize>(caption: &str, rows: [(&str, String); N]) -> String {
    let mut table = Table::new(caption, columns(["what"], ["value"]));
    for (name, value) in rows {
        table.row([name.into(), value.into()]);
    }
    table.to_string()
}

fn ms(value: f64) -> String {
    format!("{} ms", number(value))
}

fn percent(value: f64) -> String {
    format!("{} %", number(value))
}

fn per_second(value: f64) -> String {
    format!("{}/s", number(value))
}

/// Ten times the cap.
pub(super) fn beyond_cap(beyond: &BeyondCap) -> String {
    let admin = &beyond.admin_latency_ms;
    facts(
        "Beyond the cap of requests per second",
        [
            ("cap", per_second(beyond.cap_rps)),
            ("offered", per_second(beyond.offered_rps)),
            ("answered as asked", per_second(beyond.accepted_rps)),
            ("of the cap", percent(beyond.accepted_percent)),
            (
                "p50 of what was accepted",
                ms(beyond.accepted_latency_ms.p50),
            ),
            (
                "p99 of what was accepted",
                ms(beyond.accepted_latency_ms.p99),
            ),
            ("p99 of the admin plane", ms(admin.p99)),
            ("requests to the admin plane", count(beyond.admin_requests)),
            (
                "of those not answered as they should be",
                count(beyond.admin_errors),
            ),
            (
                "answers that are neither as asked nor 429 or 503",
                percent(beyond.other_percent),
            ),
        ],
    )
}

/// Twice the connections of the knee.
pub(super) fn beyond_cpu(beyond: &BeyondCpu) -> String {
    let table = facts(
        "Beyond the processor, closed loop",
        [
            (
                "connections at the knee",
                count(beyond.knee_connections.into()),
            ),
            ("goodput at the knee", per_second(beyond.knee_rps)),
            (
                "goodput at twice the connections",
                per_second(beyond.beyond_rps),
            ),
            ("of the knee's", percent(beyond.goodput_percent)),
            (
                "statuses of 500 and above but 503, and no answer",
                count(beyond.failures),
            ),
            (
                "back to normal after",
                or_dash(beyond.recovery_s, |seconds| {
                    format!("{} s", number(seconds))
                }),
            ),
        ],
    );
    let plot = match beyond.steps.is_empty() {
        true => String::new(),
        false => figures::goodput(&beyond.steps, beyond.knee_connections).to_string(),
    };
    format!("{table}<div class=\"plots\">{plot}</div>\n")
}

/// What is of interest where power is scarce.
pub(super) fn edge(edge: &Edge) -> String {
    let mut table = Table::new(
        "Processor and instructions of the node for 1000 operations",
        columns(
            ["operation", "scenario"],
            [
                "CPU, ms",
                "of one core at 1000/s, %",
                "instructions, millions",
            ],
        ),
    );
    for each in &edge.operations {
        table.row([
            Cell::from(each.operation.as_str()),
            each.scenario.as_str().into(),
            or_dash(each.cpu_ms_per_1000, number).into(),
            or_dash(each.cpu_percent_per_1000_per_s, number).into(),
            or_dash(each.instructions_per_1000, |count| number(count / 1e6)).into(),
        ]);
    }
    let idle = facts(
        "The idle node",
        [
            (
                "wake-ups per second",
                or_dash(edge.idle_wakeups_per_s, number),
            ),
            ("of one core", or_dash(edge.idle_cpu_percent, percent)),
            ("resident memory", or_dash(edge.idle_rss_bytes, bytes)),
            ("watched for", format!("{} s", number(edge.idle_s))),
        ],
    );
    let missing = edge.instructions_missing.as_deref().unwrap_or_default();
    let missing = match missing {
        "" => String::new(),
        why => {
            let why = super::text::Escaped(why);
            format!("<p class=\"note\">No instructions were counted: {why}</p>\n")
        }
    };
    format!("{table}{missing}{idle}\n")
}

/// Starts.
pub(super) fn cold_start(start: &ColdStart) -> String {
    facts(
        "From exec to the first 200 of /readyz",
        [
            ("starts", count(start.starts.into())),
            ("shortest", ms(start.min_ms)),
            ("median", ms(start.p50_ms)),
            ("longest", ms(start.max_ms)),
        ],
    )
}

/// What objects cost in memory.
pub(super) fn memory(memory: &Memory) -> String {
    facts(
        "Memory of objects",
        [
            (
                "objects",
                format!("{} of {}", count(memory.objects), memory.size),
            ),
            ("their bytes", bytes(memory.object_bytes)),
            ("resident before", bytes(memory.idle_rss_bytes)),
            ("resident with all of them", bytes(memory.rss_bytes)),
            ("counted by the node", bytes(memory.counted_bytes)),
            (
                "allowed: 1.05 × bytes + 300 B each",
                bytes(memory.allowed_bytes),
            ),
            (
                "risen by, of what is allowed",
                percent(memory.percent_of_allowed),
            ),
        ],
    )
}

/// The hard limits.
pub(super) fn limits(limits: &[LimitProbe]) -> String {
    let mut table = Table::new(
        "Hard limits, as the node states them and as they were probed",
        columns(["key", "expected", "stated", "probed", "holds"], []),
    );
    for limit in limits {
        let holds = match limit.holds {
            true => "<span class=\"pass\">✓ yes</span>",
            false => "<span class=\"fail\">✗ no</span>",
        };
        table.row([
            Cell::from(limit.key.as_str()),
            limit.expected.as_str().into(),
            limit.stated.as_deref().unwrap_or("–").into(),
            limit.probe.as_deref().unwrap_or("–").into(),
            Cell::Markup(holds.to_owned()),
        ]);
    }
    table.to_string()
}
