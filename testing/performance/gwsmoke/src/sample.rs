//! What a node's process takes: CPU time, memory and descriptors, from `/proc`; and what the node
//! counts of itself, from its metrics.

mod metrics;

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

pub use metrics::Metrics;

/// A process at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// User and system time since its start, of all its threads.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Open descriptors. The kernel tells them of a process of the same user alone, and of a node,
    /// which forbids dumps, to root alone.
    pub fds: Option<u64>,
}

impl Sample {
    /// Looks at a process; `None` if it is not there.
    pub fn of(pid: i32) -> Option<Self> {
        Some(Self {
            cpu: cpu(pid)?,
            rss_bytes: rss_bytes(&read(pid, "status")?)?,
            fds: fds(pid),
        })
    }
}

/// User and system time of a process, to the ns.
pub fn cpu(pid: i32) -> Option<Duration> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid)).ok()?;
    clock_gettime(clock).ok().map(Duration::from)
}

/// User and system time of the calling thread.
pub(crate) fn own_thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// The soft limit of descriptors of a process.
pub fn fds_limit(pid: i32) -> Option<u64> {
    soft_limit(&read(pid, "limits")?)
}

fn fds(pid: i32) -> Option<u64> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    Some(open.count() as u64)
}

fn read(pid: i32, file: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()
}

/// `VmRSS` of a `/proc/<pid>/status`.
fn rss_bytes(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let rest = lines.find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// The soft limit of open files of a `/proc/<pid>/limits`; none is no limit.
fn soft_limit(limits: &str) -> Option<u64> {
    let mut lines = limits.lines();
    let rest = lines.find_map(|line| line.strip_prefix("Max open files"))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn memory_and_limits_are_found() {
        let status = "Name:\tx\nVmRSS:\t    5120 kB\nThreads:\t1\n";
        assert_eq!(rss_bytes(status), Some(5120 * 1024));
        assert_eq!(rss_bytes("Name:\tx\n"), None);
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(
            soft_limit("Max open files   unlimited   unlimited  files"),
            None
        );
    }

    #[test]
    fn a_process_is_seen_at_work_and_a_missing_one_is_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let before = Sample::of(pid).unwrap();
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        let mut random = 1_u64;
        while cpu(pid).unwrap() < before.cpu + Duration::from_millis(5) {
            random = std::hint::black_box(random.wrapping_mul(3));
        }
        let after = Sample::of(pid).unwrap();
        assert!(after.rss_bytes > 0 && fds_limit(pid).is_some());
        assert!(after.fds.unwrap() > 0);
        assert!(own_thread_cpu() <= after.cpu);
        drop(file);
        assert_eq!(Sample::of(i32::MAX), None);
    }
}
