//! The laws of a queue, decided over the log of a history.
//!
//! A history ends when a last client has taken and acknowledged everything, so a message that has
//! not gone by then is lost. `life` tells whether each message's story is possible; what is said
//! here is about identities, keys and sums.

use crate::life::{self, NEVER, Step, What};
use crate::log::{Command, Delivery, Event, Outcome, Settle, Verdict};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Decides all of them; the first that is broken, in words.
pub(crate) fn check(log: &[Event], max_deliveries: u32) -> Result<(), String> {
    one_id_for_each_body(log)?;
    one_message_for_each_key(log)?;
    no_queue_is_missing(log)?;
    let receipts = owners(log)?;
    for (body, steps) in lives(log, &receipts) {
        life::explain(&steps, max_deliveries)
            .map_err(|complaint| format!("message {body}: {complaint}"))?;
    }
    nothing_is_left(log)?;
    counts_add_up(log, &receipts)?;
    purges_add_up(log, &receipts)
}

/// An event that was answered: when, and with what.
fn answered(event: &Event) -> Option<(u64, &Outcome)> {
    event
        .answer
        .as_ref()
        .map(|(ended, outcome)| (*ended, outcome))
}

fn deliveries(event: &Event) -> &[Delivery] {
    match &event.answer {
        Some((_, Outcome::Delivered(deliveries))) => deliveries,
        _ => &[],
    }
}

/// An id has one body, and a body, which is sent under one key or once, one id.
fn one_id_for_each_body(log: &[Event]) -> Result<(), String> {
    let mut ids: HashMap<u32, &str> = HashMap::new();
    let mut bodies: HashMap<&str, u32> = HashMap::new();
    let mut pair = |body: u32, id| {
        let first = *ids.entry(body).or_insert(id);
        if first != id {
            return Err(format!("body {body} has two ids, {first} and {id}"));
        }
        match *bodies.entry(id).or_insert(body) {
            first if first == body => Ok(()),
            first => Err(format!("id {id} has two bodies, {first} and {body}")),
        }
    };
    for event in log {
        if let (Command::Send { body, .. }, Some((_, Outcome::Sent { id, .. }))) =
            (&event.command, answered(event))
        {
            pair(*body, id)?;
        }
        for delivery in deliveries(event) {
            pair(delivery.body, &delivery.id)?;
        }
    }
    Ok(())
}

/// Of the sends of one key one makes a message, the same body is told its id again, and another
/// body is refused; without a key each makes one.
fn one_message_for_each_key(log: &[Event]) -> Result<(), String> {
    let mut sends: BTreeMap<u32, Vec<(&Event, u32)>> = BTreeMap::new();
    for event in log {
        match (&event.command, answered(event)) {
            (
                Command::Send {
                    key: None, body, ..
                },
                Some((_, Outcome::Sent { duplicate, .. })),
            ) if *duplicate => {
                return Err(format!("body {body} was sent without a key: no duplicate"));
            }
            (
                Command::Send {
                    key: None, body, ..
                },
                Some((_, Outcome::KeyReused)),
            ) => {
                return Err(format!(
                    "body {body} was sent without a key: none was reused"
                ));
            }
            (
                Command::Send {
                    key: Some(key),
                    body,
                    ..
                },
                _,
            ) => {
                sends.entry(*key).or_default().push((event, *body));
            }
            _ => {}
        }
    }
    for (key, sends) in sends {
        let accepted = sends
            .iter()
            .filter_map(|(event, body)| match answered(event)? {
                (_, Outcome::Sent { duplicate, .. }) => Some((*body, *duplicate)),
                _ => None,
            });
        let accepted: Vec<_> = accepted.collect();
        let bodies: BTreeSet<u32> = accepted.iter().map(|(body, _)| *body).collect();
        if bodies.len() > 1 {
            return Err(format!("key {key} was accepted with bodies {bodies:?}"));
        }
        let firsts = accepted.iter().filter(|(_, duplicate)| !duplicate).count();
        if firsts > 1 {
            return Err(format!("key {key} made {firsts} messages"));
        }
        // A refusal and a duplicate need another send, which began before they were told.
        for (event, body) in &sends {
            let Some((ended, outcome)) = answered(event) else {
                continue;
            };
            let others = sends.iter().filter(|(other, _)| {
                !std::ptr::eq(*other, *event)
                    && other.began < ended
                    && !matches!(answered(other), Some((_, Outcome::KeyReused)))
            });
            let mut same = others.map(|(_, other)| other == body);
            let holds = match outcome {
                Outcome::Sent { duplicate, .. } => !duplicate || same.any(|same| same),
                _ => same.any(|same| !same),
            };
            if !holds {
                return Err(format!(
                    "key {key}, body {body}: {outcome:?}, and no other send"
                ));
            }
        }
    }
    Ok(())
}

fn no_queue_is_missing(log: &[Event]) -> Result<(), String> {
    let sent = log.iter().filter_map(|event| match answered(event)? {
        (ended, Outcome::Sent { .. }) => Some(ended),
        _ => None,
    });
    let first = sent.min().unwrap_or(NEVER);
    let is_missing = |event: &&Event| matches!(answered(event), Some((_, Outcome::NoQueue)) if event.began > first);
    match log.iter().find(is_missing) {
        Some(event) => Err(format!("there was a queue since {first} µs: {event:?}")),
        None => Ok(()),
    }
}

/// Whose each receipt is. A receipt belongs to one delivery.
fn owners(log: &[Event]) -> Result<HashMap<&str, u32>, String> {
    let mut owners = HashMap::new();
    for delivery in log.iter().flat_map(deliveries) {
        if let Some(other) = owners.insert(&*delivery.receipt, delivery.body) {
            let receipt = &delivery.receipt;
            return Err(format!(
                "receipt {receipt} was given for message {other} and again for {}",
                delivery.body
            ));
        }
    }
    for (receipt, verdict) in log.iter().flat_map(verdicts) {
        if !owners.contains_key(receipt) && verdict.is_some_and(|it| it != Verdict::Unknown) {
            return Err(format!(
                "receipt {receipt} was given to nobody: {verdict:?}"
            ));
        }
    }
    Ok(owners)
}

/// The receipts of a settlement, and what was said of each.
fn verdicts(event: &Event) -> impl Iterator<Item = (&str, Option<Verdict>)> {
    let (receipts, told) = match (&event.command, answered(event)) {
        (Command::Settle { receipts, .. }, Some((_, Outcome::Verdicts(verdicts)))) => {
            assert_eq!(receipts.len(), verdicts.len(), "{event:?}");
            (&receipts[..], Some(verdicts))
        }
        (Command::Settle { receipts, .. }, _) => (&receipts[..], None),
        _ => (&[][..], None),
    };
    let verdict = move |index: usize| told.map(|verdicts| verdicts[index]);
    let receipts = receipts.iter().enumerate();
    receipts.map(move |(index, receipt)| (&**receipt, verdict(index)))
}

/// What befell each message.
fn lives<'a>(log: &'a [Event], owners: &HashMap<&str, u32>) -> BTreeMap<u32, Vec<Step<'a>>> {
    let mut lives: BTreeMap<u32, Vec<Step<'a>>> = BTreeMap::new();
    // What may befall any of them.
    let mut common = Vec::new();
    for event in log {
        let step = |what| Step {
            began: event.began,
            ended: event.answer.as_ref().map_or(NEVER, |(ended, _)| *ended),
            is_certain: event.answer.is_some(),
            what,
        };
        match &event.command {
            Command::Send { body, delay_ms, .. } => {
                let delay_ms = *delay_ms;
                let life = lives.entry(*body).or_default();
                match answered(event) {
                    Some((
                        _,
                        Outcome::Sent {
                            duplicate: true, ..
                        },
                    )) => {
                        life.push(step(What::Duplicate));
                    }
                    Some((_, Outcome::Sent { .. })) | None => {
                        life.push(step(What::Sent { delay_ms }));
                    }
                    _ => {}
                }
            }
            Command::Receive {
                lane,
                visibility_ms,
                ..
            } => {
                let (lane, visibility_ms) = (*lane, *visibility_ms);
                if event.answer.is_none() {
                    common.push(step(What::Taken {
                        lane,
                        visibility_ms,
                    }));
                }
                for delivery in deliveries(event) {
                    lives
                        .entry(delivery.body)
                        .or_default()
                        .push(step(What::Delivered {
                            lane,
                            attempt: delivery.attempt,
                            receipt: &delivery.receipt,
                            visibility_ms,
                        }));
                }
            }
            Command::Settle { lane, how, .. } => {
                for (receipt, verdict) in verdicts(event) {
                    if let Some(body) = owners.get(receipt) {
                        lives.entry(*body).or_default().push(step(What::Settled {
                            lane: *lane,
                            how: *how,
                            receipt,
                            is_ok: verdict.is_none_or(|verdict| verdict == Verdict::Ok),
                        }));
                    }
                }
            }
            Command::Purge(lane) => common.push(step(What::Purged(*lane))),
            // It stops at a quota, and leaves what is leased or delayed.
            Command::Redrive => common.push(Step {
                is_certain: false,
                ..step(What::Redriven)
            }),
            Command::Stats => {}
        }
    }
    for life in lives.values_mut() {
        life.extend(common.iter().cloned());
    }
    lives
}

/// What the last look at the queue says.
fn nothing_is_left(log: &[Event]) -> Result<(), String> {
    let mut looks = log
        .iter()
        .filter(|event| matches!(event.command, Command::Stats));
    match looks.next_back().and_then(answered) {
        Some((_, Outcome::NoQueue)) => Ok(()),
        Some((
            _,
            Outcome::Stats {
                ready: 0,
                leased: 0,
                delayed: 0,
                dead: 0,
                bytes: 0,
            },
        )) => Ok(()),
        last => Err(format!("everything was taken, and yet: {last:?}")),
    }
}

/// Of the first look, when all clients but the last were gone: what it counts is what was taken
/// after it, but for requests whose outcome is unknown.
fn counts_add_up(log: &[Event], owners: &HashMap<&str, u32>) -> Result<(), String> {
    let mut looks = log.iter().filter_map(|event| match answered(event)? {
        (
            ended,
            Outcome::Stats {
                ready,
                leased,
                delayed,
                dead,
                ..
            },
        ) => Some((ended, ready + leased + delayed + dead)),
        _ => None,
    });
    let Some((look, counted)) = looks.next() else {
        return Ok(());
    };
    let later = log.iter().filter(|event| event.began >= look);
    let taken: BTreeSet<u32> = later.flat_map(deliveries).map(|it| it.body).collect();
    let unknown = |event: &&Event| event.answer.is_none();
    let maybe_sent: BTreeSet<u32> = log
        .iter()
        .filter(unknown)
        .filter_map(|event| match event.command {
            Command::Send { body, .. } => Some(body),
            _ => None,
        })
        .collect();
    let maybe_gone: BTreeSet<u32> = log
        .iter()
        .filter(unknown)
        .flat_map(verdicts)
        .filter_map(|(receipt, _)| owners.get(receipt).copied())
        .filter(|body| !taken.contains(body))
        .collect();
    let maybe_purged = log
        .iter()
        .filter(unknown)
        .any(|event| matches!(event.command, Command::Purge(_)));
    let most = match maybe_purged {
        true => u64::MAX,
        false => (taken.len() + maybe_gone.len() + maybe_sent.len()) as u64,
    };
    let least = taken.difference(&maybe_sent).count() as u64;
    match (least..=most).contains(&counted) {
        true => Ok(()),
        false => Err(format!(
            "{counted} were counted, and {least} to {most} there"
        )),
    }
}

/// What purges say they removed is what was sent and nobody acknowledged.
fn purges_add_up(log: &[Event], owners: &HashMap<&str, u32>) -> Result<(), String> {
    let mut removed = 0;
    let (mut sent, mut maybe_sent) = (BTreeSet::new(), BTreeSet::new());
    let (mut acked, mut maybe_acked) = (BTreeSet::new(), BTreeSet::new());
    let mut maybe_purged = false;
    for event in log {
        match (&event.command, answered(event)) {
            (Command::Send { body, .. }, Some((_, Outcome::Sent { .. }))) => {
                sent.insert(*body);
            }
            (Command::Send { body, .. }, None) => {
                maybe_sent.insert(*body);
            }
            (Command::Purge(_), Some((_, Outcome::Purged(count)))) => removed += count,
            (Command::Purge(_), None) => maybe_purged = true,
            _ => {}
        }
        sent.extend(deliveries(event).iter().map(|delivery| delivery.body));
        if matches!(
            event.command,
            Command::Settle {
                how: Settle::Ack,
                ..
            }
        ) {
            for (receipt, verdict) in verdicts(event) {
                match (owners.get(receipt), verdict) {
                    (Some(body), Some(Verdict::Ok)) => acked.insert(*body),
                    (Some(body), None) => maybe_acked.insert(*body),
                    _ => false,
                };
            }
        }
    }
    let gone_otherwise: BTreeSet<_> = acked.union(&maybe_acked).copied().collect();
    let least = match maybe_purged {
        true => 0,
        false => sent.difference(&gone_otherwise).count() as u64,
    };
    maybe_sent.extend(sent);
    let most = maybe_sent.difference(&acked).count() as u64;
    match (least..=most).contains(&removed) {
        true => Ok(()),
        false => Err(format!(
            "purges removed {removed}, and {least} to {most} were there"
        )),
    }
}
