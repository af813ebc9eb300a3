//! Random commands and jumps of time, against the model.

use crate::model::World;

const WORLDS: u64 = 2600;
const STEPS: usize = 400;

/// Tells which world it was if the test fails in it.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in the world of seed {}", self.0);
        }
    }
}

#[test]
fn at_least_once_holds_under_a_million_random_commands() {
    for seed in 1..=WORLDS {
        let told = Seed(seed);
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // xorshift64: the same in every run.
        let mut bytes = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            Some((random >> 32) as u8)
        };
        let mut world = World::new();
        for _ in 0..STEPS {
            world.step(&mut bytes);
        }
        world.finish();
        drop(told);
    }
}
