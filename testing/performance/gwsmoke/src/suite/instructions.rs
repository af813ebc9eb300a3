//! Instructions of a process, counted by `perf stat`, where there is one and the processor lets it.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::{Failure, io};

/// User and kernel together: a request is mostly the kernel's.
const EVENT: &str = "instructions";
/// Until it has attached itself to all threads.
const ATTACHED: Duration = Duration::from_millis(200);
/// Most that it may say.
const TOLD_BYTES: u64 = 64 * 1024;

/// Why instructions cannot be counted here, if they cannot.
pub(super) fn missing() -> Option<String> {
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x", ",", "-e", EVENT, "true"]);
    match perf.stdin(Stdio::null()).output() {
        Ok(output) => count(&String::from_utf8_lossy(&output.stderr)).err(),
        Err(error) => Some(format!(
            "perf cannot be run ({error}); it is in the package of Linux tools"
        )),
    }
}

/// Counts until it is stopped.
pub(super) struct Counter(Child);

impl Counter {
    /// Begins to count those of a process.
    pub(super) fn start(pid: i32) -> Result<Self, Failure> {
        let mut perf = Command::new("perf");
        perf.args(["stat", "-x", ",", "-e", EVENT, "-p", &pid.to_string()]);
        perf.stdin(Stdio::null()).stdout(Stdio::null());
        let child = perf.stderr(Stdio::piped()).spawn().map_err(io("perf"))?;
        let counter = Self(child);
        sleep(ATTACHED);
        Ok(counter)
    }

    /// Ends it; how many there were.
    pub(super) fn stop(mut self) -> Result<f64, Failure> {
        let pid = Pid::from_child(&self.0);
        // So it tells what it has counted.
        kill_process(pid, Signal::INT).map_err(|error| io("stopping perf")(error.into()))?;
        let mut told = String::new();
        if let Some(stderr) = self.0.stderr.take() {
            let read = stderr.take(TOLD_BYTES).read_to_string(&mut told);
            read.map_err(io("what perf says"))?;
        }
        self.0.wait().map_err(io("perf"))?;
        count(&told).map_err(Failure::Wrong)
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        // Fails when it has ended, as it has once it was stopped.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The count of what `perf stat -x ,` says, or why there is none.
fn count(told: &str) -> Result<f64, String> {
    let fields = told.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let mut of_event =
        fields.filter(|fields| fields.get(2).is_some_and(|it| it.starts_with(EVENT)));
    let Some(fields) = of_event.next() else {
        let first = told.lines().find(|line| !line.trim().is_empty());
        return Err(format!(
            "perf counts nothing: {}",
            first.unwrap_or("it says nothing")
        ));
    };
    fields[0].parse().map_err(|_| {
        format!(
            "perf says `{}`: this machine, likely a virtual one, offers no counter of them",
            fields[0]
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_count_is_read_and_what_is_none_says_why() {
        assert_eq!(count("123456,,instructions,998,100.00,,\n"), Ok(123_456.0));
        assert_eq!(
            count("# started\n\n7,,instructions:u,1,100.00,,\n"),
            Ok(7.0)
        );
        let missing = count("<not supported>,,instructions,0,100.00,,\n").unwrap_err();
        assert!(
            missing.starts_with("perf says `<not supported>`"),
            "{missing}"
        );
        let missing = count("Error:\nNo permission\n").unwrap_err();
        assert_eq!(missing, "perf counts nothing: Error:");
        assert_eq!(
            count("").unwrap_err(),
            "perf counts nothing: it says nothing"
        );
    }
}
