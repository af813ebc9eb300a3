//! `gwsmoke cross-check`: the same load by this tool and by tools that others wrote, in turns, with
//! the node on a processor of its own and whoever asks on another.
//!
//! Nothing is installed: what is missing is told, with how to get it, and left out. In a closed loop
//! with a node that does all it can, what it does must not depend on who asks; where a tool itself
//! is at its end, the figure is that tool's. So what each of them and the node kept busy stands
//! beside the throughput.
//!
//! What a [`Comparison`](crate::suite::result::Comparison) is called, where TOOL is `wrk` or `oha`:
//! `get_64k_rps_TOOL`, `get_64k_p50_TOOL`, `get_64k_p99_TOOL`, `get_64k_server_cores_TOOL`,
//! `get_64k_client_cores_TOOL`, and the same of `put_64k` with wrk, which can send bodies that
//! differ.

mod args;
mod pin;
mod tool;

use std::path::{Path, PathBuf};

pub use args::CrossCheck;
use pin::Pinned;
use tool::{Ask, OHA, Run, Told, WRK};

use crate::clock;
use crate::failure::{Failure, io};
use crate::load::Prepared;
use crate::load::content::Content;
use crate::node::Node;
use crate::peers::program::Program;
use crate::peers::rounds::{Pair, order};
use crate::peers::{Found, program};
use crate::progress::Progress;
use crate::sample;
use crate::spec::{LoadSpec, Proto, Size, Workload};
use crate::suite::result::Comparisons;

/// Bytes of a body.
const BODY_BYTES: u64 = 64 << 10;
/// Of more requests than this part without an answer as asked, nothing is compared.
const LOST: f64 = 0.01;
/// Of the two processors that are used: the node's, and that of whoever asks.
const NODE: usize = 0;
const CLIENT: usize = 1;

/// What is run, and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node's binary.
    pub binary: PathBuf,
    /// Rounds.
    pub rounds: usize,
    /// Seconds of each tool in a round.
    pub seconds: u32,
    /// Connections, each of which asks again upon its answer.
    pub connections: u32,
}

impl Options {
    /// What figures are published of.
    pub fn full(binary: PathBuf) -> Self {
        Self {
            binary,
            rounds: 5,
            seconds: 4,
            connections: 32,
        }
    }

    /// What shows that it works.
    pub fn quick(binary: PathBuf) -> Self {
        Self {
            rounds: 1,
            seconds: 1,
            ..Self::full(binary)
        }
    }
}

/// What one tool did in each round.
#[derive(Debug, Default)]
struct Column {
    rps: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    server_cores: Vec<f64>,
    client_cores: Vec<f64>,
}

/// A tool, or this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Gwsmoke,
    Wrk,
    Oha,
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Gwsmoke => "gwsmoke",
            Self::Wrk => "wrk",
            Self::Oha => "oha",
        }
    }
}

/// One node under one load, and all that is needed to put it under that load.
struct Bench<'a> {
    options: &'a Options,
    node: Node,
    spec: LoadSpec,
    prepared: Prepared,
    /// Of a GET.
    path: Option<String>,
    folder: &'a Path,
    pinned: &'a Pinned,
}

/// Compares this tool with those that are there.
///
/// # Errors
///
/// If there is one processor alone, the node does not start, or a tool does not say what it did.
pub fn run(options: &Options, progress: &Progress) -> Result<Comparisons, Failure> {
    if options.rounds == 0 || options.seconds == 0 || options.connections == 0 {
        return Err(Failure::usage(
            "cross-check: at least one round, second and connection",
        ));
    }
    let mut found = Found::default();
    let tools: [(Program, Who); 2] = [(WRK, Who::Wrk), (OHA, Who::Oha)];
    let there = tools.map(|(program, who)| (!found.lacks(program)).then_some(who));
    let there: Vec<Who> = there.into_iter().flatten().collect();
    if there.is_empty() {
        return Ok(found.into_comparisons());
    }
    let pinned = Pinned::new()?;
    let folder = program::folder()?;
    // oha has no bodies that differ.
    for (name, read_ratio, tools) in [
        ("get_64k", 1.0, &there[..]),
        (
            "put_64k",
            0.0,
            &there[..usize::from(there.contains(&Who::Wrk))],
        ),
    ] {
        if tools.is_empty() {
            continue;
        }
        let bench = Bench::new(
            options,
            name,
            read_ratio,
            (&pinned, folder.path()),
            progress,
        )?;
        let who: Vec<Who> = [Who::Gwsmoke].iter().chain(tools).copied().collect();
        progress.print(&format!(
            "{name}, closed loop, {} processors",
            pinned.count().min(2)
        ));
        let mut columns: Vec<Column> = who.iter().map(|_| Column::default()).collect();
        for round in 0..options.rounds {
            for turn in order(who.len(), round) {
                bench.measure(who[turn], &mut columns[turn], progress)?;
            }
        }
        let (ours, others) = columns.split_at(1);
        for (tool, theirs) in tools.iter().zip(others) {
            compare(&mut found, name, tool.name(), &ours[0], theirs)?;
        }
    }
    Ok(found.into_comparisons())
}

impl<'a> Bench<'a> {
    fn new(
        options: &'a Options,
        name: &str,
        read_ratio: f64,
        (pinned, folder): (&'a Pinned, &'a Path),
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let spec = LoadSpec {
            name: name.to_owned(),
            proto: Proto::Http1,
            workload: Workload::Objects,
            rate_rps: None,
            connections: options.connections,
            duration_s: options.seconds.into(),
            warm_up_s: 0.3,
            sizes: vec![Size {
                bytes: BODY_BYTES,
                weight: 1.0,
            }],
            read_ratio,
            // What the others ask for: the same one every time.
            objects: 1,
            ..LoadSpec::default()
        };
        // New bodies for ever: the oldest are dropped.
        let flags = [
            "--rps",
            "0",
            "--workers",
            "1",
            "--memory",
            "600MiB",
            "--eviction",
            "lru",
        ];
        pinned.to(NODE)?;
        let node = Node::start(&options.binary, &flags.map(ToOwned::to_owned))?;
        pinned.to(CLIENT)?;
        let content = Content::new(&spec)?;
        let object = content.objects.first();
        Ok(Self {
            options,
            prepared: Prepared::new(&spec, &node, progress)?,
            path: object.map(|object| format!("/o/{}", object.address)),
            node,
            spec,
            folder,
            pinned,
        })
    }

    fn measure(&self, who: Who, column: &mut Column, progress: &Progress) -> Result<(), Failure> {
        self.pinned.to(CLIENT)?;
        match who {
            Who::Gwsmoke => self.measure_here(column, progress),
            Who::Wrk => self.measure_there(who, column, |run| tool::wrk(run, self.folder)),
            Who::Oha => self.measure_there(who, column, tool::oha),
        }
    }

    fn measure_here(&self, column: &mut Column, progress: &Progress) -> Result<(), Failure> {
        let result = self.prepared.measure(&self.spec, &self.node, progress)?;
        let refusals = ["429", "503"].iter();
        let refused = refusals.filter_map(|status| result.status_counts.get(*status));
        let lost = result.errors + refused.sum::<u64>();
        column.add(
            Who::Gwsmoke,
            Told {
                seconds: result.measured_s,
                requests: (result.achieved_rps * result.measured_s).round() as u64 + lost,
                errors: lost,
                p50_ms: result.latency_ms.p50,
                p99_ms: result.latency_ms.p99,
            },
            result.server_cpu_cores.unwrap_or(0.0),
            result.client_cpu_cores,
        )
    }

    fn measure_there(
        &self,
        who: Who,
        column: &mut Column,
        run: impl FnOnce(Run<'_>) -> Result<(Told, std::time::Duration), Failure>,
    ) -> Result<(), Failure> {
        let url = format!("http://{}", self.node.http()?);
        let ask = match &self.path {
            Some(path) => Ask::Get(path),
            None => Ask::Put(BODY_BYTES),
        };
        let pid = self.node.pid;
        let cpu = || {
            pid.and_then(sample::cpu)
                .ok_or_else(|| io("the node's processor time")(std::io::ErrorKind::NotFound.into()))
        };
        let (before, started) = (cpu()?, clock::now());
        let (told, own) = run(Run {
            url: &url,
            ask,
            connections: self.options.connections,
            seconds: self.options.seconds,
        })?;
        let taken = cpu()? - before;
        // From its start to its end, in which it also reads its script and opens connections.
        let seconds = started.elapsed().as_secs_f64();
        let (server, client) = (taken.as_secs_f64() / seconds, own.as_secs_f64() / seconds);
        column.add(who, told, server, client)
    }
}

impl Column {
    fn add(
        &mut self,
        who: Who,
        told: Told,
        server_cores: f64,
        client_cores: f64,
    ) -> Result<(), Failure> {
        if told.requests == 0 || told.errors as f64 > LOST * told.requests as f64 {
            let (
                name,
                Told {
                    requests, errors, ..
                },
            ) = (who.name(), told);
            return Err(Failure::wrong(format!(
                "{name}: {errors} of {requests} requests were not answered as asked"
            )));
        }
        let answered = (told.requests - told.errors) as f64;
        self.rps.push(answered / told.seconds);
        self.p50_ms.push(told.p50_ms);
        self.p99_ms.push(told.p99_ms);
        self.server_cores.push(server_cores);
        self.client_cores.push(client_cores);
        Ok(())
    }
}

fn compare(
    found: &mut Found,
    name: &str,
    tool: &'static str,
    ours: &Column,
    theirs: &Column,
) -> Result<(), Failure> {
    let words = match name {
        "get_64k" => "GET 64 KiB",
        _ => "PUT 64 KiB",
    };
    type Quantity<'a> = (&'a str, &'a str, &'a str, &'a [f64], &'a [f64]);
    let quantities: [Quantity<'_>; 5] = [
        ("rps", "throughput", "requests/s", &ours.rps, &theirs.rps),
        ("p50", "p50", "ms", &ours.p50_ms, &theirs.p50_ms),
        ("p99", "p99", "ms", &ours.p99_ms, &theirs.p99_ms),
        (
            "server_cores",
            "kept busy by the node",
            "cores",
            &ours.server_cores,
            &theirs.server_cores,
        ),
        (
            "client_cores",
            "kept busy by the tool",
            "cores",
            &ours.client_cores,
            &theirs.client_cores,
        ),
    ];
    for (key, what, unit, ours, theirs) in quantities {
        found.add(Pair {
            id: format!("{name}_{key}_{tool}"),
            title: format!("{words}, {what}"),
            against: tool,
            unit,
            ours,
            theirs,
        })?;
    }
    Ok(())
}
