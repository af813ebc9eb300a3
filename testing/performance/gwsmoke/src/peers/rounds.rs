//! Rounds that take turns, and what is made of them.
//!
//! A machine is not the same from one minute to the next. So everything that is compared runs once
//! in each round, each round begins with another one, and ratios are formed within a round.

use crate::failure::Failure;
use crate::suite::result::Comparison;

/// Whose turn it is in a round: all of them, another one first in each round.
pub(crate) fn order(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| (turn + round) % count)
}

/// The values of one quantity, a round each, and its name for whoever reads them.
pub(crate) struct Pair<'a> {
    /// What service levels refer to.
    pub(crate) id: String,
    /// What is compared, in words.
    pub(crate) title: String,
    /// The other program.
    pub(crate) against: &'a str,
    /// Unit of both.
    pub(crate) unit: &'a str,
    pub(crate) ours: &'a [f64],
    pub(crate) theirs: &'a [f64],
}

impl Pair<'_> {
    /// Medians, and the ratios of the rounds.
    ///
    /// # Errors
    ///
    /// If there is no round that has both, or one in which nothing was measured.
    pub(crate) fn compare(self) -> Result<Comparison, Failure> {
        let pairs = self.ours.iter().zip(self.theirs);
        let ratios: Vec<f64> = pairs.map(|(ours, theirs)| ours / theirs).collect();
        let is_wrong = |ratio: &f64| !ratio.is_finite() || *ratio <= 0.0;
        if ratios.is_empty() || ratios.iter().any(is_wrong) || self.ours.len() != self.theirs.len()
        {
            return Err(Failure::wrong(format!(
                "{} beside {}: a round without a figure ({:?} and {:?})",
                self.title, self.against, self.ours, self.theirs
            )));
        }
        Ok(Comparison {
            id: self.id,
            title: self.title,
            against: self.against.to_owned(),
            unit: self.unit.to_owned(),
            ours: median(self.ours),
            theirs: median(self.theirs),
            ratio: median(&ratios),
            ratio_min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratio_max: ratios.iter().copied().fold(0.0, f64::max),
            rounds: u32::try_from(ratios.len()).unwrap_or(u32::MAX),
        })
    }
}

/// The middle one, or between the two in the middle; 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len().checked_rem(2), sorted.get(middle)) {
        (Some(1), Some(value)) => *value,
        (Some(0), Some(value)) => (sorted[middle - 1] + value) / 2.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pair<'a>(ours: &'a [f64], theirs: &'a [f64]) -> Pair<'a> {
        Pair {
            id: "get_1k_cpu_nginx".to_owned(),
            title: "GET 1 KiB".to_owned(),
            against: "nginx",
            unit: "µs",
            ours,
            theirs,
        }
    }

    #[test]
    fn everybody_has_a_turn_in_each_round_and_is_first_as_often() {
        let mut first = [0; 3];
        for round in 0..6 {
            let turns: Vec<usize> = order(3, round).collect();
            first[turns[0]] += 1;
            let mut sorted = turns;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2]);
        }
        assert_eq!(first, [2, 2, 2]);
        assert_eq!(order(0, 5).count(), 0);
    }

    #[test]
    fn a_ratio_is_that_of_a_round_and_not_of_medians() {
        // The machine was half as fast in the second round, for both.
        let found = pair(&[10.0, 20.0, 12.0], &[5.0, 10.0, 4.0])
            .compare()
            .unwrap();
        assert_eq!((found.ours, found.theirs), (12.0, 5.0));
        assert_eq!(
            (found.ratio, found.ratio_min, found.ratio_max),
            (2.0, 2.0, 3.0)
        );
        assert_eq!(found.rounds, 3);
    }

    #[test]
    fn a_round_without_a_figure_is_no_comparison() {
        assert!(pair(&[], &[]).compare().is_err());
        assert!(pair(&[1.0, 2.0], &[1.0]).compare().is_err());
        assert!(pair(&[1.0], &[0.0]).compare().is_err());
        assert!(pair(&[0.0], &[1.0]).compare().is_err());
        assert!(pair(&[f64::NAN], &[1.0]).compare().is_err());
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
    }
}
