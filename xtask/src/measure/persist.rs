//! `cargo xtask measure persist`: what it takes to keep things on disk: small objects stored per
//! second, each durable before it is answered, and how soon a node is ready again that was killed
//! with a gibibyte.
//!
//! In a directory of the system's for temporary files, which should not be in memory.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::client::{Client, object};
use super::{Failure, Node, head, release_binary, row, runs, timed};
use crate::io;

/// Runs unless told otherwise.
const RUNS: usize = 3;
const GIB: usize = 1 << 30;
/// Objects of the gibibyte, in bytes.
const SIZES: [(&str, usize); 5] = [
    ("killed to ready, 1 GiB of 1 MiB, s", 1 << 20),
    ("killed to ready, 1 GiB of 64 KiB, s", 64 << 10),
    ("killed to ready, 1 GiB of 16 KiB, s", 16 << 10),
    ("killed to ready, 1 GiB of 4 KiB, s", 4 << 10),
    ("killed to ready, 1 GiB of 1 KiB, s", 1 << 10),
];
/// Connections that store small objects at once.
const CONNECTIONS: [(&str, u64); 2] = [
    ("1 KiB objects/s, 1 connection", 1),
    ("1 KiB objects/s, 32 connections", 32),
];
const SMALL: usize = 1024;
/// Of each connection.
const PUTS: u64 = 200;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Objects that are stored between two looks at what waits for the disk.
const AT_ONCE: u64 = 8192;

/// Builds the release binary, and prints a table of what `--runs` nodes did.
pub(crate) fn run(options: &[&str]) -> Result<(), Failure> {
    let runs = runs(options, RUNS)?;
    let binary = release_binary()?;
    let names = CONNECTIONS
        .map(|it| it.0)
        .into_iter()
        .chain(SIZES.map(|it| it.0));
    let mut table: Vec<_> = names.map(|name| (name, Vec::new())).collect();
    for _ in 0..runs {
        let mut values = Vec::new();
        for (_, connections) in CONNECTIONS {
            values.push(puts(&binary, connections)?);
        }
        for (_, size) in SIZES {
            values.push(restart(&binary, size)?);
        }
        for ((_, column), value) in table.iter_mut().zip(values) {
            column.push(value);
        }
    }
    head(runs);
    for (name, column) in &mut table {
        row(name, column);
    }
    Ok(())
}

/// A directory that goes with this value.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("micronode-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(io(path.display()))?;
        Ok(Self(path))
    }

    fn node(&self, binary: &Path, flags: &[&str]) -> Result<Node, Failure> {
        let path = self.0.to_string_lossy();
        let kept = ["--persist", &*path, "--rps", "0", "--memory", "3GiB"];
        Node::start(binary, &[&kept, flags].concat())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // It is among temporary files.
        let _stays = std::fs::remove_dir_all(&self.0);
    }
}

/// Small objects stored per second.
fn puts(binary: &Path, connections: u64) -> Result<f64, Failure> {
    let directory = Directory::new()?;
    let node = directory.node(binary, &[])?;
    let address = node.address("http")?;
    let (took, done) = timed(|| {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..connections)
                .map(|worker| {
                    scope.spawn(move || {
                        let mut client = Client::connect(address)?;
                        for number in worker * PUTS..(worker + 1) * PUTS {
                            client.ask("POST", "/put", &object(number, SMALL))?;
                        }
                        Ok(())
                    })
                })
                .collect();
            let ended = workers.into_iter().map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err(Failure::Wrong("a panic".to_owned())))
            });
            ended.collect::<Result<Vec<()>, Failure>>()
        })
    });
    done?;
    Ok((connections * PUTS) as f64 / took.as_secs_f64())
}

/// Seconds from before exec to the line that says a node is ready which has a gibibyte of objects
/// of `size` bytes, and was killed.
fn restart(binary: &Path, size: usize) -> Result<f64, Failure> {
    let directory = Directory::new()?;
    let node = directory.node(binary, &["--sync", "interval"])?;
    let mut client = Client::connect(node.address("http")?)?;
    for number in 0..(GIB / size) as u64 {
        client.ask("POST", "/put", &object(number, size))?;
        // Small ones come faster than they are written, and are refused in the end.
        if number % AT_ONCE == AT_ONCE - 1 {
            settle(&node, AT_ONCE as f64)?;
        }
    }
    settle(&node, 0.0)?;
    let stored = metric(&node, "objects ")?;
    drop(node);
    let (took, node) = timed(|| directory.node(binary, &[]));
    let back = metric(&node?, "objects ")?;
    if (stored - back).abs() > 0.5 {
        return Err(Failure::Wrong(format!(
            "{back} objects are back of {stored}"
        )));
    }
    Ok(took.as_secs_f64())
}

/// Waits until no more than this waits for the disk.
fn settle(node: &Node, pending: f64) -> Result<(), Failure> {
    while metric(node, "persist_pending ")? > pending {
        sleep(LOOK_EVERY);
    }
    Ok(())
}

fn metric(node: &Node, name: &str) -> Result<f64, Failure> {
    let page = Client::connect(node.admin)?.ask("GET", "/metrics", b"")?;
    let page = String::from_utf8_lossy(&page);
    let value = page.lines().find_map(|line| line.strip_prefix(name));
    value
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Failure::Wrong(format!("the node does not tell {name}")))
}
