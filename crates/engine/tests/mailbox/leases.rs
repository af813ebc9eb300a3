//! One message: leased, late, given back, dead, and back again.

use micronode_engine::Budget;
use micronode_engine::mailbox::{AttemptEnd, Mailbox, MailboxKeys, Redriven, Verdict};

use crate::{
    CONFIG, VISIBILITY_MS, ack, assert_empty, at, bodies, dead, mailbox, mailbox_of, model, nack,
    plain, purge, queue, receive, redrive, send, stats,
};
use micronode_engine::mailbox::{MailboxConfig, Send};
use micronode_protocol::limits::QUEUE_TURN_MESSAGES;

#[test]
fn a_lease_is_over_at_its_deadline_whether_or_not_anybody_looked() {
    for (late_ms, verdict) in [(0, Verdict::Ok), (1, Verdict::Late)] {
        let mailbox = mailbox();
        send(&mailbox, 1, "jobs", b"work").unwrap();
        let got = receive(&mailbox, 1, queue("jobs"), 1);
        assert_eq!(
            ack(&mailbox, VISIBILITY_MS + late_ms, queue("jobs"), &got[0]),
            verdict
        );
    }
}

/// More leases are over than a command ends by the way: those beyond are over all the same.
#[test]
fn the_last_of_many_overdue_leases_cannot_be_acked() {
    let mailbox = mailbox();
    for _ in 0..300 {
        send(&mailbox, 1, "jobs", b"work").unwrap();
    }
    let got = receive(&mailbox, 1, queue("jobs"), 300);
    for delivery in got.iter().rev() {
        let late = ack(&mailbox, VISIBILITY_MS + 1, queue("jobs"), delivery);
        assert_eq!(late, Verdict::Late);
    }
    assert_eq!(stats(&mailbox, VISIBILITY_MS + 1, queue("jobs")).ready, 300);
}

#[test]
fn a_receipt_is_good_once_in_its_own_queue() {
    let mailbox = mailbox();
    for name in ["jobs", "mail"] {
        send(&mailbox, 1, name, b"work").unwrap();
    }
    let got = receive(&mailbox, 1, queue("jobs"), 1);
    assert_eq!(ack(&mailbox, 1, queue("mail"), &got[0]), Verdict::Unknown);
    assert_eq!(ack(&mailbox, 1, dead("jobs"), &got[0]), Verdict::Unknown);
    assert_eq!(ack(&mailbox, 1, queue("none"), &got[0]), Verdict::Unknown);
    assert_eq!(ack(&mailbox, 1, queue("jobs"), &got[0]), Verdict::Ok);
    assert_eq!(ack(&mailbox, 1, queue("jobs"), &got[0]), Verdict::Late);
    // The next message takes the same slot: the old receipt is not its.
    send(&mailbox, 1, "jobs", b"more").unwrap();
    receive(&mailbox, 1, queue("jobs"), 1);
    assert_eq!(ack(&mailbox, 1, queue("jobs"), &got[0]), Verdict::Late);
    assert_eq!(stats(&mailbox, 1, queue("jobs")).leased, 1);
}

#[test]
fn receipts_of_another_start_are_none_here() {
    let receipt = |lasting, start| {
        let keys = MailboxKeys::new(lasting, start);
        let mailbox = Mailbox::new(CONFIG, Budget::new(1 << 20), keys);
        let sent = send(&mailbox, 1, "jobs", b"work").unwrap();
        let got = receive(&mailbox, 1, queue("jobs"), 1);
        (sent.id.to_string(), got[0].receipt.to_string())
    };
    let one = receipt([1; 32], [2; 32]);
    assert_eq!(one, receipt([1; 32], [2; 32]));
    let (other_start, other_node) = (receipt([1; 32], [3; 32]), receipt([4; 32], [2; 32]));
    assert!(one.0 == other_start.0 && one.1 != other_start.1);
    assert!(one.0 != other_node.0);
    for text in [one.0, one.1] {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        assert!(text.len() <= 40 && text.bytes().all(is_safe), "{text}");
    }
}

#[test]
fn what_comes_back_takes_the_place_of_its_age() {
    let mailbox = mailbox();
    for body in [b"1", b"2", b"3", b"4"] {
        send(&mailbox, 1, "jobs", body).unwrap();
    }
    let got = receive(&mailbox, 1, queue("jobs"), 3);
    for at in [1, 0, 2] {
        assert_eq!(nack(&mailbox, 2, queue("jobs"), &got[at]), Verdict::Ok);
    }
    let again = receive(&mailbox, 3, queue("jobs"), 4);
    assert_eq!(bodies(&again), [b"1", b"2", b"3", b"4"]);
    let attempts: Vec<u32> = again.iter().map(|delivery| delivery.attempt).collect();
    assert_eq!(attempts, [2, 2, 2, 1]);
}

#[test]
fn a_delay_hides_a_message_until_it_is_over() {
    let mailbox = mailbox();
    let later = Send {
        delay_ms: 50,
        ..plain(b"later")
    };
    mailbox.send(at(1), "jobs", later).unwrap();
    send(&mailbox, 2, "jobs", b"sooner").unwrap();
    assert_eq!(stats(&mailbox, 50, queue("jobs")).delayed, 1);
    assert_eq!(mailbox.next_deadline(), Some(51));
    // It was sent first.
    assert_eq!(
        bodies(&receive(&mailbox, 51, queue("jobs"), 2)),
        [&b"later"[..], b"sooner"]
    );
}

#[test]
fn an_extended_lease_ends_when_it_was_told_to() {
    let mailbox = mailbox();
    send(&mailbox, 1, "jobs", b"work").unwrap();
    let got = receive(&mailbox, 1, queue("jobs"), 1);
    let receipt = got[0].receipt.to_string();
    let mut verdicts = Vec::new();
    mailbox.extend(at(500), queue("jobs"), 2000, &[&receipt], &mut verdicts);
    assert!(receive(&mailbox, 2499, queue("jobs"), 1).is_empty());
    mailbox.extend(at(2499), queue("jobs"), 10, &[&receipt], &mut verdicts);
    assert_eq!(receive(&mailbox, 2509, queue("jobs"), 1).len(), 1);
    mailbox.extend(at(2509), queue("jobs"), 10, &[&receipt], &mut verdicts);
    assert_eq!(verdicts, [Verdict::Ok, Verdict::Ok, Verdict::Late]);
}

#[test]
fn a_message_that_fails_too_often_is_a_dead_letter_with_its_history() {
    let (mailbox, budget) = mailbox_of(CONFIG);
    let id = send(&mailbox, 1, "jobs", b"poison").unwrap().id;
    let first = receive(&mailbox, 10, queue("jobs"), 1);
    assert!(first[0].history.is_none());
    nack(&mailbox, 20, queue("jobs"), &first[0]);
    receive(&mailbox, 30, queue("jobs"), 1);
    let third = receive(&mailbox, 40 + VISIBILITY_MS, queue("jobs"), 1);
    assert_eq!((third[0].attempt, third[0].id), (3, id));
    assert_eq!(nack(&mailbox, 2000, queue("jobs"), &third[0]), Verdict::Ok);

    let of_queue = stats(&mailbox, 2000, queue("jobs"));
    assert_eq!((of_queue.ready, of_queue.dead, of_queue.bytes), (0, 1, 6));
    let of_dead = stats(&mailbox, 2000, dead("jobs"));
    assert_eq!((of_dead.ready, of_dead.dead, of_dead.bytes), (1, 0, 6));

    // No limit there, and nothing is added to what led there.
    for attempt in 4..20 {
        let letter = receive(&mailbox, 2000, dead("jobs"), 1);
        assert_eq!((letter[0].attempt, letter[0].id), (attempt, id));
        let history = letter[0].history.as_ref().unwrap();
        let told: Vec<_> = history
            .iter()
            .map(|it| {
                (
                    it.leased_wall_ms - crate::WALL_MS,
                    it.ended_wall_ms - crate::WALL_MS,
                    it.end,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (10, 20, AttemptEnd::Nacked),
                (30, 30 + VISIBILITY_MS, AttemptEnd::Expired),
                (40 + VISIBILITY_MS, 2000, AttemptEnd::Nacked),
            ]
        );
        assert_eq!(nack(&mailbox, 2000, dead("jobs"), &letter[0]), Verdict::Ok);
    }

    let redriven = redrive(&mailbox, 2000, "jobs", 0);
    assert_eq!(redriven, Some(Redriven { moved: 1, left: 0 }));
    let again = receive(&mailbox, 2000, queue("jobs"), 1);
    assert_eq!((again[0].attempt, again[0].id), (1, id));
    assert!(again[0].history.is_none());
    assert_eq!(ack(&mailbox, 2000, queue("jobs"), &again[0]), Verdict::Ok);

    let counters = mailbox.counters();
    assert_eq!((counters.dead_lettered, counters.redriven), (1, 1));
    assert_eq!((counters.visibility_timeouts, counters.acked), (1, 1));
    drop((first, third, again));
    mailbox.clear();
    assert_empty(&mailbox, &budget);
}

#[test]
fn a_redrive_moves_the_oldest_and_says_what_is_left() {
    let mailbox = mailbox_of(MailboxConfig {
        max_deliveries: 1,
        ..CONFIG
    })
    .0;
    for body in [b"1", b"2", b"3"] {
        send(&mailbox, 1, "jobs", body).unwrap();
    }
    // They die in another order.
    let got = receive(&mailbox, 1, queue("jobs"), 3);
    for at in [2, 0, 1] {
        nack(&mailbox, 1, queue("jobs"), &got[at]);
    }
    let redriven = redrive(&mailbox, 2, "jobs", 2);
    assert_eq!(redriven, Some(Redriven { moved: 2, left: 1 }));
    assert_eq!(
        bodies(&receive(&mailbox, 2, queue("jobs"), 3)),
        [b"1", b"2"]
    );
    assert_eq!(bodies(&receive(&mailbox, 2, dead("jobs"), 3)), [b"3"]);
    // The last is somebody's now.
    let redriven = redrive(&mailbox, 2, "jobs", 0);
    assert_eq!(redriven, Some(Redriven { moved: 0, left: 1 }));
    assert_eq!(redrive(&mailbox, 2, "none", 0), None);
}

/// A redrive and a purge work in turns, between which the queue is free.
/// A purge of a million messages was one call, in which its thread did nothing else for a second.
#[test]
fn between_two_turns_others_come_in_and_what_they_send_stays() {
    let mailbox = mailbox();
    for _ in 0..QUEUE_TURN_MESSAGES + 1 {
        send(&mailbox, 1, "jobs", b"work").unwrap();
    }
    let mut purge = mailbox.purge(at(1), queue("jobs")).unwrap();
    assert_eq!(purge.turn(at(1)), None);
    assert_eq!(stats(&mailbox, 1, queue("jobs")).ready, 1);
    // It takes a place that the purge has been at, and one that it will come to.
    for _ in 0..QUEUE_TURN_MESSAGES + 1 {
        send(&mailbox, 1, "jobs", b"more").unwrap();
    }
    let removed = model::all_turns(|| purge.turn(at(1)));
    assert_eq!(removed, QUEUE_TURN_MESSAGES as u64 + 1);
    let left = receive(&mailbox, 1, queue("jobs"), usize::MAX);
    assert_eq!(left.len(), QUEUE_TURN_MESSAGES + 1);
    assert!(left.iter().all(|delivery| delivery.body == b"more"[..]));

    // A redrive that is dropped has moved what it came to.
    for now_ms in [10_000, 20_000] {
        while mailbox.sweep(at(now_ms)) {}
        receive(&mailbox, now_ms, queue("jobs"), usize::MAX);
    }
    while mailbox.sweep(at(30_000)) {}
    let mut redrive = mailbox.redrive(at(30_000), "jobs", 0).unwrap();
    assert_eq!(redrive.turn(at(30_000)), None);
    drop(redrive);
    assert_eq!(stats(&mailbox, 30_000, dead("jobs")).ready, 1);
}

/// A message that had been delivered twice was delivered a third time although a reload had lowered
/// the limit to two meanwhile.
#[test]
fn a_limit_that_is_lowered_holds_for_what_came_back_before() {
    let (mailbox, budget) = mailbox_of(CONFIG);
    let many = QUEUE_TURN_MESSAGES + 1;
    for _ in 0..many {
        send(&mailbox, 1, "jobs", b"work").unwrap();
    }
    for _ in 0..2 {
        for delivery in receive(&mailbox, 1, queue("jobs"), many) {
            nack(&mailbox, 1, queue("jobs"), &delivery);
        }
    }
    send(&mailbox, 1, "jobs", b"fresh").unwrap();
    mailbox.configure(MailboxConfig {
        max_deliveries: 2,
        ..CONFIG
    });
    // In bounded turns, each of which comes further.
    assert!(receive(&mailbox, 1, queue("jobs"), 9).is_empty());
    assert_eq!(stats(&mailbox, 1, queue("jobs")).ready, 2);
    let got = receive(&mailbox, 1, queue("jobs"), 9);
    assert_eq!(bodies(&got), [b"fresh"]);
    let letters = receive(&mailbox, 1, dead("jobs"), usize::MAX);
    assert_eq!(letters.len(), many);
    let failed = letters[0].history.as_deref().unwrap();
    assert_eq!((letters[0].attempt, failed.len()), (3, 2));
    assert_eq!(mailbox.counters().dead_lettered, many as u64);
    drop((got, letters));
    mailbox.clear();
    assert_empty(&mailbox, &budget);
}

#[test]
fn thousands_are_redriven_and_purged_in_turns() {
    let (mailbox, budget) = mailbox_of(MailboxConfig {
        max_deliveries: 1,
        ..CONFIG
    });
    const MANY: usize = 2000;
    for i in 0..MANY {
        send(&mailbox, 1, "jobs", &i.to_be_bytes()).unwrap();
    }
    receive(&mailbox, 1, queue("jobs"), MANY);
    while mailbox.sweep(at(1 + VISIBILITY_MS)) {}
    assert_eq!(stats(&mailbox, 2000, dead("jobs")).ready, MANY as u64);
    let redriven = redrive(&mailbox, 2000, "jobs", MANY as u32 - 1).unwrap();
    assert_eq!((redriven.moved, redriven.left), (MANY as u32 - 1, 1));
    let got = receive(&mailbox, 2000, queue("jobs"), MANY);
    assert!(got.windows(2).all(|two| two[0].id < two[1].id));
    drop(got);
    assert_eq!(purge(&mailbox, 2000, queue("jobs")), Some(MANY as u64 - 1));
    assert_eq!(purge(&mailbox, 2000, dead("jobs")), Some(1));
    assert_eq!(purge(&mailbox, 2000, queue("none")), None);
    assert_eq!(mailbox.counters().purged, MANY as u64);
    // What it grew to is given back, but for the first of its chunks.
    assert!(budget.committed() < 8192, "{}", budget.committed());
    mailbox.clear();
    assert_empty(&mailbox, &budget);
}

#[test]
fn depths_are_the_first_by_name_and_the_sum_of_the_rest() {
    let mailbox = mailbox_of(MailboxConfig {
        max_deliveries: 1,
        ..CONFIG
    })
    .0;
    for (name, count) in [("b", 2), ("a", 3), ("c", 4), ("a.b", 1)] {
        for _ in 0..count {
            send(&mailbox, 100, name, b"x").unwrap();
        }
    }
    let got = receive(&mailbox, 100, queue("a"), 1);
    nack(&mailbox, 150, queue("a"), &got[0]);
    let depths = mailbox.depths(at(200), 3);
    let told: Vec<_> = depths
        .queues
        .iter()
        .map(|it| (it.name.as_str(), it.ready, it.dead, it.oldest_ready_ms))
        .collect();
    assert_eq!(
        told,
        [
            ("a", 2, 1, Some(100)),
            ("a.b", 1, 0, Some(100)),
            ("b", 2, 0, Some(100))
        ]
    );
    assert_eq!(
        (depths.other.ready, depths.other.oldest_ready_ms),
        (4, Some(100))
    );
}
