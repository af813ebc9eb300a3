//! Objects: GET beside nginx, PUT beside nginx and Redis, all asked by this tool's own driver.

use std::path::Path;

use super::nginx;
use super::pass::Pass;
use super::program::{NGINX, REDIS, Running};
use super::rounds::{Pair, order};
use super::{Found, Options, redis};
use crate::drive::peer::Peer;
use crate::failure::Failure;
use crate::load::Prepared;
use crate::load::content::Content;
use crate::node::Node;
use crate::progress::Progress;
use crate::spec::{LoadSpec, Proto, Size, Workload};

/// A size of objects, what it is called, and how many of them are read.
#[derive(Clone, Copy, Debug)]
struct Sized {
    name: &'static str,
    words: &'static str,
    bytes: u64,
    objects: u32,
}

const fn sized(name: &'static str, words: &'static str, bytes: u64, objects: u32) -> Sized {
    Sized {
        name,
        words,
        bytes,
        objects,
    }
}

/// What is read.
const READ: [Sized; 4] = [
    sized("1k", "1 KiB", 1 << 10, 64),
    sized("64k", "64 KiB", 64 << 10, 64),
    sized("1m", "1 MiB", 1 << 20, 64),
    sized("16m", "16 MiB", 16 << 20, 4),
];
/// What is put; a body of more than 1 MiB would be another request of the node.
const PUT: [Sized; 3] = [
    sized("1k", "1 KiB", 1 << 10, 1),
    sized("64k", "64 KiB", 64 << 10, 1),
    sized("1m", "1 MiB", 1 << 20, 1),
];
const CONNECTIONS: u32 = 32;
/// Bytes of what peers keep of the bodies that they are given; then they overwrite.
const KEPT_BYTES: u64 = 512 << 20;
/// Most names that they have.
const KEYS: u64 = 20_000;
/// A node that is put new bodies for ever: it drops the oldest, as others overwrite.
const NODE_THAT_IS_PUT: [&str; 4] = ["--memory", "600MiB", "--eviction", "lru"];
/// More than this part of requests that were not answered as asked, and nothing was compared.
const LOST: f64 = 0.01;

/// One worker on either side: what is compared is a core's work. No cap of requests.
const NODE: [&str; 4] = ["--rps", "0", "--workers", "1"];

/// What a target did in each round.
#[derive(Default)]
struct Column {
    cpu_us: Vec<f64>,
    rps: Vec<f64>,
}

/// Who is asked, with everything that has to be there.
struct Target<'a> {
    name: &'static str,
    prepared: Prepared,
    /// Whose processor time is counted.
    node: &'a Node,
}

fn spec(options: &Options, size: Sized, read_ratio: f64) -> LoadSpec {
    LoadSpec {
        name: size.name.to_owned(),
        proto: Proto::Http1,
        workload: Workload::Objects,
        rate_rps: None,
        connections: CONNECTIONS,
        duration_s: options.seconds,
        warm_up_s: options.warm_up_s,
        sizes: vec![Size {
            bytes: size.bytes,
            weight: 1.0,
        }],
        read_ratio,
        objects: size.objects,
        ..LoadSpec::default()
    }
}

fn flags(more: &[&str]) -> Vec<String> {
    let all = NODE.iter().chain(more);
    all.map(|flag| (*flag).to_owned()).collect()
}

/// Measures all targets in turns; a column for each, in their order. `between` is done once in each
/// round.
fn take_turns(
    spec: &LoadSpec,
    targets: &[Target<'_>],
    options: &Options,
    progress: &Progress,
    mut between: impl FnMut(),
) -> Result<Vec<Column>, Failure> {
    let mut columns: Vec<Column> = targets.iter().map(|_| Column::default()).collect();
    for round in 0..options.rounds {
        between();
        for turn in order(targets.len(), round) {
            let target = &targets[turn];
            let result = target.prepared.measure(spec, target.node, progress)?;
            let kinds = result.operations.values();
            let ended: u64 = kinds.map(|kind| kind.requests).sum();
            let refused: u64 = ["429", "503"]
                .iter()
                .filter_map(|status| result.status_counts.get(*status))
                .sum();
            let lost = (result.errors + refused) as f64;
            if ended == 0 || lost > LOST * ended as f64 {
                return Err(Failure::wrong(format!(
                    "{}: {lost} of {ended} requests were not answered as asked: {:?}",
                    target.name, result.status_counts
                )));
            }
            let cpu = result.server_cpu_us_per_request;
            let cpu = cpu.ok_or_else(|| {
                Failure::wrong(format!("{}: its processor time is not known", target.name))
            })?;
            columns[turn].cpu_us.push(cpu);
            columns[turn].rps.push(result.achieved_rps);
        }
    }
    Ok(columns)
}

/// GET of each size, beside nginx.
///
/// # Errors
///
/// If something does not start, or does not answer.
pub(super) fn read(
    options: &Options,
    folder: &Path,
    found: &mut Found,
    progress: &Progress,
) -> Result<(), Failure> {
    if found.lacks(NGINX) {
        return Ok(());
    }
    let nginx = nginx::start(folder)?;
    let (node, peer) = (Node::start(&options.binary, &flags(&[]))?, process(&nginx));
    for size in READ.into_iter().filter(|size| options.has(size.bytes)) {
        progress.print(&format!("GET {} beside nginx", size.words));
        let spec = spec(options, size, 1.0);
        let content = Content::new(&spec)?;
        nginx::lay(folder, &content)?;
        let pass = Pass::new(&content);
        let targets = [
            Target {
                name: "micronode",
                prepared: Prepared::new(&spec, &node, progress)?,
                node: &node,
            },
            Target {
                name: "nginx",
                prepared: Prepared::at_peer(&spec, nginx.address, Peer::Files { keys: 1 })?,
                node: &peer,
            },
        ];
        let mut passes = Vec::new();
        let columns = take_turns(&spec, &targets, options, progress, || {
            passes.push(pass.measure());
        })?;
        let (ours, theirs) = (&columns[0], &columns[1]);
        found.compare("get", size, "nginx", ours, theirs)?;
        found.compare_with_pass("get", size, "nginx", ours, theirs, &passes)?;
    }
    Ok(())
}

/// PUT of each size, beside nginx and Redis.
///
/// # Errors
///
/// If something does not start, or does not answer.
pub(super) fn put(
    options: &Options,
    folder: &Path,
    found: &mut Found,
    progress: &Progress,
) -> Result<(), Failure> {
    let (no_nginx, no_redis) = (found.lacks(NGINX), found.lacks(REDIS));
    if no_nginx && no_redis {
        return Ok(());
    }
    let nginx = (!no_nginx).then(|| nginx::start(folder)).transpose()?;
    let redis = (!no_redis).then(|| redis::start(folder)).transpose()?;
    let node = Node::start(&options.binary, &flags(&NODE_THAT_IS_PUT))?;
    for size in PUT.into_iter().filter(|size| options.has(size.bytes)) {
        progress.print(&format!("PUT {} beside nginx and Redis", size.words));
        let spec = spec(options, size, 0.0);
        let keys = (KEPT_BYTES / size.bytes).min(KEYS);
        let peers = [
            (&nginx, Peer::Files { keys }),
            (&redis, Peer::Redis { keys }),
        ];
        let running = peers
            .iter()
            .filter_map(|(running, peer)| Some((running.as_ref()?, *peer)));
        let running: Vec<_> = running
            .map(|(running, peer)| (running, peer, process(running)))
            .collect();
        let mut targets = vec![Target {
            name: "micronode",
            prepared: Prepared::new(&spec, &node, progress)?,
            node: &node,
        }];
        for (running, peer, node) in &running {
            targets.push(Target {
                name: running.name,
                prepared: Prepared::at_peer(&spec, running.address, *peer)?,
                node,
            });
        }
        // Memory that was never touched costs more than memory that is used again: everybody has
        // filled what it keeps before anything counts.
        let fill = LoadSpec {
            duration_s: options.fill_s,
            warm_up_s: 0.0,
            ..spec.clone()
        };
        for target in &targets {
            target.prepared.measure(&fill, target.node, progress)?;
        }
        let pass = Pass::of_bodies(&Content::new(&spec)?);
        let mut passes = Vec::new();
        let columns = take_turns(&spec, &targets, options, progress, || {
            passes.push(pass.measure());
        })?;
        for (target, theirs) in targets.iter().zip(&columns).skip(1) {
            let name = if target.name == NGINX.name {
                "nginx"
            } else {
                "redis"
            };
            found.compare("put", size, name, &columns[0], theirs)?;
            if name == "redis" {
                found.compare_with_pass("put", size, name, &columns[0], theirs, &passes)?;
            }
        }
    }
    Ok(())
}

/// A program as what is measured: its process is all that is known of it.
fn process(running: &Running) -> Node {
    Node::stranger(running.pid)
}

impl Found {
    fn compare(
        &mut self,
        verb: &str,
        size: Sized,
        against: &'static str,
        ours: &Column,
        theirs: &Column,
    ) -> Result<(), Failure> {
        let (upper, name, words) = (verb.to_uppercase(), size.name, size.words);
        self.add(Pair {
            id: format!("{verb}_{name}_cpu_{against}"),
            title: format!("{upper} {words}, CPU per request"),
            against: beside(against),
            unit: "µs",
            ours: &ours.cpu_us,
            theirs: &theirs.cpu_us,
        })?;
        self.add(Pair {
            id: format!("{verb}_{name}_rps_{against}"),
            title: format!("{upper} {words}, throughput"),
            against: beside(against),
            unit: "requests/s",
            ours: &ours.rps,
            theirs: &theirs.rps,
        })
    }

    /// Beside what the other one would cost if it hashed each body once.
    fn compare_with_pass(
        &mut self,
        verb: &str,
        size: Sized,
        against: &'static str,
        ours: &Column,
        theirs: &Column,
        passes: &[f64],
    ) -> Result<(), Failure> {
        let (upper, name, words) = (verb.to_uppercase(), size.name, size.words);
        let theirs = theirs.cpu_us.iter().zip(passes);
        let theirs: Vec<f64> = theirs.map(|(cpu, pass)| cpu + pass).collect();
        self.add(Pair {
            id: format!("{verb}_{name}_cpu_{against}_blake3"),
            title: format!("{upper} {words}, CPU per request"),
            against: match against {
                "nginx" => "nginx + one BLAKE3 pass",
                _ => "Redis SET + one BLAKE3 pass",
            },
            unit: "µs",
            ours: &ours.cpu_us,
            theirs: &theirs,
        })
    }
}

/// What a peer is called in words.
fn beside(against: &str) -> &'static str {
    match against {
        "nginx" => "nginx",
        _ => "Redis SET",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_pass_is_added_to_what_the_other_one_costs() {
        let column = |cpu_us: &[f64]| Column {
            cpu_us: cpu_us.to_vec(),
            rps: cpu_us.iter().map(|cpu| 1e6 / cpu).collect(),
        };
        let (ours, theirs) = (column(&[21.0, 24.0, 22.0]), column(&[15.0, 16.0, 15.0]));
        let mut found = Found::default();
        found
            .compare("get", READ[1], "nginx", &ours, &theirs)
            .unwrap();
        found
            .compare_with_pass("get", READ[1], "nginx", &ours, &theirs, &[12.0, 14.0, 13.0])
            .unwrap();
        let all = found.into_comparisons().comparisons;
        let ids: Vec<&str> = all.iter().map(|each| each.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "get_64k_cpu_nginx",
                "get_64k_rps_nginx",
                "get_64k_cpu_nginx_blake3"
            ]
        );
        let ratios: Vec<f64> = all
            .iter()
            .map(|each| (each.ratio * 1e3).round() / 1e3)
            .collect();
        assert_eq!(ratios, [1.467, 0.682, 0.786]);
        assert_eq!((all[2].ours, all[2].theirs), (22.0, 28.0));
    }
}
