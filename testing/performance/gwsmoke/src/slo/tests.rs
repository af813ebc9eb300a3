#![allow(clippy::unwrap_used)]

use super::*;
use crate::result::LoadResult;
use crate::suite::result::{BeyondCap, ColdStart, Comparisons, EdgeOperation};
use crate::suite::sample;
use std::path::Path;

const SCENARIOS: &[&str] = &["get", "put"];

/// A file of one level, with these lines in it beside its name.
fn one(lines: &str) -> Result<Levels, String> {
    let head = "[[slo]]\nid = 'it'\ntitle = 'It'\nsource = '§1'\nunit = 'ms'\n";
    Levels::parse(&format!("{head}{lines}"), SCENARIOS).map_err(|error| error.to_string())
}

/// The row of such a file.
#[track_caller]
fn judged(lines: &str, suite: &SuiteResult) -> Row {
    let rows = evaluate(&one(lines).unwrap(), suite);
    assert_eq!(rows.len(), 1);
    rows.into_iter().next().unwrap()
}

fn scenario(name: &str, p95: f64) -> LoadResult {
    let mut result = sample::load();
    result.scenario = name.to_owned();
    result.latency_ms.p95 = p95;
    result
}

fn suite(scenarios: Vec<LoadResult>) -> SuiteResult {
    SuiteResult {
        scenarios,
        ..sample::suite()
    }
}

const P95: &str = "scenario = 'get'\nkey = 'latency_ms.p95'\n";

#[test]
fn a_bound_is_inside_or_outside_as_its_sign_says() {
    for (comparison, below, at, above) in [
        ("<", true, false, false),
        ("<=", true, true, false),
        (">=", false, true, true),
        ("=", false, true, false),
    ] {
        let lines = format!("{P95}comparison = '{comparison}'\nfloor = 80");
        for (value, pass) in [(79.9, below), (80.0, at), (80.1, above)] {
            let row = judged(&lines, &suite(vec![scenario("get", value)]));
            let expected = if pass { Verdict::Pass } else { Verdict::Fail };
            assert_eq!(row.verdict, expected, "{value} {comparison} 80");
            assert_eq!(row.measured, Some(value));
        }
    }
}

#[test]
fn a_missed_goal_is_told_and_fails_nothing() {
    let lines = format!("{P95}comparison = '<'\nfloor = 80\ngoal = 5");
    let row = judged(&lines, &suite(vec![scenario("get", 6.0)]));
    assert_eq!((row.verdict, row.goal_met), (Verdict::Pass, Some(false)));
    assert!(!row.verdict.fails(Level::Full));
    let table = table(&[row]);
    assert!(table.contains("pass, goal missed"), "{table}");
    let row = judged(&lines, &suite(vec![scenario("get", 4.0)]));
    assert_eq!((row.verdict, row.goal_met), (Verdict::Pass, Some(true)));
}

#[test]
fn what_was_not_measured_fails_a_full_suite() {
    let lines = format!("{P95}comparison = '<'\nfloor = 80");
    let row = judged(&lines, &suite(vec![scenario("put", 1.0)]));
    assert_eq!((row.verdict, row.measured), (Verdict::NotMeasured, None));
    assert_eq!(row.note.as_deref(), Some("get was not run"));
    assert!(row.verdict.fails(Level::Full) && !row.verdict.fails(Level::Quick));
    assert!(table(&[row]).contains("get was not run"));
}

#[test]
fn percentiles_of_nothing_and_what_is_no_number_are_not_measured() {
    let lines = format!("{P95}comparison = '<'\nfloor = 80");
    let mut nothing = scenario("get", 0.0);
    nothing.achieved_rps = 0.0;
    assert_eq!(
        judged(&lines, &suite(vec![nothing])).verdict,
        Verdict::NotMeasured
    );
    let row = judged(&lines, &suite(vec![scenario("get", f64::NAN)]));
    assert_eq!(row.verdict, Verdict::NotMeasured);
}

#[test]
fn the_worst_of_several_scenarios_counts_and_is_named() {
    let lines = "scenario = ['get', 'put']\nkey = 'latency_ms.p95'\n";
    let lines = format!("{lines}comparison = '<'\nfloor = 80");
    let both = |get, put| suite(vec![scenario("get", get), scenario("put", put)]);
    let row = judged(&lines, &both(81.0, 3.0));
    assert_eq!(row.verdict, Verdict::Fail);
    assert_eq!(row.scenario.as_deref(), Some("get"));
    let row = judged(&lines, &both(2.0, 3.0));
    assert_eq!((row.verdict, row.measured), (Verdict::Pass, Some(3.0)));
    assert_eq!(row.scenario.as_deref(), Some("put"));
    // One that is missing is not made up for by one that is good.
    let row = judged(&lines, &suite(vec![scenario("get", 1.0)]));
    assert_eq!(row.verdict, Verdict::NotMeasured);
}

#[test]
fn for_a_least_value_the_worst_is_the_smallest() {
    let lines = "scenario = ['get', 'put']\nkey = 'achieved_rps'\ncomparison = '>='\nfloor = 500";
    let mut few = scenario("put", 1.0);
    few.achieved_rps = 400.0;
    let mut many = scenario("get", 1.0);
    many.achieved_rps = 9000.0;
    let row = judged(lines, &suite(vec![many, few]));
    assert_eq!((row.verdict, row.measured), (Verdict::Fail, Some(400.0)));
}

#[test]
fn shares_are_worked_out_from_counts() {
    let mut get = scenario("get", 1.0);
    get.requests = 1000;
    get.errors = 3;
    get.status_counts = [("200", 980), ("429", 12), ("503", 5), ("502", 3)]
        .map(|(status, count)| (status.to_owned(), count))
        .into();
    get.server_cpu_cores = Some(1.4);
    get.machine.cores = 2;
    get.server_fds_max = Some(70);
    get.server_fds_limit = Some(1000);
    get.server_counters = [
        ("bus_published_total", 2000.0),
        ("bus_lagged_total{subscriber=\"internal\"}", 0.0),
        ("bus_lagged_total{subscriber=\"external\"}", 1.0),
    ]
    .map(|(name, risen)| (name.to_owned(), risen))
    .into();
    for (key, expected) in [
        ("failed_percent", 0.3),
        ("refused_percent", 1.7),
        ("server_cpu_percent_per_core", 70.0),
        ("server_cpu_percent", 140.0),
        ("server_fds_percent", 7.0),
        ("bus_overflow_percent", 0.05),
    ] {
        let value = keys::of_scenario(key).unwrap().of(&get).unwrap();
        assert!((value - expected).abs() < 1e-9, "{key}: {value}");
    }
    // Without events there is no share of them, and without requests none of those.
    get.server_counters.clear();
    get.requests = 0;
    for key in ["bus_overflow_percent", "failed_percent", "refused_percent"] {
        assert_eq!(keys::of_scenario(key).unwrap().of(&get), None, "{key}");
    }
}

#[test]
fn keys_of_the_suite_need_no_scenario() {
    let lines = "key = 'cold_start.max_ms'\ncomparison = '<'\nfloor = 2000";
    let mut suite = suite(Vec::new());
    assert_eq!(judged(lines, &suite).verdict, Verdict::NotMeasured);
    suite.cold_start = Some(ColdStart {
        starts: 5,
        min_ms: 4.0,
        p50_ms: 5.0,
        max_ms: 2000.0,
    });
    assert_eq!(judged(lines, &suite).verdict, Verdict::Fail);
    let lines = "key = 'beyond_cap.admin_latency_ms.p99'\ncomparison = '<='\nfloor = 50";
    suite.beyond_cap = Some(BeyondCap {
        cap_rps: 2000.0,
        offered_rps: 20_000.0,
        accepted_rps: 1990.0,
        accepted_percent: 99.5,
        accepted_latency_ms: Default::default(),
        admin_latency_ms: Default::default(),
        admin_requests: 0,
        admin_errors: 0,
        other_percent: 0.0,
    });
    // Nobody was asked: that is no fast answer.
    assert_eq!(judged(lines, &suite).verdict, Verdict::NotMeasured);
}

#[test]
fn what_needs_more_than_was_asked_for_is_not_a_failure() {
    let lines = "key = 'peers.get_1k_cpu_nginx'\ncomparison = '<='\ngoal = 1\nneeds = 'peers'";
    let mut suite = suite(Vec::new());
    suite.level = Level::Full;
    let row = judged(lines, &suite);
    assert_eq!(row.verdict, Verdict::LeftOut);
    assert!(!row.verdict.fails(Level::Full));
    suite.peers = Some(Comparisons::default());
    assert_eq!(judged(lines, &suite).verdict, Verdict::NotMeasured);
    let lines = format!("{P95}comparison = '<'\nfloor = 80\nneeds = 'full'");
    assert_eq!(judged(&lines, &suite).verdict, Verdict::NotMeasured);
    suite.level = Level::Quick;
    assert_eq!(judged(&lines, &suite).verdict, Verdict::LeftOut);
}

#[test]
fn what_the_processor_does_not_count_is_left_out_with_the_reason() {
    let lines =
        "key = 'edge.instructions_per_1000'\ncomparison = '<='\nneeds = 'instructions'\nnote = 'x'";
    let mut suite = suite(Vec::new());
    suite.edge.instructions_missing = Some("none here".to_owned());
    let row = judged(lines, &suite);
    assert_eq!(row.verdict, Verdict::LeftOut);
    assert_eq!(row.note.as_deref(), Some("none here"));
    // Where it could have been counted and was not, it is missing.
    suite.edge.instructions_missing = None;
    assert_eq!(judged(lines, &suite).verdict, Verdict::NotMeasured);
    suite.edge.operations.push(EdgeOperation {
        scenario: "capacity_get_1k".to_owned(),
        instructions_per_1000: Some(5e7),
        ..EdgeOperation::default()
    });
    let row = judged(lines, &suite);
    // Without a bound, it is told and that is all.
    assert_eq!((row.verdict, row.measured), (Verdict::Pass, Some(5e7)));
}

#[test]
fn what_is_tested_elsewhere_says_where() {
    let lines = "comparison = '='\ntested_in = 'here.rs'\nnote = 'by hand'";
    let row = judged(lines, &suite(Vec::new()));
    assert_eq!(row.verdict, Verdict::Elsewhere);
    assert_eq!(row.note.as_deref(), Some("tested in here.rs: by hand"));
}

#[test]
fn a_file_that_could_leave_a_level_unmeasured_is_refused() {
    for (lines, complaint) in [
        (
            "comparison = '<'\nfloor = 1",
            "needs `tested_in` or a `note`",
        ),
        (
            "scenario = 'get'\nkey = 'latency_ms.p94'\ncomparison = '<'\nfloor = 1",
            "no key is called `latency_ms.p94`; there are latency_ms.p50, latency_ms.p95",
        ),
        (
            "scenario = 'got'\nkey = 'latency_ms.p95'\ncomparison = '<'\nfloor = 1",
            "no scenario is called `got`",
        ),
        (
            "scenario = ['get', 'got']\nkey = 'latency_ms.p95'\ncomparison = '<'\nfloor = 1",
            "no scenario is called `got`",
        ),
        (
            "scenario = []\nkey = 'latency_ms.p95'\ncomparison = '<'\nfloor = 1",
            "an empty list of scenarios",
        ),
        // A key of a scenario without one, and the other way round.
        (
            "key = 'latency_ms.p95'\ncomparison = '<'\nfloor = 1",
            "no key is called `latency_ms.p95`; there are cold_start.p50_ms",
        ),
        (
            "scenario = 'get'\nkey = 'cold_start.max_ms'\ncomparison = '<'\nfloor = 1",
            "no key is called `cold_start.max_ms`",
        ),
        (
            "scenario = 'get'\ncomparison = '<'\nfloor = 1",
            "a scenario without a key",
        ),
        (
            "key = 'cold_start.max_ms'\ncomparison = '<'",
            "without a floor or a goal, it needs a `note`",
        ),
        (
            "key = 'cold_start.max_ms'\ncomparison = '<'\nfloor = nan",
            "a bound is a finite number",
        ),
        (
            "key = 'cold_start.max_ms'\ncomparison = '!'\nfloor = 1",
            "unknown variant",
        ),
        (
            "key = 'cold_start.max_ms'\ncomparison = '<'\nfloor = 1\ncieling = 2",
            "unknown field `cieling`",
        ),
        (
            "comparison = '='\nnote = 'x'\n[[slo]]\nid = 'it'\ntitle = ''\nsource = ''\ncomparison = '='\nnote = 'y'",
            "there are two of this id",
        ),
    ] {
        let error = one(lines).unwrap_err();
        assert!(error.contains(complaint), "{lines}: {error}");
    }
}

#[test]
fn where_the_repository_says_that_it_is_tested_it_is() {
    let scenarios = crate::suite::catalogue::names();
    let levels = Levels::built_in(&scenarios).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let mut tested = 0;
    for (id, path) in levels.tested_in() {
        assert!(root.join(path).is_file(), "{id}: {path} is not there");
        tested += 1;
    }
    assert!(tested > 0);
}

#[test]
fn numbers_have_the_digits_that_say_something() {
    for (value, text) in [
        (0.0, "0"),
        (500.0, "500"),
        (1048576.0, "1048576"),
        (12345.67, "12346"),
        (99.46, "99.5"),
        (4.567, "4.57"),
        (0.01234, "0.0123"),
        (0.1, "0.1"),
        (0.01, "0.01"),
        (12.04, "12"),
        (0.000_001, "0"),
        (-0.000_001, "0"),
        (-2.5, "-2.5"),
    ] {
        assert_eq!(number(value), text);
    }
}
