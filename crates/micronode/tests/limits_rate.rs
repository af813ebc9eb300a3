//! The request rate: what is above it is refused at once and told so.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{Node, Response, address};

const RATE: f64 = 500.0;
const BURST: f64 = 50.0;
const CONNECTIONS: usize = 6;
const OFFERED_FOR: Duration = Duration::from_secs(3);
/// The burst is refilled in 100 ms, so an offer that pauses for less loses nothing.
const WINDOW: Duration = Duration::from_millis(50);

/// Asks for `path` over several kept-alive connections, about 3000 times per second together.
/// Each answer comes with the time at which it was asked for, counted from `start`.
fn offer(node: &Node, path: &str, start: Instant) -> Vec<(Duration, Response)> {
    let ask = || {
        let mut connection = node.connect();
        let mut answers = Vec::new();
        while start.elapsed() < OFFERED_FOR {
            let asked = start.elapsed();
            answers.push((asked, connection.request("GET", path, &[], b"")));
            std::thread::sleep(Duration::from_millis(2).saturating_sub(start.elapsed() - asked));
        }
        answers
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(ask)).collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    })
}

/// What the rate has to admit of requests asked for at `times`: what each window's share allows.
/// Below what was offered when this machine was too busy to offer enough.
fn due(times: impl Iterator<Item = Duration>) -> f64 {
    let windows = OFFERED_FOR.div_duration_f64(WINDOW).ceil() as usize;
    let mut offered = vec![0.0; windows];
    times.for_each(|at| offered[at.div_duration_f64(WINDOW) as usize] += 1.0);
    let share = RATE * WINDOW.as_secs_f64();
    offered.iter().map(|count: &f64| count.min(share)).sum()
}

#[test]
fn above_500_per_second_the_rest_is_429_and_the_node_stays_healthy() {
    let node = Node::with(&[]);
    let path = format!("/o/{}", address(b"not here"));
    let done = AtomicBool::new(false);
    let start = Instant::now();
    let answers = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(node.ask("GET", "/healthz").status, 200);
                assert_eq!(node.ask("GET", "/readyz").status, 200);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let answers = offer(&node, &path, start);
        done.store(true, Ordering::Relaxed);
        answers
    });
    let passed = start.elapsed().as_secs_f64();

    let mut admitted = 0.0;
    for (_, answer) in &answers {
        match answer.status {
            404 => admitted += 1.0,
            _ => answer.assert_problem("rate_limited"),
        }
        assert_eq!(
            answer.field("ratelimit-policy"),
            Some("\"default\";q=500;w=1")
        );
        let rest = answer.field("ratelimit").unwrap();
        let rest = rest.strip_prefix("\"default\";r=").unwrap();
        let (remaining, reset) = rest.split_once(";t=").unwrap();
        assert!(remaining.parse::<u64>().unwrap() <= BURST as u64);
        assert!(reset.parse::<u64>().unwrap() <= 1);
    }
    let due = due(answers.iter().map(|(at, _)| *at));
    let all = answers.len();
    assert!(
        admitted <= RATE * passed + BURST + 1.0,
        "{admitted} of {all} in {passed} s"
    );
    assert!(admitted >= 0.9 * due, "{admitted} of {all}, {due} were due");
    assert!(
        all as f64 > admitted + BURST,
        "the rate was never exceeded: {all}"
    );
    let refused = node.metric("rejected_total{reason=\"rate_limited\"}");
    assert_eq!(refused, Some(all as f64 - admitted));
}

#[test]
fn a_lifted_rate_admits_everything_and_says_nothing_about_itself() {
    let node = Node::with(&["--rps", "0"]);
    let mut connection = node.connect();
    for _ in 0..1000 {
        let answer = connection.request("POST", "/echo", &[], b"x");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("ratelimit"), None);
        assert_eq!(answer.field("ratelimit-policy"), None);
    }
}

#[test]
fn a_refused_client_that_waits_as_told_is_admitted() {
    let node = Node::with(&["--rps", "1"]);
    assert_eq!(node.request("POST", "/echo", &[], b"x").status, 200);
    let refused = node.request("POST", "/echo", &[], b"x");
    refused.assert_problem("rate_limited");
    assert_eq!(refused.field("retry-after"), Some("1"));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(node.request("POST", "/echo", &[], b"x").status, 200);
}
