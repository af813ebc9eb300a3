//! Running steps, timing them, and telling of them.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::world::World;
use crate::clock;
use crate::result::SCHEMA;

/// Before each step. A node has others to serve: a walk leaves them more than half of the requests
/// per second that it takes by default, and is not refused for its own pace.
const PAUSE: Duration = Duration::from_millis(5);
/// Width of a step's name in what is printed.
const NAME_WIDTH: usize = 24;

/// A step: its name, and what it does and checks.
pub(super) type Step = (&'static str, fn(&mut World<'_>) -> Result<(), Broken>);

/// What was expected of a step, and what came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// In words, or as it should have been on the wire.
    pub expected: String,
    /// The same of what came.
    pub came: String,
}

impl Broken {
    pub(super) fn new(expected: impl fmt::Display, came: impl fmt::Display) -> Self {
        Self {
            expected: expected.to_string(),
            came: came.to_string(),
        }
    }
}

/// What became of all steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When it began: seconds since 1970.
    pub started_unix_s: u64,
    /// How long all of it took.
    pub duration_ms: f64,
    /// In the order in which they were gone.
    pub steps: Vec<StepResult>,
}

/// What became of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    /// Its name.
    pub step: String,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took.
    pub ms: f64,
    /// Of one that is broken: what was expected.
    pub expected: Option<String>,
    /// What came; why it was skipped.
    pub came: Option<String>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Not as it should be. No other step follows.
    Broken,
    /// Not gone: one before is broken, or it was not said where its surface is.
    Skipped,
}

impl Report {
    /// The step that is broken, if one is.
    pub fn broken(&self) -> Option<&StepResult> {
        self.steps.iter().find(|it| it.outcome == Outcome::Broken)
    }
}

impl StepResult {
    /// What is wrong with it, in one line.
    pub fn complaint(&self) -> String {
        let expected = self.expected.as_deref().unwrap_or("nothing else");
        let came = self.came.as_deref().unwrap_or("nothing");
        format!("{}: expected {expected}; came {came}", self.step)
    }
}

/// A walk under way.
pub(super) struct Walk<'a> {
    began: Instant,
    started_unix_s: u64,
    steps: Vec<StepResult>,
    tell: &'a mut dyn FnMut(&str),
}

impl<'a> Walk<'a> {
    pub(super) fn new(tell: &'a mut dyn FnMut(&str)) -> Self {
        Self {
            began: clock::now(),
            started_unix_s: clock::since_epoch().as_secs(),
            steps: Vec::new(),
            tell,
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.steps.iter().any(|it| it.outcome == Outcome::Broken)
    }

    /// Goes some steps, unless nobody asked for them or an earlier one is broken.
    pub(super) fn part(
        &mut self,
        is_asked: bool,
        why_not: &str,
        steps: &[Step],
        world: &mut World<'_>,
    ) {
        for (name, act) in steps {
            if self.is_broken() {
                self.keep(name, Outcome::Skipped, 0.0, None);
            } else if is_asked {
                self.step(name, || act(world));
            } else {
                let skipped = Broken::new("", why_not);
                self.keep(name, Outcome::Skipped, 0.0, Some(skipped));
            }
        }
    }

    fn step(&mut self, name: &str, act: impl FnOnce() -> Result<(), Broken>) {
        thread::sleep(PAUSE);
        let began = clock::now();
        let ended = act();
        let ms = (clock::now() - began).as_secs_f64() * 1e3;
        match ended {
            Ok(()) => self.keep(name, Outcome::Ok, ms, None),
            Err(broken) => self.keep(name, Outcome::Broken, ms, Some(broken)),
        }
    }

    fn keep(&mut self, name: &str, outcome: Outcome, ms: f64, broken: Option<Broken>) {
        match (outcome, &broken) {
            (Outcome::Ok, _) => (self.tell)(&format!("ok    {name:NAME_WIDTH$} {ms:9.2} ms")),
            (Outcome::Broken, _) => (self.tell)(&format!("FAIL  {name:NAME_WIDTH$} {ms:9.2} ms")),
            (Outcome::Skipped, Some(Broken { came, .. })) => {
                (self.tell)(&format!("-     {name:NAME_WIDTH$} skipped {came}"));
            }
            // What follows a step that is broken is not worth a line.
            (Outcome::Skipped, None) => {}
        }
        let (expected, came) = match broken {
            Some(Broken { expected, came }) => (Some(expected), Some(came)),
            None => (None, None),
        };
        self.steps.push(StepResult {
            step: name.to_owned(),
            outcome,
            ms,
            expected: expected.filter(|it| !it.is_empty()),
            came,
        });
    }

    pub(super) fn end(self) -> Report {
        let duration_ms = (clock::now() - self.began).as_secs_f64() * 1e3;
        let count = |outcome| self.steps.iter().filter(|it| it.outcome == outcome).count();
        let gone = count(Outcome::Ok) + count(Outcome::Broken);
        let skipped = match count(Outcome::Skipped) {
            0 => String::new(),
            skipped => format!(", {skipped} skipped"),
        };
        (self.tell)(&format!(
            "{} of {gone} steps as they should be{skipped}, {duration_ms:.0} ms",
            count(Outcome::Ok)
        ));
        Report {
            schema: SCHEMA,
            started_unix_s: self.started_unix_s,
            duration_ms,
            steps: self.steps,
        }
    }
}
