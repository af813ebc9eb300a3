//! Service levels as data: `testing/performance/slo.toml`, and what a suite makes of them.

use serde::{Deserialize, Serialize};

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
    /// What was measured.
    pub measured: Option<f64>,
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
    /// Exactly.
    #[serde(rename = "=")]
    Equal,
}

/// What a measured value means for its service level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The floor is held, or there is none.
    Pass,
    /// The floor is not held.
    Fail,
    /// Nothing was measured. A failure of a full suite.
    NotMeasured,
    /// It is not for this suite to measure; `note` says where that is done.
    Elsewhere,
}
