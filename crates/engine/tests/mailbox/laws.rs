//! Random commands and jumps of time, against the model.

use crate::model::{Size, World};

/// A million steps in small worlds, and some in others, where each takes much longer.
const WORLDS: [(Size, u64, usize); 3] = [
    (Size::Small, 2600, 400),
    (Size::Large, 24, 200),
    (Size::Tight, 24, 200),
];

/// Tells which world it was if the test fails in it.
struct Seed(Size, u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in the world of {:?} and seed {}", self.0, self.1);
        }
    }
}

#[test]
fn at_least_once_holds_under_a_million_random_commands() {
    for (size, worlds, steps) in WORLDS {
        for seed in 1..=worlds {
            let told = Seed(size, seed);
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            // xorshift64: the same in every run.
            let mut bytes = || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                Some((random >> 32) as u8)
            };
            let mut world = World::new(size);
            for _ in 0..steps {
                world.step(&mut bytes);
            }
            world.finish();
            drop(told);
        }
    }
}
