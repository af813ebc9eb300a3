//! A node of the release binary on free ports of 127.0.0.1, as a child process.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::sync_channel;

use serde_json::Value;

use super::{ANSWER_BYTES, READY_WITHIN};
use crate::{Failure, io};

/// A node that ends with this value, also when a run fails.
pub(super) struct Node {
    child: Child,
    announced: Value,
    /// Its admin plane.
    pub(super) admin: SocketAddr,
}

impl Drop for Node {
    fn drop(&mut self) {
        // Failing means that it has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Node {
    /// Starts `binary` with `flags` beyond those that name its ports, and waits until it has bound
    /// them.
    pub(super) fn start(binary: &Path, flags: &[&str]) -> Result<Self, Failure> {
        let mut child = Command::new(binary)
            .args(["run", "--dev", "--bind", "127.0.0.1:0"])
            .args(["--admin", "127.0.0.1:0"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(io(binary.display()))?;
        let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
        let mut node = Self {
            child,
            announced: Value::Null,
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        node.announced = announcement(stdout)?;
        node.admin = node.address("admin")?;
        Ok(node)
    }

    /// Where one of its listeners is.
    pub(super) fn address(&self, listener: &str) -> Result<SocketAddr, Failure> {
        let address = self.announced[listener].as_str();
        address.and_then(|text| text.parse().ok()).ok_or_else(|| {
            let announced = &self.announced;
            Failure::Wrong(format!("the node did not announce itself: {announced}"))
        })
    }

    /// Resident memory in KiB.
    pub(super) fn rss_kib(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .map_err(io("the node's /proc status"))?;
        rss_kib(&status).ok_or_else(|| Failure::Wrong("no VmRSS".to_owned()))
    }

    /// User and system time in clock ticks of 10 ms.
    pub(super) fn cpu_ticks(&self) -> Result<u64, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))
            .map_err(io("the node's /proc stat"))?;
        cpu_ticks(&stat).ok_or_else(|| Failure::Wrong("no CPU times".to_owned()))
    }
}

/// The one line of JSON that a node prints when it is bound.
fn announcement(stdout: ChildStdout) -> Result<Value, Failure> {
    let (sender, receiver) = sync_channel(1);
    // A pipe has no read timeout. The thread ends with the node, which closes the pipe.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout.take(ANSWER_BYTES)).read_line(&mut line);
        // Nobody listens any more when it took too long.
        let _late = sender.send(read.map(|_| line));
    });
    let line = receiver
        .recv_timeout(READY_WITHIN)
        .map_err(|_| Failure::Wrong(format!("no announcement within {READY_WITHIN:?}")))?
        .map_err(io("the node's announcement"))?;
    serde_json::from_str(&line)
        .map_err(|_| Failure::Wrong(format!("the node did not announce itself: {line:?}")))
}

/// `VmRSS` of a `/proc/<pid>/status`, in KiB.
fn rss_kib(status: &str) -> Option<u64> {
    let rest = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    rest.trim().strip_suffix(" kB")?.parse().ok()
}

/// `utime` and `stime` of a `/proc/<pid>/stat`, whose second field may have spaces in it.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let (utime, stime) = (fields.next()?, fields.next()?);
    Some(utime.parse::<u64>().ok()? + stime.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_found() {
        assert_eq!(
            rss_kib("Name:\tx\nVmRSS:\t    5120 kB\nThreads:\t1\n"),
            Some(5120)
        );
        assert_eq!(rss_kib("Name:\tx\n"), None);
    }

    #[test]
    fn cpu_times_are_found_behind_any_name() {
        let stat = "42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14";
        assert_eq!(cpu_ticks(stat), Some(11 + 12));
        assert_eq!(cpu_ticks("42 (x) S 1"), None);
    }
}
