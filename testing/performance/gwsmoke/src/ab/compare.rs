//! Rounds of two builds, and what they say: no file, no clock, no machine.

use super::rounds::Rounds;
use crate::failure::Failure;
use crate::gate::{Budget, Finding, Measure, Outcome, Spent};
use crate::stats::{self, Ratio, log_ratios, ratio, ratio_with_interval};

/// Two variants of some rounds, ready to be compared in any choice of those rounds.
#[derive(Debug)]
pub struct Pair<'a> {
    rounds: &'a Rounds,
    base: usize,
    new: usize,
    seed: u64,
    metrics: Vec<Metric>,
}

/// One measure in one scenario.
#[derive(Debug)]
struct Metric {
    name: String,
    scenario: usize,
    measure: Measure,
    /// Logarithms of new over base, by round.
    logs: Vec<f64>,
}

impl<'a> Pair<'a> {
    /// The variants with these numbers.
    ///
    /// # Errors
    ///
    /// If there are no such variants, or one of their rounds cannot be compared.
    pub fn new(rounds: &'a Rounds, base: usize, new: usize) -> Result<Self, Failure> {
        rounds.check()?;
        let mut metrics = Vec::new();
        for (index, scenario) in rounds.scenarios.iter().enumerate() {
            let columns = scenario.columns.get(base).zip(scenario.columns.get(new));
            let (base, new) = columns.ok_or_else(|| Failure::usage("no such variant"))?;
            let is_closed = scenario.spec.rate_rps.is_none();
            for measure in Measure::side_by_side(is_closed).iter().copied() {
                let name = format!("{}.{}", scenario.spec.name, measure.key());
                let pairs = base.of(measure).into_iter().zip(new.of(measure));
                let pairs: Vec<(f64, f64)> = pairs.collect();
                let logs = log_ratios(&pairs);
                let logs = logs.map_err(|error| Failure::wrong(format!("{name}: {error}")))?;
                metrics.push(Metric {
                    name,
                    scenario: index,
                    measure,
                    logs,
                });
            }
        }
        Ok(Self {
            rounds,
            base,
            new,
            seed: rounds.seed,
            metrics,
        })
    }

    /// What all rounds say of every measure, and of the budgets of the new build.
    pub fn findings(&self) -> Vec<Finding> {
        let measures = self.metrics.iter().map(|metric| {
            let columns = &self.rounds.scenarios[metric.scenario].columns;
            let middle = |variant: usize| {
                let mut values = columns[variant].of(metric.measure);
                stats::median(&mut values)
            };
            let found = ratio_with_interval(&metric.logs, self.seed);
            let values = (middle(self.base), middle(self.new));
            Finding::of_ratio(metric.name.clone(), metric.measure, values, found)
        });
        let scenarios = self.rounds.scenarios.iter();
        let budgets = scenarios.flat_map(|scenario| {
            let columns = &scenario.columns[self.new];
            let sum = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
            let of = sum(&columns.requests);
            let spent = [
                (Budget::Errors, sum(&columns.errors)),
                (Budget::Refusals, sum(&columns.refused)),
            ];
            spent.map(|(budget, times)| {
                let metric = format!("{}.{}", scenario.spec.name, budget.key());
                Finding::of_budget(metric, budget, Spent { times, of })
            })
        });
        measures.chain(budgets).collect()
    }

    /// What the rounds of `chosen`, any of which may be there more than once, would have said of
    /// each measure, by the same rule as [`findings`](Self::findings).
    pub fn outcomes(&self, chosen: &[usize], seed: u64) -> Vec<(&str, Outcome)> {
        let mut logs = Vec::with_capacity(chosen.len());
        let metrics = self.metrics.iter().map(|metric| {
            logs.clear();
            logs.extend(chosen.iter().map(|round| metric.logs[*round]));
            let ratio = ratio(&logs);
            let found = if metric.measure.is_beyond(ratio) {
                ratio_with_interval(&logs, seed)
            } else {
                // Within the bound, the interval decides nothing and is not drawn.
                Ratio {
                    ratio,
                    low: ratio,
                    high: ratio,
                }
            };
            let finding = Finding::of_ratio(String::new(), metric.measure, (ratio, ratio), found);
            (metric.name.as_str(), finding.outcome)
        });
        metrics.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::rounds;
    use super::*;
    use proptest::prelude::*;

    fn outcomes(rounds: &Rounds) -> Vec<Outcome> {
        let pair = Pair::new(rounds, 0, 1).expect("two variants");
        pair.findings().iter().map(|f| f.outcome).collect()
    }

    use Outcome::{Failed, Held};

    #[test]
    fn what_slows_down_both_builds_is_no_difference() {
        let pace: Vec<f64> = (0..20).map(|round| 1.0 + f64::from(round % 7)).collect();
        assert_eq!(outcomes(&rounds(&pace, 1.0, 1.0)), [Held; 7]);
        let slower = outcomes(&rounds(&pace, 1.12, 1.0));
        assert_eq!(slower, [Failed, Failed, Held, Held, Failed, Held, Held]);
        let more = outcomes(&rounds(&pace, 1.16, 1.2));
        assert_eq!(more, [Failed, Failed, Failed, Failed, Failed, Held, Held]);
        assert_eq!(outcomes(&rounds(&pace, 0.5, 0.5)), [Held; 7]);
    }

    /// At a rate, processor time has the bound that it has anywhere.
    #[test]
    fn throughput_of_a_core_is_of_closed_loops() {
        let mut rounds = rounds(&[1.0; 5], 1.12, 1.0);
        rounds.scenarios[0].spec.rate_rps = Some(400.0);
        assert_eq!(outcomes(&rounds), [Failed, Failed, Held, Held, Held, Held]);
    }

    #[test]
    fn rounds_that_spread_too_much_are_neither() {
        let mut rounds = rounds(&[1.0; 5], 1.0, 1.0);
        rounds.scenarios[0].columns[1].latency_ms_p95 = vec![0.5, 0.6, 1.2, 2.0, 3.0];
        let found = outcomes(&rounds);
        assert_eq!(found[0], Outcome::Unsure);
        assert_eq!(found[1..], [Held; 6]);
    }

    #[test]
    fn errors_of_the_new_build_burst_its_budget() {
        let mut rounds = rounds(&[1.0; 5], 1.0, 1.0);
        rounds.scenarios[0].columns[0].errors = vec![1000; 5];
        assert_eq!(outcomes(&rounds), [Held; 7]);
        rounds.scenarios[0].columns[1].errors = vec![0, 0, 50, 0, 0];
        rounds.scenarios[0].columns[1].refused = vec![0, 0, 0, 0, 499];
        assert_eq!(outcomes(&rounds)[5..], [Failed, Held]);
    }

    #[test]
    fn a_round_that_measured_nothing_is_an_error() {
        let mut rounds = rounds(&[1.0; 3], 1.0, 1.0);
        rounds.scenarios[0].columns[1].achieved_rps[1] = 0.0;
        let failure = Pair::new(&rounds, 0, 1).expect_err("a round of nothing");
        let told = failure.to_string();
        assert!(told.contains("get.achieved_rps") && told.contains("round 2"));
        rounds.scenarios[0].columns[1].achieved_rps.pop();
        assert!(Pair::new(&rounds, 0, 1).is_err());
        assert!(Pair::new(&rounds, 0, 2).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// What is counted in virtual runs is what a run of just those rounds would have said.
        #[test]
        fn a_virtual_run_of_all_rounds_is_the_run(
            noise in prop::collection::vec(0.7..1.4_f64, 3..20),
            slower in 0.9..1.3_f64,
        ) {
            let mut rounds = rounds(&vec![1.0; noise.len()], slower, 1.0);
            for (p95, noise) in rounds.scenarios[0].columns[1].latency_ms_p95.iter_mut().zip(&noise) {
                *p95 *= noise;
            }
            let pair = Pair::new(&rounds, 0, 1).expect("two variants");
            let all: Vec<usize> = (0..noise.len()).collect();
            let found = pair.findings();
            let said = pair.outcomes(&all, rounds.seed);
            prop_assert_eq!(said.len(), Measure::ALL.len());
            for ((name, outcome), finding) in said.iter().zip(&found) {
                prop_assert_eq!(*name, finding.metric.as_str());
                prop_assert_eq!(*outcome, finding.outcome);
            }
        }
    }
}
