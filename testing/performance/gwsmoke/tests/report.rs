//! The report of a suite with hostile names, by itself and in a browser if there is one.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use gwsmoke::report::render;
use gwsmoke::result::{Interval, Latency, LoadResult, Machine, NodeBuild, OperationResult, SCHEMA};
use gwsmoke::slo::{Comparison as Sign, Row, Verdict};
use gwsmoke::spec::LoadSpec;
use gwsmoke::suite::result::{
    BeyondCap, BeyondCpu, ClosedStep, ColdStart, Comparison, Comparisons, Edge, EdgeOperation,
    Level, LimitProbe, Memory, Missing, SuiteResult, Sweep, SweepStep,
};

/// Ends whatever it may stand in, in HTML, SVG and CSS.
const HOSTILE: &str = "]]>--></title></style></svg></script><script>alert(1)</script><img src=//x onerror=alert(2)>\"'&amp;\u{202e}\0";

fn latency(scale: f64) -> Latency {
    Latency {
        p50: 0.21 * scale,
        p90: 0.34 * scale,
        p95: 0.45 * scale,
        p99: 1.2 * scale,
        p999: 4.8 * scale,
        max: 11.7 * scale,
        mean: 0.26 * scale,
    }
}

fn machine(name: &str) -> Machine {
    Machine {
        arch: "x86_64".to_owned(),
        cpu: name.to_owned(),
        cores: 2,
        memory_gib: 24,
        kernel: "6.18".to_owned(),
        fingerprint: "0123456789abcdef".to_owned(),
    }
}

fn interval(second: u32) -> Interval {
    let wave = f64::from(second % 7) / 7.0;
    Interval {
        at_s: f64::from(second + 1),
        answered: 400 - u64::from(second % 5) * 9,
        refused: u64::from(second % 5) * 8,
        errors: u64::from(second % 5 == 4),
        p50_ms: 0.2 + wave * 0.1,
        p99_ms: 1.0 + wave * 4.0,
        server_cpu_cores: Some(0.04 + wave * 0.02),
        server_rss_bytes: Some((13 << 20) + u64::from(second) * 70_000),
        server_fds: Some(31 + u64::from(second % 3)),
    }
}

fn scenario(name: &str, index: u32) -> LoadResult {
    let scale = 1.0 + f64::from(index) * 0.7;
    let operation = |scale| OperationResult {
        requests: 10_000,
        errors: 3,
        latency_ms: latency(scale),
    };
    let kinds = [
        ("get".to_owned(), operation(scale)),
        (format!("put{name}"), operation(scale * 2.0)),
    ];
    let statuses = [("200", 11_000), ("503", 900), ("none", 6)].map(|(k, v)| (k.to_owned(), v));
    LoadResult {
        schema: SCHEMA,
        scenario: name.to_owned(),
        started_unix_s: 1_795_478_400,
        machine: machine("AMD EPYC"),
        node: NodeBuild::default(),
        spec: LoadSpec {
            name: name.to_owned(),
            about: format!("About {name}."),
            node_flags: vec![name.to_owned()],
            ..LoadSpec::default()
        },
        measured_s: 30.0,
        offered_rps: 400.0,
        achieved_rps: 398.2,
        requests: 12_000,
        errors: 6,
        unsent: 0,
        verified: 187,
        connections_opened: 16,
        status_counts: BTreeMap::from(statuses),
        received_bytes: 1 << 20,
        sent_bytes: 0,
        latency_ms: latency(scale),
        operations: BTreeMap::from(kinds),
        timeline: (0..30).map(interval).collect(),
        server_cpu_us_per_request: Some(61.0),
        server_cpu_cores: Some(0.045),
        server_rss_bytes_max: Some(15 << 20),
        server_fds_max: Some(33),
        server_fds_limit: Some(1024),
        client_cpu_cores: 0.02 + 0.9 * f64::from(index % 2),
        pacing_late_ms: latency(0.01),
        server_counters: BTreeMap::from([(
            format!("http_requests_total{{x=\"{name}\"}}"),
            12_000.0,
        )]),
        sweep: Vec::new(),
        knee_rps: None,
    }
}

fn sweep(name: &str) -> Sweep {
    let rates = [1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 32.0, 48.0, 64.0];
    let step = |thousands: f64| SweepStep {
        offered_rps: thousands * 1000.0,
        achieved_rps: (thousands * 1000.0).min(41_000.0),
        latency_ms: latency(if thousands < 40.0 {
            1.0 + thousands / 20.0
        } else {
            200.0
        }),
        server_cpu_cores: Some((thousands / 45.0).min(1.0)),
        client_cpu_cores: thousands / 70.0,
        ..SweepStep::default()
    };
    Sweep {
        scenario: name.to_owned(),
        steps: rates.map(step).to_vec(),
        knee_rps: Some(32_000.0),
    }
}

fn level(name: &str, verdict: Verdict, goal_met: Option<bool>) -> Row {
    Row {
        id: "get_p95_intra".to_owned(),
        title: format!("GET p95 {name}"),
        source: "§1 latency".to_owned(),
        unit: "ms".to_owned(),
        comparison: Sign::Less,
        floor: Some(80.0),
        goal: Some(5.0),
        measured: (verdict != Verdict::NotMeasured).then_some(0.45),
        scenario: Some(name.to_owned()),
        verdict,
        goal_met,
        note: Some(name.to_owned()),
    }
}

fn comparisons(name: &str) -> Comparisons {
    let one = |id: &str, ratio: f64| Comparison {
        id: id.to_owned(),
        title: format!("GET 64 KiB, server CPU {name}"),
        against: name.to_owned(),
        unit: "µs per request".to_owned(),
        ours: 21.8,
        theirs: 21.8 / ratio,
        ratio,
        ratio_min: ratio * 0.93,
        ratio_max: ratio * 1.08,
        rounds: 5,
    };
    Comparisons {
        comparisons: vec![one("a", 1.35), one("b", 0.8), one("c", 3.3)],
        missing: vec![Missing {
            program: name.to_owned(),
            how: format!("apt-get install {name}"),
        }],
    }
}

/// Everything that a suite can have, with `name` wherever a name may stand.
fn suite(name: &str) -> SuiteResult {
    SuiteResult {
        schema: SCHEMA,
        level: Level::Full,
        started_unix_s: 1_795_478_400,
        duration_s: 612.0,
        machine: machine(name),
        node: NodeBuild {
            version: format!("0.1.0{name}"),
            revision: Some(name.to_owned()),
        },
        scenarios: (0..8)
            .map(|index| scenario(&format!("get_{index}{name}"), index))
            .collect(),
        sweep: Some(sweep(name)),
        beyond_cap: Some(BeyondCap {
            cap_rps: 2000.0,
            offered_rps: 20_000.0,
            accepted_rps: 1_990.0,
            accepted_percent: 99.5,
            accepted_latency_ms: latency(1.0),
            admin_latency_ms: latency(2.0),
            admin_requests: 100,
            admin_errors: 0,
            other_percent: 0.0,
        }),
        beyond_cpu: Some(BeyondCpu {
            steps: [1, 2, 4, 8, 16, 32, 64]
                .map(|connections| ClosedStep {
                    connections,
                    achieved_rps: (f64::from(connections) * 9_000.0).min(42_000.0),
                    p50_ms: 0.2,
                    p99_ms: 2.0,
                })
                .to_vec(),
            knee_connections: 8,
            knee_rps: 41_000.0,
            beyond_rps: 40_000.0,
            goodput_percent: 97.6,
            failures: 0,
            recovery_s: None,
        }),
        edge: Edge {
            operations: vec![EdgeOperation {
                scenario: name.to_owned(),
                operation: format!("GET 1 KiB {name}"),
                cpu_ms_per_1000: Some(11.7),
                cpu_percent_per_1000_per_s: Some(1.17),
                instructions_per_1000: None,
            }],
            instructions_missing: Some(name.to_owned()),
            idle_wakeups_per_s: Some(3.1),
            idle_cpu_percent: Some(0.02),
            idle_rss_bytes: Some(13 << 20),
            idle_s: 10.0,
        },
        cold_start: Some(ColdStart {
            starts: 5,
            min_ms: 7.2,
            p50_ms: 7.4,
            max_ms: 7.9,
        }),
        memory: vec![Memory::default()],
        limits: vec![LimitProbe {
            key: format!("limits.{name}"),
            expected: "5 s".to_owned(),
            stated: None,
            stated_number: None,
            probe: Some(name.to_owned()),
            holds: false,
        }],
        slo: vec![
            level(name, Verdict::Pass, Some(true)),
            level(name, Verdict::Pass, Some(false)),
            level(name, Verdict::Fail, Some(false)),
            level(name, Verdict::NotMeasured, None),
            level(name, Verdict::LeftOut, None),
            level(name, Verdict::Elsewhere, None),
        ],
        peers: Some(comparisons(name)),
        cross_check: Some(comparisons(name)),
        skipped: vec![format!("Nothing of {name}.")],
    }
}

/// The names of a page's elements in the order in which they begin, each closed where it has to be.
fn elements(html: &str) -> Vec<String> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for tag in html.split('<').skip(1) {
        let (tag, _text) = tag.split_once('>').unwrap();
        let name = tag.split([' ', '\n']).next().unwrap();
        if let Some(closed) = name.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(closed), "in <{tag}>");
            continue;
        }
        all.push(name.trim_end_matches('/').to_owned());
        let is_void = matches!(name, "!doctype" | "meta" | "link" | "br") || tag.ends_with('/');
        if !is_void {
            open.push(name.to_owned());
        }
    }
    assert_eq!(open, [""; 0], "left open");
    all
}

#[test]
fn hostile_names_change_no_element_of_a_page() {
    let (calm, hostile) = (render(&suite("calm")), render(&suite(HOSTILE)));
    let (calm, hostile_elements) = (elements(&calm), elements(&hostile));
    assert_eq!(calm, hostile_elements);
    for forbidden in ["script", "img", "iframe", "object", "form"] {
        assert!(!calm.iter().any(|name| name == forbidden), "{forbidden}");
    }
    assert!(!hostile.contains(HOSTILE) && !hostile.contains('\u{202e}'));
}

#[test]
fn a_page_refers_to_nothing_but_itself() {
    let html = render(&suite("calm"));
    for reference in ["href=\"", "src=\"", "url(", "@import"] {
        for rest in html.split(reference).skip(1) {
            assert!(
                rest.starts_with('#') || rest.starts_with("data:"),
                "{reference}{:.40}",
                rest
            );
        }
    }
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn each_plot_and_table_of_a_full_suite_is_there() {
    let html = render(&suite("calm"));
    // Two of all scenarios, two of the knee, one of goodput, and six of each scenario.
    assert_eq!(html.matches("class=\"plot\"").count(), 2 + 2 + 1 + 8 * 6);
    for anchor in [
        "levels",
        "scenarios",
        "knee",
        "beyond",
        "edge",
        "limits",
        "peers",
        "cross-check",
        "skipped",
    ] {
        assert!(html.contains(&format!("<h2 id=\"{anchor}\">")), "{anchor}");
        assert!(html.contains(&format!("href=\"#{anchor}\"")), "{anchor}");
    }
}

#[test]
fn a_suite_with_nothing_in_it_is_still_a_page() {
    let mut empty = suite("calm");
    let nothing = LoadResult {
        requests: 0,
        timeline: Vec::new(),
        operations: BTreeMap::new(),
        latency_ms: Latency::default(),
        ..scenario("nothing", 0)
    };
    empty.scenarios = vec![nothing];
    empty.sweep = Some(Sweep::default());
    empty.beyond_cpu = Some(BeyondCpu::default());
    empty.slo.clear();
    elements(&render(&empty));
    empty.scenarios.clear();
    elements(&render(&empty));
}

/// Opens a page in a browser; whether it is as it should be, and what the script says of it.
fn look_at(file: &str, page: &str) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../report_check.py");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    std::fs::write(&path, page).unwrap();
    let checked = Command::new("python3").arg(&script).arg(&path).output();
    let checked = checked.unwrap();
    let told = [checked.stdout, checked.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    (checked.status.success(), told)
}

/// Console without an error, plots with a size, labels that do not overlap: what the script looks
/// for, in a page with hostile names and in one with calm ones. And it does find what is broken.
#[test]
fn a_browser_shows_it_without_complaint() {
    let has_browser = Command::new("chromedriver").arg("--version").output();
    if has_browser.is_err() {
        eprintln!("SKIPPED: no chromedriver: apt-get install chromium chromium-driver");
        return;
    }
    let calm = render(&suite("calm"));
    for (file, page) in [
        ("calm.html", &calm),
        ("hostile.html", &render(&suite(HOSTILE))),
    ] {
        let (is_right, told) = look_at(file, page);
        assert!(is_right, "{file}: {told}");
    }
    let broken = [
        (
            "Content Security Policy",
            calm.replace("</main>", "<script>alert(1)</script></main>"),
        ),
        (
            "there is no plot",
            calm.replace("class=\"plot\"", "class=\"none\""),
        ),
        (
            "shows no line",
            calm.replace("class=\"line\"", "class=\"none\""),
        ),
        (
            "overlap",
            calm.replacen(
                "text-anchor=\"middle\">50<",
                "text-anchor=\"middle\">50 50 50 50 50 50 50 50 50<",
                1,
            ),
        ),
    ];
    for (complaint, page) in broken {
        let (is_right, told) = look_at("broken.html", &page);
        assert!(!is_right && told.contains(complaint), "{complaint}: {told}");
    }
}
