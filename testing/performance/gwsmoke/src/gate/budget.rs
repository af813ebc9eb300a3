//! Error budgets: what may go wrong at the load that a node is meant for.
//!
//! They are absolute and need no baseline, nor the same machine.

use crate::result::LoadResult;

/// What may go wrong only so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// Requests without the answer that was asked for, but refusals: 0.1 %.
    Errors,
    /// Refusals, 429 and 503: 1 %.
    Refusals,
    /// Events that a subscriber of the bus was too slow for: 0.01 % of those published.
    BusOverflow,
}

/// How often it happened, of how often it could have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// How often it happened.
    pub times: f64,
    /// Of so many.
    pub of: f64,
}

impl Budget {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Errors, Self::Refusals, Self::BusOverflow];

    /// What a waiver calls it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Refusals => "refusals",
            Self::BusOverflow => "bus_overflow",
        }
    }

    /// It is burst at this part of all, in percent.
    pub fn percent(self) -> f64 {
        match self {
            Self::Errors => 0.1,
            Self::Refusals => 1.0,
            Self::BusOverflow => 0.01,
        }
    }

    /// Whether it is burst: at just its bound too, since what is promised is less. What cannot
    /// be told from numbers that make no sense is burst.
    pub fn is_burst(self, spent: Spent) -> bool {
        let Spent { times, of } = spent;
        let none = times == 0.0 && of >= 0.0;
        // Both are counts: multiplied out, and without a fraction to be rounded.
        let per_budget = (100.0 / self.percent()).round();
        !(none || times * per_budget < of)
    }

    /// What a run spent of it. No requests at all are the caller's to look for.
    pub fn spent(self, result: &LoadResult) -> Spent {
        let status = |code: &str| result.status_counts.get(code).copied().unwrap_or(0);
        let counted = |name: &str| {
            let of_name = |key: &str| {
                key.strip_prefix(name)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
            };
            let counters = result.server_counters.iter();
            counters
                .filter(|(key, _)| of_name(key))
                .map(|(_, count)| *count)
                .sum::<f64>()
        };
        let requests = result.requests as f64;
        match self {
            Self::Errors => {
                // Both count the same requests; a file in which they differ is taken at its worst.
                let statuses = result.status_counts.iter();
                let failed = statuses.filter(|(code, _)| {
                    *code == "none" || (code.starts_with('5') && *code != "503")
                });
                let failed = failed.map(|(_, count)| *count).sum();
                Spent {
                    times: result.errors.max(failed) as f64,
                    of: requests,
                }
            }
            Self::Refusals => Spent {
                times: status("429").saturating_add(status("503")) as f64,
                of: requests,
            },
            Self::BusOverflow => Spent {
                times: counted("bus_lagged_total"),
                of: counted("bus_published_total"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_burst_at_its_bound() {
        let burst = |budget: Budget, times, of| budget.is_burst(Spent { times, of });
        for (budget, of) in [
            (Budget::Errors, 1000.0),
            (Budget::Refusals, 100.0),
            (Budget::BusOverflow, 10_000.0),
        ] {
            for scale in [1.0, 3.0, 7.0, 1e6] {
                assert!(burst(budget, scale, of * scale), "{budget:?} {scale}");
                assert!(
                    !burst(budget, scale, of * scale + 1.0),
                    "{budget:?} {scale}"
                );
            }
            assert!(!burst(budget, 0.0, 0.0));
            assert!(burst(budget, 1.0, 0.0));
            assert!(burst(budget, f64::NAN, 1.0));
            assert!(burst(budget, 0.0, f64::NAN));
        }
    }
}
