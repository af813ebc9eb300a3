//! Histories that were lived, changed in one place so that a law is broken. A checker that lets one
//! of these pass would let a node pass that did it.

use crate::log::{Command, Delivery, Event, Outcome, Settle, Verdict};
use crate::support::Random;
use std::collections::HashSet;

/// Changes a log, if it has a place for that, chosen at random.
pub(crate) type Tamper = fn(&mut Vec<Event>, &mut Random) -> bool;

/// What each of them does to a log without cuts and purges.
pub(crate) const TAMPERS: [(&str, Tamper); 8] = [
    ("a message is never delivered", |log, random| {
        lose(log, random)
    }),
    ("an acked message is delivered again", deliver_again),
    ("a message is delivered within a lease", deliver_twice),
    ("an attempt is left out", |log, random| {
        skip_attempt(log, random)
    }),
    ("a body is another's", |log, random| {
        swap_bodies(log, random)
    }),
    ("an ack that was accepted is refused", |log, random| {
        refuse(log, random)
    }),
    ("an ack that came late is accepted", |log, random| {
        accept(log, random)
    }),
    ("a duplicate makes a message", |log, random| {
        forget_key(log, random)
    }),
];

fn deliveries(event: &mut Event) -> Option<&mut Vec<Delivery>> {
    match &mut event.answer {
        Some((_, Outcome::Delivered(deliveries))) => Some(deliveries),
        _ => None,
    }
}

/// Something that `find` finds, at random.
fn any<'a, T>(
    log: &'a mut [Event],
    random: &mut Random,
    find: impl FnMut(&'a mut Event) -> Vec<T>,
) -> Option<T> {
    let mut found: Vec<T> = log.iter_mut().flat_map(find).collect();
    let index = random.below(found.len().max(1) as u64) as usize;
    (!found.is_empty()).then(|| found.swap_remove(index))
}

fn any_delivery<'a>(log: &'a mut [Event], random: &mut Random) -> Option<&'a mut Delivery> {
    any(log, random, |event| {
        deliveries(event).map_or(Vec::new(), |them| them.iter_mut().collect())
    })
}

fn lose(log: &mut [Event], random: &mut Random) -> bool {
    let Some(body) = any_delivery(log, random).map(|it| it.body) else {
        return false;
    };
    let mut lost = HashSet::new();
    for event in log.iter_mut() {
        if let Some(deliveries) = deliveries(event) {
            let its = deliveries.extract_if(.., |it| it.body == body);
            lost.extend(its.map(|it| it.receipt));
        }
    }
    // Nobody has its receipts then; what was said of them would be a fault of its own.
    for event in log {
        if let (Command::Settle { receipts, .. }, Some((_, Outcome::Verdicts(verdicts)))) =
            (&mut event.command, &mut event.answer)
        {
            let is_kept: Vec<bool> = receipts.iter().map(|it| !lost.contains(it)).collect();
            let (mut first, mut second) = (is_kept.iter(), is_kept.iter());
            receipts.retain(|_| *first.next().expect("one for each"));
            verdicts.retain(|_| *second.next().expect("one for each"));
        }
    }
    true
}

/// A receive of its own that brings `delivery` once more.
fn repeat(log: &mut Vec<Event>, began: u64, delivery: Delivery) {
    let repeated = Delivery {
        receipt: format!("{}-again", delivery.receipt),
        attempt: delivery.attempt + 1,
        ..delivery
    };
    let command = Command::Receive {
        lane: crate::log::Lane::Main,
        max: 1,
        wait_ms: 0,
        visibility_ms: 10,
    };
    log.push(Event {
        began,
        command,
        answer: Some((began + 1, Outcome::Delivered(vec![repeated]))),
    });
}

fn deliver_again(log: &mut Vec<Event>, random: &mut Random) -> bool {
    // At the end of a history everything is acked.
    let end = log.last().map_or(0, |event| event.began);
    match any_delivery(log, random).cloned() {
        Some(delivery) => repeat(log, end, delivery),
        None => return false,
    }
    true
}

fn deliver_twice(log: &mut Vec<Event>, random: &mut Random) -> bool {
    // Those of the last client have leases of half a minute.
    let delivery = any(log, random, |event| {
        let is_long = matches!(
            event.command,
            Command::Receive {
                visibility_ms: 30_000,
                ..
            }
        );
        let ended = event.answer.as_ref().map_or(0, |(ended, _)| *ended);
        let them = deliveries(event).filter(|_| is_long);
        them.map_or(Vec::new(), |them| {
            them.iter().map(|it| (ended, it.clone())).collect()
        })
    });
    match delivery {
        Some((ended, delivery)) => repeat(log, ended, delivery),
        None => return false,
    }
    true
}

fn skip_attempt(log: &mut [Event], random: &mut Random) -> bool {
    let delivery = any_delivery(log, random);
    delivery.map(|it| it.attempt += 1).is_some()
}

fn swap_bodies(log: &mut [Event], random: &mut Random) -> bool {
    let Some(other) = any_delivery(log, random).map(|it| it.body) else {
        return false;
    };
    let delivery = any_delivery(log, random);
    delivery.is_some_and(|it| std::mem::replace(&mut it.body, other) != other)
}

/// Turns an ack's verdict from one into another.
fn turn(log: &mut [Event], random: &mut Random, from: Verdict, to: Verdict) -> bool {
    let verdict = any(log, random, |event| {
        match (&event.command, &mut event.answer) {
            (
                Command::Settle {
                    how: Settle::Ack, ..
                },
                Some((_, Outcome::Verdicts(verdicts))),
            ) => verdicts.iter_mut().filter(|it| **it == from).collect(),
            _ => Vec::new(),
        }
    });
    verdict.map(|it| *it = to).is_some()
}

fn refuse(log: &mut [Event], random: &mut Random) -> bool {
    turn(log, random, Verdict::Ok, Verdict::Late)
}

fn accept(log: &mut [Event], random: &mut Random) -> bool {
    turn(log, random, Verdict::Late, Verdict::Ok)
}

fn forget_key(log: &mut [Event], random: &mut Random) -> bool {
    let flag = any(log, random, |event| match &mut event.answer {
        Some((_, Outcome::Sent { duplicate, .. })) if *duplicate => vec![duplicate],
        _ => Vec::new(),
    });
    flag.map(|it| *it = false).is_some()
}
