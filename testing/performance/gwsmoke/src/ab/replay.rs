//! How often a comparison of builds is wrong: many runs drawn from rounds that were recorded.
//!
//! A virtual run is a run: so many rounds, judged by the same rule. Its rounds are drawn in blocks
//! of neighbours, because a noisy minute is in all of its rounds.

use std::collections::BTreeMap;

use super::compare::Pair;
use super::rounds::Rounds;
use crate::failure::Failure;
use crate::gate::Outcome;
use crate::stats::Draws;

/// Neighbours that are drawn together: with four variants in two scenarios, half a minute.
pub(super) const BLOCK: usize = 5;

/// Most runs in which two builds that are the same may be told apart, in percent.
pub(super) const FALSE_ALARMS_PERCENT: f64 = 1.0;
/// Fewest runs in which a build that is worse has to be found, in percent.
pub(super) const FOUND_PERCENT: f64 = 95.0;

/// What virtual runs of two variants said.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// The variant that was compared with the first.
    pub variant: String,
    /// Whether it is the same build in the same state.
    pub is_same: bool,
    /// Runs.
    pub runs: u32,
    /// Those that said it is worse.
    pub failed: u32,
    /// Those that could not tell.
    pub unsure: u32,
    /// How many runs said so of each metric that any run said so of, and how many could not tell.
    pub by_metric: BTreeMap<String, (u32, u32)>,
}

impl Replayed {
    /// The part of runs, in percent, in which it was said that it is worse; of a build that is the
    /// same also those that could not tell, since they do not pass either.
    pub fn alarms_percent(&self) -> f64 {
        let alarms = self.failed + if self.is_same { self.unsure } else { 0 };
        f64::from(alarms) / f64::from(self.runs) * 100.0
    }

    /// For people.
    pub fn table(&self) -> String {
        let (name, percent) = (&self.variant, self.alarms_percent());
        let (what, bound) = if self.is_same {
            ("false alarms", format!("at most {FALSE_ALARMS_PERCENT} %"))
        } else {
            ("found", format!("at least {FOUND_PERCENT} %"))
        };
        let mark = if self.is_good() { "ok" } else { "FAIL" };
        let mut text = format!("{mark:<5} {name}: {what} {percent:.1} %, has to be {bound}\n");
        for (metric, (failed, unsure)) in &self.by_metric {
            let part = |count: u32| f64::from(count) / f64::from(self.runs) * 100.0;
            let (failed, unsure) = (part(*failed), part(*unsure));
            text += &format!("      {metric:<40} worse {failed:>5.1} %   unsure {unsure:>5.1} %\n");
        }
        text
    }

    /// Whether that is as seldom, or as often, as it has to be.
    pub fn is_good(&self) -> bool {
        if self.is_same {
            self.alarms_percent() <= FALSE_ALARMS_PERCENT
        } else {
            self.alarms_percent() >= FOUND_PERCENT
        }
    }
}

/// Draws `runs` runs of `length` rounds for each variant against the first.
///
/// # Errors
///
/// If the rounds cannot be compared.
pub fn replay(
    rounds: &Rounds,
    length: usize,
    runs: u32,
    seed: u64,
) -> Result<Vec<Replayed>, Failure> {
    let mut draws = Draws::new(seed);
    let mut all = Vec::new();
    let base = rounds.variants.first();
    for (index, variant) in rounds.variants.iter().enumerate().skip(1) {
        let pair = Pair::new(rounds, 0, index)?;
        let mut replayed = Replayed {
            variant: variant.name.clone(),
            is_same: base.is_some_and(|base| {
                base.node == variant.node && base.environment == variant.environment
            }),
            runs,
            failed: 0,
            unsure: 0,
            by_metric: BTreeMap::new(),
        };
        for _ in 0..runs {
            let chosen = draws.blocks(rounds.rounds(), BLOCK, length);
            let (mut failed, mut unsure) = (false, false);
            for (metric, outcome) in pair.outcomes(&chosen, draws.number()) {
                let counts = match outcome {
                    Outcome::Failed => (1, 0),
                    Outcome::Unsure => (0, 1),
                    Outcome::Held | Outcome::Waived | Outcome::NotMeasured => continue,
                };
                failed |= counts.0 > 0;
                unsure |= counts.1 > 0;
                let of_metric = replayed.by_metric.entry(metric.to_owned()).or_default();
                of_metric.0 += counts.0;
                of_metric.1 += counts.1;
            }
            replayed.failed += u32::from(failed);
            replayed.unsure += u32::from(unsure && !failed);
        }
        all.push(replayed);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::rounds;
    use super::*;

    /// Two hundred rounds of which each strays by up to `spread` from the one before.
    fn recorded(slower: f64, spread: f64) -> Rounds {
        let mut rounds = rounds(&[1.0; 200], slower, 1.0);
        rounds.variants[1].environment.extend(
            (slower > 1.0).then(|| ("MICRO_FAULT_SLOWER_PERCENT".to_owned(), "15".to_owned())),
        );
        let mut draws = Draws::new(11);
        let columns = &mut rounds.scenarios[0].columns[1];
        let values = columns.latency_ms_p95.iter_mut();
        let values = values.chain(&mut columns.achieved_rps);
        for value in values.chain(&mut columns.server_cpu_us_per_request) {
            // Evenly, on the scale of ratios.
            let unit = draws.below(2001) as f64 / 1000.0 - 1.0;
            *value *= (spread * unit).exp();
        }
        rounds
    }

    fn replayed(slower: f64, spread: f64) -> Replayed {
        let rounds = recorded(slower, spread);
        let mut all = replay(&rounds, 30, 100, 3).expect("rounds");
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn a_build_that_is_the_same_passes_and_a_slower_one_does_not() {
        let same = replayed(1.0, 0.1);
        assert!(same.is_same && same.is_good(), "{same:?}");
        assert_eq!(same.alarms_percent(), 0.0);
        let slower = replayed(1.15, 0.1);
        assert!(!slower.is_same && slower.is_good(), "{slower:?}");
        let (failed, _) = slower.by_metric["get.achieved_rps_per_core"];
        assert!(failed > 95, "{slower:?}");
        assert!(!slower.by_metric.contains_key("get.server_rss_bytes_max"));
    }

    /// What is not good enough is said to be so: this is what the figures of a recording mean.
    #[test]
    fn rounds_that_are_too_noisy_are_found_out() {
        let same = replayed(1.0, 1.0);
        assert!(!same.is_good(), "{same:?}");
        assert!(same.failed + same.unsure > 1);
        assert!(same.table().starts_with("FAIL  new: false alarms"));
        let little = replayed(1.05, 0.1);
        assert!(
            !little.is_good(),
            "5 % is allowed, and no alarm: {little:?}"
        );
        assert!(little.table().starts_with("FAIL  new: found 0.0 %"));
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(replayed(1.1, 0.3), replayed(1.1, 0.3));
    }
}
