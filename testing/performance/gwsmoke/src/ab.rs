//! `gwsmoke ab`: two builds, in turn, on this machine.
//!
//! A round starts each build anew, puts the same load on it for a moment and ends it, in an order
//! that is drawn; what is compared are the ratios of neighbours (see [`crate::stats`]). A node and
//! its load each keep to cores of their own. Nothing that was measured is left out: a build that
//! does not answer ends the run, and requests that fail are counted against its budget.
//!
//! A measure is **worse** if its ratio is beyond what the gate allows and the interval leaves no
//! doubt that it changed; **unsure** if the ratio is beyond and the interval holds 1. How often that
//! is wrong is recorded and replayed ([`replay`]).

mod compare;
mod cores;
mod replay;
mod rounds;
#[cfg(test)]
mod synthetic;
mod turns;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

pub use compare::Pair;
pub use replay::{Replayed, replay};
pub use rounds::{Columns, Rounds, Scenario, Variant};

use crate::clock;
use crate::failure::{Exit, Failure, io};
use crate::gate::{self, Finding, Outcome};
use crate::progress::Progress;
use crate::result::SCHEMA;
use crate::scenario;
use crate::spec::LoadSpec;
use turns::{Contender, Plan};

/// Rounds of a comparison unless told otherwise, and of a virtual run.
pub const ROUNDS: usize = 30;
/// Rounds of a recording unless told otherwise.
const RECORDED_ROUNDS: usize = 200;
/// Most rounds: a day of them.
const ROUNDS_MAX: usize = 20_000;
/// Runs that are drawn from a recording unless told otherwise.
const VIRTUAL_RUNS: u32 = 1000;

/// What is compared unless told otherwise, and what is recorded for the error rates.
const SCENARIOS: [&str; 2] = [
    include_str!("../../gate/ab_closed.toml"),
    include_str!("../../gate/ab_open.toml"),
];

/// How much worse a build is made for a recording: slower, and fatter, in percent.
const SLOWER: (&str, &str) = ("MICRO_FAULT_SLOWER_PERCENT", "15");
const FATTER: (&str, &str) = ("MICRO_FAULT_FATTER_PERCENT", "20");

/// Two builds and how they are compared.
#[derive(Args, Clone, Debug, Default)]
pub struct Builds {
    /// The build that is to be compared with, such as the last release
    #[arg(long, value_name = "BIN")]
    pub base: Option<PathBuf>,
    /// The build that may be worse
    #[arg(long, value_name = "BIN", requires = "base")]
    pub new: Option<PathBuf>,
    /// How often each of them is measured [default: 30; 200 for a recording]
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,
    /// What is measured, as TOML, once for each scenario [default: 64 KiB reads, in a closed loop and
    /// at a rate]
    #[arg(long = "scenario", value_name = "FILE")]
    pub scenarios: Vec<PathBuf>,
    /// What decides the order of turns, and the intervals [default: another one each time]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// A variable of the environment of the new build alone; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable, requires = "new")]
    pub new_env: Vec<(String, String)>,
}

/// Compares two builds in turn, and fails if the new one is worse than it may be
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Exit codes: 0 no worse than it may be; 1 worse, or a budget is burst; 2 wrong \
usage; 3 not decided: the rounds spread too much.

Examples:
  gwsmoke ab --base release/micronode --new target/release/micronode
  gwsmoke ab --record rounds.json --base target/release/micronode   # built with micronode-server/faults
  gwsmoke ab --replay rounds.json --virtual-runs 1000"
)]
pub struct Ab {
    #[command(flatten)]
    builds: Builds,
    /// All rounds and what they say, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Record rounds of --base, of itself again, and of itself made 15 % slower and 20 % fatter
    #[arg(long, value_name = "FILE", conflicts_with_all = ["new", "json"])]
    record: Option<PathBuf>,
    /// Draw runs from recorded rounds, and tell how often they are wrong
    #[arg(long, value_name = "FILE", conflicts_with_all = ["base", "record", "json"])]
    replay: Option<PathBuf>,
    /// How many runs are drawn [default: 1000]
    #[arg(long, value_name = "N", requires = "replay")]
    virtual_runs: Option<u32>,
}

/// A comparison, as JSON.
#[derive(Debug, Serialize)]
struct AbResult<'a> {
    schema: u32,
    /// Whether nothing is worse than it may be.
    passed: bool,
    /// What the rounds say.
    comparisons: &'a [Finding],
    /// Every round that was measured.
    rounds: &'a Rounds,
}

impl Ab {
    /// Measures, compares, tells.
    ///
    /// # Errors
    ///
    /// If a build does not start, does not answer, or a file is not what it has to be.
    pub fn run(&self, progress: &Progress) -> Result<Exit, Failure> {
        match (&self.record, &self.replay) {
            (Some(path), _) => self.record(path, progress),
            (_, Some(path)) => self.replay(path),
            _ => self.compare(progress),
        }
    }

    fn compare(&self, progress: &Progress) -> Result<Exit, Failure> {
        let both = self.builds.both()?;
        let plan = both.ok_or_else(|| {
            Failure::usage("--base BIN --new BIN: two builds are what is compared")
        })?;
        let rounds = measure(&plan, progress)?;
        let findings = judge(&rounds)?;
        print!("{}", gate::table(&findings));
        if let Some(path) = &self.json {
            let result = AbResult {
                schema: SCHEMA,
                passed: gate::passes(&findings),
                comparisons: &findings,
                rounds: &rounds,
            };
            write(path, &result)?;
        }
        let has = |outcome| findings.iter().any(|finding| finding.outcome == outcome);
        Ok(if has(Outcome::Failed) {
            Exit::Failed
        } else if has(Outcome::Unsure) {
            Exit::Undecided
        } else {
            Exit::Done
        })
    }

    fn record(&self, path: &Path, progress: &Progress) -> Result<Exit, Failure> {
        let base = self.builds.base.as_deref();
        let base =
            base.ok_or_else(|| Failure::usage("--record FILE --base BIN: of which build?"))?;
        let worse = |name: &str, (variable, value): (&str, &str)| {
            let mut contender = Contender::new(name, base);
            let environment = [(variable.to_owned(), value.to_owned())];
            contender.environment = BTreeMap::from(environment);
            contender
        };
        let plan = Plan {
            contenders: vec![
                Contender::new("base", base),
                Contender::new("again", base),
                worse("slower", SLOWER),
                worse("fatter", FATTER),
            ],
            ..self.builds.plan(Vec::new(), RECORDED_ROUNDS)?
        };
        write(path, &measure(&plan, progress)?)?;
        println!("recorded in {}", path.display());
        Ok(Exit::Done)
    }

    fn replay(&self, path: &Path) -> Result<Exit, Failure> {
        let text = std::fs::read_to_string(path).map_err(io(path.display()))?;
        let wrong =
            |what: &dyn std::fmt::Display| Failure::usage(format!("{}: {what}", path.display()));
        let rounds: Rounds = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        let length = self.builds.length(ROUNDS)?;
        let runs = self.virtual_runs.unwrap_or(VIRTUAL_RUNS).max(1);
        let seed = self.builds.seed.unwrap_or(rounds.seed);
        let recorded = rounds.rounds();
        println!(
            "{runs} runs of {length} rounds each, drawn from {recorded} recorded, seed {seed}"
        );
        let replayed = replay(&rounds, length, runs, seed)?;
        for replayed in &replayed {
            print!("{}", replayed.table());
        }
        let is_good = replayed.iter().all(Replayed::is_good);
        Ok(if is_good { Exit::Done } else { Exit::Failed })
    }
}

impl Builds {
    /// The comparison that is asked for, if two builds are given.
    ///
    /// # Errors
    ///
    /// If a scenario is none, or there are too few or too many rounds.
    pub fn both(&self) -> Result<Option<Plan>, Failure> {
        let Some((base, new)) = self.base.as_deref().zip(self.new.as_deref()) else {
            return Ok(None);
        };
        let mut new = Contender::new("new", new);
        new.environment = self.new_env.iter().cloned().collect();
        let contenders = vec![Contender::new("base", base), new];
        self.plan(contenders, ROUNDS).map(Some)
    }

    fn plan(&self, contenders: Vec<Contender>, rounds: usize) -> Result<Plan, Failure> {
        let mut scenarios: Vec<LoadSpec> = Vec::new();
        for path in &self.scenarios {
            scenarios.push(scenario::read(path)?);
        }
        if scenarios.is_empty() {
            let parsed = SCENARIOS.iter().map(|text| scenario::parse(text));
            let parsed: Result<_, String> = parsed.collect();
            scenarios = parsed.map_err(Failure::Wrong)?;
        }
        for (index, spec) in scenarios.iter().enumerate() {
            if scenarios[..index]
                .iter()
                .any(|other| other.name == spec.name)
            {
                let name = &spec.name;
                return Err(Failure::usage(format!("two scenarios are called {name}")));
            }
        }
        Ok(Plan {
            contenders,
            scenarios,
            rounds: self.length(rounds)?,
            // Any number will do, as long as it is told.
            seed: self
                .seed
                .unwrap_or_else(|| u64::from(clock::since_epoch().subsec_nanos())),
        })
    }

    fn length(&self, default: usize) -> Result<usize, Failure> {
        let rounds = self.rounds.unwrap_or(default);
        if (1..=ROUNDS_MAX).contains(&rounds) {
            Ok(rounds)
        } else {
            Err(Failure::usage(format!("--rounds: 1 to {ROUNDS_MAX}")))
        }
    }
}

/// Measures the builds of `plan` in turn.
///
/// # Errors
///
/// If one of them does not start or does not answer.
pub fn measure(plan: &Plan, progress: &Progress) -> Result<Rounds, Failure> {
    println!(
        "{} rounds of {} builds in {} scenarios, in the order of seed {}",
        plan.rounds,
        plan.contenders.len(),
        plan.scenarios.len(),
        plan.seed
    );
    turns::take(plan, progress)
}

/// What rounds say of their second variant beside the first.
///
/// # Errors
///
/// If they cannot be compared.
pub fn judge(rounds: &Rounds) -> Result<Vec<Finding>, Failure> {
    Ok(Pair::new(rounds, 0, 1)?.findings())
}

fn write(path: &Path, what: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(what).map_err(|error| Failure::wrong(error.to_string()))?;
    std::fs::write(path, text + "\n").map_err(io(path.display()))
}

fn variable(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("NAME=VALUE is what is asked")?;
    Ok((name.to_owned(), value.to_owned()))
}
