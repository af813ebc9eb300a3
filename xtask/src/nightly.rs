//! `cargo xtask nightly`: everything that takes too long for every commit. What a workflow calls,
//! and what a person runs before a release.
//!
//! All steps are run, also after one has failed, and everything that they write is in one folder.
//! What could not be decided (no baseline of this kind of machine, rounds that spread too much) is
//! told apart from what is worse, and fails nothing.

mod base;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::measure::{target_directory, timed};
use crate::{Failure, cargo, flamegraph, io, root, rules, show, succeed};

/// What a gate says when it could not compare, and a check when what it needs is not here.
const NOT_DECIDED: i32 = 3;
/// Scenarios that are drawn: those that kept the node busiest.
const DRAWN: usize = 2;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    NotDecided,
    Failed,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotDecided => "not decided",
            Self::Failed => "FAILED",
        }
    }
}

/// One night.
struct Night {
    /// Where everything is written.
    out: PathBuf,
    /// What it is compared with: a revision, or the last release.
    base: Option<String>,
    /// A minute or two instead of half an hour, to see that all of it works.
    quick: bool,
    /// Where cargo builds.
    target: PathBuf,
}

type Step = (&'static str, fn(&Night) -> Result<Outcome, Failure>);

const STEPS: &[Step] = &[
    ("build", Night::build),
    ("suite", Night::suite),
    ("report", Night::report),
    ("ab", Night::ab),
    ("gate: the baseline", Night::gate_by_baseline),
    ("gate: the last release", Night::gate_by_rounds),
    ("rules", |_| rules::run().map(|()| Outcome::Done)),
    ("flamegraphs", Night::flamegraphs),
    ("tokio-console", Night::console),
];

/// Runs all of it.
pub(crate) fn run(words: &[&str]) -> Result<(), Failure> {
    let night = Night::of(words)?;
    fs::create_dir_all(&night.out).map_err(io(night.out.display()))?;
    let mut ended = Vec::new();
    for &(name, step) in STEPS {
        println!("== {name}");
        let (took, result) = timed(|| step(&night));
        let outcome = result.unwrap_or_else(|failure| {
            eprintln!("xtask: {failure}");
            Outcome::Failed
        });
        println!(
            "== {name}: {}, {:.0} s",
            outcome.as_str(),
            took.as_secs_f64()
        );
        ended.push((name, outcome, took.as_secs()));
    }
    let summary = summary(&ended);
    print!("\n{summary}");
    let place = night.out.join("summary.md");
    fs::write(&place, &summary).map_err(io(place.display()))?;
    let failed: Vec<&str> = ended
        .iter()
        .filter(|(_, outcome, _)| *outcome == Outcome::Failed)
        .map(|(name, ..)| *name)
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Wrong(format!("failed: {}", failed.join(", "))))
    }
}

/// A table of what became of the steps.
fn summary(ended: &[(&str, Outcome, u64)]) -> String {
    let mut text = "| step | outcome | s |\n|---|---|---|\n".to_owned();
    for (name, outcome, seconds) in ended {
        let outcome = outcome.as_str();
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {name} | {outcome} | {seconds} |");
    }
    text
}

impl Night {
    fn of(words: &[&str]) -> Result<Self, Failure> {
        let target = target_directory()?;
        let mut night = Self {
            out: target.join("nightly"),
            base: None,
            quick: false,
            target,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match (*word, words.as_slice().first()) {
                ("--quick", _) => night.quick = true,
                ("--out", Some(out)) => {
                    night.out = std::path::absolute(out).map_err(io(out))?;
                    words.next();
                }
                ("--base", Some(revision)) => {
                    night.base = Some((*revision).to_owned());
                    words.next();
                }
                _ => {
                    let what = format!("nightly: no such option, or nothing behind it: {word}");
                    return Err(Failure::Usage(what));
                }
            }
        }
        Ok(night)
    }

    fn node(&self) -> PathBuf {
        self.target.join("release/micronode")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    fn gwsmoke(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.target.join("release/gwsmoke"));
        command.args(words).current_dir(root());
        command
    }

    /// In two commands: one would give the node what the load tool asks of their libraries.
    fn build(&self) -> Result<Outcome, Failure> {
        for package in ["micronode", "gwsmoke"] {
            succeed(cargo(&[
                "build",
                "--locked",
                "--release",
                "--package",
                package,
            ]))?;
        }
        Ok(Outcome::Done)
    }

    fn suite(&self) -> Result<Outcome, Failure> {
        let level = if self.quick { "--quick" } else { "--full" };
        let mut suite = self.gwsmoke(&["suite", level, "--peers", "--cross-check", "--out"]);
        suite.arg(self.at("suite")).arg("--node").arg(self.node());
        succeed(suite)?;
        Ok(Outcome::Done)
    }

    /// Opens the report in a browser, if there is one.
    fn report(&self) -> Result<Outcome, Failure> {
        let mut check = Command::new("python3");
        check.arg("testing/performance/report_check.py");
        check.arg(self.at("suite/report.html"));
        check.arg("--screenshots").arg(self.at("suite/report"));
        check.current_dir(root());
        decided(check)
    }

    /// What is worse is for the gate to say, which knows what is waived.
    fn ab(&self) -> Result<Outcome, Failure> {
        let base = base::build(self.base.as_deref(), &self.target)?;
        let mut ab = self.gwsmoke(&["ab", "--base"]);
        ab.arg(base).arg("--new").arg(self.node());
        ab.arg("--json").arg(self.at("ab.json"));
        if self.quick {
            ab.args(["--rounds", "4"]);
        }
        let shown = show(&ab);
        let status = ab.status().map_err(io(&shown))?;
        match status.code() {
            Some(0 | 1) => Ok(Outcome::Done),
            Some(NOT_DECIDED) => Ok(Outcome::NotDecided),
            _ => Err(Failure::Program(shown)),
        }
    }

    fn gate_by_baseline(&self) -> Result<Outcome, Failure> {
        self.gate("suite/suite.json", "gate_baseline.json", true)
    }

    fn gate_by_rounds(&self) -> Result<Outcome, Failure> {
        self.gate("ab.json", "gate_ab.json", false)
    }

    fn gate(&self, result: &str, json: &str, by_baseline: bool) -> Result<Outcome, Failure> {
        let mut gate = self.gwsmoke(&["gate", "--waivers", "testing/performance/waivers.toml"]);
        gate.arg("--result").arg(self.at(result));
        gate.arg("--json").arg(self.at(json));
        if by_baseline {
            gate.args(["--baseline", "testing/performance/baselines"]);
        }
        decided(gate)
    }

    fn flamegraphs(&self) -> Result<Outcome, Failure> {
        let path = self.at("suite/suite.json");
        let text = fs::read_to_string(&path).map_err(io(path.display()))?;
        let suite: Value = serde_json::from_str(&text)
            .map_err(|error| Failure::Wrong(format!("{}: {error}", path.display())))?;
        let hottest = hottest(&suite, DRAWN);
        if hottest.len() < DRAWN {
            return Err(Failure::Wrong("the suite has too few scenarios".to_owned()));
        }
        for scenario in hottest {
            flamegraph::draw(&scenario, &self.at("flamegraph"))?;
        }
        Ok(Outcome::Done)
    }

    /// A build that nothing else makes would stop building one day.
    fn console(&self) -> Result<Outcome, Failure> {
        let mut test = cargo(&["test", "--locked", "--package", "micronode"]);
        test.args(["--features", "tokio-console", "--test", "console"])
            .arg("--target-dir")
            .arg(self.target.join("console"))
            .env("RUSTFLAGS", "--cfg tokio_unstable");
        succeed(test)?;
        Ok(Outcome::Done)
    }
}

/// Runs a gate or a check, which has an exit code for what it could not look at.
fn decided(mut gate: Command) -> Result<Outcome, Failure> {
    let shown = show(&gate);
    let status = gate.status().map_err(io(&shown))?;
    match status.code() {
        Some(0) => Ok(Outcome::Done),
        Some(NOT_DECIDED) => Ok(Outcome::NotDecided),
        _ => Err(Failure::Program(shown)),
    }
}

/// The scenarios of a suite's result in which the node kept most cores busy, the busiest first; of
/// those that there is a file of.
fn hottest(suite: &Value, count: usize) -> Vec<String> {
    let scenarios = suite["scenarios"].as_array().into_iter().flatten();
    let mut busy: Vec<(f64, &str)> = scenarios
        .filter_map(|it| Some((it["server_cpu_cores"].as_f64()?, it["scenario"].as_str()?)))
        .filter(|(_, name)| has_file(name))
        .collect();
    busy.sort_by(|(first, _), (second, _)| second.total_cmp(first));
    let names = busy.into_iter().take(count);
    names.map(|(_, name)| name.to_owned()).collect()
}

fn has_file(scenario: &str) -> bool {
    let file = Path::new(flamegraph::SCENARIOS).join(format!("{scenario}.toml"));
    root().join(file).is_file()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_busiest_scenarios_come_first() {
        let suite = json!({"scenarios": [
            {"scenario": "get_1k", "server_cpu_cores": 0.02},
            {"scenario": "capacity_get_1k", "server_cpu_cores": 1.1},
            {"scenario": "no such file", "server_cpu_cores": 2.0},
            {"scenario": "get_64k", "server_cpu_cores": null},
            {"scenario": "capacity_put_64k", "server_cpu_cores": 1.2},
        ]});
        assert_eq!(hottest(&suite, 2), ["capacity_put_64k", "capacity_get_1k"]);
        assert_eq!(hottest(&json!({}), 2), [""; 0]);
    }

    #[test]
    fn options_have_values() {
        for words in [&["--base"][..], &["--out"], &["--fast"]] {
            assert!(Night::of(words).is_err(), "{words:?}");
        }
        let night = Night::of(&["--out", "x", "--base", "v1", "--quick"]);
        assert!(night.is_ok_and(|night| {
            night.out.is_absolute() && night.base.as_deref() == Some("v1") && night.quick
        }));
    }

    #[test]
    fn what_is_not_decided_is_no_failure() {
        let exit = |code: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", code]);
            decided(command)
        };
        assert_eq!(exit("exit 0").ok(), Some(Outcome::Done));
        assert_eq!(exit("exit 3").ok(), Some(Outcome::NotDecided));
        for code in ["exit 1", "exit 2", "kill -9 $$"] {
            assert!(exit(code).is_err(), "{code}");
        }
    }

    #[test]
    fn a_summary_is_a_table() {
        let text = summary(&[
            ("suite", Outcome::Failed, 600),
            ("ab", Outcome::NotDecided, 9),
        ]);
        assert!(
            text.ends_with("| suite | FAILED | 600 |\n| ab | not decided | 9 |\n"),
            "{text}"
        );
    }
}
