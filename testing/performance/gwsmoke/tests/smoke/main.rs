//! `gwsmoke smoke` from outside: what it says of a node that is whole, and which step it names when
//! something on the way is broken.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod breaker;
#[path = "../support/mod.rs"]
mod support;

use breaker::{Fault, Matches};
use gwsmoke::fetch;
use gwsmoke::node::Node;
use gwsmoke::smoke::walk::{Outcome, Report};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::binary;

/// Runs it against addresses of a node, or of what stands before it.
fn pointed_at(http: SocketAddr, oap: SocketAddr, admin: SocketAddr) -> (Output, Report) {
    let (http, oap) = (format!("http://{http}"), format!("oap://{oap}"));
    let admin = format!("http://{admin}");
    run(&["--url", &http, "--url", &oap, "--admin", &admin])
}

fn run(arguments: &[&str]) -> (Output, Report) {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("smoke.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwsmoke"));
    command.args(["smoke", "--json", json.to_str().unwrap()]);
    let output = command.args(arguments).env_clear().output().unwrap();
    let report = std::fs::read(&json).map(|text| serde_json::from_slice(&text).unwrap());
    let report = report.unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    (output, report)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Checks that the run failed at this step, and says so: in one line, by exit code, and as JSON.
#[track_caller]
fn assert_broken((output, report): (Output, Report), step: &str) -> String {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
    let complaint = stderr.strip_prefix("error: ").unwrap_or_default();
    assert!(
        complaint.starts_with(&format!("{step}: expected ")),
        "{step}: {stderr}"
    );
    assert!(complaint.contains("; came "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let failed: Vec<&str> = stdout.lines().filter(|it| it.starts_with("FAIL")).collect();
    assert_eq!(failed.len(), 1, "{stdout}");
    assert!(failed[0].contains(step), "{stdout}");
    let broken = report.broken().unwrap();
    assert_eq!(broken.step, step);
    // Nothing is gone behind it.
    let mut behind = report.steps.iter().skip_while(|it| it.step != step).skip(1);
    assert!(behind.all(|it| it.outcome == Outcome::Skipped));
    complaint.to_owned()
}

/// What the node holds.
fn held(node: &Node, metric: &str) -> f64 {
    let (_, page) = fetch::get(node.admin.unwrap(), "/metrics").unwrap();
    let page = text(&page);
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{metric} ")));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_node_that_is_whole_passes_every_step_in_seconds() {
    let began = Instant::now();
    let (output, report) = run(&["--node", binary().to_str().unwrap()]);
    assert!(began.elapsed() < Duration::from_secs(10));
    let stdout = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{stdout}{}",
        text(&output.stderr)
    );
    assert!(report.steps.iter().all(|it| it.outcome == Outcome::Ok));
    for surface in ["admin", "http", "oap"] {
        let of = report
            .steps
            .iter()
            .filter(|it| it.step.starts_with(surface));
        assert!(of.count() > 5, "{surface}");
    }
    assert_eq!(
        stdout.lines().filter(|it| it.starts_with("ok ")).count(),
        report.steps.len()
    );
}

#[test]
fn a_walk_leaves_nothing_behind() {
    let node = support::node(&[]);
    let addresses = (node.http.unwrap(), node.oap.unwrap(), node.admin.unwrap());
    let (output, _) = pointed_at(addresses.0, addresses.1, addresses.2);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    // One that breaks off in the middle: the name is set, and cannot be read.
    let broken = breaker::http(addresses.0, |it| it.is("GET", "/n/"), Fault::Close);
    assert_broken(
        pointed_at(broken, addresses.1, addresses.2),
        "http name get",
    );
    for metric in ["objects", "object_bytes", "names"] {
        assert_eq!(held(&node, metric), 0.0, "{metric}");
    }
}

#[test]
fn surfaces_that_nobody_named_are_skipped_and_said_to_be() {
    let node = support::node(&[]);
    let (output, report) = run(&["--url", &format!("http://{}", node.http.unwrap())]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for step in &report.steps {
        let expected = match step.step.starts_with("http ") {
            true => Outcome::Ok,
            false => Outcome::Skipped,
        };
        assert_eq!(step.outcome, expected, "{}", step.step);
    }
    assert!(text(&output.stdout).contains("skipped without --admin"));
}

#[test]
fn every_fault_of_http_is_found_by_its_step() {
    let node = support::node(&[]);
    let (http, oap, admin) = (node.http.unwrap(), node.oap.unwrap(), node.admin.unwrap());
    let by_hand: Matches = |it| it.is("GET", "/o/") && it.has("connection: close");
    let whole: Matches =
        |it| it.is("GET", "/o/") && it.has("connection: close") && !it.has("\r\nrange:");
    let cases: &[(&str, Matches, Fault)] = &[
        ("http put", |it| it.is("POST", "/put"), Fault::Status(200)),
        ("http put", |it| it.is("POST", "/put"), Fault::Close),
        ("http put again", |it| it.is("PUT", "/o/"), Fault::Flip),
        ("http has", |it| it.is("POST", "/has"), Fault::Flip),
        ("http get", whole, Fault::Flip),
        ("http get", whole, Fault::Cut),
        ("http get", by_hand, Fault::Status(502)),
        ("http head", |it| it.is("HEAD", "/o/"), Fault::Status(404)),
        (
            "http range",
            |it| it.is("GET", "/o/") && it.has("\r\nrange:"),
            Fault::Flip,
        ),
        ("http range", |it| it.has("\r\nrange:"), Fault::Status(200)),
        ("http name set", |it| it.is("PUT", "/n/"), Fault::Close),
        ("http name get", |it| it.is("GET", "/n/"), Fault::Flip),
        ("http name head", |it| it.is("HEAD", "/n/"), Fault::Close),
        (
            "http name range",
            |it| it.is("GET", "/n/") && it.has("\r\nrange:"),
            Fault::Flip,
        ),
        (
            "http sdk",
            |it| it.is("GET", "/o/") && !it.has("connection: close"),
            Fault::Flip,
        ),
        (
            "http send",
            |it| it.is("POST", "/mbox") && it.has("/send "),
            Fault::Status(200),
        ),
        ("http recv", |it| it.has("/recv?"), Fault::Flip),
        ("http ack", |it| it.has("/ack "), Fault::Flip),
        ("http queue empty", |it| it.is("GET", "/mbox/"), Fault::Flip),
        ("http echo", |it| it.is("POST", "/echo"), Fault::Flip),
        (
            "http oversize",
            |it| it.has("content-length: 1048577") && it.is("POST", "/put"),
            Fault::Status(400),
        ),
        (
            "http streamed",
            |it| it.is("PUT", "/o/") && it.has("content-length: 1048577"),
            Fault::Status(413),
        ),
        (
            "http name delete",
            |it| it.is("DELETE", "/n/"),
            Fault::Close,
        ),
    ];
    for (step, matches, fault) in cases {
        let broken = breaker::http(http, *matches, *fault);
        let complaint = assert_broken(pointed_at(broken, oap, admin), step);
        if let Fault::Status(status) = fault {
            assert!(
                complaint.contains(&format!("came {status} ")),
                "{complaint}"
            );
        }
    }
}

#[test]
fn every_fault_of_the_admin_plane_is_found_by_its_step() {
    let node = support::node(&[]);
    let (http, oap, admin) = (node.http.unwrap(), node.oap.unwrap(), node.admin.unwrap());
    let cases: &[(&str, Matches, Fault)] = &[
        ("admin healthz", |it| it.is("GET", "/healthz"), Fault::Close),
        (
            "admin readyz",
            |it| it.is("GET", "/readyz"),
            Fault::Status(503),
        ),
        ("admin version", |it| it.is("GET", "/version"), Fault::Cut),
        (
            "admin metrics",
            |it| it.is("GET", "/metrics"),
            Fault::Status(500),
        ),
    ];
    for (step, matches, fault) in cases {
        let broken = breaker::http(admin, *matches, *fault);
        assert_broken(pointed_at(http, oap, broken), step);
    }
    // The counters of another node do not rise by what this one is asked.
    let other = support::node(&[]);
    let result = pointed_at(http, oap, other.admin.unwrap());
    assert_broken(result, "admin counted http");
}

#[test]
fn every_fault_of_oap_is_found_by_its_step() {
    let node = support::node(&[]);
    let (http, oap, admin) = (node.http.unwrap(), node.oap.unwrap(), node.admin.unwrap());
    for (step, operation, status, fault) in [
        ("oap hello", (0, 0), 200, Fault::Status(400)),
        ("oap hello", (0, 0), 200, Fault::Close),
        ("oap ping", (0, 1), 200, Fault::Status(503)),
        ("oap put", (2, 2), 201, Fault::Flip),
        ("oap has", (2, 3), 200, Fault::Flip),
        ("oap get", (2, 1), 200, Fault::Flip),
        ("oap get", (2, 1), 200, Fault::Close),
        ("oap head", (2, 5), 200, Fault::Flip),
        ("oap range", (2, 1), 206, Fault::Flip),
        ("oap name set", (3, 2), 201, Fault::Close),
        ("oap name get", (3, 1), 200, Fault::Close),
        ("oap name read", (3, 6), 206, Fault::Flip),
        ("oap send", (4, 1), 201, Fault::Flip),
        ("oap recv", (4, 2), 200, Fault::Flip),
        ("oap ack", (4, 3), 200, Fault::Flip),
        ("oap echo", (1, 1), 200, Fault::Flip),
        ("oap oversize", (1, 1), 413, Fault::Status(400)),
    ] {
        let broken = breaker::oap(oap, operation, status, fault);
        assert_broken(pointed_at(http, broken, admin), step);
    }
}

#[test]
fn a_node_that_is_set_up_for_less_fails_where_it_does_less() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        format!("--config={}", path.display())
    };
    let small = file("small.toml", "[limits]\none_shot_body = \"64KiB\"\n");
    let short = file("short.toml", "[limits.mailbox]\nmax_body = \"8B\"\n");
    let quiet = file("quiet.toml", "[limits]\nmax_object = \"1MiB\"\n");
    for (flag, step) in [
        ("--oap=off", "oap hello"),
        ("--rps=1", "http put again"),
        (&small, "http put"),
        (&short, "http send"),
        (&quiet, "http streamed"),
    ] {
        let binary = binary().to_str().unwrap();
        let flag = format!("--node-flag={flag}");
        assert_broken(run(&["--node", binary, &flag]), step);
    }
}

#[test]
fn a_step_that_hangs_is_broken_in_seconds() {
    let node = support::node(&[]);
    let (http, oap, admin) = (node.http.unwrap(), node.oap.unwrap(), node.admin.unwrap());
    let silent = breaker::http(http, |it| it.is("GET", "/n/"), Fault::Silence);
    let silent_oap = breaker::oap(oap, (2, 1), 200, Fault::Silence);
    for (http, oap, step) in [
        (silent, oap, "http name get"),
        (http, silent_oap, "oap get"),
    ] {
        let began = Instant::now();
        assert_broken(pointed_at(http, oap, admin), step);
        // Its own patience is four seconds.
        assert!(began.elapsed() < Duration::from_secs(15));
    }
}

/// A node that is none of development, and so wants to know who asks.
struct Guarded {
    child: Child,
    start: serde_json::Value,
}

impl Guarded {
    fn start() -> Self {
        let mut command = Command::new(binary());
        command.args(["run", "--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command
            .env_clear()
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let start = serde_json::from_str(&line).unwrap();
        Self { child, start }
    }

    fn arguments(&self) -> Vec<String> {
        let at = |name: &str| self.start[name].as_str().unwrap();
        let urls = [
            ("--url", "http", "http"),
            ("--url", "oap", "oap"),
            ("--admin", "http", "admin"),
        ];
        let urls =
            urls.map(|(flag, scheme, name)| [flag.to_owned(), format!("{scheme}://{}", at(name))]);
        urls.concat()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_node_that_wants_a_token_is_walked_with_one_and_refuses_without() {
    let node = Guarded::start();
    let arguments = node.arguments();
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let complaint = assert_broken(run(&arguments), "http put");
    assert!(
        complaint.contains("expected 201; came 401 unauthenticated"),
        "{complaint}"
    );
    arguments.extend(["--token", node.start["token"].as_str().unwrap()]);
    let (output, report) = run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(report.steps.iter().all(|it| it.outcome == Outcome::Ok));
}

#[test]
fn a_node_over_tls_is_wrong_usage() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwsmoke"));
    let output = command
        .args(["smoke", "--url", "https://127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("without TLS"));
}

#[test]
fn where_there_is_no_node_it_is_the_first_step_that_says_so() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    assert_broken(pointed_at(address, address, address), "admin healthz");
}
