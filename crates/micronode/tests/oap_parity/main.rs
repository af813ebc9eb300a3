//! HTTP and OAP are two ways to one set of operations: what succeeds over one succeeds over the
//! other with the same result, and what is refused is refused for the same reason, told in the same
//! words and counted the same.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../support/mod.rs"]
mod support;

mod answer;
mod case;
mod names;
mod objects;
mod queues;
mod world;

use answer::Answer;
use case::Case;
use micronode_protocol::ErrorCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Node, wait_until};

/// Cases walked at once: most of their time is spent waiting for a node to change its state.
const LANES: usize = 6;

#[test]
fn every_operation_and_every_refusal_is_the_same_over_both_protocols() {
    let tables = [objects::CASES, names::CASES, queues::CASES];
    let cases: Vec<&Case> = tables.into_iter().flatten().collect();
    let next = AtomicUsize::new(0);
    let lane = || {
        let mut failures = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            failures.extend(
                check(case)
                    .err()
                    .map(|fault| format!("{}: {fault}", case.name)),
            );
        }
        failures
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        lanes
            .into_iter()
            .flat_map(|lane| lane.join().unwrap())
            .collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Walks a case over each protocol, in a world of its own.
fn check(case: &Case) -> Result<(), String> {
    let world = (case.world)();
    let before = Counters::of(&world.node);
    let over_http = Answer::of_response(&(case.http)(&world), case.shows);
    before.check(&world.node, &over_http, false)?;

    let world = (case.world)();
    let before = Counters::of(&world.node);
    let over_oap = Answer::of_reply(&(case.oap)(&world), case.shows);
    before.check(&world.node, &over_oap, true)?;

    if over_http != over_oap {
        return Err(format!("{over_http:?} over HTTP, {over_oap:?} over OAP"));
    }
    let found = (
        over_oap.status,
        over_oap.code.as_deref().unwrap_or("success"),
    );
    match found == case.expected {
        true => Ok(()),
        false => Err(format!("{over_oap:?} instead of {:?}", case.expected)),
    }
}

/// How often each reason has been counted: over all protocols, and over OAP.
struct Counters(Vec<(f64, f64)>);

impl Counters {
    fn of(node: &Node) -> Self {
        let page = node.ask("GET", "/metrics");
        let count = |name: &str, code: &ErrorCode| -> f64 {
            let sample = format!("{name}{{reason=\"{code}\"}} ");
            let value = page
                .text()
                .lines()
                .find_map(|line| line.strip_prefix(&sample));
            value.unwrap().parse().unwrap()
        };
        let both = |code| {
            (
                count("rejected_total", code),
                count("oap_rejects_total", code),
            )
        };
        Self(ErrorCode::ALL.iter().map(both).collect())
    }

    /// Checks that exactly the reason of `answer` was counted since, and once.
    fn check(&self, node: &Node, answer: &Answer, is_oap: bool) -> Result<(), String> {
        let code = answer
            .code
            .as_deref()
            .map(|code| ErrorCode::from_code(code).unwrap());
        let mut expected = self.0.clone();
        if let Some(code) = code {
            expected[code as usize].0 += 1.0;
            expected[code as usize].1 += f64::from(u8::from(is_oap));
        }
        let mut found = Self::of(node).0;
        // It may be counted a moment after it is told.
        if found != expected {
            wait_until("what was told being counted", || {
                found = Self::of(node).0;
                found == expected || found.iter().zip(&expected).any(|(found, due)| found > due)
            });
        }
        match found == expected {
            true => Ok(()),
            false => Err(format!("{answer:?} was counted otherwise (OAP: {is_oap})")),
        }
    }
}
