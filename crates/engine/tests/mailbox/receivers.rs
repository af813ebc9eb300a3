//! Who waits: woken in turn, one for each message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Wake, Waker};

use micronode_engine::mailbox::{Delivery, Mailbox, Receiver, Send};

use crate::{VISIBILITY_MS, ack, at, dead, mailbox, nack, plain, queue, receive, redrive, send};

#[derive(Default)]
struct Wakes(AtomicU64);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A receiver that waits, and how often it was woken.
struct Waiting {
    receiver: Receiver,
    wakes: Arc<Wakes>,
}

impl Waiting {
    fn at(mailbox: &Mailbox, credit: Option<u16>) -> Self {
        let mut waiting = Self {
            receiver: mailbox.receiver(at(1), queue("jobs"), credit).unwrap(),
            wakes: Arc::default(),
        };
        assert!(!waiting.poll(1));
        waiting
    }

    fn poll(&mut self, now_ms: u64) -> bool {
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.receiver.poll_ready(at(now_ms), &waker)
    }

    fn receive(&mut self, now_ms: u64, max: usize) -> Vec<Delivery> {
        let mut out = Vec::new();
        self.receiver
            .receive(at(now_ms), max, VISIBILITY_MS, &mut out);
        out
    }

    fn wakes(&self) -> u64 {
        self.wakes.0.load(Relaxed)
    }
}

fn wakes(of: &[Waiting]) -> Vec<u64> {
    of.iter().map(Waiting::wakes).collect()
}

fn three(mailbox: &Mailbox) -> Vec<Waiting> {
    (0..3).map(|_| Waiting::at(mailbox, None)).collect()
}

#[test]
fn one_message_wakes_one_receiver_and_the_first_first() {
    let mailbox = mailbox();
    let mut waiting = three(&mailbox);
    for expected in [[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1]] {
        send(&mailbox, 1, "jobs", b"work").unwrap();
        assert_eq!(wakes(&waiting), expected);
    }
    for waiting in &mut waiting {
        assert!(waiting.poll(1));
        assert_eq!(waiting.receive(1, 1).len(), 1);
    }
}

/// Each of the ways in which a message becomes visible.
#[test]
fn whatever_makes_a_message_visible_wakes() {
    let mailbox = mailbox();
    let later = Send {
        delay_ms: 50,
        ..plain(b"later")
    };
    mailbox.send(at(1), "jobs", later).unwrap();
    let mut waiting = Waiting::at(&mailbox, None);
    assert_eq!((waiting.wakes(), mailbox.next_deadline()), (0, Some(51)));
    mailbox.sweep(at(51));
    assert_eq!(waiting.wakes(), 1);

    let got = waiting.receive(51, 1);
    assert!(!waiting.poll(51));
    nack(&mailbox, 51, queue("jobs"), &got[0]);
    assert_eq!(waiting.wakes(), 2);

    waiting.receive(51, 1);
    assert!(!waiting.poll(51));
    let now_ms = 51 + VISIBILITY_MS;
    assert_eq!(mailbox.next_deadline(), Some(now_ms));
    mailbox.sweep(at(now_ms));
    assert_eq!(waiting.wakes(), 3);

    // The third delivery was its last; a redrive makes it visible again.
    let got = waiting.receive(now_ms, 1);
    assert!(!waiting.poll(now_ms));
    nack(&mailbox, now_ms, queue("jobs"), &got[0]);
    assert_eq!(waiting.wakes(), 3);
    redrive(&mailbox, now_ms, "jobs", 0);
    assert_eq!(waiting.wakes(), 4);
}

#[test]
fn dead_letters_have_waiters_of_their_own() {
    let mailbox = mailbox();
    let mut letters = mailbox.receiver(at(1), dead("jobs"), None).unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    assert!(!letters.poll_ready(at(1), &waker));
    send(&mailbox, 1, "jobs", b"poison").unwrap();
    for _ in 0..3 {
        assert_eq!(wakes.0.load(Relaxed), 0);
        let got = receive(&mailbox, 1, queue("jobs"), 1);
        nack(&mailbox, 1, queue("jobs"), &got[0]);
    }
    assert_eq!(wakes.0.load(Relaxed), 1);
    assert!(letters.poll_ready(at(1), &waker));
}

#[test]
fn a_wake_that_came_to_nothing_keeps_the_place() {
    let mailbox = mailbox();
    let mut waiting = three(&mailbox);
    send(&mailbox, 1, "jobs", b"work").unwrap();
    // Somebody else is faster.
    receive(&mailbox, 1, queue("jobs"), 1);
    assert!(!waiting[0].poll(1));
    send(&mailbox, 1, "jobs", b"work").unwrap();
    assert_eq!(wakes(&waiting), [2, 0, 0]);
    // Having received something, it is the last.
    assert_eq!(waiting[0].receive(1, 1).len(), 1);
    assert!(!waiting[0].poll(1));
    for expected in [[2, 1, 0], [2, 1, 1], [3, 1, 1]] {
        send(&mailbox, 1, "jobs", b"work").unwrap();
        assert_eq!(wakes(&waiting), expected);
    }
}

/// A receiver that was woken and then goes away, as a long-poll whose client is gone, must not
/// take the message's only wake with it.
#[test]
fn a_wake_that_was_not_used_is_passed_on() {
    let mailbox = mailbox();
    let mut waiting = three(&mailbox);
    send(&mailbox, 1, "jobs", b"work").unwrap();
    assert_eq!(wakes(&waiting), [1, 0, 0]);
    drop(waiting.remove(0));
    assert_eq!(wakes(&waiting), [1, 0]);
    drop(waiting.remove(0));
    assert_eq!(wakes(&waiting), [1]);
    assert_eq!(waiting[0].receive(1, 1).len(), 1);
    // One that leaves without having been woken changes nothing.
    let other = Waiting::at(&mailbox, None);
    drop(waiting);
    assert_eq!(other.wakes(), 0);
}

/// The reader of a subscription was slow: it was woken, had no room for the message and said
/// nothing, so the message waited for it while other receivers had nothing to do.
#[test]
fn who_declines_lets_the_next_one_have_it_and_keeps_its_place() {
    let mailbox = mailbox();
    let mut waiting = three(&mailbox);
    send(&mailbox, 1, "jobs", b"work").unwrap();
    assert!(waiting[0].poll(1));
    waiting[0].receiver.decline();
    assert_eq!(wakes(&waiting), [1, 1, 0]);
    // It is left alone until it asks again.
    send(&mailbox, 1, "jobs", b"work").unwrap();
    send(&mailbox, 1, "jobs", b"work").unwrap();
    assert_eq!(wakes(&waiting), [1, 1, 1]);
    assert_eq!(receive(&mailbox, 1, queue("jobs"), 9).len(), 3);
    assert!(waiting.iter_mut().all(|it| !it.poll(1)));
    send(&mailbox, 1, "jobs", b"work").unwrap();
    assert_eq!(wakes(&waiting), [2, 1, 1]);

    // Who was not woken has nothing to pass on, and is not woken either.
    waiting[1].receiver.decline();
    send(&mailbox, 1, "jobs", b"work").unwrap();
    assert_eq!(wakes(&waiting), [2, 1, 2]);
    assert!(waiting[1].poll(1));
    assert_eq!(waiting[1].receive(1, 9).len(), 2);
}

#[test]
fn a_receiver_leases_within_its_credit() {
    let mailbox = mailbox();
    let mut waiting = Waiting::at(&mailbox, Some(2));
    for _ in 0..4 {
        send(&mailbox, 1, "jobs", b"work").unwrap();
    }
    assert_eq!(waiting.wakes(), 1);
    let got = waiting.receive(1, 9);
    assert_eq!(got.len(), 2);
    // There are two more, but not for it.
    assert!(!waiting.poll(1));
    assert!(waiting.receive(1, 9).is_empty());
    assert!(!waiting.poll(1));
    send(&mailbox, 1, "jobs", b"work").unwrap();
    assert_eq!(waiting.wakes(), 1);
    // An ack, by whomever, gives one back; so do a nack and the end of a lease.
    ack(&mailbox, 1, queue("jobs"), &got[0]);
    assert_eq!(waiting.wakes(), 2);
    assert!(waiting.poll(1));
    assert_eq!(waiting.receive(1, 9).len(), 1);
    assert!(!waiting.poll(1));
    nack(&mailbox, 1, queue("jobs"), &got[1]);
    assert_eq!(waiting.wakes(), 3);
    assert_eq!(waiting.receive(1, 9).len(), 1);
    assert!(!waiting.poll(1));
    mailbox.sweep(at(1 + VISIBILITY_MS));
    assert_eq!(waiting.wakes(), 4);
    assert_eq!(waiting.receive(2000, 9).len(), 2);
}

#[test]
fn without_credit_others_are_woken() {
    let mailbox = mailbox();
    let mut none = Waiting::at(&mailbox, Some(0));
    let other = Waiting::at(&mailbox, None);
    send(&mailbox, 1, "jobs", b"work").unwrap();
    assert_eq!((none.wakes(), other.wakes()), (0, 1));
    assert!(!none.poll(1));
}

#[test]
fn the_sweeper_is_woken_when_it_has_to_come_earlier() {
    let mailbox = mailbox();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let lease = |now_ms, visibility_ms| {
        send(&mailbox, now_ms, "jobs", b"work").unwrap();
        let mut out = Vec::new();
        mailbox.receive(at(now_ms), queue("jobs"), 1, visibility_ms, &mut out);
    };
    mailbox.wake_when_earlier(&waker);
    lease(1, 1000);
    assert_eq!(
        (wakes.0.load(Relaxed), mailbox.next_deadline()),
        (1, Some(1001))
    );
    // It was woken once, and has not asked again.
    lease(1, 500);
    assert_eq!(
        (wakes.0.load(Relaxed), mailbox.next_deadline()),
        (1, Some(501))
    );
    mailbox.wake_when_earlier(&waker);
    lease(1, 700);
    assert_eq!(wakes.0.load(Relaxed), 1);
    lease(1, 300);
    assert_eq!(wakes.0.load(Relaxed), 2);
    for next in [301, 501, 701, 1001] {
        assert_eq!(mailbox.next_deadline(), Some(next));
        assert!(!mailbox.sweep(at(next)));
    }
}
