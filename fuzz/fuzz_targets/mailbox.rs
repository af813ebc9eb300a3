//! The mailbox against a plain list of messages: every answer and every wake is the one that the
//! documented rules lead to.
//!
//! An input is the size of the world in a byte, and then commands of some bytes each, as the model
//! reads them: sends, receives, settlements, purges, redrives, receivers that come, poll, decline
//! and go, sweeps, other configurations, and jumps of time.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/engine/tests/mailbox/model.rs"]
mod model;

/// One command looks through all messages: more of them would only be slow.
const STEPS: usize = 300;

fuzz_target!(|input: &[u8]| {
    let mut input = input.iter().copied();
    let size = match input.next() {
        Some(byte @ 128..) => match byte % 2 {
            0 => model::Size::Large,
            _ => model::Size::Tight,
        },
        _ => model::Size::Small,
    };
    let mut bytes = || input.next();
    let mut world = model::World::new(size);
    for _ in 0..STEPS {
        if !world.step(&mut bytes) {
            break;
        }
    }
    world.finish();
});
