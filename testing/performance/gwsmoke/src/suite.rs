//! `gwsmoke suite`: the standard scenarios, one after the other, as one JSON file, one report, and
//! one table of service levels.
//!
//! Every part has nodes of its own, started for it and ended with it. What one of them cannot
//! measure is told, and does not keep the others from being measured.
//!
//! - [`catalogue`]: the scenarios, which are in this program.
//! - [`result`]: what the file holds.
//! - `session`: what all parts need; the other modules are the parts.

mod beyond_cap;
mod beyond_cpu;
pub mod catalogue;
mod cold_start;
mod edge;
mod instructions;
mod limits;
mod listener;
mod memory;
pub mod result;
#[cfg(test)]
pub(crate) mod sample;
mod session;
mod table;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::clock;
use crate::cross_check;
use crate::failure::{Exit, Failure, io};
use crate::node::find_binary;
use crate::peers;
use crate::progress::Progress;
use crate::report;
use crate::result::{LoadResult, Machine, SCHEMA};
use crate::slo::{self, Levels};
use result::{Edge, Level, SuiteResult, Sweep};
use session::Session;

/// Parts beside the scenarios, in the order in which they are run.
const PARTS: &[&str] = &["cold_start", "edge", "memory", "limits", "beyond_cpu"];

/// Run the standard scenarios, and hold what they measure against the service levels
///
/// Starts every node itself. Exit code 1 if a service level is missed, if a part could not be
/// measured, or if a full suite leaves a service level unmeasured.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  gwsmoke suite --quick --out /tmp/suite
  gwsmoke suite --full --peers --cross-check --out suite --node target/release/micronode
  gwsmoke suite --quick --out /tmp/suite --only get_1k --only cold_start")]
pub struct Suite {
    /// A minute or two: everything, each for as long as shows that it works
    #[arg(long, required_unless_present = "full", conflicts_with = "full")]
    quick: bool,
    /// About ten minutes: everything, each for as long as the figures need
    #[arg(long)]
    full: bool,
    /// Where suite.json and report.html are written; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The binary of the nodes to start [default: micronode of the same target directory]
    #[arg(long, value_name = "BIN")]
    node: Option<PathBuf>,
    /// Beside other programs, too: nginx, Redis, NATS JetStream, beanstalkd, those that are there.
    /// Ten minutes more, or one
    #[arg(long)]
    peers: bool,
    /// The same loads by tools of others, too: wrk and oha, those that are there
    #[arg(long)]
    cross_check: bool,
    /// Nothing but this scenario or part (cold_start, edge, memory, limits, beyond_cpu); may be
    /// repeated. Service levels of the others are not measured
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

impl Suite {
    /// Runs all of it, and writes and prints what came of it.
    ///
    /// # Errors
    ///
    /// If nothing can be run or written. A service level that is missed is an exit code.
    pub fn run(self, progress: &Progress) -> Result<Exit, Failure> {
        let names = catalogue::names();
        let levels = Levels::built_in(&names)?;
        let unknown = |name: &&String| !names.contains(&name.as_str()) && !is_part(name);
        if let Some(name) = self.only.iter().find(unknown) {
            let all = [&names[..], PARTS].concat().join(", ");
            return Err(Failure::usage(format!("--only {name}: there are {all}")));
        }
        let session = Session {
            binary: match &self.node {
                Some(binary) => binary.clone(),
                None => find_binary()?,
            },
            level: if self.full { Level::Full } else { Level::Quick },
            progress,
        };
        // Before ten minutes of work, not after.
        std::fs::create_dir_all(&self.out).map_err(io(self.out.display()))?;
        let mut suite = self.measure(&session);
        suite.slo = slo::evaluate(&levels, &suite);
        write(&self.out, &suite)?;
        print!("{}", table::of(&suite));
        let out = self.out.display();
        println!("\n{out}/suite.json, {out}/report.html");
        Ok(match has_failed(&suite) {
            true => Exit::Failed,
            false => Exit::Done,
        })
    }

    fn is_asked(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    fn measure(&self, session: &Session<'_>) -> SuiteResult {
        let began = clock::now();
        let mut suite = SuiteResult {
            schema: SCHEMA,
            level: session.level,
            started_unix_s: clock::since_epoch().as_secs(),
            duration_s: 0.0,
            machine: Machine::here(),
            node: Default::default(),
            scenarios: Vec::new(),
            sweep: None,
            beyond_cap: None,
            beyond_cpu: None,
            edge: Edge::default(),
            cold_start: None,
            memory: Vec::new(),
            limits: Vec::new(),
            slo: Vec::new(),
            peers: None,
            cross_check: None,
            skipped: Vec::new(),
        };
        session.progress.print(&table::head());
        for name in catalogue::names() {
            if self.is_asked(name) {
                self.scenario(session, name, &mut suite);
            }
        }
        self.parts(session, &mut suite);
        self.others(session, &mut suite);
        if let Some(result) = suite.scenarios.first() {
            suite.node = result.node.clone();
        }
        suite.duration_s = (clock::now() - began).as_secs_f64();
        suite
    }

    fn scenario(&self, session: &Session<'_>, name: &str, suite: &mut SuiteResult) {
        let mut beyond_cap = None;
        let result = match name {
            catalogue::BEYOND_CAP => beyond_cap::measure(session).map(|(result, beyond)| {
                beyond_cap = Some(beyond);
                result
            }),
            _ => session.scenario(name),
        };
        let Some(mut result) = told(session, name, result, &mut suite.skipped) else {
            return;
        };
        suite.beyond_cap = suite.beyond_cap.take().or(beyond_cap);
        if name == catalogue::SWEEP {
            suite.sweep = Some(sweep(&mut result));
        }
        session.progress.print(&table::scenario(&result));
        suite.scenarios.push(result);
    }

    fn parts(&self, session: &Session<'_>, suite: &mut SuiteResult) {
        let SuiteResult {
            scenarios, skipped, ..
        } = suite;
        if self.is_asked("cold_start") {
            let starts = cold_start::measure(session);
            suite.cold_start = told(session, "cold_start", starts, skipped);
        }
        if self.is_asked("edge") {
            let edge = edge::measure(session, scenarios);
            suite.edge = told(session, "edge", edge, skipped).unwrap_or_default();
        }
        if self.is_asked("memory") {
            let memory = memory::measure(session);
            suite.memory = told(session, "memory", memory, skipped).unwrap_or_default();
        }
        if self.is_asked("limits") {
            let limits = limits::measure(session);
            suite.limits = told(session, "limits", limits, skipped).unwrap_or_default();
        }
        if self.is_asked("beyond_cpu") {
            let beyond = beyond_cpu::measure(session);
            suite.beyond_cpu = told(session, "beyond_cpu", beyond, skipped);
        }
    }

    /// Programs and tools of others.
    fn others(&self, session: &Session<'_>, suite: &mut SuiteResult) {
        let progress = session.progress;
        if self.peers {
            let options = options(session, peers::Options::quick, peers::Options::full);
            let found = peers::run(&options, progress);
            suite.peers = told(session, "peers", found, &mut suite.skipped);
        }
        if self.cross_check {
            let options = options(
                session,
                cross_check::Options::quick,
                cross_check::Options::full,
            );
            let found = cross_check::run(&options, progress);
            suite.cross_check = told(session, "cross_check", found, &mut suite.skipped);
        }
    }
}

fn options<T>(session: &Session<'_>, quick: fn(PathBuf) -> T, full: fn(PathBuf) -> T) -> T {
    session.either(quick, full)(session.binary.clone())
}

fn is_part(name: &str) -> bool {
    PARTS.contains(&name)
}

/// What was measured; why it was not is told, and kept.
fn told<T>(
    session: &Session<'_>,
    name: &str,
    measured: Result<T, Failure>,
    skipped: &mut Vec<String>,
) -> Option<T> {
    measured
        .map_err(|failure| {
            let why = format!("{name}: {failure}");
            session.progress.print(&why);
            skipped.push(why);
        })
        .ok()
}

/// The steps are told apart from the scenario, which is that of the knee.
fn sweep(result: &mut LoadResult) -> Sweep {
    Sweep {
        scenario: result.scenario.clone(),
        steps: std::mem::take(&mut result.sweep),
        knee_rps: result.knee_rps,
    }
}

fn has_failed(suite: &SuiteResult) -> bool {
    let mut rows = suite.slo.iter();
    !suite.skipped.is_empty() || rows.any(|row| row.verdict.fails(suite.level))
}

fn write(out: &Path, suite: &SuiteResult) -> Result<(), Failure> {
    let file = |name: &str, text: &str| {
        let path = out.join(name);
        std::fs::write(&path, text).map_err(io(path.display()))
    };
    let json = serde_json::to_string_pretty(suite).map_err(|error| io("JSON")(error.into()))?;
    file("suite.json", &(json + "\n"))?;
    file("report.html", &report::render(suite))
}
