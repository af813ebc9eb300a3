//! Service levels as data: `testing/performance/slo.toml`, and what a suite makes of them.
//!
//! Each level names what measures it: a scenario and a key of its result, or a key of the suite. The
//! keys are those of the JSON files and a few that are worked out from them ([`keys`]); a file with
//! a key or a scenario that is not there is refused when it is read, so that a level cannot go
//! unmeasured for a typing error.

mod file;
pub mod keys;

use serde::{Deserialize, Serialize};

use crate::suite::result::{Level, SuiteResult};
use file::Level as ServiceLevel;

pub use file::Levels;

/// One service level beside what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Short name: `get_p95_intra`.
    pub id: String,
    /// What it promises, in words.
    pub title: String,
    /// Where it is from: `§1 latency`.
    pub source: String,
    /// Unit of all values.
    pub unit: String,
    /// How the measured value has to compare with the bounds.
    pub comparison: Comparison,
    /// The least that is promised; a miss fails the suite.
    pub floor: Option<f64>,
    /// What this project aims at; a miss is told and fails nothing.
    pub goal: Option<f64>,
    /// What was measured: the worst, where several scenarios measure it.
    pub measured: Option<f64>,
    /// The scenario that it was measured in, where one did.
    pub scenario: Option<String>,
    /// What that means.
    pub verdict: Verdict,
    /// Whether the goal was met, where there is one and a value.
    pub goal_met: Option<bool>,
    /// What is to be known beside it: where it is tested instead, or why it is missing.
    pub note: Option<String>,
}

/// How a measured value has to compare with a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// Less.
    #[serde(rename = "<")]
    Less,
    /// At most.
    #[serde(rename = "<=")]
    AtMost,
    /// At least.
    #[serde(rename = ">=")]
    AtLeast,
    /// The same.
    #[serde(rename = "=")]
    Equal,
}

impl Comparison {
    /// As it is written in the file and in tables.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
            Self::Equal => "=",
        }
    }

    /// Whether a measured value is as this bound wants it.
    pub fn holds(self, measured: f64, bound: f64) -> bool {
        match self {
            Self::Less => measured < bound,
            Self::AtMost => measured <= bound,
            Self::AtLeast => measured >= bound,
            // Both come from text or from counting, so that nothing was rounded on the way.
            Self::Equal => measured == bound,
        }
    }

    /// Which of two values is further from, or less far within, such a bound.
    fn worse(self, one: f64, other: f64) -> bool {
        match self {
            Self::Less | Self::AtMost | Self::Equal => one > other,
            Self::AtLeast => one < other,
        }
    }
}

/// What a measured value means for its service level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The floor is held, or there is none.
    Pass,
    /// The floor is not held.
    Fail,
    /// It should have been measured and was not. A failure of a full suite.
    NotMeasured,
    /// It needs what this run did not have: a full suite, other programs beside it, a processor
    /// that counts instructions.
    LeftOut,
    /// It is not for this suite to measure; `note` says what is done instead.
    Elsewhere,
}

impl Verdict {
    /// As it stands in tables.
    pub fn text(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::NotMeasured => "not measured",
            Self::LeftOut => "left out",
            Self::Elsewhere => "elsewhere",
        }
    }

    /// Whether a suite of this level has failed by it.
    pub fn fails(self, level: Level) -> bool {
        match self {
            Self::Fail => true,
            Self::NotMeasured => level == Level::Full,
            Self::Pass | Self::LeftOut | Self::Elsewhere => false,
        }
    }
}

/// Every service level beside what a suite measured.
pub fn evaluate(levels: &Levels, suite: &SuiteResult) -> Vec<Row> {
    let of = |level: &ServiceLevel| row(level, suite);
    levels.levels.iter().map(of).collect()
}

fn row(level: &ServiceLevel, suite: &SuiteResult) -> Row {
    let mut row = Row {
        id: level.id.clone(),
        title: level.title.clone(),
        source: level.source.clone(),
        unit: level.unit.clone(),
        comparison: level.comparison,
        floor: level.floor,
        goal: level.goal,
        measured: None,
        scenario: None,
        verdict: Verdict::Elsewhere,
        goal_met: None,
        note: level.note(),
    };
    let Some(measure) = &level.measure else {
        return row;
    };
    match measure.worst(suite, level.comparison) {
        Ok((measured, scenario)) => {
            let holds = |bound| level.comparison.holds(measured, bound);
            row.verdict = match level.floor.is_none_or(holds) {
                true => Verdict::Pass,
                false => Verdict::Fail,
            };
            row.goal_met = level.goal.map(holds);
            row.measured = Some(measured);
            row.scenario = scenario;
        }
        Err(missing) => {
            let needed = level.needs.and_then(|needs| needs.missing(suite));
            row.verdict = match needed {
                Some(_) => Verdict::LeftOut,
                None => Verdict::NotMeasured,
            };
            row.note = Some(needed.unwrap_or(missing));
        }
    }
    row
}

/// The table that a suite ends with.
pub fn table(rows: &[Row]) -> String {
    use std::fmt::Write;
    let width = rows.iter().map(|row| row.title.chars().count()).max();
    let width = width.unwrap_or_default();
    let mut text = format!(
        "{:width$}  {:>12} {:9} {:>14} {:>12}  {}\n",
        "service level", "measured", "unit", "promised", "goal", "verdict"
    );
    for row in rows {
        let bound = |bound: Option<f64>| {
            let text = |it| format!("{} {}", row.comparison.symbol(), number(it));
            bound.map_or_else(|| "-".to_owned(), text)
        };
        let measured = row.measured.map_or_else(|| "-".to_owned(), number);
        let mut verdict = row.verdict.text().to_owned();
        if row.goal_met == Some(false) && row.verdict == Verdict::Pass {
            verdict.push_str(", goal missed");
        }
        if let Some(scenario) = &row.scenario {
            verdict = format!("{verdict} ({scenario})");
        }
        if let (None, Some(note)) = (row.measured, &row.note) {
            verdict = format!("{verdict}: {note}");
        }
        // Writing to a string does not fail.
        let _written = writeln!(
            text,
            "{:width$}  {measured:>12} {:9} {:>14} {:>12}  {verdict}",
            row.title,
            row.unit,
            bound(row.floor),
            bound(row.goal),
        );
    }
    text
}

/// A number with as many digits as say something.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        _ if value == value.trunc() => 0,
        large if large >= 1000.0 => 0,
        middle if middle >= 10.0 => 1,
        small if small >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    if !text.contains('.') {
        return text;
    }
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "-0" => "0".to_owned(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
