//! Where a node's configuration comes from, who wins, and what is not accepted.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};
use support::{Node, wait_until};
use tempfile::TempDir;

fn file(text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.toml");
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

/// Runs `micronode` with `arguments` and `environment` alone.
fn micronode(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_micronode"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const FILE: &str = "[limits]\nrps = 100\nin_flight = 10\nconnections = 50\n";
const ENVIRONMENT: [(&str, &str); 2] = [
    ("MICRO_LIMITS__RPS", "200"),
    ("MICRO_LIMITS__IN_FLIGHT", "20"),
];

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let (_directory, path) = file(FILE);
    let mut command = Node::command(&["--config", path.to_str().unwrap(), "--rps", "300"]);
    command.envs(ENVIRONMENT);
    let node = Node::spawn(command);
    let limits = node.limits();
    assert_eq!(limits["limits.rps"], "300");
    assert_eq!(limits["limits.in_flight"], "20");
    assert_eq!(limits["limits.connections"], "50");
    assert_eq!(limits["limits.head_fields"], "64");
    // What is told is what is in force.
    let answer = node.request("POST", "/echo", &[], b"x");
    let policy = answer.field("ratelimit-policy");
    assert_eq!(policy, Some("\"default\";q=300;w=1"));
}

#[test]
fn the_number_of_workers_can_be_given_as_the_runtime_knows_it() {
    let mut command = Node::command(&[]);
    command.env("TOKIO_WORKERS", "3");
    let node = Node::spawn(command);
    assert_eq!(node.limits()["workers"], "3");
    let tasks = format!("/proc/{}/task", node.child.id());
    // A thread names itself when it first runs.
    wait_until("3 workers", || {
        let tasks = std::fs::read_dir(&tasks).unwrap();
        let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
        let is_worker = |name: std::io::Result<String>| name.unwrap().starts_with("worker-");
        names.map(is_worker).filter(|is_worker| *is_worker).count() == 3
    });
}

#[test]
fn print_tells_each_value_with_its_source() {
    let (_directory, path) = file(FILE);
    let path = path.to_str().unwrap();
    let arguments = [
        "config", "print", "--config", path, "--rps", "300", "--json",
    ];
    let output = micronode(&arguments, &ENVIRONMENT);
    assert_eq!(output.status.code(), Some(0));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (key, value, source) in [
        ("rps", 300.into(), "flag --rps".to_owned()),
        ("in_flight", 20.into(), "env MICRO_LIMITS__IN_FLIGHT".into()),
        ("connections", 50.into(), format!("file {path}:4")),
        ("head_deadline", Value::from("5s"), "default".into()),
    ] {
        let entry = &printed["limits"][key];
        assert_eq!(entry["value"], value, "{key}");
        assert_eq!(entry["source"], source, "{key}");
    }
}

#[test]
fn what_print_writes_is_a_file_that_says_the_same() {
    let flags = ["--rps", "7", "--memory", "64MiB", "--eviction", "lru"];
    let first = micronode(&[&["config", "print"][..], &flags].concat(), &[]);
    let (_directory, path) = file(text(&first.stdout));
    let path = path.to_str().unwrap();
    let check = micronode(&["config", "check", "--config", path], &[]);
    assert_eq!(check.status.code(), Some(0), "{}", text(&check.stderr));
    let second = micronode(&["config", "print", "--config", path], &[]);
    let values = |output: &Output| -> Vec<String> {
        text(&output.stdout)
            .lines()
            .map(|line| line.split(" # ").next().unwrap().to_owned())
            .collect()
    };
    assert!(values(&first).contains(&"rps = 7".to_owned()));
    assert_eq!(values(&first), values(&second));
}

/// What is wrong, and what the message has to contain.
#[track_caller]
fn refused(arguments: &[&str], environment: &[(&str, &str)], expected: &[&str]) {
    for verb in [&["config", "check"][..], &["run", "--dev"]] {
        let output = micronode(&[verb, arguments].concat(), environment);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(output.stdout.is_empty());
        for part in expected {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let (_directory, path) = file("[limits]\nrsp = 100\n");
    let arguments = ["--config", path.to_str().unwrap()];
    refused(&arguments, &[], &["limits.rsp", "limits.rps", ":2"]);
    let environment = [("MICRO_LIMITS__INFLIGHT", "7")];
    let expected = ["MICRO_LIMITS__INFLIGHT", "MICRO_LIMITS__IN_FLIGHT"];
    refused(&[], &environment, &expected);
}

#[test]
fn a_cap_that_may_only_be_tightened_is_not_loosened() {
    for (key, loosened, bound) in [
        ("head_deadline", "\"6s\"", "5s"),
        ("one_shot_body", "\"2MiB\"", "1MiB"),
        ("head_fields", "65", "64"),
        ("decompress_ratio", "11", "10"),
        ("progress_min_rate", "\"1KiB\"", "4KiB"),
    ] {
        let (_directory, path) = file(&format!("[limits]\n{key} = {loosened}\n"));
        let arguments = ["--config", path.to_str().unwrap()];
        refused(&arguments, &[], &[&format!("limits.{key}"), bound, "cap"]);
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let (_directory, path) = file("bind = \"here\"\n[limits]\nrps = -1\n");
    let arguments = ["--config", path.to_str().unwrap(), "--memory", "1KiB"];
    let environment = [("MICRO_LIMITS__HEAD_DEADLINE", "5")];
    let expected = [
        "bind",
        "limits.rps",
        "MICRO_LIMITS__HEAD_DEADLINE",
        "--memory",
    ];
    refused(&arguments, &environment, &expected);
    refused(
        &["--config", "/no/such/file.toml"],
        &[],
        &["/no/such/file.toml"],
    );
}
