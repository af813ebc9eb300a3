//! Memory that nobody reads but the process: no cores, no debugger of the same user.
//!
//! Both are needed. A core that goes to a file is bounded by the limit, but one that goes through a
//! pipe, as to systemd-coredump, is not: that one, and `ptrace` and `/proc/PID/mem`, go by whether
//! the process is dumpable.

use super::Shortcoming;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, set_dumpable_behavior,
    setrlimit,
};

/// Only in builds with faults: set to 1, the process stays dumpable, for tests that look for what
/// is left in its memory.
#[cfg(feature = "faults")]
pub(crate) const DUMPABLE_VARIABLE: &str = "MICRO_FAULT_DUMPABLE";

/// Asks the kernel for it, for the rest of the process's life. Called before there are secrets:
/// keys of certificates are read when a configuration is checked. Whether it was granted is asked
/// of the kernel, when [`run`](crate::run) says what is missing and in `/proof`.
pub fn forbid_dumps() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // A failure shows in what the kernel says later.
    let _ = setrlimit(Resource::Core, none);
    #[cfg(feature = "faults")]
    if std::env::var_os(DUMPABLE_VARIABLE).is_some_and(|value| value == "1") {
        return;
    }
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// What of it is not in force.
pub(super) fn shortcomings() -> impl Iterator<Item = Shortcoming> {
    let limit = (core_limit() != Some(0)).then_some(Shortcoming::CoreLimit);
    let dumpable = is_dumpable().then_some(Shortcoming::Dumpable);
    limit.into_iter().chain(dumpable)
}

/// The soft limit of cores in bytes, as the kernel has it; `None` is no limit.
pub(super) fn core_limit() -> Option<u64> {
    getrlimit(Resource::Core).current
}

/// As the kernel has it. What it does not say is taken for the worse.
pub(super) fn is_dumpable() -> bool {
    dumpable_behavior() != Ok(DumpableBehavior::NotDumpable)
}
