//! What a gate finds of one metric of one scenario.

use serde::Serialize;

use super::budget::{Budget, Spent};
use super::measure::Measure;
use crate::waivers::Waivers;

/// One metric, what became of it, and what that means.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The scenario, and the metric's key behind a dot.
    pub metric: String,
    /// What it was. For a budget: of so many.
    pub base: Option<f64>,
    /// What it is. For a budget: so many times.
    pub new: Option<f64>,
    /// By how much it changed, in percent of what it was. For a budget: how much of all was spent.
    pub change_percent: Option<f64>,
    /// The lower end of the interval of that, where several rounds tell.
    pub low_percent: Option<f64>,
    /// The upper end.
    pub high_percent: Option<f64>,
    /// How far it may go for the worse, in percent.
    pub allowed_percent: f64,
    /// What that means.
    pub outcome: Outcome,
    /// What is to be known beside it.
    pub note: Option<String>,
    /// What kind of metric it is.
    #[serde(skip)]
    pub kind: Kind,
}

/// A metric's kind, which decides how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Compared with what it was.
    Measure(Measure),
    /// Compared with what may be.
    Budget(Budget),
}

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is within its bound.
    Held,
    /// It is not.
    Failed,
    /// It is not, and a waiver lets it pass.
    Waived,
    /// It seems beyond its bound, and the rounds spread too much to say so.
    Unsure,
    /// It was not compared: neither file has it, or it is not meant for the scenario.
    NotMeasured,
}

impl Finding {
    /// What is known before anything is compared.
    fn new(metric: String, kind: Kind) -> Self {
        Self {
            metric,
            base: None,
            new: None,
            change_percent: None,
            low_percent: None,
            high_percent: None,
            allowed_percent: match kind {
                Kind::Measure(measure) => measure.allowed_percent(),
                Kind::Budget(budget) => budget.percent(),
            },
            outcome: Outcome::NotMeasured,
            note: None,
            kind,
        }
    }

    /// One value beside another, both finite and not below 0. What is missing on one side, or is
    /// no measure on the new one, fails.
    pub(super) fn of_values(
        metric: String,
        measure: Measure,
        base: Option<f64>,
        new: Option<f64>,
    ) -> Self {
        let mut finding = Self::new(metric, Kind::Measure(measure));
        (finding.base, finding.new) = (base, new);
        let (outcome, note) = match (base, new) {
            (None, None) => (Outcome::NotMeasured, None),
            (Some(_), None) => (
                Outcome::Failed,
                Some("the baseline has it, the result does not"),
            ),
            (None, Some(_)) => (
                Outcome::Failed,
                Some("the result has it, the baseline does not"),
            ),
            (Some(0.0), _) => (Outcome::Failed, Some("0 is nothing to compare with")),
            // Of throughput it is one that fell to nothing.
            (Some(_), Some(0.0)) if !measure.is_better_higher() => (
                Outcome::Failed,
                Some("0 is no measure: nothing was answered"),
            ),
            (Some(base), Some(new)) => {
                finding.change_percent = Some(percent(new / base));
                let is_beyond = measure.is_beyond(new / base);
                let outcome = if is_beyond {
                    Outcome::Failed
                } else {
                    Outcome::Held
                };
                (outcome, None)
            }
        };
        finding.outcome = outcome;
        finding.note = note.map(ToOwned::to_owned);
        finding
    }

    /// A ratio of rounds, which is a failure if it is beyond its bound and the interval leaves no
    /// doubt that it changed at all.
    pub(crate) fn of_ratio(
        metric: String,
        measure: Measure,
        (base, new): (f64, f64),
        ratio: crate::stats::Ratio,
    ) -> Self {
        let crate::stats::Ratio { ratio, low, high } = ratio;
        let outcome = if !measure.is_beyond(ratio) {
            Outcome::Held
        } else if measure.is_worse_throughout(low, high) {
            Outcome::Failed
        } else {
            Outcome::Unsure
        };
        Self {
            base: Some(base),
            new: Some(new),
            change_percent: Some(percent(ratio)),
            low_percent: Some(percent(low)),
            high_percent: Some(percent(high)),
            outcome,
            ..Self::new(metric, Kind::Measure(measure))
        }
    }

    /// What was spent of a budget.
    pub(crate) fn of_budget(metric: String, budget: Budget, spent: Spent) -> Self {
        let Spent { times, of } = spent;
        let is_burst = budget.is_burst(spent);
        Self {
            base: Some(of),
            new: Some(times),
            change_percent: (of > 0.0).then(|| times / of * 100.0),
            outcome: if is_burst {
                Outcome::Failed
            } else {
                Outcome::Held
            },
            ..Self::new(metric, Kind::Budget(budget))
        }
    }

    /// A budget that a scenario does not have.
    pub(super) fn no_budget(metric: String, budget: Budget) -> Self {
        Self {
            note: Some("the scenario offers more than the node admits".to_owned()),
            ..Self::new(metric, Kind::Budget(budget))
        }
    }

    /// A scenario of which there is nothing to compare, which fails.
    pub(super) fn missing(scenario: &str, note: &str) -> Self {
        Self {
            outcome: Outcome::Failed,
            note: Some(note.to_owned()),
            ..Self::new(scenario.to_owned(), Kind::Measure(Measure::P95))
        }
    }

    /// Lets it pass if it has failed and there is a waiver for it.
    pub(super) fn waive(&mut self, waivers: &Waivers) {
        let has_failed = matches!(self.outcome, Outcome::Failed | Outcome::Unsure);
        if has_failed && let Some(waiver) = waivers.of(&self.metric) {
            self.outcome = Outcome::Waived;
            self.note = Some(format!("until {}: {}", waiver.expires, waiver.issue));
        }
    }

    /// What is wrong, in a sentence.
    pub fn sentence(&self) -> String {
        let metric = &self.metric;
        let allowed = self.allowed_percent;
        let interval = match (self.low_percent, self.high_percent) {
            (Some(low), Some(high)) => format!(" (95 % interval {low:+.1} to {high:+.1} %)"),
            _ => String::new(),
        };
        match (self.kind, self.change_percent, &self.note) {
            (_, None, Some(note)) => format!("{metric}: {note}"),
            (Kind::Measure(_), Some(change), _) => {
                let direction = if change < 0.0 { "fell" } else { "rose" };
                let by = change.abs();
                format!("{metric} {direction} by {by:.2} %{interval}, and {allowed} % is allowed")
            }
            (Kind::Budget(_), Some(spent), _) => {
                format!("{metric}: {spent:.4} % of all, and less than {allowed} % is allowed")
            }
            (_, None, None) => {
                let (times, of) = (self.new.unwrap_or(0.0), self.base.unwrap_or(0.0));
                format!("{metric}: {times} of {of}")
            }
        }
    }
}

fn percent(ratio: f64) -> f64 {
    (ratio - 1.0) * 100.0
}
