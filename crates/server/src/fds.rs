//! File descriptors: how many are open, and how many may be.

use rustix::process::{Resource, getrlimit};

/// The soft limit, or the largest number when there is none.
pub(crate) fn soft_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Open descriptors; `None` where `/proc` is not to be read.
pub(crate) fn open() -> Option<u64> {
    // One of the entries is the directory itself.
    std::fs::read_dir("/proc/self/fd")
        .ok()
        .map(|entries| entries.count().saturating_sub(1) as u64)
}
