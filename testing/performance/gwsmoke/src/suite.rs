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
use crate::result::{LoadResult, Machine};
use crate::slo::{self, Levels, Verdict};
use result::{Level, SuiteResult, Sweep};
use session::Session;

/// Parts beside the scenarios, in the order in which they are run.
const PARTS: &[&str] = &[COLD_START, EDGE, MEMORY, LIMITS, BEYOND_CPU];
const COLD_START: &str = "cold_start";
const EDGE: &str = "edge";
const MEMORY: &str = "memory";
const LIMITS: &str = "limits";
const BEYOND_CPU: &str = "beyond_cpu";
/// Parts that have to be asked for, after all others.
const PEERS: &str = "peers";
const CROSS_CHECK: &str = "cross_check";

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
    /// repeated. Service levels of the others are not measured, and do not fail
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
        let all = [&names[..], PARTS].concat();
        let unknown = |name: &&String| !all.contains(&name.as_str());
        if let Some(name) = self.only.iter().find(unknown) {
            let all = all.join(", ");
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
        let suite = self.measure(&session, &levels)?;
        print!("{}", table::of(&suite));
        let out = self.out.display();
        println!("\n{out}/suite.json, {out}/report.html");
        Ok(match self.has_failed(&suite) {
            true => Exit::Failed,
            false => Exit::Done,
        })
    }

    fn has_failed(&self, suite: &SuiteResult) -> bool {
        let fails = |verdict: Verdict| match verdict {
            // What nobody asked for is not missing.
            Verdict::NotMeasured if !self.only.is_empty() => false,
            verdict => verdict.fails(suite.level),
        };
        !suite.skipped.is_empty() || suite.slo.iter().any(|row| fails(row.verdict))
    }

    fn is_asked(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// Measures part after part. What has been measured so far is written after each, so that a
    /// suite which is interrupted is not for nothing.
    fn measure(&self, session: &Session<'_>, levels: &Levels) -> Result<SuiteResult, Failure> {
        let began = clock::now();
        let started_unix_s = clock::since_epoch().as_secs();
        let mut suite = SuiteResult::begun(session.level, started_unix_s, Machine::here());
        session.progress.print(&table::head());
        let parts = PARTS.iter().filter(|part| self.is_asked(part));
        let others = [(PEERS, self.peers), (CROSS_CHECK, self.cross_check)];
        let others = others.iter().filter(|it| it.1).map(|it| &it.0);
        let scenarios = catalogue::names();
        let scenarios = scenarios.iter().filter(|name| self.is_asked(name));
        for name in scenarios.chain(parts).chain(others) {
            measure(session, name, &mut suite);
            if let Some(result) = suite.scenarios.first() {
                suite.node = result.node.clone();
            }
            suite.duration_s = (clock::now() - began).as_secs_f64();
            suite.slo = slo::evaluate(levels, &suite);
            write(&self.out, &suite)?;
        }
        Ok(suite)
    }
}

/// Measures a scenario or a part; what it cannot measure is told, and kept.
fn measure(session: &Session<'_>, name: &str, suite: &mut SuiteResult) {
    if let Err(failure) = try_to_measure(session, name, suite) {
        let why = format!("{name}: {failure}");
        session.progress.print(&why);
        suite.skipped.push(why);
    }
}

fn try_to_measure(
    session: &Session<'_>,
    name: &str,
    suite: &mut SuiteResult,
) -> Result<(), Failure> {
    match name {
        COLD_START => suite.cold_start = Some(cold_start::measure(session)?),
        EDGE => suite.edge = edge::measure(session, &suite.scenarios)?,
        MEMORY => suite.memory = memory::measure(session)?,
        LIMITS => suite.limits = limits::measure(session)?,
        BEYOND_CPU => suite.beyond_cpu = Some(beyond_cpu::measure(session)?),
        PEERS => {
            let options = options(session, peers::Options::quick, peers::Options::full);
            suite.peers = Some(peers::run(&options, session.progress)?);
        }
        CROSS_CHECK => {
            let (quick, full) = (cross_check::Options::quick, cross_check::Options::full);
            let options = options(session, quick, full);
            suite.cross_check = Some(cross_check::run(&options, session.progress)?);
        }
        catalogue::BEYOND_CAP => {
            let (result, beyond) = beyond_cap::measure(session)?;
            suite.beyond_cap = Some(beyond);
            add(session, result, suite);
        }
        scenario => {
            let mut result = session.scenario(scenario)?;
            if scenario == catalogue::SWEEP {
                suite.sweep = Some(sweep(&mut result));
            }
            add(session, result, suite);
        }
    }
    Ok(())
}

fn add(session: &Session<'_>, result: LoadResult, suite: &mut SuiteResult) {
    session.progress.print(&table::scenario(&result));
    suite.scenarios.push(result);
}

fn options<T>(session: &Session<'_>, quick: fn(PathBuf) -> T, full: fn(PathBuf) -> T) -> T {
    session.either(quick, full)(session.binary.clone())
}

/// The steps are told apart from the scenario, which is that of the knee.
fn sweep(result: &mut LoadResult) -> Sweep {
    Sweep {
        scenario: result.scenario.clone(),
        steps: std::mem::take(&mut result.sweep),
        knee_rps: result.knee_rps,
    }
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
