//! `gwsmoke gate`: whether a result is worse than a baseline by more than it may be.
//!
//! Fails when p95 rises by more than 10 %, throughput falls by more than 10 %, the node's processor
//! time or memory rises by more than 15 %, or an error budget is burst: 0.1 % of requests failed,
//! 1 % refused, 0.01 % of events lost on the bus. Absolute figures are compared only with those of
//! the same kind of machine and of the same load. Otherwise two builds are compared here and now
//! (see [`crate::ab`]), if they are given.
//!
//! What is missing, zero, of another schema or not a number is never taken for "no worse".

mod budget;
mod finding;
mod input;
mod judge;
mod measure;
mod table;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

pub use budget::{Budget, Spent};
pub use finding::{Finding, Kind, Outcome};
pub use judge::passes;
pub use measure::Measure;
pub(crate) use measure::per_core;
pub use table::table;

use crate::ab::Builds;
use crate::clock;
use crate::date::Date;
use crate::failure::{Exit, Failure, io};
use crate::progress::Progress;
use crate::result::{LoadResult, SCHEMA};
use crate::waivers::Waivers;
use input::Input;

/// Compares a result with a baseline, and fails if it is worse than it may be
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Exit codes: 0 no worse than it may be; 1 worse, or a budget is burst; 2 files \
that make no sense, or waivers that have expired or have no link; 3 not decided: another machine, \
another load, or rounds that spread too much."
)]
pub struct Gate {
    /// What it was: a file of `load` or `suite`, or a folder of baselines by machine
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// What it is: a file of `load`, `suite` or `ab`
    #[arg(long, value_name = "FILE")]
    pub result: PathBuf,
    /// What is known and let pass: metric, issue, expires
    #[arg(long, value_name = "FILE")]
    pub waivers: Option<PathBuf>,
    /// The findings as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The builds to compare here if the baseline is of another machine
    #[command(flatten)]
    pub builds: Builds,
}

/// What a gate found, as JSON.
#[derive(Debug, Serialize)]
struct GateResult<'a> {
    schema: u32,
    /// Whether nothing stops it.
    passed: bool,
    /// Whether anything was compared with what it was.
    compared: bool,
    findings: &'a [Finding],
}

impl Gate {
    /// Reads, compares, tells.
    ///
    /// # Errors
    ///
    /// If a file is not what it has to be, a waiver does not hold any more, or builds cannot be
    /// compared.
    pub fn run(&self, progress: &Progress) -> Result<Exit, Failure> {
        let today = Date::of_unix_s(clock::since_epoch().as_secs());
        let waivers = self.waivers(today)?;
        let both = self.builds.both()?;
        let mut judged = match (input::read(&self.result)?, &self.baseline) {
            (Input::Ab(rounds), _) => Judged::compared(crate::ab::judge(&rounds)?),
            (Input::Absolute(_), None) => {
                return Err(Failure::usage(
                    "--baseline FILE: a result of one build has to be compared with something",
                ));
            }
            (Input::Absolute(result), Some(path)) => {
                let baseline = input::baseline(path, &result)?;
                judge_absolute(baseline.as_deref(), &result)
            }
        };
        if !judged.is_compared
            && let Some(both) = both
        {
            for reason in &judged.reasons {
                println!("{reason}");
            }
            println!("so the two builds are compared here and now");
            let rounds = crate::ab::measure(&both, progress)?;
            judged.findings.extend(crate::ab::judge(&rounds)?);
            judged.is_compared = true;
        }
        for finding in &mut judged.findings {
            finding.waive(&waivers);
        }
        print!("{}", table(&judged.findings));
        self.tell_of_waivers(&waivers, &judged);
        self.write(&judged)?;
        judged.exit()
    }

    fn waivers(&self, today: Date) -> Result<Waivers, Failure> {
        let Some(path) = &self.waivers else {
            return Ok(Waivers::default());
        };
        Waivers::parse(&input::text(path)?, today)
            .map_err(|failure| Failure::usage(format!("{}: {failure}", path.display())))
    }

    /// A waiver that nothing needed may be one that can go.
    fn tell_of_waivers(&self, waivers: &Waivers, judged: &Judged) {
        if !judged.is_compared {
            return;
        }
        let waived = judged.findings.iter();
        let waived: Vec<_> = waived
            .filter(|finding| finding.outcome == Outcome::Waived)
            .filter_map(|finding| waivers.of(&finding.metric))
            .collect();
        for waiver in waivers.iter().filter(|waiver| !waived.contains(waiver)) {
            println!("not needed here: the waiver of {}", waiver.metric);
        }
    }

    fn write(&self, judged: &Judged) -> Result<(), Failure> {
        let Some(path) = &self.json else {
            return Ok(());
        };
        let result = GateResult {
            schema: SCHEMA,
            passed: judged.is_compared && passes(&judged.findings),
            compared: judged.is_compared,
            findings: &judged.findings,
        };
        let text = serde_json::to_string_pretty(&result)
            .map_err(|error| Failure::wrong(error.to_string()))?;
        std::fs::write(path, text + "\n").map_err(io(path.display()))
    }
}

/// What was found, and why not more.
#[derive(Debug)]
struct Judged {
    findings: Vec<Finding>,
    is_compared: bool,
    /// Why it was not compared.
    reasons: Vec<String>,
}

/// A result beside its baseline, if there is one for its machine; its budgets in any case.
fn judge_absolute(baseline: Option<&[LoadResult]>, result: &[LoadResult]) -> Judged {
    let budgets = judge::budgets(result);
    let none = || {
        let machine = result.first().map(|result| &result.machine);
        let of = machine.map_or_else(String::new, |machine| {
            let (cpu, cores) = (&machine.cpu, machine.cores);
            format!(" ({cpu}, {cores} cores, {})", machine.fingerprint)
        });
        vec![format!("there is no baseline of this machine{of}")]
    };
    match baseline.map_or_else(|| Err(none()), |base| judge::compare(base, result)) {
        Ok(mut findings) => {
            findings.extend(budgets);
            Judged::compared(findings)
        }
        Err(reasons) => Judged {
            findings: budgets,
            is_compared: false,
            reasons,
        },
    }
}

impl Judged {
    fn compared(findings: Vec<Finding>) -> Self {
        Self {
            findings,
            is_compared: true,
            reasons: Vec::new(),
        }
    }

    /// What a script sees; what is certain comes first.
    fn exit(&self) -> Result<Exit, Failure> {
        let has = |outcome| self.findings.iter().any(|f| f.outcome == outcome);
        if has(Outcome::Failed) {
            for reason in &self.reasons {
                println!("not compared: {reason}");
            }
            return Ok(Exit::Failed);
        }
        if !self.is_compared {
            return Err(Failure::Undecided(format!(
                "not compared: {}\nGive --base BIN --new BIN, and the two builds are compared here; \
                 or measure the baseline on this machine, with the same load, and give that",
                self.reasons.join("\n              ")
            )));
        }
        if has(Outcome::Unsure) {
            return Ok(Exit::Undecided);
        }
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests;
