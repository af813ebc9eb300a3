//! The command line: exit codes, the JSON file, and that no node is left behind.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use gwsmoke::result::{LoadResult, SCHEMA};
use gwsmoke::spec::Proto;
use rustix::process::{Pid, Signal, kill_process};
use support::{Deed, Script, http1};

fn load(flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwsmoke"));
    command.arg("load").args(flags).output().unwrap()
}

/// Echoes that need no node, for half a second.
fn echo(url: &str) -> Vec<&str> {
    let mut flags = vec!["--url", url, "--workload", "echo", "--rate", "100"];
    flags.extend(["--duration", "500ms", "--warm-up", "0s"]);
    flags
}

#[test]
fn a_load_prints_a_table_and_writes_json() {
    let url = http1::serve(Script::new(|_| Deed::Echo(Duration::ZERO)));
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let output = load(&[&echo(&url)[..], &["--json", path]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    for word in ["p99", "offered", "100.0/s", "200: 50"] {
        assert!(table.contains(word), "{word}:\n{table}");
    }
    assert!(output.stderr.is_empty(), "no progress without a terminal");
    let text = std::fs::read_to_string(path).unwrap();
    let result: LoadResult = serde_json::from_str(&text).unwrap();
    assert_eq!((result.schema, result.requests), (SCHEMA, 50));
    assert_eq!(result.spec.proto, Proto::Http1);
    // The names that scripts rely on.
    let keys: serde_json::Value = serde_json::from_str(&text).unwrap();
    for key in ["p50", "p95", "p99", "p999", "max"] {
        assert!(keys["latency_ms"][key].is_number(), "{key}");
    }
    for key in ["achieved_rps", "offered_rps", "errors"] {
        assert!(keys[key].is_number(), "{key}");
    }
    assert_eq!(keys["status_counts"]["200"], 50);
    for key in [
        "server_cpu_us_per_request",
        "server_rss_bytes_max",
        "server_fds_max",
    ] {
        assert!(keys[key].is_null(), "nobody has said where to look: {key}");
    }
}

#[test]
fn errors_are_exit_code_1_and_wrong_usage_is_2() {
    let url = http1::serve(Script::new(|_| Deed::Fail));
    let failed = load(&echo(&url));
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stdout).contains("500: 50"));
    let nobody = load(&echo("http://127.0.0.1:1"));
    assert_eq!(nobody.status.code(), Some(1));
    let missing = load(&["--node", "/nowhere/micronode"]);
    assert_eq!(missing.status.code(), Some(1));
    for wrong in [
        &["--rate", "5", "--closed"][..],
        &["--size", "many"],
        &["--url", "localhost"],
        &["--url", &url, "--connections", "0"],
        &["--url", &url, "--proto", "oap"],
        &["--url", &url, "--read-ratio", "2"],
        &["--scenario", "/dev/null/x", "--url", &url, "--nonsense"],
    ] {
        let output = load(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?} {output:?}");
        assert!(!output.stderr.is_empty());
    }
}

/// A process that a signal ends runs no destructors.
#[test]
fn no_node_is_left_behind_by_a_signal() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwsmoke"));
    command.args(["load", "--closed", "--duration", "60s", "--node"]);
    command.arg(support::binary()).stdout(Stdio::null());
    let mut tool = command.spawn().unwrap();
    let of_tool = format!("/proc/{}/task/{}/children", tool.id(), tool.id());
    let node = until(|| {
        let children = std::fs::read_to_string(&of_tool).ok()?;
        children.split_whitespace().next().map(ToOwned::to_owned)
    });
    let node = Path::new("/proc").join(node);
    let pid = Pid::from_raw(i32::try_from(tool.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(tool.wait().unwrap().code(), Some(128 + 15));
    // It is gone, or waits for whoever adopted it to take note.
    until(|| {
        let stat = std::fs::read_to_string(node.join("stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}

fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    #[expect(
        clippy::disallowed_methods,
        reason = "a bound on waiting for a process"
    )]
    let now = Instant::now;
    let end = now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(now() < end, "not within 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}
