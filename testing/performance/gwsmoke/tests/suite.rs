//! `gwsmoke suite` from outside: what it writes, and when it fails.
#![allow(clippy::unwrap_used)]

mod support;

use gwsmoke::slo::Verdict;
use gwsmoke::spec::LoadSpec;
use gwsmoke::suite::result::SuiteResult;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use support::{binary, echo, measure, node};

/// Runs it from another folder than that of the repository, as it may be.
fn run(node: &Path, only: &[&str]) -> (Output, Option<SuiteResult>, String) {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("new/suite");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwsmoke"));
    command.args(["suite", "--quick", "--out"]).arg(&out);
    command.arg("--node").arg(node);
    for name in only {
        command.args(["--only", name]);
    }
    // What it is told of by its environment alone: where to find `perf`.
    command.env_clear().env("PATH", "/usr/bin:/bin");
    let output = command.current_dir("/").output().unwrap();
    let json = std::fs::read(out.join("suite.json")).ok();
    let suite = json.map(|json| serde_json::from_slice(&json).unwrap());
    let report = std::fs::read_to_string(out.join("report.html")).unwrap_or_default();
    (output, suite, report)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A node that has been set up for fewer requests than it should take.
fn throttled(directory: &Path) -> std::path::PathBuf {
    let path = directory.join("throttled");
    let node = binary().display();
    std::fs::write(
        &path,
        format!("#!/bin/sh\nMICRO_LIMITS__RPS=250 exec {node} \"$@\"\n"),
    )
    .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn what_was_asked_for_is_measured_written_and_held_against_its_levels() {
    let (output, suite, report) = run(binary(), &["get_1k", "put_1k", "cold_start", "limits"]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let suite = suite.unwrap_or_else(|| panic!("{stdout}{stderr}"));
    assert_eq!(suite.skipped, Vec::<String>::new());
    let names: Vec<&str> = suite
        .scenarios
        .iter()
        .map(|it| it.scenario.as_str())
        .collect();
    assert_eq!(names, ["get_1k", "put_1k"]);
    for result in &suite.scenarios {
        assert!(result.achieved_rps > 0.0, "{result:?}");
        assert!(result.node == suite.node && !suite.node.version.is_empty());
    }
    // Somebody listened, or there would be nothing to miss.
    let published = suite.scenarios[1]
        .server_counters
        .get("bus_published_total");
    assert!(published.is_some_and(|published| *published > 1.0));
    assert_eq!(suite.cold_start.as_ref().unwrap().starts, 5);
    for limit in &suite.limits {
        assert!(limit.holds, "{limit:?}");
    }
    let row = |id: &str| suite.slo.iter().find(|row| row.id == id).unwrap();
    for id in [
        "limit_in_flight",
        "limit_body",
        "limit_decompress",
        "limits_probed",
        "cold_start",
    ] {
        assert_eq!(row(id).verdict, Verdict::Pass, "{:?}", row(id));
    }
    assert_eq!(row("limit_rps").measured, Some(500.0));
    assert_eq!(row("edge_cpu").verdict, Verdict::NotMeasured);
    assert_eq!(row("integrity_502").verdict, Verdict::Elsewhere);
    // The table is the last thing that is printed, before where the files are.
    let table = &stdout[stdout.find("service level").unwrap()..];
    for row in &suite.slo {
        assert!(table.contains(&row.title), "{}: {table}", row.title);
    }
    assert!(report.starts_with("<!doctype html>") && report.contains("get_1k"));
    // Not by latencies, which another's work may have spoiled: by what cannot be.
    let failed = suite.slo.iter().any(|row| row.verdict == Verdict::Fail);
    assert_eq!(
        output.status.code(),
        Some(i32::from(failed)),
        "{stdout}{stderr}"
    );
}

#[test]
fn a_level_that_is_missed_is_an_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let (output, suite, _) = run(&throttled(directory.path()), &["get_1k", "limits"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let suite = suite.unwrap();
    let row = |id: &str| suite.slo.iter().find(|row| row.id == id).unwrap();
    assert_eq!(row("limit_rps").verdict, Verdict::Fail);
    assert_eq!(row("limit_rps").measured, Some(250.0));
    assert_eq!(row("limits_probed").verdict, Verdict::Fail);
    assert!(text(&output.stdout).contains("FAIL limits.rps = 250"));
}

#[test]
fn what_cannot_be_measured_is_told_and_fails() {
    let (output, suite, report) = run(Path::new("/bin/false"), &["get_1k", "cold_start"]);
    assert_eq!(output.status.code(), Some(1));
    let skipped = suite.unwrap().skipped;
    assert_eq!(skipped.len(), 2, "{skipped:?}");
    assert!(
        skipped[0].starts_with("get_1k: /bin/false did not start"),
        "{skipped:?}"
    );
    assert!(report.contains("did not start"));
}

#[test]
fn an_unknown_part_is_wrong_usage_before_anything_is_run() {
    let (output, suite, _) = run(binary(), &["get_1k", "nothing"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(suite.is_none());
    let told = text(&output.stderr);
    assert!(
        told.contains("--only nothing: there are get_1k, "),
        "{told}"
    );
}

#[test]
fn a_load_with_a_delay_goes_the_longer_way() {
    let node = node(&[]);
    let spec = LoadSpec {
        delay_ms: 60.0,
        connections: 16,
        ..echo(Some(50.0), 1.0)
    };
    let result = measure(&spec, &node);
    assert_eq!((result.requests, result.errors), (50, 0), "{result:?}");
    assert!(result.latency_ms.p50 >= 60.0, "{result:?}");
}
