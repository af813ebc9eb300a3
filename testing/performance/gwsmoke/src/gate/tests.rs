#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::slice;

use proptest::prelude::*;

use super::*;
use crate::result::{Latency, Machine, NodeBuild, OperationResult};
use crate::spec::LoadSpec;

/// A scenario as `load` would have measured it.
fn measured(name: &str) -> LoadResult {
    LoadResult {
        schema: SCHEMA,
        scenario: name.to_owned(),
        started_unix_s: 1,
        machine: Machine::here(),
        node: NodeBuild::default(),
        spec: LoadSpec {
            name: name.to_owned(),
            ..LoadSpec::default()
        },
        measured_s: 10.0,
        offered_rps: 400.0,
        achieved_rps: 400.0,
        requests: 4000,
        errors: 0,
        unsent: 0,
        verified: 4000,
        connections_opened: 16,
        status_counts: BTreeMap::from([("200".to_owned(), 4000)]),
        received_bytes: 0,
        sent_bytes: 0,
        latency_ms: Latency {
            p95: 0.3,
            ..Latency::default()
        },
        operations: BTreeMap::new(),
        timeline: Vec::new(),
        server_cpu_us_per_request: Some(25.0),
        server_cpu_cores: Some(0.1),
        server_rss_bytes_max: Some(12_000_000),
        server_fds_max: None,
        server_fds_limit: None,
        client_cpu_cores: 0.1,
        pacing_late_ms: Latency::default(),
        server_counters: BTreeMap::new(),
        sweep: Vec::new(),
        knee_rps: None,
    }
}

/// What fails of `result` beside `baseline`.
fn failed(baseline: &[LoadResult], result: &[LoadResult]) -> Vec<String> {
    let judged = judge_absolute(Some(baseline), result);
    assert!(judged.is_compared, "{:?}", judged.reasons);
    let failed = judged.findings.iter();
    let failed = failed.filter(|finding| finding.outcome == Outcome::Failed);
    failed.map(|finding| finding.metric.clone()).collect()
}

fn with(change: impl FnOnce(&mut LoadResult)) -> Vec<LoadResult> {
    let mut result = measured("get");
    change(&mut result);
    vec![result]
}

fn worse(change: impl FnOnce(&mut LoadResult)) -> Vec<String> {
    failed(&[measured("get")], &with(change))
}

#[test]
fn the_same_is_no_worse() {
    assert!(worse(|_| ()).is_empty());
}

#[test]
fn each_bound_is_the_stated_one() {
    let p95 = |p95| worse(|result| result.latency_ms.p95 = p95);
    assert!(p95(0.33).is_empty() && p95(0.01).is_empty());
    assert_eq!(p95(0.3301), ["get.latency_ms.p95"]);

    let rps = |rps| worse(|result| result.achieved_rps = rps);
    assert!(rps(360.0).is_empty() && rps(1e6).is_empty());
    assert_eq!(rps(359.9), ["get.achieved_rps"]);
    assert_eq!(rps(0.0), ["get.achieved_rps"]);

    let cpu = |cpu| worse(|result| result.server_cpu_us_per_request = Some(cpu));
    assert!(cpu(28.75).is_empty());
    assert_eq!(cpu(28.76), ["get.server_cpu_us_per_request"]);

    let rss = |rss| worse(|result| result.server_rss_bytes_max = Some(rss));
    assert!(rss(13_800_000).is_empty());
    assert_eq!(rss(13_800_100), ["get.server_rss_bytes_max"]);
}

#[test]
fn budgets_are_burst_at_their_bounds() {
    let errors = |errors| worse(|result| result.errors = errors);
    assert!(errors(3).is_empty());
    assert_eq!(errors(4), ["get.errors"]);

    let status = |code: &str, count: u64| {
        worse(|result| {
            result.status_counts.insert(code.to_owned(), count);
        })
    };
    for code in ["500", "502", "none"] {
        assert!(status(code, 3).is_empty(), "{code}");
        assert_eq!(status(code, 4), ["get.errors"], "{code}");
    }
    for code in ["429", "503"] {
        assert!(status(code, 39).is_empty(), "{code}");
        assert_eq!(status(code, 40), ["get.refusals"], "{code}");
    }
    assert!(
        status("404", 4000).is_empty(),
        "what is an error, `errors` counts"
    );

    let lagged = |lagged: f64, published: f64| {
        worse(|result| {
            for (key, value) in [
                ("bus_lagged_total{subscriber=\"external\"}", lagged),
                ("bus_published_total", published),
                ("bus_lagged_totally_else", 1e9),
            ] {
                result.server_counters.insert(key.to_owned(), value);
            }
        })
    };
    assert!(lagged(1.0, 10_001.0).is_empty());
    assert_eq!(lagged(1.0, 10_000.0), ["get.bus_overflow"]);
    assert_eq!(lagged(1.0, 0.0), ["get.bus_overflow"]);
}

#[test]
fn what_is_meant_to_be_refused_is_on_no_budget_and_what_fails_is() {
    let beyond = |code: &str| {
        let mut base = measured("beyond");
        base.spec.beyond_cap = true;
        base.status_counts.insert(code.to_owned(), 3000);
        failed(&[base.clone()], &[base])
    };
    assert!(beyond("429").is_empty());
    assert_eq!(beyond("500"), ["beyond.errors"]);
}

#[test]
fn a_run_without_requests_measured_nothing() {
    let nothing = worse(|result| result.requests = 0);
    assert_eq!(nothing, ["get"]);
}

#[test]
fn what_is_missing_is_not_taken_for_no_worse() {
    let (get, put) = (measured("get"), measured("put"));
    assert_eq!(
        failed(&[get.clone(), put.clone()], slice::from_ref(&get)),
        ["put"]
    );
    assert!(failed(slice::from_ref(&get), &[put, get.clone()]).is_empty());

    let without = |change: fn(&mut LoadResult)| {
        let both = (worse(change), failed(&with(change), &[measured("get")]));
        assert_eq!(both.0, both.1);
        assert!(
            failed(&with(change), &with(change)).is_empty(),
            "measured by neither"
        );
        both.0
    };
    let cpu = without(|result| result.server_cpu_us_per_request = None);
    assert_eq!(cpu, ["get.server_cpu_us_per_request"]);
    let rss = without(|result| result.server_rss_bytes_max = None);
    assert_eq!(rss, ["get.server_rss_bytes_max"]);
}

#[test]
fn zero_is_no_measure() {
    type Change = fn(&mut LoadResult);
    let zero: [(&str, Change); 3] = [
        ("get.latency_ms.p95", |result| result.latency_ms.p95 = 0.0),
        ("get.server_cpu_us_per_request", |result| {
            result.server_cpu_us_per_request = Some(0.0);
        }),
        ("get.server_rss_bytes_max", |result| {
            result.server_rss_bytes_max = Some(0);
        }),
    ];
    for (metric, zero) in zero {
        assert_eq!(worse(zero), [metric]);
        assert_eq!(failed(&with(zero), &[measured("get")]), [metric]);
    }
    let zero = with(|result| result.achieved_rps = 0.0);
    assert_eq!(failed(&zero, &zero), ["get.achieved_rps"]);
}

#[test]
fn kinds_of_requests_are_looked_at_where_there_are_several() {
    let operation = |requests, p95| OperationResult {
        requests,
        latency_ms: Latency {
            p95,
            ..Latency::default()
        },
        ..OperationResult::default()
    };
    let mixed = |gets: f64, puts: f64| {
        let mut result = measured("mixed");
        let operations = [
            ("get", operation(3900, gets)),
            ("put", operation(100, puts)),
            ("has", operation(0, 0.0)),
        ];
        result.operations = operations
            .map(|(name, operation)| (name.to_owned(), operation))
            .into();
        [result]
    };
    assert!(failed(&mixed(1.0, 2.0), &mixed(1.0, 2.0)).is_empty());
    let slow_puts = failed(&mixed(1.0, 2.0), &mixed(1.0, 4.0));
    assert_eq!(slow_puts, ["mixed.operations.put.latency_ms.p95"]);
    let mut without = mixed(1.0, 2.0);
    without[0].operations.remove("put");
    assert_eq!(failed(&mixed(1.0, 2.0), &without), slow_puts);
}

#[test]
fn another_machine_or_load_is_not_compared_and_its_budgets_are() {
    let judge = |change: fn(&mut LoadResult)| {
        let mut result = measured("get");
        change(&mut result);
        judge_absolute(Some(&[measured("get")]), &[result])
    };
    let reasons = |change| {
        let judged = judge(change);
        assert!(!judged.is_compared);
        assert!(matches!(judged.exit(), Err(failure) if failure.exit() == Exit::Undecided));
        judged.reasons.concat()
    };
    let machine = reasons(|result| result.machine.cpu.push('x'));
    assert!(machine.contains("another machine: cpu"), "{machine}");
    let print = reasons(|result| result.machine.fingerprint = "0".to_owned());
    assert!(print.contains("another machine: fingerprint"), "{print}");
    let load = reasons(|result| result.spec.connections += 1);
    assert!(
        load.contains("get had connections = 16, and has 17"),
        "{load}"
    );
    let flags = reasons(|result| result.spec.node_flags.push("--rps=0".to_owned()));
    assert!(flags.contains("node_flags"), "{flags}");

    assert!(judge(|result| result.spec.seed += 1).is_compared);
    assert!(judge(|result| result.spec.about.push('x')).is_compared);

    let burst = judge(|result| {
        result.machine.cores += 1;
        result.errors = 4000;
        result.latency_ms.p95 = 1e9;
    });
    assert!(matches!(burst.exit(), Ok(Exit::Failed)));
    let none = judge_absolute(None, &[measured("get")]);
    assert!(matches!(none.exit(), Err(Failure::Undecided(text)) if text.contains("no baseline")));
}

#[test]
fn a_waiver_lets_just_its_metric_pass() {
    let result = with(|result| {
        result.latency_ms.p95 = 1.0;
        result.server_rss_bytes_max = Some(24_000_000);
    });
    let mut judged = judge_absolute(Some(&[measured("get")]), &result);
    let text = "[[waiver]]\nmetric = \"get.latency_ms.p95\"\n\
                issue = \"https://example.org/1\"\nexpires = \"2027-01-01\"\n";
    let waivers = Waivers::parse(text, "2026-11-24".parse().unwrap()).unwrap();
    for finding in &mut judged.findings {
        finding.waive(&waivers);
    }
    let of = |metric: &str| {
        let mut findings = judged.findings.iter();
        findings
            .find(|finding| finding.metric == metric)
            .unwrap()
            .outcome
    };
    assert_eq!(of("get.latency_ms.p95"), Outcome::Waived);
    assert_eq!(of("get.server_rss_bytes_max"), Outcome::Failed);
    assert_eq!(of("get.achieved_rps"), Outcome::Held);
    assert!(!passes(&judged.findings));
    let told = table(&judged.findings);
    assert!(
        told.contains("get.latency_ms.p95 rose by 233.33 %, and 10 % is allowed"),
        "{told}"
    );
    assert!(
        told.contains("waived until 2027-01-01: https://example.org/1"),
        "{told}"
    );
    assert!(
        told.contains("FAILED: get.server_rss_bytes_max rose by 100.00 %"),
        "{told}"
    );
}

/// Values of a measure, as a result could have them.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        1e-6..1e9_f64,
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE)
    ]
}

proptest! {
    /// The gate against the sentence of the specification, for any two results.
    #[test]
    fn it_fails_just_when_a_bound_is_passed(base in value(), new in value(), which in 0..4_usize) {
        let measure = Measure::ABSOLUTE[which];
        let set = |value: f64| with(|result| match measure {
            Measure::P95 => result.latency_ms.p95 = value,
            Measure::Throughput => result.achieved_rps = value,
            Measure::Cpu => result.server_cpu_us_per_request = Some(value),
            Measure::Memory => result.server_rss_bytes_max = Some(value as u64),
            Measure::PerCore => unreachable!("not of a single result"),
        });
        let (base, new) = (set(base), set(new));
        let (was, is) = (measure.of(&base[0]).unwrap(), measure.of(&new[0]).unwrap());
        // Nowhere near the bound, where rounding decides.
        let allowed = 1.0 + measure.allowed_percent() / 100.0;
        let bound = if measure.is_better_higher() { was * 0.9 } else { was * allowed };
        prop_assume!((is - bound).abs() > bound * 1e-6);
        let is_worse = if was == 0.0 {
            true
        } else if measure.is_better_higher() {
            is < bound
        } else {
            is > bound || is == 0.0
        };
        let metric = format!("get.{}", measure.key());
        let expected: &[String] = if is_worse { &[metric] } else { &[] };
        prop_assert_eq!(failed(&base, &new), expected);
    }

    /// Whatever fails, making it worse still fails.
    #[test]
    fn worse_than_worse_is_worse(p95 in 0.01..10.0_f64, more in 1.0..10.0_f64) {
        let fails = |p95: f64| !worse(|result| result.latency_ms.p95 = p95).is_empty();
        prop_assert!(!fails(p95) || fails(p95 * more));
    }

    /// A budget is what its sentence says, in whole numbers.
    #[test]
    fn budgets_are_counted(requests in 1..1_000_000_u64, errors in 0..2000_u64, refused in 0..20_000_u64) {
        let found = worse(|result| {
            result.requests = requests;
            result.errors = errors;
            result.status_counts.insert("429".to_owned(), refused);
        });
        prop_assert_eq!(found.contains(&"get.errors".to_owned()), errors > 0 && errors * 1000 >= requests);
        prop_assert_eq!(found.contains(&"get.refusals".to_owned()), refused > 0 && refused * 100 >= requests);
    }
}
