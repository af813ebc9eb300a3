//! `cargo xtask measure memory`: what ten thousand objects of 64 KiB cost in memory and in CPU
//! time, and how soon their memory is the system's again once they are deleted.
//!
//! One connection of HTTP/1.1, one request at a time. Resident memory is the system's count. A run
//! that holds more than it may, or gives back too little or too late, fails.

use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::client::{Client, object};
use super::oap::TICKS;
use super::{Failure, Node, SETTLE, head, now, release_binary, row, runs};

/// Runs unless told otherwise.
const RUNS: usize = 5;
const OBJECTS: u64 = 10_000;
const OBJECT_BYTES: usize = 64 * 1024;
/// What a node may hold beside the bytes: a twentieth, so much for each, and so much in all.
const EACH_BYTES: u64 = 300;
const BASE_KIB: u64 = 32 * 1024;
/// Less than this is left when everything is deleted ...
const EMPTY_KIB: u64 = 64 * 1024;
/// ... after this at the latest.
const EMPTY_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Builds the release binary, and prints a table of what `--runs` nodes did.
pub(crate) fn run(options: &[&str]) -> Result<(), Failure> {
    let runs = runs(options, RUNS)?;
    let binary = release_binary()?;
    let names = [
        "idle RSS, MiB",
        "RSS with 10 000 x 64 KiB, MiB",
        "  counted by the node, MiB",
        "  beside the bytes, bytes per object",
        "RSS below 64 MiB after, s",
        "RSS 2 s later, MiB",
        "node CPU us per PUT of 64 KiB",
        "node CPU us per GET of 64 KiB",
        "node CPU us per DELETE",
    ];
    let mut table = names.map(|name| (name, Vec::new()));
    for _ in 0..runs {
        let node = Node::start(&binary, &["--rps", "0", "--memory", "1GiB"])?;
        for ((_, column), value) in table.iter_mut().zip(measure(&node)?) {
            column.push(value);
        }
    }
    head(runs);
    for (name, column) in &mut table {
        row(name, column);
    }
    Ok(())
}

fn measure(node: &Node) -> Result<[f64; 9], Failure> {
    let mib = |kib: u64| kib as f64 / 1024.0;
    let each = |ticks: u64| ticks as f64 / TICKS * 1e6 / OBJECTS as f64;
    let mut client = Client::connect(node.address("http")?)?;
    let idle = node.rss_kib()?;

    let begun = node.cpu_ticks()?;
    let mut paths = Vec::new();
    for number in 0..OBJECTS {
        let answer = client.ask("POST", "/put", &object(number, OBJECT_BYTES))?;
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|error| Failure::Wrong(format!("a strange answer to a put: {error}")))?;
        let address = answer["address"].as_str().unwrap_or_default();
        paths.push(format!("/o/{address}"));
    }
    let put = node.cpu_ticks()?;
    sleep(SETTLE);
    let (full, counted) = (node.rss_kib()?, counted(node)?);
    let bytes = OBJECTS * OBJECT_BYTES as u64;
    let most = (bytes + bytes / 20 + OBJECTS * EACH_BYTES) / 1024 + BASE_KIB;
    if full > most {
        return Err(Failure::Wrong(format!("{full} KiB resident of {most}")));
    }

    let before = node.cpu_ticks()?;
    for path in &paths {
        client.ask("GET", path, b"")?;
    }
    let got = node.cpu_ticks()?;
    for path in &paths {
        client.ask("DELETE", path, b"")?;
    }
    let deleted = node.cpu_ticks()?;
    let since = now();
    while node.rss_kib()? >= EMPTY_KIB {
        if since.elapsed() > EMPTY_WITHIN {
            let left = node.rss_kib()?;
            return Err(Failure::Wrong(format!("{left} KiB are still resident")));
        }
        sleep(LOOK_EVERY);
    }
    let empty = since.elapsed().as_secs_f64();
    sleep(Duration::from_secs(2));
    Ok([
        mib(idle),
        mib(full),
        counted / 1024.0 / 1024.0,
        ((full - idle) * 1024).saturating_sub(bytes) as f64 / OBJECTS as f64,
        empty,
        mib(node.rss_kib()?),
        each(put - begun),
        each(got - before),
        each(deleted - got),
    ])
}

/// What the node says that objects take, in bytes.
fn counted(node: &Node) -> Result<f64, Failure> {
    let mut client = Client::connect(node.admin)?;
    let page = client.ask("GET", "/metrics", b"")?;
    let page = String::from_utf8_lossy(&page);
    let sample = "memory_used_bytes{kind=\"objects\"} ";
    let value = page.lines().find_map(|line| line.strip_prefix(sample));
    value
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Failure::Wrong("the node does not tell its memory".to_owned()))
}
