//! How much one build differs from another, and how sure that is.
//!
//! Rounds of two builds are measured in turn, so that a round of one and its neighbour of the other
//! saw the same machine, and what they are compared by is the *median of the logarithms of their
//! ratios*, with a 95 % percentile bootstrap interval over pairs. Three choices, each taken by
//! simulation (1000 runs of 10, 20 and 40 pairs, 1000 resamples each):
//!
//! - *Median, not mean.* Where one round in ten is hit by a neighbour of the machine (a factor
//!   between 1.2 and 3, on either side), the mean of 20 pairs strays by 5.2 % (standard deviation)
//!   and is off by more than 10 % in 2.6 % of runs; a mean without the outer quarters strays by
//!   0.55 %, the median by 0.61 %. When such hits come in bursts of five rounds, as they do, that
//!   is 6.0 %, 2.1 % and 1.4 %. The price: with nothing but Gaussian noise, the median strays by a
//!   fifth more than the mean (1.33 % where that has 1.11 %). Nothing has to be discarded for it.
//! - *Percentile, not BCa.* For the median both intervals hold the truth equally often (92 to 95 %
//!   in all of the five kinds of noise tried) and are equally wide; for the mean, where rounds are hit,
//!   BCa is the worse of the two (77 % where it says 95). It is also the one that needs no
//!   explanation.
//! - *Pairs, not two samples.* What drifts slowly (a clock, a neighbour) is in both rounds of a
//!   pair and leaves their ratio.
//!
//! Everything here is a function of its arguments; what is drawn comes from a seed.

use crate::load::random::Random;

/// Times that a sample is drawn again for an interval.
pub const RESAMPLES: usize = 2000;

/// How often an interval means to hold the truth.
pub const CONFIDENCE: f64 = 0.95;

/// A sequence of draws that its seed alone decides.
#[derive(Clone, Debug)]
pub struct Draws(Random);

impl Draws {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Random::new(seed, 0))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// An index below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        // The high half of the product: even to 1 in 2^64 over `end`.
        ((u128::from(self.number()) * end as u128) >> 64) as usize
    }

    /// Puts `items` in any order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// Indices below `end`, as many, drawn again in runs of `block` neighbours (a moving-block
    /// bootstrap): what lies side by side may depend on each other, as rounds of a noisy minute or
    /// samples of a growing memory do. A `block` of 1 draws each by itself.
    pub fn blocks(&mut self, end: usize, block: usize, count: usize) -> Vec<usize> {
        let block = block.clamp(1, end.max(1));
        let mut drawn = Vec::with_capacity(count + block);
        while end > 0 && drawn.len() < count {
            let first = self.below(end - block + 1);
            drawn.extend(first..first + block);
        }
        drawn.truncate(count);
        drawn
    }
}

/// How a measure of one build stands to that of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// New over base.
    pub ratio: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Why there is no ratio.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum NoRatio {
    /// Nothing was measured.
    #[error("no rounds")]
    NoRounds,
    /// One of the measures cannot be divided by, or is none.
    #[error("{0} in round {1} is no measure")]
    NotPositive(f64, usize),
}

/// Logarithms of new over base, pair by pair.
///
/// # Errors
///
/// [`NoRatio`], when there are no pairs, or one of a number that is not finite and above 0.
pub fn log_ratios(pairs: &[(f64, f64)]) -> Result<Vec<f64>, NoRatio> {
    if pairs.is_empty() {
        return Err(NoRatio::NoRounds);
    }
    let of = |(round, (base, new)): (usize, &(f64, f64))| {
        for measure in [*base, *new] {
            if !(measure.is_finite() && measure > 0.0) {
                return Err(NoRatio::NotPositive(measure, round + 1));
            }
        }
        Ok((new / base).ln())
    };
    pairs.iter().enumerate().map(of).collect()
}

/// The middle of `values`, or the mean of the two in the middle. NaN if there are none. Orders them.
pub fn median(values: &mut [f64]) -> f64 {
    let Some(last) = values.len().checked_sub(1) else {
        return f64::NAN;
    };
    values.sort_unstable_by(f64::total_cmp);
    f64::midpoint(values[last / 2], values[last - last / 2])
}

/// The ratio that `log_ratios` show, without an interval.
pub fn ratio(log_ratios: &[f64]) -> f64 {
    median(&mut log_ratios.to_vec()).exp()
}

/// The ratio that `log_ratios` show, with the interval that `seed` draws. There has to be at least
/// one of them, as in what [`log_ratios`] returns.
pub fn ratio_with_interval(log_ratios: &[f64], seed: u64) -> Ratio {
    let mut draws = Draws::new(seed);
    let mut sorted = log_ratios.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let count = sorted.len();
    // Ranks are drawn in place of values: their middle is that of the values, and is found sooner.
    let mut ranks = vec![0; count];
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            ranks.fill_with(|| draws.below(count));
            let (below, middle, _) = ranks.select_nth_unstable(count / 2);
            let upper = sorted[*middle];
            if count % 2 == 1 {
                return upper;
            }
            let lower = below.iter().max().map_or(upper, |rank| sorted[*rank]);
            f64::midpoint(lower, upper)
        })
        .collect();
    medians.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    // As many are left out at each end.
    let out = (RESAMPLES as f64 * tail) as usize;
    Ratio {
        ratio: ratio(log_ratios),
        low: medians[out].exp(),
        high: medians[RESAMPLES - 1 - out].exp(),
    }
}

#[cfg(test)]
mod tests;
