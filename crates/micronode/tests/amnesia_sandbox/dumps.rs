//! Who may read a node's memory: nobody of its own user.

use crate::support::Node;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

/// A user that owns nothing.
const NOBODY: u32 = 65534;

#[test]
fn the_limits_are_in_force() {
    let node = Node::start();
    let limits = format!("/proc/{}/limits", node.child.id());
    let limits = std::fs::read_to_string(limits).unwrap();
    let cores = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let fields: Vec<&str> = cores.unwrap().split_whitespace().collect();
    assert_eq!(fields[4..6], ["0", "0"], "{limits}");
    let cores = node.ask("GET", "/proof").json()["cores"].take();
    let expected = serde_json::json!({ "limit_bytes": 0, "dumpable": false });
    assert_eq!(cores, expected);
}

/// A node of [`NOBODY`], with a copy of the binary that this user can reach.
fn node_of_nobody(directory: &Path, environment: &[(&str, &str)]) -> Node {
    let everybodys = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory, everybodys).unwrap();
    let binary = directory.join("micronode");
    std::fs::copy(env!("CARGO_BIN_EXE_micronode"), &binary).unwrap();
    let original = Node::command(&[]);
    let mut command = Command::new(binary);
    command
        .args(original.get_args())
        .env_clear()
        .envs(environment.iter().copied())
        .stderr(std::process::Stdio::null())
        .uid(NOBODY)
        .gid(NOBODY);
    Node::spawn(command)
}

/// What somebody of the same user sees of the node's memory.
fn attack(node: &Node, file: &str) -> Output {
    let file = format!("/proc/{}/{file}", node.child.id());
    let mut head = Command::new("head");
    head.args(["-c", "16", &file]).uid(NOBODY).gid(NOBODY);
    head.output().unwrap()
}

#[test]
fn another_process_of_the_same_user_reads_nothing() {
    if !rustix::process::geteuid().is_root() {
        let skipped = "NOT TESTED: only root can be two other users at once\n";
        return std::io::stderr().write_all(skipped.as_bytes()).unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let open = node_of_nobody(directory.path(), &[("MICRO_FAULT_DUMPABLE", "1")]);
    let maps = attack(&open, "maps");
    assert!(maps.status.success(), "the attack is one: {maps:?}");
    assert!(attack(&open, "environ").status.success());
    let said = open.ask("GET", "/proof").json();
    assert_eq!(said["cores"]["dumpable"], true);
    assert!(
        said["missing"].to_string().contains("PR_SET_DUMPABLE"),
        "{said}"
    );
    drop(open);

    let directory = tempfile::tempdir().unwrap();
    let node = node_of_nobody(directory.path(), &[]);
    // The file is the kernel's, and no longer its user's.
    let memory = format!("/proc/{}/mem", node.child.id());
    assert_eq!(std::fs::metadata(memory).unwrap().uid(), 0);
    for file in [
        "mem",
        "maps",
        "smaps",
        "environ",
        "syscall",
        "fd/0",
        "root/etc/passwd",
    ] {
        let attack = attack(&node, file);
        assert!(!attack.status.success(), "{file}: {attack:?}");
        let error = String::from_utf8_lossy(&attack.stderr);
        assert!(error.contains("Permission denied"), "{file}: {error}");
    }
    // With what gcore uses, and strace.
    for (tool, arguments) in [
        ("gdb", &["-batch", "-p"][..]),
        ("strace", &["-o", "/dev/null", "-p"]),
    ] {
        let mut tool = Command::new(tool);
        tool.args(arguments).arg(node.child.id().to_string());
        // Where it is not installed, the kernel has answered the question above.
        let Ok(output) = tool.uid(NOBODY).gid(NOBODY).output() else {
            continue;
        };
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.to_lowercase().contains("not permitted"), "{output:?}");
    }
    // And the node still sees of itself what it needs.
    assert!(
        node.metric("process_open_fds")
            .is_some_and(|open| open > 5.0)
    );
    assert!(node.metric("process_resident_memory_bytes").is_some());
    let proof = node.ask("GET", "/proof").json();
    assert_eq!(proof["missing"], serde_json::json!([]), "{proof}");
    assert!(proof["memory"]["locked_bytes"].is_u64(), "{proof}");
    assert_eq!(node.request("POST", "/echo", &[], b"x").status, 200);
}
