//! What operations and what doing nothing cost: of interest where power is scarce.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::instructions;
use super::result::{Edge, EdgeOperation};
use super::session::Session;
use crate::clock;
use crate::failure::{Failure, io};
use crate::result::LoadResult;
use crate::sample::Sample;
use crate::spec::LoadSpec;

/// Scenarios whose operations are told, and what they are in words. At capacity, where the cost of a
/// wake-up is shared by all that have come, and at target load, where each pays for its own.
const OPERATIONS: &[(&str, &str)] = &[
    ("capacity_get_1k", "GET 1 KiB, HTTP/1.1, at capacity"),
    ("get_1k", "GET 1 KiB, HTTP/1.1, at target load"),
    ("capacity_get_64k", "GET 64 KiB, HTTP/1.1, at capacity"),
    ("capacity_put_64k", "PUT 64 KiB, HTTP/1.1, at capacity"),
    ("capacity_get_1k_oap", "GET 1 KiB, OAP, at capacity"),
    (
        "capacity_mailbox_oap",
        "Message sent, taken or acknowledged, OAP, at capacity",
    ),
];
/// After a start, before a node is watched doing nothing.
const SETTLE: Duration = Duration::from_secs(2);
/// Seconds over which instructions are counted.
const COUNTED_S: (f64, f64) = (1.0, 3.0);

/// Watches an idle node, and counts instructions where that is possible.
pub(super) fn measure(session: &Session<'_>, scenarios: &[LoadResult]) -> Result<Edge, Failure> {
    let mut edge = idle(session)?;
    edge.instructions_missing = instructions::missing();
    for (name, operation) in OPERATIONS {
        let Some(result) = scenarios.iter().find(|it| it.scenario == *name) else {
            continue;
        };
        let instructions_per_1000 = match edge.instructions_missing {
            Some(_) => None,
            None => Some(count(session, name)?),
        };
        let us = result.server_cpu_us_per_request;
        edge.operations.push(EdgeOperation {
            scenario: (*name).to_owned(),
            operation: (*operation).to_owned(),
            // µs for each is ms for a thousand, and a thousand ms of a second are all of a core.
            cpu_ms_per_1000: us,
            cpu_percent_per_1000_per_s: us.map(|us| us / 10.0),
            instructions_per_1000,
        });
    }
    Ok(edge)
}

/// Instructions for a thousand operations of a scenario, in a run of its own.
fn count(session: &Session<'_>, name: &str) -> Result<f64, Failure> {
    let spec = LoadSpec {
        duration_s: session.either(COUNTED_S.0, COUNTED_S.1),
        // What is counted has to be what was asked.
        warm_up_s: 0.0,
        ..session.spec(name)?
    };
    let (node, prepared) = session.prepared(&spec)?;
    let pid = node.pid;
    let pid = pid.ok_or_else(|| Failure::wrong("the node's process is not known"))?;
    let counter = instructions::Counter::start(pid)?;
    let result = prepared.measure(&spec, &node, session.progress)?;
    let counted = counter.stop()?;
    Ok(counted / result.requests.max(1) as f64 * 1e3)
}

fn idle(session: &Session<'_>) -> Result<Edge, Failure> {
    let time = Duration::from_secs(session.either(3, 20));
    let node = session.node(&[])?;
    let pid = node.pid;
    let pid = pid.ok_or_else(|| Failure::wrong("the node's process is not known"))?;
    session.progress.begin("an idle node", 1);
    sleep(SETTLE);
    let look = || -> Result<_, Failure> {
        let sample = Sample::of(pid).ok_or_else(|| Failure::wrong("the node has ended"))?;
        Ok((clock::now(), sample, wake_ups(pid)?))
    };
    let (began, before, woken_before) = look()?;
    sleep(time);
    let (ended, after, woken) = look()?;
    let idle_s = (ended - began).as_secs_f64();
    let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
    Ok(Edge {
        idle_wakeups_per_s: Some(woken.saturating_sub(woken_before) as f64 / idle_s),
        idle_cpu_percent: Some(cpu / idle_s * 100.0),
        idle_rss_bytes: Some(after.rss_bytes),
        idle_s,
        ..Edge::default()
    })
}

/// How often threads of a process have given up the processor by themselves, to wait: as often as
/// they were woken.
fn wake_ups(pid: i32) -> Result<u64, Failure> {
    let tasks = format!("/proc/{pid}/task");
    let threads = std::fs::read_dir(Path::new(&tasks)).map_err(io(&tasks))?;
    let mut sum = 0;
    for thread in threads {
        let status = thread.map_err(io(&tasks))?.path().join("status");
        // A thread may end meanwhile.
        if let Ok(status) = std::fs::read_to_string(status) {
            sum += voluntary(&status).unwrap_or_default();
        }
    }
    Ok(sum)
}

fn voluntary(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let rest = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    rest.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::suite::catalogue;

    #[test]
    fn voluntary_switches_are_told_from_the_others() {
        let status = "Threads:\t1\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(voluntary(status), Some(150));
        assert_eq!(voluntary("nonvoluntary_ctxt_switches:\t7\n"), None);
    }

    #[test]
    fn a_thread_that_waits_is_seen_to() {
        // Of this thread alone: others of this process come and go.
        let own = || voluntary(&std::fs::read_to_string("/proc/thread-self/status").unwrap());
        let before = own().unwrap();
        for _ in 0..20 {
            sleep(Duration::from_millis(1));
        }
        assert!(own().unwrap() >= before + 20);
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(wake_ups(pid).unwrap() >= own().unwrap());
    }

    #[test]
    fn every_operation_is_of_a_scenario() {
        for (name, _) in OPERATIONS {
            assert!(catalogue::names().contains(name), "{name}");
        }
    }
}
