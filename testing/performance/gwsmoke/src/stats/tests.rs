use super::*;
use proptest::prelude::*;

/// Noise as it is seen, on the logarithm of a ratio.
#[derive(Clone, Copy, Debug)]
enum Noise {
    /// Nothing but a spread of 5 %.
    Gaussian,
    /// Little spread, and one round in ten that a neighbour has slowed, on either side.
    Hit,
    /// The same in bursts of five.
    Bursts,
    /// A spread on each side that knows slower only.
    Skewed,
}

impl Noise {
    fn sample(self, draws: &mut Draws, rounds: usize) -> Vec<f64> {
        let unit = |draws: &mut Draws| (draws.number() >> 11) as f64 / (1_u64 << 53) as f64;
        let gaussian = |draws: &mut Draws| {
            let radius = (-2.0 * (1.0 - unit(draws)).ln()).sqrt();
            radius * (std::f64::consts::TAU * unit(draws)).cos()
        };
        let hit = |draws: &mut Draws| {
            let by = (1.2 + 1.8 * unit(draws)).ln();
            if unit(draws) < 0.5 { by } else { -by }
        };
        let mut burst = 0;
        (0..rounds)
            .map(|_| match self {
                Self::Gaussian => 0.05 * gaussian(draws),
                Self::Hit => {
                    let struck = unit(draws) < 0.1;
                    0.02 * gaussian(draws) + if struck { hit(draws) } else { 0.0 }
                }
                Self::Bursts => {
                    if burst == 0 && unit(draws) < 0.03 {
                        burst = 5;
                    }
                    let struck = burst > 0;
                    burst = usize::saturating_sub(burst, 1);
                    0.02 * gaussian(draws) + if struck { hit(draws) } else { 0.0 }
                }
                Self::Skewed => {
                    let slower = |draws: &mut Draws| -0.1 * (1.0 - unit(draws)).ln();
                    slower(draws) - slower(draws)
                }
            })
            .collect()
    }
}

/// What the document of this module says of its choice, for the rounds that `ab` takes.
#[test]
fn an_interval_holds_the_truth_about_as_often_as_it_says() {
    const RUNS: usize = 120;
    let mut draws = Draws::new(1);
    for noise in [Noise::Gaussian, Noise::Hit, Noise::Bursts, Noise::Skewed] {
        let held = (0..RUNS)
            .filter(|run| {
                let sample = noise.sample(&mut draws, 20);
                let interval = ratio_with_interval(&sample, *run as u64);
                (interval.low..=interval.high).contains(&1.0)
            })
            .count();
        // 95 % is what is meant; a median of 20 has 92 at the worst, and 120 runs spread by 2.4.
        assert!(held * 100 >= RUNS * 85, "{noise:?}: {held} of {RUNS}");
        assert!(held < RUNS, "{noise:?}: {held} of {RUNS}");
    }
}

#[test]
fn a_median_does_not_follow_rounds_that_were_hit() {
    let mut draws = Draws::new(2);
    let spread = |of: fn(&[f64]) -> f64, draws: &mut Draws| {
        let runs = (0..500).map(|_| of(&Noise::Bursts.sample(draws, 20)).powi(2));
        (runs.sum::<f64>() / 500.0).sqrt()
    };
    let mean = spread(|s| s.iter().sum::<f64>() / s.len() as f64, &mut draws);
    let median = spread(|s| median(&mut s.to_vec()), &mut draws);
    assert!(median < 0.025 && mean > 2.0 * median, "{median} {mean}");
}

#[test]
fn a_median_is_the_middle() {
    assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    assert_eq!(median(&mut [7.0]), 7.0);
    assert!(median(&mut []).is_nan());
}

#[test]
fn what_is_no_measure_has_no_ratio() {
    assert_eq!(log_ratios(&[]), Err(NoRatio::NoRounds));
    for bad in [0.0, -1.0, f64::INFINITY] {
        let pairs = [(1.0, 2.0), (1.0, bad)];
        assert_eq!(log_ratios(&pairs), Err(NoRatio::NotPositive(bad, 2)));
        assert!(log_ratios(&[(bad, 1.0)]).is_err());
    }
    assert!(log_ratios(&[(f64::NAN, 1.0)]).is_err());
}

/// Medians of what is drawn, one by one: what the shorter way has to come to.
#[test]
fn an_interval_is_of_medians_of_what_is_drawn() {
    for count in [1, 2, 5, 6, 30] {
        let logs: Vec<f64> = (0..count).map(|i| f64::from(i * i % 7) / 10.0).collect();
        let mut draws = Draws::new(9);
        let mut sorted = logs.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let drawn = (0..count).map(|_| sorted[draws.below(logs.len())]);
                median(&mut drawn.collect::<Vec<_>>())
            })
            .collect();
        medians.sort_unstable_by(f64::total_cmp);
        let found = ratio_with_interval(&logs, 9);
        assert_eq!(found.low, medians[50].exp(), "{count}");
        assert_eq!(found.high, medians[1949].exp(), "{count}");
    }
}

#[test]
fn blocks_are_neighbours() {
    let mut draws = Draws::new(3);
    let drawn = draws.blocks(50, 5, 23);
    assert_eq!(drawn.len(), 23);
    for block in drawn.chunks(5) {
        assert!(block.windows(2).all(|pair| pair[1] == pair[0] + 1));
        assert!(block.iter().all(|index| *index < 50));
    }
    assert!(draws.blocks(0, 5, 10).is_empty());
    assert_eq!(draws.blocks(1, 5, 2), [0, 0]);
}

#[test]
fn every_order_is_drawn() {
    let mut draws = Draws::new(4);
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..6000 {
        let mut order = [0, 1, 2];
        draws.shuffle(&mut order);
        *seen.entry(order).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 6);
    assert!(
        seen.values().all(|times| (800..1200).contains(times)),
        "{seen:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_ratio_lies_within_its_interval_and_its_rounds(
        pairs in prop::collection::vec((0.01..1e6_f64, 0.01..1e6_f64), 1..40),
        seed: u64,
    ) {
        let logs = log_ratios(&pairs).expect("all above 0");
        let found = ratio_with_interval(&logs, seed);
        prop_assert!(found.low <= found.ratio && found.ratio <= found.high);
        let ratios: Vec<f64> = logs.iter().map(|log| log.exp()).collect();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        prop_assert!(found.low >= least * 0.999_999 && found.high <= most * 1.000_001);
        prop_assert_eq!(found, ratio_with_interval(&logs, seed));
    }

    /// Which build is called new does not matter to how far they are apart.
    #[test]
    fn exchanging_the_builds_inverts_the_ratio(
        pairs in prop::collection::vec((0.01..1e6_f64, 0.01..1e6_f64), 1..40),
    ) {
        let there = ratio(&log_ratios(&pairs).expect("all above 0"));
        let back: Vec<(f64, f64)> = pairs.iter().map(|(base, new)| (*new, *base)).collect();
        let back = ratio(&log_ratios(&back).expect("all above 0"));
        prop_assert!((there * back - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_draw_is_below_its_end(seed: u64, end in 1_usize..1000) {
        prop_assert!(Draws::new(seed).below(end) < end);
    }
}
