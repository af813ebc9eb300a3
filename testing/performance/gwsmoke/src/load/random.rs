//! Draws that are the same on every machine and in every build: what a run asks for depends on its
//! seed alone.

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Draws of `seed`; another `stream` of the same seed has other draws.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(stream);
        let mixed = random.next_u64();
        Self(seed ^ mixed)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// At least 0 and below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Bytes that compress to nothing shorter.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&self.next_u64().to_le_bytes()[..piece.len()]);
        }
        bytes
    }
}

/// A choice among things that have weights.
#[derive(Clone, Debug)]
pub(crate) struct Weighted {
    /// The sum of the weights up to each.
    sums: Vec<f64>,
}

impl Weighted {
    /// `None` unless there is something to choose: finite weights of at least 0, and not all 0.
    pub(crate) fn new(weights: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sum = 0.0;
        let mut are_weights = true;
        let sums: Vec<f64> = weights
            .into_iter()
            .inspect(|weight| are_weights &= *weight >= 0.0)
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        (are_weights && sum.is_finite() && sum > 0.0).then_some(Self { sums })
    }

    /// Zipf's law: of `count` things, the k-th has the weight `k^-exponent`.
    pub(crate) fn zipf(count: u32, exponent: f64) -> Option<Self> {
        Self::new((1..=count).map(|rank| f64::from(rank).powf(-exponent)))
    }

    /// The number of the thing that is chosen.
    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let last = self.sums.len() - 1;
        let at = random.unit() * self.sums[last];
        self.sums.partition_point(|sum| *sum <= at).min(last)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_draws_are_those_of_splitmix64() {
        // The published ones for the seed 1234567.
        let mut random = Random(1_234_567);
        let drawn = [(); 3].map(|()| random.next_u64());
        assert_eq!(
            drawn,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
        let streams = [0, 1].map(|stream| Random::new(7, stream).next_u64());
        assert_ne!(streams[0], streams[1]);
        assert_eq!(Random::new(7, 1).next_u64(), streams[1]);
    }

    #[test]
    fn bytes_have_every_value_about_as_often() {
        let mut counts = [0_u32; 256];
        for byte in Random::new(1, 0).bytes(256 * 1000 + 3) {
            counts[usize::from(byte)] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)));
    }

    /// The frequencies of Zipf's law, within what chance leaves of so many draws: five standard
    /// deviations, and the draws are always the same ones.
    #[test]
    fn keys_are_drawn_as_often_as_zipf_says() {
        const DRAWS: u32 = 200_000;
        for exponent in [0.0, 0.8, 1.0, 1.3] {
            let keys = Weighted::zipf(50, exponent).unwrap();
            let mut random = Random::new(3, 0);
            let mut counts = [0_u32; 50];
            for _ in 0..DRAWS {
                counts[keys.draw(&mut random)] += 1;
            }
            let all: f64 = (1..=50).map(|rank| f64::from(rank).powf(-exponent)).sum();
            for (rank, count) in (1..).zip(counts) {
                let share = f64::from(rank).powf(-exponent) / all;
                let expected = share * f64::from(DRAWS);
                let deviation = (expected * (1.0 - share)).sqrt();
                let off = (f64::from(count) - expected).abs();
                assert!(
                    off < 5.0 * deviation,
                    "{exponent} {rank}: {count}, {expected}"
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_chosen_among_is_refused() {
        for weights in [&[][..], &[0.0], &[-1.0, 2.0], &[f64::NAN], &[f64::INFINITY]] {
            assert!(
                Weighted::new(weights.iter().copied()).is_none(),
                "{weights:?}"
            );
        }
        assert!(Weighted::zipf(0, 1.0).is_none());
    }

    proptest! {
        #[test]
        fn only_what_has_weight_is_drawn(
            weights in prop::collection::vec(prop_oneof![Just(0.0), 0.001..1000.0_f64], 1..20), seed: u64,
        ) {
            if let Some(choice) = Weighted::new(weights.iter().copied()) {
                let mut random = Random::new(seed, 0);
                for _ in 0..50 {
                    prop_assert!(weights[choice.draw(&mut random)] > 0.0);
                }
            }
        }
    }
}
