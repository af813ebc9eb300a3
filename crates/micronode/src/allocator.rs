//! The binary's allocator: jemalloc, because it gives freed memory back, behind a layer that wipes
//! it first.
//!
//! A store that is emptied should look empty from outside, and a budget that is filled twice by
//! different threads must not cost twice the memory. How soon freed pages go back is set when
//! jemalloc is compiled (`.cargo/config.toml`), in a build without that file after jemalloc's own
//! 10 s; that they go back without further allocations is asked for here. Wiping, dumps and locks
//! need none of it. The measurements are in `docs/decisions`.

mod extents;
mod mapping;
mod protection;
#[cfg(test)]
mod tests;
mod wiping;

use std::env;

pub(crate) use protection::{protect, protection};
use wiping::Wiping;

#[global_allocator]
static ALLOCATOR: Wiping = Wiping;

/// For measuring what wiping costs, and nothing else.
const UNWIPED: &str = "MICRONODE_MEASURE_UNWIPED";

/// Starts jemalloc's background thread, which purges freed pages of a node that is idle. A system
/// that refuses the thread leaves purging to later allocations.
pub(crate) fn return_memory_when_idle() {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        eprintln!("warning: freed memory returns to the system only while the node works: {error}");
    }
}

/// Gives back all that has been freed until now, rather than within a second: once, for what
/// starting needed and running does not.
pub(crate) fn return_memory_now() {
    // Where it fails, it is given back later.
    let _later = extents::purge_all();
}

/// Leaves freed memory as it is if the environment asks for it.
pub(crate) fn measure_without_wiping() {
    if env::var_os(UNWIPED).is_some() {
        wiping::turn_off();
        eprintln!("warning: {UNWIPED} is set: freed memory is not wiped");
    }
}
