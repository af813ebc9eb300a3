//! Holds the README and the pages of `docs/` to what the code does: their tables are compared,
//! row by row, with the tables that the code itself reads. Not for prose.

#![allow(clippy::unwrap_used)]

use crate::config::duration::Text as Time;
use crate::config::size::Text as Size;
use crate::config::{self, Config, KEYS, Rule, Sources};
use crate::ingress::http::routes::{ANY_OPERATION, OPERATIONS};
use crate::metrics::exposition;
use crate::node::Node;
use micronode_protocol::{ErrorCode, limits};
use std::sync::Arc;

const README: &str = include_str!("../../../README.md");
const CONFIGURATION: &str = include_str!("../../../docs/configuration.md");
const HTTP: &str = include_str!("../../../docs/http.md");
const SECURITY: &str = include_str!("../../../SECURITY.md");

/// The rows of the first table under `heading`.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let (_, section) = page
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading}"));
    section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        // The head and the line under it.
        .skip(2)
        .collect()
}

/// The table has exactly these rows; behind their cells a page may add cells of its own.
fn assert_rows(page: &str, heading: &str, expected: &[String]) {
    let found = rows(page, heading);
    let same = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| found.starts_with(expected));
    assert!(
        same,
        "the table under {heading} should begin its rows with\n\n{}\n",
        expected.join("\n")
    );
}

/// The text between the first two fences of this kind.
fn example<'a>(page: &'a str, kind: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n```{kind}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn every_key_is_documented() {
    let defaults = Config::default();
    let expected: Vec<String> = KEYS
        .iter()
        .map(|key| {
            let flag = key
                .flag
                .map_or_else(String::new, |flag| format!("`{flag}`"));
            let rule = match key.rule {
                Rule::Any => "any",
                Rule::OnlyLower => "only lower",
                Rule::OnlyHigher => "only higher",
            };
            let default = match key.text(&defaults) {
                nothing if nothing.is_empty() => nothing,
                text => format!("`{text}`"),
            };
            let live = if key.live { "yes" } else { "no" };
            format!(
                "| `{}` | {flag} | `{}` | {default} | {rule} | {live} | {} |",
                key.path,
                key.env(),
                key.doc
            )
        })
        .collect();
    assert_rows(CONFIGURATION, "## Keys", &expected);
}

#[test]
fn the_example_of_a_file_loads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.toml");
    std::fs::write(&path, example(CONFIGURATION, "toml")).unwrap();
    config::load(Sources {
        file: Some(path),
        env: [],
        flags: Vec::new(),
    })
    .unwrap();
}

#[test]
fn fixed_caps_are_the_ones_in_force() {
    let bytes = |bytes: usize| Size(bytes as u64).to_string();
    let fixed = [
        ("Chunk group", bytes(limits::GROUP_BYTES)),
        (
            "Reserved ahead of what an upload has delivered",
            bytes(limits::RESERVE_AHEAD_BYTES),
        ),
        ("Addresses in one `/has`", limits::HAS_ADDRESSES.to_string()),
        (
            "Ranges in one response",
            limits::RANGES_PER_REQUEST.to_string(),
        ),
        ("Media type of an object", bytes(limits::MEDIA_TYPE_BYTES)),
        (
            "Correlation id",
            format!("{} characters", limits::CORR_ID_CHARS),
        ),
        ("Longest duration", Time(limits::DURATION_MAX).to_string()),
        ("Configuration file", bytes(limits::CONFIG_BYTES as usize)),
        (
            "Least memory budget",
            bytes(limits::MEMORY_BUDGET_MIN as usize),
        ),
        (
            "Burst of the request rate",
            format!("{}' worth", Time(limits::RATE_BURST)),
        ),
        (
            "Connections, of the soft limit on open files",
            format!("{} %", limits::CONNECTIONS_FD_PERCENT),
        ),
        (
            "In flight that writes may take",
            format!("{} %", limits::IN_FLIGHT_DEGRADED_PERCENT),
        ),
        (
            "Stream that gives way",
            format!(
                "below {}/s over {}, older than {}",
                Size(limits::SLOW_SHARE_RATE),
                Time(limits::SLOW_SHARE_WINDOW),
                Time(limits::SLOW_SHARE_AGE)
            ),
        ),
        (
            "Discarded after an early refusal",
            format!(
                "{} or {}",
                bytes(limits::LINGER_BYTES),
                Time(limits::LINGER_TIME)
            ),
        ),
        (
            "Decoder: running slack",
            Size(limits::DECOMPRESS_SLACK).to_string(),
        ),
        (
            "Decoder: input without output",
            Size(limits::DECOMPRESS_SILENT_BYTES).to_string(),
        ),
        ("Decoder: zstd window", bytes(1 << limits::ZSTD_WINDOW_LOG)),
        (
            "Decoder: brotli window",
            format!("{} bits", limits::BROTLI_WINDOW_BITS),
        ),
        (
            "HTTP/2: unread request bytes per stream",
            Size(limits::H2_STREAM_WINDOW.into()).to_string(),
        ),
        (
            "HTTP/2: unread request bytes per connection",
            Size(limits::H2_CONNECTION_WINDOW.into()).to_string(),
        ),
        (
            "HTTP/2: response bytes buffered per stream",
            bytes(limits::H2_SEND_BUFFER),
        ),
        (
            "HTTP/2: streams reset before they were accepted",
            limits::H2_PENDING_RESETS.to_string(),
        ),
        (
            "HTTP/2: control frames",
            format!(
                "{}, then {}/s",
                limits::H2_CONTROL_BURST,
                limits::H2_CONTROL_PER_SECOND
            ),
        ),
        (
            "OAP: body in one frame of several",
            bytes(limits::OAP_CHUNK_BYTES),
        ),
        (
            "OAP: read ahead per connection",
            bytes(limits::OAP_READ_BYTES),
        ),
        (
            "OAP: answers left unread per connection",
            bytes(limits::OAP_UNREAD_BYTES),
        ),
        ("OAP: HELLO", bytes(limits::OAP_HELLO_BYTES)),
        (
            "OAP: frames that ask for nothing",
            format!(
                "{}, then {}/s",
                limits::OAP_IDLE_FRAMES,
                limits::OAP_IDLE_FRAMES_PER_SECOND
            ),
        ),
        ("Capability", bytes(limits::CAPABILITY_BYTES)),
        (
            "Capability: caveats",
            limits::CAPABILITY_CAVEATS.to_string(),
        ),
        (
            "Rates of capabilities that are counted at once",
            limits::TOKEN_RATES.to_string(),
        ),
        (
            "Requests without authority, of the request rate",
            format!(
                "{} %, at least {}/s",
                limits::UNAUTHENTICATED_RATE_PERCENT,
                limits::UNAUTHENTICATED_RATE_MIN
            ),
        ),
        (
            "Burst of requests without authority",
            format!("{}' worth", Time(limits::UNAUTHENTICATED_BURST)),
        ),
        (
            "Grants being exchanged",
            format!(
                "{}, each whole within {}",
                limits::EXCHANGES,
                Time(limits::GRANT_DEADLINE)
            ),
        ),
        ("Grant", bytes(limits::GRANT_BYTES)),
        ("Grant: audience, subject", bytes(limits::GRANT_NAME_BYTES)),
        (
            "Grant: caveats",
            format!(
                "{}, of {}, together {}",
                limits::GRANT_CAVEATS,
                bytes(limits::GRANT_CAVEAT_BYTES),
                bytes(limits::GRANT_CAVEATS_BYTES)
            ),
        ),
        ("TLS: handshake", Time(limits::TLS_HANDSHAKE).to_string()),
        (
            "TLS: file of certificates or of a key",
            Size(limits::TLS_FILE_BYTES).to_string(),
        ),
        (
            "Admin plane: connections",
            limits::ADMIN_CONNECTIONS.to_string(),
        ),
        (
            "Admin plane: in flight",
            limits::ADMIN_IN_FLIGHT.to_string(),
        ),
        (
            "Admin plane: TLS handshakes",
            format!("{}/s", limits::ADMIN_HANDSHAKES_PER_SECOND),
        ),
        ("Worker threads", limits::WORKERS.to_string()),
        (
            "Names",
            format!("{}, each of {}", limits::NAMES, bytes(limits::NAME_BYTES)),
        ),
        (
            "Names in a page",
            format!(
                "{}, {} unless asked",
                limits::LIST_NAMES,
                limits::LIST_NAMES_DEFAULT
            ),
        ),
        (
            "Queues",
            format!(
                "{}, each called by at most {}",
                limits::QUEUES,
                bytes(limits::QUEUE_NAME_BYTES)
            ),
        ),
        (
            "Messages in all queues",
            format!(
                "{}, in {} % of the memory budget",
                limits::MESSAGES,
                limits::MESSAGES_BYTES_PERCENT
            ),
        ),
        ("Delay of a message", Time(limits::DELAY_MAX).to_string()),
        (
            "Visibility",
            format!(
                "{}, {} unless asked",
                Time(limits::VISIBILITY_MAX),
                Time(limits::VISIBILITY)
            ),
        ),
        (
            "Messages of one receive",
            limits::RECEIVE_MESSAGES.to_string(),
        ),
        (
            "Receipts of one ack, nack or extend",
            limits::RECEIPTS.to_string(),
        ),
        (
            "Idempotency keys of a queue",
            format!(
                "{}, each of {}",
                limits::IDEMPOTENCY_KEYS,
                bytes(limits::IDEMPOTENCY_KEY_BYTES)
            ),
        ),
        (
            "A queue without use is forgotten after",
            Time(limits::QUEUE_IDLE).to_string(),
        ),
        ("Wait of a receive", Time(limits::WAIT_MAX).to_string()),
        (
            "Credit of a subscription",
            limits::SUBSCRIPTION_CREDIT.to_string(),
        ),
        ("Events kept on the bus", limits::BUS_EVENTS.to_string()),
    ];
    let expected: Vec<String> = fixed
        .iter()
        .map(|(what, cap)| format!("| {what} | {cap} |"))
        .collect();
    assert_rows(CONFIGURATION, "## Fixed caps", &expected);
}

#[test]
fn every_operation_is_documented() {
    let expected: Vec<String> = OPERATIONS
        .iter()
        .map(|operation| {
            let success: Vec<String> = operation
                .success
                .iter()
                .map(|(status, meaning)| format!("{status} {meaning}"))
                .collect();
            format!(
                "| `{}` | `{}` | {} | {} |",
                operation.method,
                operation.route.template(),
                operation.summary,
                success.join("; ")
            )
        })
        .collect();
    assert_rows(HTTP, "## Routes", &expected);
    let common: Vec<String> = ANY_OPERATION
        .iter()
        .map(|code| format!("`{code}`"))
        .collect();
    let common = common.join(" ");
    assert!(HTTP.contains(&common), "{common}");
}

#[test]
fn every_error_code_is_documented() {
    let expected: Vec<String> = ErrorCode::ALL
        .iter()
        .map(|code| {
            let retryable = if code.retryable() { "yes" } else { "no" };
            format!(
                "| {} | `{code}` | {retryable} | {} |",
                code.status(),
                code.title()
            )
        })
        .collect();
    assert_rows(HTTP, "### Codes", &expected);
}

#[test]
fn readiness_inputs_have_their_thresholds() {
    let percent = |name: &str, of: &str, rise: u64, effect: &str| {
        let fall = rise - limits::READINESS_HYSTERESIS_PERCENT;
        format!("| `{name}` | {of} | > {rise} % | ≤ {fall} % | {effect} |")
    };
    let delay = limits::LOOP_DELAY_DEGRADED;
    let restarts = limits::RESTARTS_PER_WINDOW;
    let memory = "memory filled, of the budget";
    let expected = [
        percent(
            "in_flight",
            "requests in flight, of `limits.in_flight`",
            limits::IN_FLIGHT_DEGRADED_PERCENT,
            "degraded",
        ),
        percent(
            "memory",
            memory,
            limits::MEMORY_DEGRADED_PERCENT,
            "degraded",
        ),
        percent("memory", memory, limits::MEMORY_SHED_PERCENT, "shedding"),
        percent(
            "fds",
            "open descriptors, of the soft limit",
            limits::FD_DEGRADED_PERCENT,
            "degraded",
        ),
        format!(
            "| `loop_delay` | longest delay of a worker's event loop | > {} | ≤ {} | degraded |",
            Time(delay),
            Time(delay / 2)
        ),
        format!(
            "| `restarts` | restarts of tasks within {} | > {restarts} | ≤ {restarts} | degraded |",
            Time(limits::RESTART_WINDOW)
        ),
        format!(
            "| `routes` | whether an event found no room in its queue within {} | yes | no | degraded |",
            Time(limits::ROUTE_DROP_WINDOW)
        ),
        "| `disk` | whether what is to be kept cannot be written to disk | yes | no | degraded |"
            .to_owned(),
    ];
    assert_rows(HTTP, "### Readiness", &expected);
}

#[test]
fn every_metric_is_documented() {
    let loaded = config::load(Sources {
        file: None,
        env: [],
        flags: vec![("memory.budget", "16MiB".to_owned())],
    })
    .unwrap();
    let registry = exposition::registry(Arc::new(Node::new(&loaded, None)));
    let text = exposition::scrape(&registry).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let expected: Vec<String> = lines
        .windows(2)
        .filter_map(|pair| {
            let (name, help) = pair[0].strip_prefix("# HELP ")?.split_once(' ')?;
            let kind = pair[1].rsplit_once(' ')?.1;
            let total = if kind == "counter" { "_total" } else { "" };
            Some(format!(
                "| `{name}{total}` | {kind} | {} |",
                help.trim_end_matches('.')
            ))
        })
        .collect();
    assert!(expected.len() > 20, "{text}");
    assert_rows(HTTP, "### Metrics", &expected);
}

/// A test that is named where a threat is answered has to be there.
#[test]
fn every_test_that_security_names_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (mut file, mut named) = (String::new(), 0);
    for row in SECURITY.lines().filter(|line| line.starts_with("| ")) {
        // In the last cell, a path and the functions in it, each in backquotes.
        let tests = row.rsplit(" | ").next().unwrap();
        for word in tests.split('`').skip(1).step_by(2) {
            if word.contains('/') {
                let text = std::fs::read_to_string(root.join(word));
                file = text.unwrap_or_else(|error| panic!("{word}: {error}"));
            } else {
                assert!(file.contains(&format!("fn {word}(")), "{word}: {row}");
            }
            named += 1;
        }
    }
    assert!(named > 40, "{named}");
}

#[test]
fn the_readme_states_the_defaults() {
    let defaults = Config::default();
    let limits = rows(README, "## Limits");
    assert!(limits.len() > 5, "{limits:?}");
    for row in limits {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (value, path) = (cells[2].trim_matches('`'), cells[3].trim_matches('`'));
        let key = KEYS.iter().find(|key| key.path == path);
        assert_eq!(
            key.map(|key| key.text(&defaults)).as_deref(),
            Some(value),
            "{row}"
        );
    }
}
