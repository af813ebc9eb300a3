//! Concurrent histories of queues, over the wire: many clients that do what they like over HTTP
//! and OAP, some of them cut off on the way, and a checker that decides over the record of what
//! they saw whether the laws of a queue held.
//!
//! The checker is a function of the log alone (`laws`, `life`), and has tests of its own.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod history;
mod laws;
#[cfg(test)]
mod laws_tests;
mod life;
mod log;
mod tampering;

use log::{Command, Event, Outcome, Verdict};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use support::{Node, Random};

/// Histories of a run.
const HISTORIES: u64 = 200;
/// Those of them that are changed afterwards.
const SURE_HISTORIES: u64 = 10;
/// Lived at once: most of their time is spent waiting.
const LANES: usize = 6;
/// Few, so that messages die.
const MAX_DELIVERIES: u32 = 3;

fn node() -> Node {
    let mut command = Node::command(&["--rps", "0"]);
    command.env(
        "MICRO_LIMITS__MAILBOX__MAX_DELIVERIES",
        MAX_DELIVERIES.to_string(),
    );
    Node::spawn(command)
}

/// What happened over all histories, so that none of it can stop happening unnoticed.
fn count(log: &[Event], counts: &mut BTreeMap<&'static str, u64>) {
    let mut add = |what, count: usize| *counts.entry(what).or_default() += count as u64;
    for event in log {
        match (
            &event.command,
            event.answer.as_ref().map(|(_, outcome)| outcome),
        ) {
            (_, None) => add("cut off", 1),
            (Command::Receive { lane, .. }, Some(Outcome::Delivered(deliveries))) => {
                add("delivered", deliveries.len());
                add(
                    "again",
                    deliveries.iter().filter(|it| it.attempt > 1).count(),
                );
                if *lane == log::Lane::Dead {
                    add("dead", deliveries.len());
                }
            }
            (_, Some(Outcome::Sent { duplicate, .. })) => {
                add(if *duplicate { "duplicates" } else { "sent" }, 1);
            }
            (_, Some(Outcome::KeyReused)) => add("keys reused", 1),
            (_, Some(Outcome::Purged(removed))) => add("purged", *removed as usize),
            (_, Some(Outcome::Redriven)) => add("redrives", 1),
            (_, Some(Outcome::Verdicts(verdicts))) => {
                for (what, verdict) in [
                    ("settled", Verdict::Ok),
                    ("late", Verdict::Late),
                    ("unknown", Verdict::Unknown),
                ] {
                    add(what, verdicts.iter().filter(|it| **it == verdict).count());
                }
            }
            _ => {}
        }
    }
}

#[test]
fn every_history_obeys_the_laws() {
    let node = node();
    // Other seeds than the usual ones find what those do not: MICRO_SEED=1000 begins there.
    let first: u64 = std::env::var("MICRO_SEED").map_or(0, |seed| seed.parse().unwrap());
    let next = AtomicU64::new(first);
    let lane = || {
        let (mut counts, mut broken) = (BTreeMap::new(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + HISTORIES {
                return (counts, broken);
            }
            let log = history::live(&node, seed);
            count(&log, &mut counts);
            if let Err(complaint) = laws::check(&log, MAX_DELIVERIES) {
                broken.push(format!("seed {seed}: {complaint}"));
            }
        }
    };
    let (mut counts, mut broken) = (BTreeMap::new(), Vec::new());
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        for lane in lanes {
            let (some, complaints): (BTreeMap<_, u64>, Vec<String>) = lane.join().unwrap();
            broken.extend(complaints);
            for (what, count) in some {
                *counts.entry(what).or_default() += count;
            }
        }
    });
    println!("{counts:?}");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    for what in [
        "again",
        "cut off",
        "dead",
        "delivered",
        "duplicates",
        "keys reused",
        "late",
        "purged",
        "redrives",
        "sent",
        "settled",
        "unknown",
    ] {
        let count = counts.get(what).copied().unwrap_or(0);
        assert!(count >= 20, "{what} happened {count} times: {counts:?}");
    }
}

/// What the checker lets pass is worth what it does not: histories in which nobody is cut off and
/// nothing purged, so that everything is known, each changed in one place.
#[test]
fn no_change_of_a_history_escapes_the_checker() {
    let node = node();
    let mut tampered = BTreeMap::new();
    for seed in 0..SURE_HISTORIES {
        let log = history::live_surely(&node, seed);
        assert_eq!(laws::check(&log, MAX_DELIVERIES), Ok(()), "seed {seed}");
        for (what, tamper) in tampering::TAMPERS {
            let mut changed = log.clone();
            if tamper(&mut changed, &mut Random::seeded(seed)) {
                *tampered.entry(what).or_insert(0) += 1;
                let complaint = laws::check(&changed, MAX_DELIVERIES);
                assert!(
                    complaint.is_err(),
                    "seed {seed}: {what}, and nobody complains"
                );
            }
        }
    }
    assert_eq!(tampered.len(), tampering::TAMPERS.len(), "{tampered:?}");
}
