//! What a node's process takes: CPU time, memory and descriptors, from `/proc`; and what the node
//! counts of itself, from its metrics.

mod metrics;

use std::net::SocketAddr;
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

/// Where a node is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Its process, if it is one of this machine.
    pub pid: Option<i32>,
    /// Its admin plane, which is asked for what the kernel does not tell.
    pub admin: Option<SocketAddr>,
}

impl Watched {
    /// Looks at it; `None` if it is not there, or nobody has said where. What costs the node
    /// something is left out unless nothing else tells.
    pub fn look(&self) -> Option<Sample> {
        self.pid.and_then(Sample::of).or_else(|| self.ask())
    }

    /// Looks at it for the last time: now it may cost the node something.
    pub fn last_look(&self) -> Option<Sample> {
        let mut sample = self.look()?;
        if sample.fds.is_none() {
            sample.fds = self.ask().and_then(|told| told.fds);
        }
        Some(sample)
    }

    /// What the node tells of itself.
    fn ask(&self) -> Option<Sample> {
        told(&Metrics::scrape(self.admin?).ok()?)
    }

    /// The soft limit of its descriptors.
    pub fn fds_limit(&self) -> Option<u64> {
        self.pid.and_then(fds_limit).or_else(|| {
            let metrics = Metrics::scrape(self.admin?).ok()?;
            Some(metrics.get("process_max_fds")? as u64)
        })
    }
}

fn told(metrics: &Metrics) -> Option<Sample> {
    let cpu = metrics.get("process_cpu_seconds_total")?;
    Some(Sample {
        cpu: Duration::try_from_secs_f64(cpu).ok()?,
        rss_bytes: metrics.get("process_resident_memory_bytes")? as u64,
        fds: metrics.get("process_open_fds").map(|fds| fds as u64),
    })
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
fn fds_limit(pid: i32) -> Option<u64> {
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
    fn a_node_tells_of_itself_what_the_kernel_would() {
        let text = "process_cpu_seconds_total 1.5\nprocess_resident_memory_bytes 13750272\n";
        let sample = told(&Metrics::parse(text)).unwrap();
        assert_eq!(sample.cpu, Duration::from_millis(1500));
        assert_eq!((sample.rss_bytes, sample.fds), (13_750_272, None));
        assert_eq!(told(&Metrics::default()), None);
        assert_eq!(Watched::default().look(), None);
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
