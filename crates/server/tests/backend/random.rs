//! Random numbers that are the same again for the same seed: SplitMix64,
//! <https://prng.di.unimi.it/splitmix64.c>.

#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len.div_ceil(8))
            .flat_map(|_| self.next().to_le_bytes())
            .take(usize::try_from(len).unwrap())
            .collect()
    }

    /// One of `of`, if there is any.
    pub(crate) fn choose<T>(&mut self, of: impl Iterator<Item = T>) -> Option<T> {
        let mut all: Vec<T> = of.collect();
        if all.is_empty() {
            return None;
        }
        let chosen = self.below(all.len() as u64);
        Some(all.swap_remove(usize::try_from(chosen).unwrap()))
    }
}
