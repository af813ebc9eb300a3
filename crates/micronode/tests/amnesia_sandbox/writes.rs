//! A workload during which nothing is written: by the account of every system call, and by what
//! the kernel counts.

use crate::strace::{self, Call};
use crate::support::tls::{Authority, connect};
use crate::support::workload::{self, Canary};
use crate::support::{Node, wait_until};
use rustix::process::Signal;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the workload goes on, in seconds.
const SECONDS: &str = "MICRONODE_WORKLOAD_SECONDS";

/// Files in memory, whose bytes are not counted.
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

fn duration() -> Duration {
    let given = std::env::var(SECONDS).ok();
    Duration::from_secs(given.map_or(3, |seconds| seconds.parse().unwrap()))
}

/// Objects, names, queues, echoes and tokens over both ingresses, refusals, and reloads, again and
/// again; how often.
fn work(node: &Node, file: &Path) -> u32 {
    let canary = Canary::new(node);
    let end = Instant::now() + duration();
    for round in 1.. {
        workload::over_http(node, &canary);
        workload::over_oap(node, &canary);
        workload::refused(node, &canary);
        for path in ["/healthz", "/readyz", "/metrics", "/version", "/proof"] {
            assert_eq!(node.ask("GET", path).status, 200, "{path}");
        }
        let rate = (10_000 + round).to_string();
        std::fs::write(file, format!("limits.rps = {rate}\n")).unwrap();
        node.signal(Signal::HUP);
        wait_until("the reload", || node.limits()["limits.rps"] == *rate);
        if Instant::now() >= end {
            return round;
        }
    }
    unreachable!("there are enough numbers")
}

/// Ends the node, and everything that it has said.
fn end(mut node: Node) {
    node.signal(Signal::TERM);
    node.stdout.read_to_string(&mut String::new()).unwrap();
    node.wait_for_exit();
}

/// What strace wrote until the node was restricted, and since.
fn split(file: &Path) -> (Vec<Call>, Vec<Call>) {
    wait_until("the end of the trace", || {
        let text = std::fs::read(file).unwrap();
        String::from_utf8_lossy(&text).contains("landlock_restrict_self")
    });
    let mut before = strace::calls(file);
    let restricted = |call: &Call| call.name == "landlock_restrict_self" && !call.has_failed();
    let at = before.iter().position(restricted).expect("a restriction");
    let after = before.split_off(at + 1);
    (before, after)
}

#[test]
fn a_full_workload_opens_nothing_for_writing() {
    if !strace::is_there() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.toml");
    std::fs::write(&file, "limits.rps = 10000\n").unwrap();
    let trace = directory.path().join("trace");
    let options = ["-o", trace.to_str().unwrap(), "-e", strace::WATCHED];
    let node = Node::guarded_command(&["--config", file.to_str().unwrap()]);
    let node = Node::spawn(strace::under(&options, &node));
    let pid = node.child.id();
    assert_eq!(node.start["pid"], pid, "strace is not between");
    let rounds = work(&node, &file);
    end(node);

    let (before, after) = split(&trace);
    let threads = before.iter().filter(|call| call.name.starts_with("clone"));
    assert_eq!(
        threads.count(),
        0,
        "no thread is older than the restriction"
    );
    let reloads = after
        .iter()
        .filter(|call| call.arguments.contains("node.toml") && call.name.starts_with("open"));
    let reloads = reloads.count();
    assert!(reloads >= rounds as usize, "{reloads} reloads were seen");
    let written: Vec<&Call> = after.iter().filter(|call| call.writes()).collect();
    assert!(written.is_empty(), "{written:#?}");
    let reaching = after
        .iter()
        .filter(|call| ["connect", "bind"].contains(&&*call.name) && !call.has_failed());
    let reaching: Vec<&Call> = reaching.collect();
    assert!(reaching.is_empty(), "{reaching:#?}");
    let told = format!(
        "strace: {rounds} rounds in {:?}, {} calls since the restriction, {reloads} reloads, 0 \
         writes\n",
        duration(),
        after.len()
    );
    std::io::Write::write_all(&mut std::io::stderr(), told.as_bytes()).unwrap();
}

#[test]
fn over_tls_nothing_is_opened_for_writing_either() {
    if !strace::is_there() {
        return;
    }
    let authority = Authority::new();
    authority.issue("node");
    let (cert, key) = (authority.path("node.pem"), authority.path("node.key"));
    let trace = authority.path("trace");
    let options = ["-o", &*trace, "-e", strace::WATCHED];
    let node = Node::command(&["--rps", "0", "--tls-cert", &cert, "--tls-key", &key]);
    let node = Node::spawn(strace::under(&options, &node));
    let get = || {
        let mut connection = connect(&authority.client().config(), node.http).unwrap();
        let status = connection.get("/openapi.json").unwrap().status;
        assert_eq!(status, 200);
        connection.certificates().to_vec()
    };
    let old = get();
    // What a reload reads is in reach, also when it has been replaced.
    authority.issue("node");
    node.signal(Signal::HUP);
    wait_until("the new certificate", || get() != old);
    end(node);
    let (_, after) = split(Path::new(&trace));
    let written: Vec<&Call> = after.iter().filter(|call| call.writes()).collect();
    assert!(written.is_empty(), "{written:#?}");
    assert!(after.iter().any(|call| call.arguments.contains("node.pem")));
}

/// What these tests look for is found where it is.
#[test]
fn writes_show_in_a_trace() {
    if !strace::is_there() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let script = "echo > file; echo >> file; mkdir made; mv file other; ln -s other link; \
                  ln other hard; rm link; rmdir made; cat other >/dev/null; echo > /no/such/file";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script]);
    let options = ["-o", trace.to_str().unwrap(), "-e", strace::WATCHED];
    let mut command = strace::under(&options, &shell);
    command.current_dir(directory.path());
    command.status().unwrap();
    let seen = || -> Vec<String> {
        let calls = strace::calls(&trace);
        let writes = calls.into_iter().filter(Call::writes);
        writes.map(|call| call.name).collect()
    };
    wait_until("the last of them", || {
        seen()
            .iter()
            .any(|name| name == "rmdir" || name == "unlinkat")
    });
    let seen = seen();
    for names in [
        &["openat", "open"][..],
        &["mkdir", "mkdirat"],
        &["rename", "renameat", "renameat2"],
        &["symlink", "symlinkat"],
        &["link", "linkat"],
        &["unlink", "unlinkat"],
    ] {
        let is_seen = seen.iter().any(|name| names.contains(&&**name));
        assert!(is_seen, "{names:?} in {seen:?}");
    }
}

/// What the kernel counts, which is more than what was watched: mapped files too.
#[test]
fn the_kernel_counts_no_written_byte() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.toml");
    std::fs::write(&file, "limits.rps = 10000\n").unwrap();
    let mut command = Node::guarded_command(&["--config", file.to_str().unwrap()]);
    // A file of ours would count as written by the node.
    command.stderr(Stdio::null());
    let node = Node::spawn(command);
    let io = format!("/proc/{}/io", node.child.id());
    // Of a process that is not dumpable, root alone may read it.
    let Ok(counted) = std::fs::read_to_string(&io) else {
        let skipped = "NOT TESTED: write_bytes of a node are for root to read\n";
        return std::io::Write::write_all(&mut std::io::stderr(), skipped.as_bytes()).unwrap();
    };
    let of = |text: &str| -> u64 {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes: "));
        line.unwrap().parse().unwrap()
    };
    assert_eq!(of(&counted), 0);
    work(&node, &file);
    assert_eq!(of(&std::fs::read_to_string(&io).unwrap()), 0);
    // This process has written a file, and the kernel has counted it.
    let own = std::fs::read_to_string("/proc/self/io").unwrap();
    let is_on_disk = rustix::fs::statfs(&file).unwrap().f_type != TMPFS;
    assert!(of(&own) > 0 || !is_on_disk, "{own}");
}
