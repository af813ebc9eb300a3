//! Memory that is in no core dump, and in no swap where that can be had, as the kernel tells it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::io::Read;
use std::process::{Command, Stdio};
use support::{Hit, Node, Scanner, object, wait_until};

const MIB: usize = 1024 * 1024;

/// A node with `memory.lock`, and its standard error to be read.
fn locking() -> Command {
    let mut command = Node::command(&["--rps", "0", "--memory", "256MiB"]);
    command
        .env("MICRO_MEMORY__LOCK", "true")
        .stderr(Stdio::piped());
    command
}

/// The flags of the mapping that an object lies in, two letters each: see `smaps` in proc(5).
fn flags_of(node: &Node, hit: &Hit) -> String {
    let (start, _) = hit.mapping.split_once(' ').unwrap();
    let maps = std::fs::read_to_string(format!("/proc/{}/smaps", node.child.id())).unwrap();
    let its = maps.lines().skip_while(|line| !line.starts_with(start));
    let flags = its.skip(1).find_map(|line| line.strip_prefix("VmFlags:"));
    flags.expect("mappings have flags").to_owned()
}

/// Flags of every mapping that pieces of a new object lie in; `None` if they cannot be seen.
fn flags(node: &Node) -> Option<Vec<String>> {
    let scanner = Scanner::of(node.child.id())?;
    let bytes = object(8 * MIB);
    node.store(&bytes);
    let hits = scanner.hits(&[bytes]);
    assert!(hits.len() > 10, "an object is in the node's memory");
    Some(hits.iter().map(|hit| flags_of(node, hit)).collect())
}

fn status(node: &Node, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse().unwrap()
}

fn has(flags: &str, flag: &str) -> bool {
    flags.split_ascii_whitespace().any(|it| it == flag)
}

#[test]
fn objects_are_in_no_dump() {
    let node = Node::start();
    let Some(flags) = flags(&node) else { return };
    for flags in flags {
        assert!(has(&flags, "dd"), "not excluded from dumps: {flags}");
        assert!(!has(&flags, "lo"), "nobody has asked for locking: {flags}");
    }
    let filter = format!("/proc/{}/coredump_filter", node.child.id());
    assert_eq!(std::fs::read_to_string(filter).unwrap().trim(), "00000000");
}

#[test]
fn keys_are_locked_without_being_asked_for() {
    let node = Node::start();
    let keys = status(&node, "VmLck:");
    assert!((4..1024).contains(&keys), "{keys} KiB are locked");
}

/// Locked memory is the system's again too when what was in it is deleted.
#[test]
fn with_a_lock_objects_are_locked_once_touched_and_given_back() {
    let node = Node::spawn(locking());
    let Some(flags) = flags(&node) else { return };
    if status(&node, "VmLck:") < 8 * 1024 {
        eprintln!("SKIPPED: the system does not let this process lock memory");
        return;
    }
    for flags in flags {
        assert!(has(&flags, "lo") && has(&flags, "dd"), "{flags}");
    }
    let paths: Vec<String> = (0..64)
        .map(|less| node.store(&object(MIB - less)))
        .collect();
    let full = node.resident();
    assert!(full > 64 * MIB as u64);
    for path in &paths {
        assert_eq!(node.request("DELETE", path, &[], b"").status, 204);
    }
    wait_until("memory being given back", || {
        node.resident() < full - 48 * MIB as u64
    });
}

/// What cannot be locked is said, and the node runs.
#[test]
fn a_limit_on_locked_memory_is_complained_about() {
    let node = locking();
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock"])
        .args(["prlimit", "--memlock=2097152:2097152"])
        .arg(node.get_program())
        .args(node.get_args())
        .env("MICRO_MEMORY__LOCK", "true")
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let tools = ["setpriv", "prlimit"].map(|tool| Command::new(tool).arg("--version").output());
    if !tools.into_iter().all(|it| it.is_ok()) || !rustix::process::getuid().is_root() {
        eprintln!("SKIPPED: dropping a capability needs root and setpriv");
        return;
    }
    let mut node = Node::spawn(command);
    assert!(status(&node, "VmLck:") <= 2048);
    node.store(&object(8 * MIB));
    let mut said = String::new();
    node.child.kill().unwrap();
    let stderr = node.child.stderr.take();
    stderr.unwrap().read_to_string(&mut said).unwrap();
    assert!(
        said.contains("this process may lock 2097152 bytes"),
        "{said}"
    );
}

#[test]
fn a_node_that_does_not_wipe_says_so() {
    let mut command = Node::command(&[]);
    command
        .env("MICRONODE_MEASURE_UNWIPED", "1")
        .stderr(Stdio::piped());
    let mut node = Node::spawn(command);
    node.child.kill().unwrap();
    let mut said = String::new();
    let stderr = node.child.stderr.take();
    stderr.unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("freed memory is not wiped"), "{said}");
}
