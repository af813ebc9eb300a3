//! The node beside whatever of the others is installed here, briefly: what it finds out is nothing
//! to publish, and everything has to be there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gwsmoke::cross_check;
use gwsmoke::peers::{self, Options};
use gwsmoke::progress::Progress;
use gwsmoke::suite::result::Comparisons;
use rustix::process::{Pid, Signal, kill_process};
use support::binary;

/// Whether a program of others is there; says so if it is not.
fn has(program: &str) -> bool {
    let found = Command::new("sh")
        .args([
            "-c",
            "PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin; command -v \"$0\"",
            program,
        ])
        .output()
        .unwrap();
    if !found.status.success() {
        eprintln!("SKIPPED: no {program}: what is compared with it was not tried");
    }
    found.status.success()
}

/// Processes of this test's children, and theirs.
fn descendants(process: u32) -> Vec<u32> {
    let children = format!("/proc/{process}/task/{process}/children");
    let children = std::fs::read_to_string(children).unwrap_or_default();
    let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
    children
        .flat_map(|pid| [vec![pid], descendants(pid)].concat())
        .collect()
}

/// Folders of a process in memory.
fn folders(process: u32) -> Vec<PathBuf> {
    let all = descendants(process).into_iter();
    let places = all.filter_map(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).ok());
    places
        .filter(|place| place.to_string_lossy().contains("gwsmoke-"))
        .collect()
}

#[test]
fn nothing_is_left_behind_when_it_is_told_to_end() {
    if !has("redis-server") {
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwsmoke"));
    command.args(["peers", "--quick", "--node"]).arg(binary());
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Nodes have another working directory: this is a program of others, with its folder.
    let until = Instant::now() + Duration::from_secs(60);
    let mut there = Vec::new();
    while there.is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
        there = folders(child.id());
    }
    assert!(!there.is_empty(), "no program was started within a minute");
    let started = descendants(child.id());
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let until = Instant::now() + Duration::from_secs(10);
    let is_there = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // One that has ended may still be waited for by whoever has inherited it.
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
    };
    while started.iter().any(is_there) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let left: Vec<_> = started.into_iter().filter(is_there).collect();
    assert!(left.is_empty(), "{left:?}");
    there.retain(|folder| folder.exists());
    assert!(there.is_empty(), "{there:?}");
}

fn ids(found: &Comparisons) -> Vec<&str> {
    let ids = found.comparisons.iter().map(|each| each.id.as_str());
    let mut ids: Vec<&str> = ids.collect();
    ids.sort_unstable();
    ids
}

/// What is missing is told with the package that has it, and nothing else is.
fn assert_told(found: &Comparisons, programs: &[(&str, bool)]) {
    for (program, is_there) in programs {
        let told = found
            .missing
            .iter()
            .find(|missing| missing.program == *program);
        assert_eq!(told.is_none(), *is_there, "{program}: {:?}", found.missing);
        assert!(told.is_none_or(|missing| missing.how.contains("install ")));
    }
}

#[test]
fn it_is_compared_with_all_that_are_here_and_the_others_are_told() {
    let options = Options {
        rounds: 2,
        seconds: 0.2,
        warm_up_s: 0.05,
        fill_s: 0.1,
        largest: 1024,
        messages: 1000,
        ..Options::quick(binary().clone())
    };
    let found = peers::run(&options, &Progress::hidden()).unwrap();
    let [nginx, redis, nats, beanstalkd] =
        ["nginx", "redis-server", "nats-server", "beanstalkd"].map(has);
    assert_told(
        &found,
        &[
            ("nginx", nginx),
            ("redis-server", redis),
            ("nats-server", nats),
            ("beanstalkd", beanstalkd),
        ],
    );
    let mut expected: Vec<String> = Vec::new();
    if nginx {
        let ids = ["get_1k_cpu", "get_1k_rps", "put_1k_cpu", "put_1k_rps"];
        expected.extend(ids.map(|id| format!("{id}_nginx")));
        expected.push("get_1k_cpu_nginx_blake3".to_owned());
    }
    if redis {
        expected.extend(
            [
                "put_1k_cpu_redis",
                "put_1k_rps_redis",
                "put_1k_cpu_redis_blake3",
            ]
            .map(ToOwned::to_owned),
        );
    }
    for (queue, is_there) in [("nats", nats), ("beanstalkd", beanstalkd), ("redis", redis)] {
        let ids = ["send", "take", "take_batched"]
            .into_iter()
            .flat_map(|verb| ["rate", "cpu"].map(|what| format!("{verb}_{what}_{queue}")));
        expected.extend(ids.filter(|_| is_there));
    }
    expected.sort_unstable();
    assert_eq!(ids(&found), expected);
    for each in &found.comparisons {
        assert_eq!(each.rounds, 2, "{each:?}");
        assert!(each.ours > 0.0 && each.theirs > 0.0, "{each:?}");
        assert!(
            each.ratio_min <= each.ratio && each.ratio <= each.ratio_max,
            "{each:?}"
        );
    }
    // A pass is dearer than none, in every round.
    let theirs = |id: &str| {
        found
            .comparisons
            .iter()
            .find(|each| each.id == id)
            .map(|each| each.theirs)
    };
    assert!(theirs("get_1k_cpu_nginx_blake3") >= theirs("get_1k_cpu_nginx"));
}

#[test]
fn tools_of_others_are_told_what_to_do_and_say_what_they_did() {
    if std::thread::available_parallelism().unwrap().get() < 2 {
        eprintln!("SKIPPED: one processor alone: the node has none of its own");
        return;
    }
    let options = cross_check::Options::quick(binary().clone());
    let found = cross_check::run(&options, &Progress::hidden()).unwrap();
    let tools = ["wrk", "oha"].map(|tool| (tool, has(tool)));
    assert_told(&found, &tools);
    let mut expected: Vec<String> = Vec::new();
    for (tool, _) in tools.into_iter().filter(|(_, is_there)| *is_there) {
        let loads = if tool == "wrk" {
            &["get_64k", "put_64k"][..]
        } else {
            &["get_64k"]
        };
        for load in loads {
            let keys = ["rps", "p50", "p99", "server_cores", "client_cores"];
            expected.extend(keys.map(|key| format!("{load}_{key}_{tool}")));
        }
    }
    expected.sort_unstable();
    assert_eq!(ids(&found), expected);
    for each in &found.comparisons {
        assert!(each.ours > 0.0 && each.theirs > 0.0, "{each:?}");
    }
    // No more than the processor that each was put on.
    let cores = found.comparisons.iter().filter(|each| each.unit == "cores");
    for each in cores {
        assert!(each.ours < 1.2 && each.theirs < 1.2, "{each:?}");
    }
}
