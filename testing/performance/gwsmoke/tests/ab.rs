//! Two builds in turn, with a real node: short, so that what is looked at are turns and exit codes
//! and not the machine.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::path::Path;
use std::process::Command;

use gwsmoke::ab::{Rounds, replay};
use gwsmoke::fetch;
use gwsmoke::node::Node;
use serde_json::Value;
use support::binary;

const SCENARIO: &str = "name = \"short\"\nconnections = 2\nduration_s = 0.3\nwarm_up_s = 0.0\n\
                        node_flags = [\"--rps=0\"]\n";

struct Told {
    exit: i32,
    text: String,
}

fn gwsmoke(folder: &Path, arguments: &[&str]) -> Told {
    std::fs::write(folder.join("short.toml"), SCENARIO).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwsmoke"));
    let output = command
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    Told {
        exit: output.status.code().unwrap(),
        text,
    }
}

/// Three rounds of the node's build and itself, with `more` flags; written to `ab.json`.
fn against_itself(folder: &Path, more: &[&str]) -> Told {
    let node = binary().to_str().unwrap();
    let files = ["--scenario", "short.toml", "--json", "ab.json"];
    let builds = ["ab", "--base", node, "--new", node, "--rounds", "3"];
    gwsmoke(folder, &[&builds[..], &files, more].concat())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Whether the node can be made worse on purpose: one that `cargo test` builds can.
fn has_faults() -> bool {
    let node = Node::start(binary(), &[]).unwrap();
    let (_, version) = fetch::get(node.admin.unwrap(), "/version").unwrap();
    node.stop().unwrap();
    let version: Value = serde_json::from_slice(&version).unwrap();
    let has = version["features"]
        .as_array()
        .unwrap()
        .contains(&"faults".into());
    if !has {
        let skipped = "NOT TESTED: a node without faults cannot be made worse\n";
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
    }
    has
}

#[test]
fn every_round_of_both_builds_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let told = against_itself(folder.path(), &["--seed", "5"]);
    // Three rounds of a moment may say anything but that they could not be had.
    assert!([0, 1, 3].contains(&told.exit), "{}", told.text);
    assert!(
        told.text.contains("in the order of seed 5"),
        "{}",
        told.text
    );
    let said = json(&folder.path().join("ab.json"));
    let rounds: Rounds = serde_json::from_value(said["rounds"].clone()).unwrap();
    rounds.check().unwrap();
    assert_eq!((rounds.rounds(), rounds.seed), (3, 5));
    let names: Vec<_> = rounds.variants.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["base", "new"]);
    assert!(!rounds.variants[1].node.version.is_empty());
    assert_eq!(said["comparisons"].as_array().unwrap().len(), 7);

    // The gate says of the file what was said when it was measured.
    let again = gwsmoke(folder.path(), &["gate", "--result", "ab.json"]);
    assert_eq!(again.exit, told.exit);
    assert!(
        told.text.ends_with(&again.text),
        "{} {}",
        told.text,
        again.text
    );
}

#[test]
fn a_build_that_is_worse_is_found() {
    if !has_faults() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let slower = ["--new-env", "MICRO_FAULT_SLOWER_PERCENT=400"];
    let fatter = ["--new-env", "MICRO_FAULT_FATTER_PERCENT=100"];
    let told = against_itself(folder.path(), &[slower, fatter].concat());
    assert_eq!(told.exit, 1, "{}", told.text);
    for metric in [
        "server_cpu_us_per_request",
        "achieved_rps_per_core",
        "server_rss_bytes_max",
    ] {
        let failed = format!("FAILED: short.{metric}");
        assert!(told.text.contains(&failed), "{metric}: {}", told.text);
    }
    let said = json(&folder.path().join("ab.json"));
    assert_eq!(said["passed"], false);
    let environment = &said["rounds"]["variants"][1]["environment"];
    assert_eq!(environment["MICRO_FAULT_SLOWER_PERCENT"], "400");
}

#[test]
fn a_recording_has_a_build_itself_and_two_that_are_worse() {
    if !has_faults() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = binary().to_str().unwrap();
    let told = gwsmoke(
        folder.path(),
        &[
            "ab",
            "--record",
            "rounds.json",
            "--base",
            node,
            "--rounds",
            "2",
            "--scenario",
            "short.toml",
        ],
    );
    assert_eq!(told.exit, 0, "{}", told.text);
    let rounds = json(&folder.path().join("rounds.json"));
    let rounds: Rounds = serde_json::from_value(rounds).unwrap();
    let replayed = replay(&rounds, 10, 5, 1).unwrap();
    let same: Vec<_> = replayed
        .iter()
        .map(|r| (r.variant.as_str(), r.is_same))
        .collect();
    assert_eq!(
        same,
        [("again", true), ("slower", false), ("fatter", false)]
    );
    let told = gwsmoke(
        folder.path(),
        &["ab", "--replay", "rounds.json", "--virtual-runs", "5"],
    );
    assert!([0, 1].contains(&told.exit), "{}", told.text);
    let head = "5 runs of 30 rounds each, drawn from 2 recorded";
    assert!(told.text.starts_with(head), "{}", told.text);
}

#[test]
fn on_another_machine_the_gate_compares_builds() {
    let folder = tempfile::tempdir().unwrap();
    let node = binary().to_str().unwrap();
    let load = [
        "load",
        "--scenario",
        "short.toml",
        "--node",
        node,
        "--json",
        "result.json",
    ];
    let told = gwsmoke(folder.path(), &load);
    assert_eq!(told.exit, 0, "{}", told.text);
    let mut baseline = json(&folder.path().join("result.json"));
    baseline["machine"]["cpu"] = "another".into();
    std::fs::write(folder.path().join("baseline.json"), baseline.to_string()).unwrap();
    let gate = [
        "gate",
        "--baseline",
        "baseline.json",
        "--result",
        "result.json",
    ];
    let told = gwsmoke(folder.path(), &gate);
    assert_eq!(told.exit, 3, "{}", told.text);
    let builds = [
        "--base",
        node,
        "--new",
        node,
        "--rounds",
        "2",
        "--scenario",
        "short.toml",
    ];
    let told = gwsmoke(folder.path(), &[&gate[..], &builds].concat());
    assert!([0, 1, 3].contains(&told.exit), "{}", told.text);
    assert!(
        told.text.contains("so the two builds are compared"),
        "{}",
        told.text
    );
    assert!(
        told.text.contains("short.achieved_rps_per_core"),
        "{}",
        told.text
    );
}

#[test]
fn builds_that_cannot_be_compared_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let node = binary().to_str().unwrap();
    let ab = |arguments: &[&str]| gwsmoke(folder.path(), &[&["ab"], arguments].concat());
    for (arguments, exit, what) in [
        (vec![], 2, "--base BIN --new BIN"),
        (vec!["--base", node], 2, "--base BIN --new BIN"),
        (
            vec!["--base", node, "--new", "/nowhere"],
            1,
            "new, round 1, ab_closed: /nowhere",
        ),
        (
            vec!["--base", "true", "--new", node, "--scenario", "short.toml"],
            1,
            "did not start",
        ),
        (
            vec!["--base", node, "--new", node, "--rounds", "0"],
            2,
            "--rounds",
        ),
        (
            vec!["--base", node, "--new", node, "--new-env", "X"],
            2,
            "NAME=VALUE",
        ),
        (vec!["--replay", "short.toml"], 2, "short.toml"),
        (vec!["--replay", "none.json"], 1, "none.json"),
        (
            vec![
                "--base",
                node,
                "--new",
                node,
                "--scenario",
                "short.toml",
                "--scenario",
                "short.toml",
            ],
            2,
            "called short",
        ),
    ] {
        let told = ab(&arguments);
        assert_eq!(told.exit, exit, "{arguments:?}: {}", told.text);
        assert!(told.text.contains(what), "{arguments:?}: {}", told.text);
    }
}
