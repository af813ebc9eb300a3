//! `gwsmoke gate` as a script runs it: files in, exit code out.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use gwsmoke::result::Machine;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What `load --json` writes, with whole numbers that are easy to change.
fn load(scenario: &str) -> Value {
    json!({
        "schema": 1,
        "scenario": scenario,
        "started_unix_s": 1_795_478_400,
        "machine": serde_json::to_value(Machine::here()).unwrap(),
        "node": { "version": "0.1.0", "revision": null },
        "spec": { "name": scenario },
        "measured_s": 10.0,
        "offered_rps": 400.0,
        "achieved_rps": 400.0,
        "requests": 4000,
        "errors": 0,
        "status_counts": { "200": 4000 },
        "received_bytes": 4_096_000,
        "sent_bytes": 0,
        "latency_ms": {
            "p50": 0.1, "p90": 0.2, "p95": 0.2, "p99": 0.4, "p999": 0.5, "max": 1.0, "mean": 0.1
        },
        "operations": {},
        "timeline": [],
        "server_cpu_us_per_request": 40.0,
        "server_cpu_cores": 0.01,
        "server_rss_bytes_max": 10_000_000,
        "server_fds_max": 20,
        "server_fds_limit": 1024,
        "client_cpu_cores": 0.02,
        "server_counters": {}
    })
}

/// Two builds side by side, in so many rounds, the new one so much slower.
fn ab(rounds: usize, slower: f64) -> Value {
    let columns = |slower: f64| {
        json!({
            "latency_ms.p95": vec![0.2 * slower; rounds],
            "achieved_rps": vec![10_000.0; rounds],
            "server_cpu_us_per_request": vec![40.0; rounds],
            "server_rss_bytes_max": vec![10_000_000; rounds],
            "requests": vec![5000; rounds],
            "errors": vec![0; rounds],
            "refused": vec![0; rounds],
            "client_cpu_cores": vec![0.5; rounds],
        })
    };
    let variant = |name| json!({ "name": name, "node": { "version": "0.1.0", "revision": null } });
    json!({
        "schema": 1,
        "passed": true,
        "comparisons": [],
        "rounds": {
            "schema": 1,
            "started_unix_s": 1,
            "duration_s": 60.0,
            "machine": serde_json::to_value(Machine::here()).unwrap(),
            "seed": 7,
            "variants": [variant("base"), variant("new")],
            "scenarios": [{ "spec": { "name": "get" }, "columns": [columns(1.0), columns(slower)] }],
        }
    })
}

/// Files of a gate.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: impl AsRef<str>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text.as_ref()).unwrap();
        path
    }

    fn json(&self, name: &str, value: &Value) -> PathBuf {
        self.write(name, value.to_string())
    }
}

/// The exit code, and all that was said.
fn run(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwsmoke"));
    let output = command.arg("gate").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

fn gate(baseline: &Path, result: &Path) -> (i32, String) {
    run(&[&"--baseline", &baseline, &"--result", &result])
}

/// The gate on a result that differs from its baseline at a place of the JSON.
fn changed(pointer: &str, value: &Value) -> (i32, String) {
    let files = Files::new();
    let mut result = load("get_1k");
    *result.pointer_mut(pointer).unwrap() = value.clone();
    let baseline = files.json("baseline.json", &load("get_1k"));
    gate(&baseline, &files.json("result.json", &result))
}

#[test]
fn exit_codes_follow_the_numbers() {
    for (pointer, value, code, told) in [
        ("/latency_ms/p95", json!(0.2), 0, "ok"),
        ("/latency_ms/p95", json!(0.22), 0, "+10.00 %"),
        (
            "/latency_ms/p95",
            json!(0.2202),
            1,
            "get_1k.latency_ms.p95 rose by 10.10 %",
        ),
        ("/achieved_rps", json!(360.0), 0, "-10.00 %"),
        (
            "/achieved_rps",
            json!(359.0),
            1,
            "get_1k.achieved_rps fell by 10.25 %",
        ),
        ("/server_cpu_us_per_request", json!(46.0), 0, "+15.00 %"),
        (
            "/server_cpu_us_per_request",
            json!(46.1),
            1,
            "per_request rose by 15.25 %",
        ),
        ("/server_rss_bytes_max", json!(11_500_000), 0, "+15.00 %"),
        (
            "/server_rss_bytes_max",
            json!(11_500_001),
            1,
            "rss_bytes_max rose by 15.00 %",
        ),
        ("/errors", json!(3), 0, "0.0750 %"),
        ("/errors", json!(4), 1, "get_1k.errors: 0.1000 % of all"),
        (
            "/status_counts",
            json!({ "429": 40 }),
            1,
            "get_1k.refusals: 1.0000 %",
        ),
        (
            "/status_counts",
            json!({ "500": 4 }),
            1,
            "get_1k.errors: 0.1000 %",
        ),
        (
            "/server_counters",
            json!({ "bus_lagged_total": 1, "bus_published_total": 9 }),
            1,
            "bus_overflow",
        ),
        // Missing, zero, or nonsense.
        (
            "/server_cpu_us_per_request",
            json!(null),
            1,
            "the result does not",
        ),
        ("/latency_ms/p95", json!(0), 1, "0 is no measure"),
        ("/achieved_rps", json!(0), 1, "fell by 100.00 %"),
        ("/requests", json!(0), 1, "nothing was measured"),
        ("/latency_ms/p95", json!(null), 2, "get_1k: "),
        ("/latency_ms/p95", json!("0.2"), 2, "get_1k: "),
        ("/latency_ms/p95", json!(-0.2), 2, "latency_ms.p95 is -0.2"),
        ("/achieved_rps", json!(-1), 2, "achieved_rps is -1"),
        ("/schema", json!(2), 2, "schema 2"),
        ("/schema", json!("1"), 2, "schema \"1\""),
        // Something else.
        (
            "/scenario",
            json!("get_64k"),
            1,
            "get_1k: the baseline has this scenario",
        ),
        (
            "/machine/fingerprint",
            json!("0"),
            3,
            "another machine: fingerprint",
        ),
        ("/machine/cores", json!(999), 3, "--base BIN --new BIN"),
        ("/spec/connections", json!(64), 3, "connections"),
    ] {
        let mut value = value;
        let pointer = if pointer == "/spec/connections" {
            value = json!({ "name": "get_1k", "connections": value });
            "/spec"
        } else {
            pointer
        };
        let (exit, said) = changed(pointer, &value);
        assert_eq!(exit, code, "{pointer} {value}: {said}");
        assert!(said.contains(told), "{pointer} {value}: {said}");
    }
}

#[test]
fn files_that_are_no_results_are_errors() {
    let files = Files::new();
    let good = files.json("good.json", &load("get"));
    let suite = |scenarios: Value| json!({ "schema": 1, "scenarios": scenarios }).to_string();
    for (text, told) in [
        (String::new(), "EOF"),
        ("{".to_owned(), "EOF"),
        ("[]".to_owned(), "no `schema`"),
        ("{}".to_owned(), "no `schema`"),
        (json!({ "schema": 1 }).to_string(), "it is no result"),
        (load("get").to_string().replace("0.4", "NaN"), "expected"),
        (
            load("get").to_string().replace("0.4", "1e999"),
            "out of range",
        ),
        (suite(json!([])), "no scenario"),
        (suite(json!({})), "no list"),
        (suite(json!([1])), "no `schema`"),
        (suite(json!([load("a"), load("a")])), "more than once"),
        (suite(json!([load("")])), "no name"),
        (
            json!({ "schema": 9, "scenarios": [load("get")] }).to_string(),
            "schema 9",
        ),
    ] {
        let bad = files.write("bad.json", &text);
        for (exit, said) in [gate(&good, &bad), gate(&bad, &good)] {
            assert_eq!(exit, 2, "{text}: {said}");
            assert!(
                said.contains(told) && said.contains("bad.json"),
                "{text}: {said}"
            );
        }
    }
    let (exit, said) = gate(&good, Path::new("/nowhere/result.json"));
    assert!(exit == 2 && said.contains("/nowhere/result.json"), "{said}");
    let (exit, said) = run(&[&"--result", &good]);
    assert!(exit == 2 && said.contains("--baseline"), "{said}");
}

#[test]
fn a_suite_is_compared_scenario_by_scenario() {
    let files = Files::new();
    let mut slower = load("put");
    slower["latency_ms"]["p95"] = json!(0.5);
    // Any list of scenarios will do.
    let baseline = json!({ "scenarios": [load("get"), load("put")] });
    let result = json!({ "schema": 1, "scenarios": [slower, load("get"), load("new")] });
    let (exit, said) = gate(
        &files.json("baseline.json", &baseline),
        &files.json("result.json", &result),
    );
    assert_eq!(exit, 1, "{said}");
    assert!(
        said.contains("FAILED: put.latency_ms.p95 rose by 150.00 %"),
        "{said}"
    );
    assert!(!said.contains("FAILED: get"), "{said}");
}

#[test]
fn waivers_let_pass_what_they_name_until_they_expire() {
    let files = Files::new();
    let mut result = load("get");
    result["latency_ms"]["p95"] = json!(1.0);
    let baseline = files.json("baseline.json", &load("get"));
    let result = files.json("result.json", &result);
    let waivers = |metric: &str, issue: &str, expires: &str| {
        let text = format!(
            "[[waiver]]\nmetric = \"{metric}\"\nissue = \"{issue}\"\nexpires = \"{expires}\"\n"
        );
        let waivers = files.write("waivers.toml", text);
        run(&[
            &"--baseline",
            &baseline,
            &"--result",
            &result,
            &"--waivers",
            &waivers,
        ])
    };
    let issue = "https://github.com/hyperium/hyper/issues/1";
    for (metric, issue, expires, code, told) in [
        (
            "get.latency_ms.p95",
            issue,
            "2999-01-01",
            0,
            "waived: get.latency_ms.p95 rose by 400.00 %",
        ),
        (
            "latency_ms.p95",
            issue,
            "2999-01-01",
            0,
            "waived until 2999-01-01: https://github.com/",
        ),
        (
            "put.latency_ms.p95",
            issue,
            "2999-01-01",
            1,
            "not needed here: the waiver of put",
        ),
        (
            "get.achieved_rps",
            issue,
            "2999-01-01",
            1,
            "FAILED: get.latency_ms.p95",
        ),
        (
            "get.latency_ms.p95",
            issue,
            "2020-01-01",
            2,
            "expired on 2020-01-01",
        ),
        (
            "get.achieved_rps",
            issue,
            "2020-01-01",
            2,
            "expired on 2020-01-01",
        ),
        ("get.latency_ms.p95", "", "2999-01-01", 2, "`issue`"),
        ("get.latency_ms.p95", issue, "2999-02-30", 2, "`expires`"),
        ("get.latency_ms.p96", issue, "2999-01-01", 2, "`metric`"),
    ] {
        let (exit, said) = waivers(metric, issue, expires);
        assert_eq!(exit, code, "{metric} {issue} {expires}: {said}");
        assert!(said.contains(told), "{metric} {issue} {expires}: {said}");
    }
    let missing = files.0.path().join("none.toml");
    let (exit, _) = run(&[
        &"--baseline",
        &baseline,
        &"--result",
        &result,
        &"--waivers",
        &missing,
    ]);
    assert_eq!(exit, 2);
}

#[test]
fn a_folder_has_a_baseline_for_each_machine() {
    let files = Files::new();
    let folder = files.0.path().join("baselines");
    std::fs::create_dir(&folder).unwrap();
    let result = files.json("result.json", &load("get"));
    let mut other = load("get");
    other["machine"]["cpu"] = json!("another");
    other["latency_ms"]["p95"] = json!(0.001);
    files.json("baselines/other.json", &other);
    files.write("baselines/README.md", "not a baseline");
    let (exit, said) = gate(&folder, &result);
    assert!(
        exit == 3 && said.contains("no baseline of this machine"),
        "{said}"
    );
    files.json("baselines/this.json", &load("get"));
    let (exit, said) = gate(&folder, &result);
    assert_eq!(exit, 0, "{said}");
    files.json("baselines/twice.json", &load("get"));
    let (exit, said) = gate(&folder, &result);
    assert!(exit == 2 && said.contains("which is it?"), "{said}");
}

#[test]
fn a_comparison_of_builds_needs_no_baseline() {
    let files = Files::new();
    let of = |value: &Value| run(&[&"--result", &files.json("ab.json", value)]);
    let (exit, said) = of(&ab(20, 1.05));
    assert_eq!(exit, 0, "{said}");
    let (exit, said) = of(&ab(20, 1.2));
    assert_eq!(exit, 1, "{said}");
    let told = "get.latency_ms.p95 rose by 20.00 % (95 % interval +20.0 to +20.0 %), and 10 %";
    assert!(said.contains(told), "{said}");

    let mut wide = ab(5, 1.0);
    let columns = "/rounds/scenarios/0/columns/1/latency_ms.p95";
    *wide.pointer_mut(columns).unwrap() = json!([0.1, 0.12, 0.24, 0.4, 0.5]);
    let (exit, said) = of(&wide);
    assert!(
        exit == 3 && said.contains("unsure: get.latency_ms.p95"),
        "{said}"
    );

    let mut ragged = ab(5, 1.0);
    *ragged.pointer_mut(columns).unwrap() = json!([0.1]);
    assert_eq!(of(&ragged).0, 2);
    let baseline = files.json("baseline.json", &ab(5, 1.0));
    let result = files.json("result.json", &load("get"));
    let (exit, said) = gate(&baseline, &result);
    assert!(exit == 2 && said.contains("no baseline"), "{said}");
}

#[test]
fn findings_are_written_as_json() {
    let files = Files::new();
    let mut result = load("get");
    result["achieved_rps"] = json!(100.0);
    let (baseline, result) = (
        files.json("baseline.json", &load("get")),
        files.json("result.json", &result),
    );
    let json = files.0.path().join("gate.json");
    let (exit, _) = run(&[
        &"--baseline",
        &baseline,
        &"--result",
        &result,
        &"--json",
        &json,
    ]);
    assert_eq!(exit, 1);
    let written: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(written["schema"], 1);
    assert_eq!(written["passed"], false);
    let findings = written["findings"].as_array().unwrap();
    let failed: Vec<_> = findings
        .iter()
        .filter(|f| f["outcome"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["metric"], "get.achieved_rps");
    assert_eq!(failed[0]["change_percent"], -75.0);
    assert_eq!(failed[0]["allowed_percent"], 10.0);
}
