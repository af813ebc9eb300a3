//! Logs written by hand: each law has one that breaks it, beside one that comes close and is
//! allowed. A checker that lets everything pass would prove nothing.

use crate::laws::check;
use crate::log::{
    Command, Delivery, Event, Lane, Lane::Dead, Lane::Main, Outcome, Settle, Verdict,
};
use Verdict::{Late, Ok as Good, Unknown};

const MAX_DELIVERIES: u32 = 2;
/// Of every lease here unless it says otherwise.
const VISIBILITY_MS: u32 = 50;

/// A request that was answered a millisecond after it began, in milliseconds.
fn event(at: u64, command: Command, outcome: Outcome) -> Event {
    Event {
        began: at * 1000,
        command,
        answer: Some(((at + 1) * 1000, outcome)),
    }
}

/// The same, answered at `ended`.
fn until(ended: u64, mut event: Event) -> Event {
    event.answer.as_mut().expect("an answered event").0 = ended * 1000;
    event
}

/// The same, never answered.
fn cut(mut event: Event) -> Event {
    event.answer = None;
    event
}

fn send(at: u64, body: u32) -> Event {
    keyed(at, None, body, &format!("m{body}"), false)
}

fn keyed(at: u64, key: Option<u32>, body: u32, id: &str, duplicate: bool) -> Event {
    let id = id.to_owned();
    let delay_ms = 0;
    event(
        at,
        Command::Send {
            body,
            key,
            delay_ms,
        },
        Outcome::Sent { id, duplicate },
    )
}

fn reused(at: u64, key: u32, body: u32) -> Event {
    let (key, delay_ms) = (Some(key), 0);
    event(
        at,
        Command::Send {
            body,
            key,
            delay_ms,
        },
        Outcome::KeyReused,
    )
}

fn delayed(at: u64, body: u32, ms: u32) -> Event {
    let mut event = send(at, body);
    if let Command::Send { delay_ms, .. } = &mut event.command {
        *delay_ms = ms;
    }
    event
}

fn receive(lane: Lane, at: u64, deliveries: Vec<Delivery>) -> Event {
    let command = Command::Receive {
        lane,
        max: 1,
        wait_ms: 0,
        visibility_ms: VISIBILITY_MS,
    };
    event(at, command, Outcome::Delivered(deliveries))
}

/// One delivery of message `body`, whose receipt is `{body}/{attempt}`.
fn take(at: u64, body: u32, attempt: u32) -> Event {
    receive(
        Main,
        at,
        vec![delivery(body, attempt, &format!("{body}/{attempt}"))],
    )
}

fn take_dead(at: u64, body: u32, attempt: u32) -> Event {
    receive(
        Dead,
        at,
        vec![delivery(body, attempt, &format!("{body}/dead{attempt}"))],
    )
}

fn delivery(body: u32, attempt: u32, receipt: &str) -> Delivery {
    Delivery {
        id: format!("m{body}"),
        receipt: receipt.to_owned(),
        attempt,
        body,
    }
}

fn settle(at: u64, lane: Lane, how: Settle, receipt: &str, verdict: Verdict) -> Event {
    let receipts = vec![receipt.to_owned()];
    let command = Command::Settle {
        lane,
        how,
        receipts,
    };
    event(at, command, Outcome::Verdicts(vec![verdict]))
}

fn ack(at: u64, receipt: &str, verdict: Verdict) -> Event {
    settle(at, Main, Settle::Ack, receipt, verdict)
}

fn nack(at: u64, receipt: &str, verdict: Verdict) -> Event {
    settle(at, Main, Settle::Nack { delay_ms: 0 }, receipt, verdict)
}

fn extend(at: u64, receipt: &str, visibility_ms: u32) -> Event {
    settle(at, Main, Settle::Extend { visibility_ms }, receipt, Good)
}

fn look(at: u64, ready: u64, dead: u64) -> Event {
    let stats = Outcome::Stats {
        ready,
        leased: 0,
        delayed: 0,
        dead,
        bytes: ready + dead,
    };
    event(at, Command::Stats, stats)
}

/// What ends every history.
fn empty() -> Event {
    look(9000, 0, 0)
}

#[track_caller]
fn assert_allowed(name: &str, log: &[Event]) {
    let log = [log, &[empty()]].concat();
    if let Err(complaint) = check(&log, MAX_DELIVERIES) {
        panic!("{name}: {complaint}");
    }
}

#[track_caller]
fn assert_broken(name: &str, log: &[Event], says: &str) {
    let log = [log, &[empty()]].concat();
    let complaint = check(&log, MAX_DELIVERIES).expect_err(name);
    assert!(complaint.contains(says), "{name}: {complaint}");
}

/// What a life that is not allowed is told with.
const NO_ORDER: &str = "no order of these is allowed";

#[test]
fn what_is_acked_is_not_delivered_again() {
    let once = [send(0, 7), take(10, 7, 1), ack(20, "7/1", Good)];
    assert_allowed("once", &once);
    for again in [take(30, 7, 2), take(30, 7, 1), take_dead(100, 7, 3)] {
        let mut log = once.to_vec();
        log.push(again);
        let complaint = check(&log, MAX_DELIVERIES).expect_err("again");
        assert!(
            complaint.contains("no order") || complaint.contains("given"),
            "{complaint}"
        );
    }
    // The second delivery is acked too, which changes nothing.
    let twice = [&once[..], &[take(80, 7, 2), ack(90, "7/2", Good)]].concat();
    assert_broken("after the ack", &twice, NO_ORDER);
    // An ack whose answer was lost may not have come at all.
    let lost = [
        send(0, 7),
        take(10, 7, 1),
        cut(ack(20, "7/1", Good)),
        take(70, 7, 2),
        ack(80, "7/2", Good),
    ];
    assert_allowed("lost ack", &lost);
    // Told with the second delivery on its way, however, the first one was not over yet.
    let overlapping = [
        send(0, 7),
        take(10, 7, 1),
        until(90, take(15, 7, 2)),
        until(30, ack(20, "7/1", Good)),
        ack(100, "7/2", Good),
    ];
    assert_broken("ack within another's lease", &overlapping, NO_ORDER);
}

#[test]
fn what_is_sent_is_not_lost() {
    assert_broken("never seen", &[send(0, 7)], NO_ORDER);
    assert_broken("not acked", &[send(0, 7), take(10, 7, 1)], NO_ORDER);
    let late = [send(0, 7), take(10, 7, 1), ack(70, "7/1", Late)];
    assert_broken("acked late", &late, NO_ORDER);
    let other = [send(0, 7), send(0, 8), take(10, 7, 1), ack(11, "7/1", Good)];
    assert_broken("another", &other, NO_ORDER);
    assert_allowed("may not have come", &[cut(send(0, 7))]);
    // It came, since it was delivered.
    assert_broken("came", &[cut(send(0, 7)), take(10, 7, 1)], NO_ORDER);
    let purge = |removed| event(5, Command::Purge(Main), Outcome::Purged(removed));
    assert_allowed("purged", &[send(0, 7), purge(1)]);
    assert_broken("not purged", &[send(0, 7), purge(0)], "purges removed 0");
    assert_broken("purged before", &[purge(1), send(9, 7)], NO_ORDER);
    let acked = [send(0, 7), take(1, 7, 1), ack(3, "7/1", Good), purge(1)];
    assert_broken("purged after its ack", &acked, "purges removed 1");
    assert_allowed("maybe purged", &[send(0, 7), cut(purge(0))]);
    let dead = event(5, Command::Purge(Dead), Outcome::Purged(1));
    assert_broken("the other lane purged", &[send(0, 7), dead], NO_ORDER);
}

#[test]
fn what_nobody_sent_is_not_delivered() {
    assert_broken(
        "from nowhere",
        &[take(10, 7, 1), ack(20, "7/1", Good)],
        NO_ORDER,
    );
    let refused = [
        keyed(0, Some(1), 6, "m6", false),
        take(1, 6, 1),
        ack(2, "6/1", Good),
        reused(5, 1, 7),
        take(10, 7, 1),
        ack(20, "7/1", Good),
    ];
    assert_broken("refused", &refused, NO_ORDER);
    let early = [take(0, 7, 1), send(5, 7), ack(10, "7/1", Good)];
    assert_broken("before it was sent", &early, NO_ORDER);
    let waiting = [until(7, take(0, 7, 1)), send(5, 7), ack(10, "7/1", Good)];
    assert_allowed("waited for", &waiting);
}

#[test]
fn a_lease_has_one_owner() {
    let second_at = |at| {
        [
            send(0, 7),
            take(10, 7, 1),
            take(at, 7, 2),
            ack(at + 10, "7/2", Good),
        ]
    };
    assert_broken("soon after", &second_at(20), NO_ORDER);
    assert_broken("before its end", &second_at(56), NO_ORDER);
    assert_allowed("at its end", &second_at(60));
    let mut waiting = second_at(60);
    waiting[2] = until(61, take(12, 7, 2));
    assert_allowed("waited for its end", &waiting);
    waiting[2] = until(56, take(12, 7, 2));
    assert_broken("waited for too briefly", &waiting, NO_ORDER);

    let extended_at = |at| {
        [
            send(0, 7),
            take(10, 7, 1),
            extend(20, "7/1", 200),
            take(at, 7, 2),
            ack(at + 10, "7/2", Good),
        ]
    };
    assert_broken("extended", &extended_at(70), NO_ORDER);
    assert_allowed("extended, and over", &extended_at(225));
    let nacked = [
        send(0, 7),
        take(10, 7, 1),
        nack(15, "7/1", Good),
        take(20, 7, 2),
        ack(25, "7/2", Good),
    ];
    assert_allowed("given back", &nacked);
    let mut refused = nacked;
    refused[2] = nack(15, "7/1", Late);
    assert_broken("not given back", &refused, NO_ORDER);
    // A lease that nobody was told of lasts as long.
    let lost = |at| {
        [
            send(0, 7),
            cut(receive(Main, 5, Vec::new())),
            take(at, 7, 2),
            ack(at + 5, "7/2", Good),
        ]
    };
    assert_broken("a lost lease", &lost(20), NO_ORDER);
    assert_allowed("a lost lease, and over", &lost(56));
}

#[test]
fn a_receipt_is_good_as_long_as_its_lease() {
    let acked = |at, verdict, then: Option<u64>| {
        let mut log = vec![send(0, 7), take(10, 7, 1), ack(at, "7/1", verdict)];
        if let Some(at) = then {
            log.extend([take(at, 7, 2), ack(at + 5, "7/2", Good)]);
        }
        log
    };
    assert_allowed("in time", &acked(50, Good, None));
    assert_broken("too late and accepted", &acked(70, Good, None), NO_ORDER);
    assert_allowed("too late and refused", &acked(70, Late, Some(80)));
    assert_broken("in time and refused", &acked(20, Late, Some(80)), NO_ORDER);
    let twice = [acked(20, Good, None), vec![ack(30, "7/1", Unknown)]].concat();
    assert_allowed("used twice", &twice);
    let twice = [acked(20, Good, None), vec![ack(30, "7/1", Good)]].concat();
    assert_broken("used twice and accepted", &twice, NO_ORDER);
    let of_the_first = [
        send(0, 7),
        take(10, 7, 1),
        take(70, 7, 2),
        ack(75, "7/1", Good),
    ];
    assert_broken("of the delivery before", &of_the_first, NO_ORDER);
    let elsewhere = [
        send(0, 7),
        take(10, 7, 1),
        settle(20, Dead, Settle::Ack, "7/1", Good),
    ];
    assert_broken("for the other lane", &elsewhere, NO_ORDER);
    for verdict in [Late, Good] {
        assert_broken("made up", &[ack(1, "made up", verdict)], "given to nobody");
    }
    assert_allowed("made up and unknown", &[ack(1, "made up", Unknown)]);
    let same = [
        send(0, 7),
        send(0, 8),
        receive(Main, 10, vec![delivery(7, 1, "r"), delivery(8, 1, "r")]),
    ];
    assert_broken("one for two", &same, "receipt r was given");
}

#[test]
fn a_message_is_delivered_so_often_and_then_dead() {
    let twice = [send(0, 7), take(10, 7, 1), take(70, 7, 2)];
    let and = |more: &[Event]| [&twice[..], more].concat();
    assert_allowed(
        "dead",
        &and(&[
            take_dead(130, 7, 3),
            settle(135, Dead, Settle::Ack, "7/dead3", Good),
        ]),
    );
    let third = and(&[take(130, 7, 3), ack(135, "7/3", Good)]);
    assert_broken("once more", &third, NO_ORDER);
    let early = and(&[
        take_dead(90, 7, 3),
        settle(95, Dead, Settle::Ack, "7/dead3", Good),
    ]);
    assert_broken("dead before its last lease is over", &early, NO_ORDER);
    let first = [
        send(0, 7),
        take(10, 7, 1),
        take_dead(70, 7, 2),
        settle(75, Dead, Settle::Ack, "7/dead2", Good),
    ];
    assert_broken("dead too soon", &first, NO_ORDER);
    let redrive = event(130, Command::Redrive, Outcome::Redriven);
    let again = [take(140, 7, 1), ack(145, "7/1b", Good)];
    let mut again = again.to_vec();
    again[0] = receive(Main, 140, vec![delivery(7, 1, "7/1b")]);
    let back = and(&[&[redrive.clone()][..], &again].concat());
    assert_allowed("moved back", &back);
    assert_broken("back by itself", &and(&again), NO_ORDER);
    again[0] = receive(Main, 140, vec![delivery(7, 3, "7/1b")]);
    let counted_on = and(&[&[redrive][..], &again].concat());
    assert_broken("moved back, counted on", &counted_on, NO_ORDER);
}

#[test]
fn attempts_rise_by_one() {
    let second = |attempt, verdict| {
        let receipt = format!("7/{attempt}");
        [
            send(0, 7),
            take(10, 7, 1),
            nack(12, "7/1", verdict),
            receive(Main, 70, vec![delivery(7, attempt, &receipt)]),
            ack(80, &receipt, Good),
        ]
    };
    assert_allowed("two", &second(2, Good));
    assert_broken("three", &second(3, Good), NO_ORDER);
    assert_broken(
        "none",
        &[send(0, 7), take(10, 7, 0), ack(15, "7/0", Good)],
        NO_ORDER,
    );
    assert_broken(
        "two first",
        &[send(0, 7), take(10, 7, 2), ack(15, "7/2", Good)],
        NO_ORDER,
    );
    let mut one_again = second(2, Good);
    one_again[3] = receive(Main, 70, vec![delivery(7, 1, "7/2")]);
    assert_broken("one again", &one_again, NO_ORDER);
}

#[test]
fn what_is_delayed_waits() {
    let taken = |at| [delayed(0, 7, 40), take(at, 7, 1), ack(at + 5, "7/1", Good)];
    assert_broken("early", &taken(30), NO_ORDER);
    assert_allowed("in time", &taken(40));
    let nacked = |at| {
        [
            send(0, 7),
            take(10, 7, 1),
            settle(20, Main, Settle::Nack { delay_ms: 100 }, "7/1", Good),
            take(at, 7, 2),
            ack(at + 5, "7/2", Good),
        ]
    };
    assert_broken("given back, early", &nacked(70), NO_ORDER);
    assert_allowed("given back, in time", &nacked(121));
}

#[test]
fn an_id_has_one_body_and_a_body_one_id() {
    let other = |id: &str, body| {
        let mut log = [send(0, 7), take(10, 7, 1), ack(20, "7/1", Good)];
        log[1] = receive(
            Main,
            10,
            vec![Delivery {
                id: id.to_owned(),
                ..delivery(body, 1, "7/1")
            }],
        );
        log
    };
    assert_allowed("its own", &other("m7", 7));
    assert_broken("another's body", &other("m7", 8), "id m7 has two bodies");
    assert_broken("another id", &other("m9", 7), "body 7 has two ids");
    assert_broken("told twice", &[send(0, 7), send(5, 7)], NO_ORDER);
}

#[test]
fn a_key_makes_one_message() {
    let done = [take(80, 7, 1), ack(85, "7/1", Good)];
    let with = |sends: &[Event]| [sends, &done].concat();
    let first = keyed(0, Some(1), 7, "m7", false);
    let duplicate = keyed(10, Some(1), 7, "m7", true);
    assert_allowed("duplicate", &with(&[first.clone(), duplicate.clone()]));
    assert_allowed(
        "of one that was cut off",
        &with(&[cut(first.clone()), duplicate.clone()]),
    );
    let after = [
        &with(std::slice::from_ref(&first))[..],
        &[keyed(90, Some(1), 7, "m7", true)],
    ]
    .concat();
    assert_allowed("after its ack", &after);
    assert_broken(
        "of nothing",
        &with(std::slice::from_ref(&duplicate)),
        "no other send",
    );
    assert_broken(
        "before the first",
        &with(&[keyed(20, Some(1), 7, "m7", false), duplicate]),
        "no other send",
    );
    let second = keyed(10, Some(1), 7, "m7", false);
    assert_broken(
        "made twice",
        &with(&[first.clone(), second]),
        "made 2 messages",
    );
    let id = keyed(10, Some(1), 7, "m8", true);
    assert_broken("another id", &with(&[first.clone(), id]), "two ids");
    assert_allowed("another body", &with(&[first.clone(), reused(10, 1, 8)]));
    assert_broken(
        "the same body",
        &with(&[first.clone(), reused(10, 1, 7)]),
        "no other send",
    );
    assert_broken("refused first", &[reused(0, 1, 7)], "no other send");
    let both = keyed(10, Some(1), 8, "m8", true);
    assert_broken("both bodies", &with(&[first, both]), "accepted with bodies");
    assert_broken(
        "no key",
        &with(&[keyed(0, None, 7, "m7", true)]),
        "no duplicate",
    );
}

#[test]
fn the_counts_add_up() {
    let log = |ready, dead| {
        [
            send(0, 7),
            send(0, 8),
            take(3, 8, 1),
            ack(5, "8/1", Good),
            look(10, ready, dead),
            take(20, 7, 1),
            ack(30, "7/1", Good),
        ]
    };
    assert_allowed("one", &log(1, 0));
    for (ready, dead) in [(0, 0), (2, 0), (1, 1)] {
        assert_broken("not one", &log(ready, dead), "were counted");
    }
    let mut maybe = log(1, 0).to_vec();
    maybe.push(cut(send(9, 9)));
    assert_allowed("one for sure", &maybe);
    maybe[4] = look(10, 2, 0);
    assert_allowed("and one maybe", &maybe);
    maybe[4] = look(10, 3, 0);
    assert_broken("but no third", &maybe, "were counted");
    let left = [
        send(0, 7),
        take(3, 7, 1),
        ack(5, "7/1", Good),
        look(9500, 1, 0),
    ];
    assert_eq!(
        check(&left, MAX_DELIVERIES).map_err(|it| it.contains("and yet")),
        Err(true)
    );
    let missing = event(5, Command::Stats, Outcome::NoQueue);
    assert_allowed("not yet sent to", std::slice::from_ref(&missing));
    let sent = [send(0, 7), missing, take(8, 7, 1), ack(20, "7/1", Good)];
    assert_broken("sent to", &sent, "there was a queue");
}
