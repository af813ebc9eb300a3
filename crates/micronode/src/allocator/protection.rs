//! What keeps the node's memory where it is: in memory, and in no dump.

use std::fs;
use std::io;

use micronode_server::MemoryProtection;
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

use super::{extents, wiping};

/// Of a limited number of bytes that may be locked, so many are left for keys.
const FOR_KEYS: u64 = 1024 * 1024;

/// Threads of a node beside those that allocate for longer than a moment.
const OTHER_THREADS: usize = 3;

/// As it is now.
pub(crate) fn protection() -> MemoryProtection {
    let extents::Tally {
        locked,
        not_locked,
        dumped,
    } = extents::tally();
    MemoryProtection {
        wipes: wiping::is_on(),
        dump_filter_is_empty: dump_filter().is_some_and(|filter| filter == 0),
        dumped,
        locks: locked + not_locked > 0,
        locked,
        not_locked,
    }
}

/// What is written there is for all mappings of the process, those of C and stacks included.
const DUMP_FILTER: &str = "/proc/self/coredump_filter";

/// The kinds of mappings that a dump would have; `None` on a system without dumps.
fn dump_filter() -> Option<u32> {
    let text = fs::read_to_string(DUMP_FILTER).ok()?;
    u32::from_str_radix(text.trim(), 16).ok()
}

/// Keeps memory out of dumps, and with `lock` out of swap, for a node of so many `threads` that
/// holds `budget` bytes. Called once, before there are other threads and before a sandbox. What
/// cannot be had is said on stderr, and by [`protection`].
pub(crate) fn protect(lock: bool, threads: usize, budget: u64) {
    if let Err(error) = fs::write(DUMP_FILTER, "0") {
        eprintln!(
            "warning: a core dump may have memory of this node in it: {DUMP_FILTER}: {error}"
        );
    }
    let lockable = if lock { lockable(budget) } else { 0 };
    let done = extents::take_charge(threads + OTHER_THREADS, lockable);
    let MemoryProtection {
        dumped, not_locked, ..
    } = protection();
    if let Err(error) = done {
        eprintln!("warning: object memory is neither kept out of dumps nor locked: {error}");
    } else if dumped > 0 {
        eprintln!("warning: the system does not keep object memory out of dumps");
    } else if not_locked > 0 && lockable > 0 {
        eprintln!("warning: the system does not lock memory: objects may be swapped out");
    }
}

/// Bytes that may be locked for objects and buffers; says so if they are not all.
fn lockable(budget: u64) -> u64 {
    if may_lock_everything().unwrap_or(false) {
        return u64::MAX;
    }
    let Some(limit) = getrlimit(Resource::Memlock).current else {
        return u64::MAX;
    };
    let lockable = limit.saturating_sub(FOR_KEYS);
    if lockable < budget {
        eprintln!(
            "warning: memory.lock: this process may lock {limit} bytes, the memory budget is \
             {budget}: what is beyond may be swapped out; raise the limit (ulimit -l, \
             LimitMEMLOCK=) or give it CAP_IPC_LOCK"
        );
    }
    lockable
}

fn may_lock_everything() -> io::Result<bool> {
    Ok(capabilities(None)?
        .effective
        .contains(CapabilitySet::IPC_LOCK))
}
