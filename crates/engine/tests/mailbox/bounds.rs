//! Every bound, reached and not passed.

use micronode_engine::mailbox::{Mailbox, MailboxConfig, QueueStats, Quota, SendError, Verdict};
use micronode_engine::{Budget, MemoryKind};
use micronode_protocol::limits::{QUEUE_IDLE, QUEUES, RECEIVE_BYTES};

use crate::{
    CONFIG, MIB, ack, assert_empty, at, dead, keys, mailbox, mailbox_of, nack, purge, queue,
    receive, redrive, send, stats,
};

fn exhausted(mailbox: &Mailbox, quota: Quota) -> u64 {
    mailbox.counters().quota_exhausted[quota as usize]
}

#[test]
fn the_longest_body_fits_and_a_byte_more_does_not() {
    let mailbox = mailbox_of(MailboxConfig {
        max_body: 1000,
        ..CONFIG
    })
    .0;
    assert!(send(&mailbox, 1, "jobs", &[1; 1000]).is_ok());
    assert_eq!(
        send(&mailbox, 1, "other", &[1; 1001]),
        Err(SendError::TooLarge)
    );
    assert_eq!(mailbox.stats(at(1), queue("other")), None);
}

#[test]
fn a_queue_and_all_queues_hold_so_many_messages_and_bytes() {
    // (messages of one, bytes of one, messages of all, bytes of all), and what is exhausted when
    // a fifth body of ten bytes comes to a queue, or to another.
    for (bounds, same, other) in [
        ((4, 1000, 100, 1000), Some(Quota::Messages), None),
        ((100, 49, 100, 1000), Some(Quota::Bytes), None),
        (
            (100, 1000, 4, 1000),
            Some(Quota::Messages),
            Some(Quota::Messages),
        ),
        ((100, 1000, 100, 49), Some(Quota::Bytes), Some(Quota::Bytes)),
        ((5, 50, 6, 60), None, None),
    ] {
        let (mailbox, budget) = mailbox_of(MailboxConfig {
            max_messages: bounds.0,
            max_bytes: bounds.1,
            max_messages_total: bounds.2,
            max_bytes_total: bounds.3,
            max_deliveries: 1,
            ..CONFIG
        });
        for _ in 0..4 {
            send(&mailbox, 1, "jobs", &[1; 10]).unwrap();
        }
        // Neither being received nor being dead takes a message out of the count.
        let got = receive(&mailbox, 1, queue("jobs"), 2);
        nack(&mailbox, 1, queue("jobs"), &got[0]);
        let before = (stats(&mailbox, 1, queue("jobs")), budget.committed());
        for (name, quota) in [("jobs", same), ("other", other)] {
            let sent = send(&mailbox, 1, name, &[1; 10]).map(drop);
            assert_eq!(
                sent,
                quota.map_or(Ok(()), |quota| Err(SendError::Quota(quota)))
            );
            if let Some(quota) = quota {
                assert!(exhausted(&mailbox, quota) > 0);
                assert_eq!(
                    (stats(&mailbox, 1, queue("jobs")), budget.committed()),
                    before
                );
            }
        }
        // One that is acked makes room for one.
        ack(&mailbox, 1, queue("jobs"), &got[1]);
        assert!(send(&mailbox, 1, "jobs", &[1; 10]).is_ok());
        drop(got);
        mailbox.clear();
        assert_empty(&mailbox, &budget);
    }
}

#[test]
fn a_bound_that_is_lowered_refuses_what_comes_and_keeps_what_is_there() {
    let mailbox = mailbox();
    for _ in 0..3 {
        send(&mailbox, 1, "jobs", b"work").unwrap();
    }
    mailbox.configure(MailboxConfig {
        max_messages: 2,
        ..CONFIG
    });
    assert_eq!(
        send(&mailbox, 1, "jobs", b"more"),
        Err(SendError::Quota(Quota::Messages))
    );
    assert_eq!(receive(&mailbox, 1, queue("jobs"), 9).len(), 3);
}

#[test]
fn a_redrive_stops_at_a_quota_that_was_lowered() {
    let config = MailboxConfig {
        max_deliveries: 1,
        ..CONFIG
    };
    let mailbox = mailbox_of(config).0;
    for _ in 0..3 {
        send(&mailbox, 1, "jobs", b"work").unwrap();
    }
    for delivery in receive(&mailbox, 1, queue("jobs"), 3) {
        nack(&mailbox, 1, queue("jobs"), &delivery);
    }
    mailbox.configure(MailboxConfig {
        max_messages: 2,
        ..config
    });
    let redriven = redrive(&mailbox, 1, "jobs", 0).unwrap();
    assert_eq!((redriven.moved, redriven.left), (0, 3));
    assert_eq!(purge(&mailbox, 1, dead("jobs")), Some(3));
}

#[test]
fn there_are_so_many_queues_and_idle_ones_make_room() {
    let (mailbox, budget) = mailbox_of(CONFIG);
    let waiting = mailbox.receiver(at(1), queue("waiting"), None).unwrap();
    for i in 1..QUEUES {
        send(&mailbox, 1, &format!("q{i}"), b"").unwrap();
    }
    assert_eq!(
        send(&mailbox, 1, "more", b""),
        Err(SendError::Quota(Quota::Queues))
    );
    let refused = mailbox.receiver(at(1), queue("more"), None);
    assert_eq!(refused.err(), Some(SendError::Quota(Quota::Queues)));
    assert_eq!(exhausted(&mailbox, Quota::Queues), 2);
    // Nobody has sent to it.
    assert_eq!(mailbox.stats(at(1), queue("waiting")), None);
    drop(waiting);
    assert!(send(&mailbox, 1, "more", b"").is_ok());

    // One that is empty is kept until it has been for long, or there is no room for another.
    let got = receive(&mailbox, 5, queue("q1"), 1);
    assert_eq!(ack(&mailbox, 5, queue("q1"), &got[0]), Verdict::Ok);
    assert_eq!(stats(&mailbox, 5, queue("q1")), QueueStats::default());
    assert!(send(&mailbox, 6, "another", b"").is_ok());
    assert_eq!(mailbox.stats(at(6), queue("q1")), None);
    assert!(send(&mailbox, 6, "yet another", b"").is_err());
    let last = receive(&mailbox, 7, queue("q2"), 1);
    assert_eq!(ack(&mailbox, 7, queue("q2"), &last[0]), Verdict::Ok);
    let idle_ms = QUEUE_IDLE.as_millis() as u64;
    for (now_ms, is_there) in [(6 + idle_ms, true), (7 + idle_ms, false)] {
        while mailbox.sweep(at(now_ms)) {}
        let depths = mailbox.depths(at(now_ms), QUEUES).queues;
        assert_eq!(depths.iter().any(|it| it.name == "q2"), is_there);
    }
    assert_eq!(mailbox.counters().sent, QUEUES as u64 + 1);
    assert_eq!(mailbox.counters().acked, 2);
    drop((got, last));
    mailbox.clear();
    assert_empty(&mailbox, &budget);
}

/// It was told that there are too many queues, and counted as one who was, when a queue for it
/// would not have fitted into memory: a client that goes elsewhere instead of coming back later.
#[test]
fn a_receiver_without_memory_is_told_of_memory() {
    let mailbox = Mailbox::new(CONFIG, Budget::new(100), keys());
    let refused = mailbox.receiver(at(1), queue("jobs"), None);
    assert!(matches!(refused.err(), Some(SendError::OverBudget(_))));
    assert_eq!(exhausted(&mailbox, Quota::Queues), 0);
}

#[test]
fn a_receive_gives_a_mebibyte_of_bodies_but_always_one() {
    let mailbox = mailbox();
    for length in [
        RECEIVE_BYTES,
        1,
        RECEIVE_BYTES / 2,
        RECEIVE_BYTES / 2 - 1,
        1,
    ] {
        send(&mailbox, 1, "jobs", &vec![1; length]).unwrap();
    }
    let counts = [(); 4].map(|()| receive(&mailbox, 1, queue("jobs"), 9).len());
    assert_eq!(counts, [1, 3, 1, 0]);
}

#[test]
fn a_budget_that_is_full_refuses_and_nothing_has_changed() {
    let budget = Budget::new(MIB);
    let mailbox = Mailbox::new(CONFIG, budget.clone(), keys());
    send(&mailbox, 1, "jobs", &vec![1; 900_000]).unwrap();
    let before = budget.committed();
    let over = send(&mailbox, 1, "jobs", &vec![1; 300_000]);
    assert!(matches!(over, Err(SendError::OverBudget(_))), "{over:?}");
    let over = send(&mailbox, 1, "other", &vec![1; 300_000]);
    assert!(matches!(over, Err(SendError::OverBudget(_))), "{over:?}");
    assert_eq!(budget.committed(), before);
    assert_eq!(mailbox.stats(at(1), queue("other")), None);
    // The place in the queue is paid for, too: small ones run out of memory, never beyond.
    let mut taken = 0_u64;
    while send(&mailbox, 1, "jobs", b"").is_ok() {
        taken += 1;
        assert!(budget.committed() <= budget.limit());
    }
    assert_eq!(stats(&mailbox, 1, queue("jobs")).ready, taken + 1);
    assert!(taken > 100);

    // And then all of them can still be received, given back, and found dead.
    for round in 1..=CONFIG.max_deliveries as u64 {
        let mut count = 0;
        loop {
            let got = receive(&mailbox, round * 10_000, queue("jobs"), 256);
            if got.is_empty() {
                break;
            }
            count += got.len() as u64;
        }
        assert_eq!(count, taken + 1);
        while mailbox.sweep(at(round * 10_000 + 5_000)) {}
    }
    assert_eq!(stats(&mailbox, 50_000, dead("jobs")).ready, taken + 1);
    assert!(budget.committed() <= budget.limit());
    mailbox.clear();
    assert_empty(&mailbox, &budget);
}

/// Deleted means gone: an acked body is wiped when the last who received it lets go, and is paid
/// for until then.
#[test]
fn a_body_is_paid_for_until_its_receiver_lets_go() {
    let (mailbox, budget) = mailbox_of(CONFIG);
    send(&mailbox, 1, "jobs", &[1; 5000]).unwrap();
    let got = receive(&mailbox, 1, queue("jobs"), 1);
    ack(&mailbox, 1, queue("jobs"), &got[0]);
    assert_eq!(stats(&mailbox, 1, queue("jobs")).bytes, 0);
    assert!(budget.used(MemoryKind::Messages) > 5000);
    assert_eq!(got[0].body, [1; 5000][..]);
    drop(got);
    assert!(budget.used(MemoryKind::Messages) < 5000);
}

/// A queue that had held exactly as many messages as its first storage has room for took more for
/// every message from then on, and gave it back with the ack.
#[test]
fn a_queue_that_was_full_once_has_room_for_a_message() {
    for depth in [15, 16, 17] {
        let (mailbox, budget) = mailbox_of(CONFIG);
        let round = |count| {
            for _ in 0..count {
                send(&mailbox, 1, "jobs", b"").unwrap();
            }
            let held = budget.committed();
            for delivery in receive(&mailbox, 1, queue("jobs"), count) {
                ack(&mailbox, 1, queue("jobs"), &delivery);
            }
            held - budget.committed()
        };
        round(1);
        let of_one = round(1);
        round(depth);
        assert_eq!(round(1), of_one, "{depth}");
    }
}

#[test]
fn what_was_acked_leaves_no_memory_behind() {
    let (mailbox, budget) = mailbox_of(CONFIG);
    let mut after_one = None;
    for round in 0..20_000 {
        send(&mailbox, round, "jobs", b"work").unwrap();
        let got = receive(&mailbox, round, queue("jobs"), 1);
        ack(&mailbox, round, queue("jobs"), &got[0]);
        drop(got);
        assert_eq!(
            *after_one.get_or_insert(budget.committed()),
            budget.committed()
        );
    }
}

/// One dead letter, or one long lease, kept the memory that its queue had needed at its fullest.
#[test]
fn what_is_left_of_many_keeps_no_memory_but_its_own() {
    const MANY: usize = 100_000;
    const LITTLE: u64 = 200_000;
    let fill = || {
        let (mailbox, budget) = mailbox_of(MailboxConfig {
            max_deliveries: 1,
            ..CONFIG
        });
        for _ in 0..MANY {
            send(&mailbox, 1, "jobs", b"").unwrap();
        }
        assert!(budget.committed() > MANY as u64 * 200);
        (mailbox, budget)
    };
    // Whichever it is, and whether the others are acked or purged.
    for left in [0, MANY / 2, MANY - 1] {
        let (mailbox, budget) = fill();
        let mut got = receive(&mailbox, 1, queue("jobs"), MANY);
        let kept = got.remove(left);
        for delivery in got.drain(..) {
            ack(&mailbox, 1, queue("jobs"), &delivery);
        }
        assert!(budget.committed() < LITTLE, "{}", budget.committed());
        nack(&mailbox, 1, queue("jobs"), &kept);
        let letters = receive(&mailbox, 1, dead("jobs"), 9);
        assert_eq!((letters.len(), letters[0].id), (1, kept.id));

        let (mailbox, budget) = fill();
        let mut got = receive(&mailbox, 1, queue("jobs"), left + 1);
        let kept = got.pop().unwrap();
        nack(&mailbox, 1, queue("jobs"), &kept);
        drop(got);
        assert_eq!(purge(&mailbox, 1, queue("jobs")), Some(MANY as u64 - 1));
        assert!(budget.committed() < LITTLE, "{}", budget.committed());
        // And there is room for as many once more.
        for _ in 0..1000 {
            send(&mailbox, 1, "jobs", b"").unwrap();
        }
        assert_eq!(receive(&mailbox, 1, queue("jobs"), MANY).len(), 1000);
        assert_eq!(stats(&mailbox, 1, dead("jobs")).ready, 1);
        mailbox.clear();
        drop(kept);
        assert_empty(&mailbox, &budget);
    }
}
