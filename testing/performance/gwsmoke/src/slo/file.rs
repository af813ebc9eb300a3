//! The file of service levels: what it may hold, and what is refused.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Comparison;
use super::keys::{self, ScenarioKey, SuiteKey};
use crate::failure::Failure;
use crate::suite::result::{self, SuiteResult};

/// The file of this repository, as it was when this program was built.
const BUILT_IN: &str = include_str!("../../../slo.toml");

/// All service levels, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Levels {
    pub(super) levels: Vec<Level>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Level {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) source: String,
    pub(super) unit: String,
    pub(super) comparison: Comparison,
    pub(super) floor: Option<f64>,
    pub(super) goal: Option<f64>,
    pub(super) measure: Option<Measure>,
    pub(super) needs: Option<Needs>,
    note: Option<String>,
    tested_in: Option<String>,
}

/// What measures it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Measure {
    /// A key of the results of these scenarios.
    Scenarios(Vec<String>, ScenarioKey),
    /// A key of the suite.
    Suite(SuiteKey),
    /// The ratio of a comparison with another program.
    Peer(String),
}

/// What a suite must have been asked for, beside its quick part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Needs {
    /// A full suite.
    Full,
    /// Other programs beside it.
    Peers,
    /// A processor that counts instructions.
    Instructions,
}

impl Needs {
    /// What is missing, if something is.
    pub(super) fn missing(self, suite: &SuiteResult) -> Option<String> {
        match self {
            Self::Full => (suite.level != result::Level::Full).then(|| "needs --full".to_owned()),
            Self::Peers => suite.peers.is_none().then(|| "needs --peers".to_owned()),
            Self::Instructions => suite.edge.instructions_missing.clone(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    slo: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    title: String,
    source: String,
    #[serde(default)]
    unit: String,
    comparison: Comparison,
    floor: Option<f64>,
    goal: Option<f64>,
    scenario: Option<OneOrMore>,
    key: Option<String>,
    needs: Option<Needs>,
    note: Option<String>,
    tested_in: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Levels {
    /// The service levels of this repository, measured by these scenarios.
    ///
    /// # Errors
    ///
    /// If a scenario that the file names is not among them.
    pub fn built_in(scenarios: &[&str]) -> Result<Self, Failure> {
        Self::parse(BUILT_IN, scenarios)
    }

    /// Reads a file, whose service levels may be measured by these scenarios.
    ///
    /// # Errors
    ///
    /// If it is no such file; with the level and what is wrong with it.
    pub fn parse(text: &str, scenarios: &[&str]) -> Result<Self, Failure> {
        let file: File = toml::from_str(text).map_err(|error| Failure::usage(error.to_string()))?;
        let mut ids = BTreeSet::new();
        let mut levels = Vec::with_capacity(file.slo.len());
        for entry in file.slo {
            let id = entry.id.clone();
            let wrong = |what: String| Failure::usage(format!("service level `{id}`: {what}"));
            if !ids.insert(entry.id.clone()) {
                return Err(wrong("there are two of this id".to_owned()));
            }
            levels.push(Level::of(entry, scenarios).map_err(wrong)?);
        }
        Ok(Self { levels })
    }

    /// Where in this repository the levels are tested that no suite measures: the level's id, and
    /// the file.
    pub fn tested_in(&self) -> impl Iterator<Item = (&str, &str)> {
        self.levels
            .iter()
            .filter_map(|level| Some((level.id.as_str(), level.tested_in.as_deref()?)))
    }

    /// The scenarios that the level of this id is measured by.
    pub fn scenarios_of(&self, id: &str) -> Vec<&str> {
        let level = self.levels.iter().find(|level| level.id == id);
        match level.and_then(|level| level.measure.as_ref()) {
            Some(Measure::Scenarios(names, _)) => names.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

impl Level {
    fn of(entry: Entry, scenarios: &[&str]) -> Result<Self, String> {
        let bounds = [entry.floor, entry.goal];
        if bounds.iter().flatten().any(|bound| !bound.is_finite()) {
            return Err("a bound is a finite number".to_owned());
        }
        let measure = match (&entry.key, entry.scenario) {
            (Some(key), scenario) => Some(Measure::of(key, scenario, scenarios)?),
            (None, Some(_)) => return Err("a scenario without a key".to_owned()),
            (None, None) => None,
        };
        if measure.is_some() && bounds == [None, None] && entry.note.is_none() {
            return Err("without a floor or a goal, it needs a `note`".to_owned());
        }
        if measure.is_none() && entry.tested_in.is_none() && entry.note.is_none() {
            return Err("without a key, it needs `tested_in` or a `note`".to_owned());
        }
        Ok(Self {
            id: entry.id,
            title: entry.title,
            source: entry.source,
            unit: entry.unit,
            comparison: entry.comparison,
            floor: entry.floor,
            goal: entry.goal,
            measure,
            needs: entry.needs,
            note: entry.note,
            tested_in: entry.tested_in,
        })
    }

    /// What there is to say beside it.
    pub(super) fn note(&self) -> Option<String> {
        let tested = self
            .tested_in
            .as_ref()
            .map(|path| format!("tested in {path}"));
        let parts: Vec<String> = tested.into_iter().chain(self.note.clone()).collect();
        (!parts.is_empty()).then(|| parts.join(": "))
    }
}

impl Measure {
    fn of(key: &str, scenario: Option<OneOrMore>, known: &[&str]) -> Result<Self, String> {
        let Some(scenario) = scenario else {
            if let Some(id) = key.strip_prefix("peers.") {
                let found = keys::of_peers(id).map(Self::Peer);
                return found.ok_or_else(|| format!("no comparison is called `{id}`"));
            }
            let found = keys::of_suite(key);
            return found
                .map(Self::Suite)
                .ok_or_else(|| keys::unknown(key, keys::suite_names()));
        };
        let names = match scenario {
            OneOrMore::One(name) => vec![name],
            OneOrMore::More(names) => names,
        };
        if names.is_empty() {
            return Err("an empty list of scenarios".to_owned());
        }
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("no scenario is called `{name}`"));
        }
        let found = keys::of_scenario(key);
        found
            .map(|key| Self::Scenarios(names, key))
            .ok_or_else(|| keys::unknown(key, keys::scenario_names()))
    }

    /// The worst value, and the scenario that it is of; or what is missing.
    pub(super) fn worst(
        &self,
        suite: &SuiteResult,
        comparison: Comparison,
    ) -> Result<(f64, Option<String>), String> {
        match self {
            Self::Suite(key) => {
                let value = key.of(suite).filter(|value| value.is_finite());
                value
                    .map(|value| (value, None))
                    .ok_or_else(|| format!("{} was not measured", key.name()))
            }
            Self::Peer(id) => {
                let peers = suite.peers.iter().flat_map(|peers| &peers.comparisons);
                let found = peers.into_iter().find(|it| it.id == *id);
                let ratio = found.map(|it| it.ratio).filter(|ratio| ratio.is_finite());
                ratio
                    .map(|ratio| (ratio, None))
                    .ok_or_else(|| format!("the comparison {id} was not made"))
            }
            Self::Scenarios(names, key) => {
                let mut worst: Option<(f64, &String)> = None;
                for name in names {
                    let result = suite.scenarios.iter().find(|it| it.scenario == *name);
                    let result = result.ok_or_else(|| format!("{name} was not run"))?;
                    let value = key.of(result).filter(|value| value.is_finite());
                    let value = value.ok_or_else(|| format!("{name} has no {}", key.name()))?;
                    if worst.is_none_or(|(so_far, _)| comparison.worse(value, so_far)) {
                        worst = Some((value, name));
                    }
                }
                let worst = worst.ok_or_else(|| "there is no scenario".to_owned())?;
                let is_one = names.len() == 1;
                Ok((worst.0, (!is_one).then(|| worst.1.clone())))
            }
        }
    }
}
