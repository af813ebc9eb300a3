//! What functions that have returned leave on the stack.
//!
//! The allocator wipes what is freed, but nobody frees a stack: a block that a hash worked on, or
//! what a decoder held in its hands, stays below until another call happens to lie over it. So
//! whoever runs for long overwrites, now and then, what lies below.

use std::hint::black_box;

/// Deeper than requests go, also in a build that is not optimised.
const DEPTH: usize = 256 * 1024;

/// Overwrites the stack below the caller.
#[inline(never)]
pub(crate) fn wipe_unused() {
    let mut unused = [0_u8; DEPTH];
    black_box(&mut unused);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    #[inline(never)]
    fn leave_something_behind(depth: u8) -> u64 {
        let mut left = [depth; 512];
        black_box(&mut left);
        match depth {
            200.. => left.as_ptr().addr() as u64,
            _ => leave_something_behind(depth + 1),
        }
    }

    #[test]
    fn what_calls_have_left_is_gone() {
        let memory = File::open("/proc/self/mem").unwrap();
        let mut found = [0; 512];
        let address = leave_something_behind(20);
        memory.read_exact_at(&mut found, address).unwrap();
        assert_eq!(found, [200; 512], "nobody has wiped it yet");
        wipe_unused();
        memory.read_exact_at(&mut found, address).unwrap();
        assert_eq!(found.iter().filter(|byte| **byte == 200).count(), 0);
    }
}
