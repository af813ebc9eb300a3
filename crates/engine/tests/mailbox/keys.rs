//! Idempotency keys: one message for each, for as long as the window lasts.

use micronode_engine::mailbox::{
    Idempotency, Mailbox, MailboxConfig, Quota, Send, SendError, Sent,
};
use micronode_protocol::limits::IDEMPOTENCY_KEYS;

use crate::{
    CONFIG, ack, assert_empty, at, mailbox, mailbox_of, plain, purge, queue, receive, stats,
};

fn send_as(
    mailbox: &Mailbox,
    now_ms: u64,
    holder: u8,
    key: &str,
    body: &[u8],
) -> Result<Sent, SendError> {
    let message = Send {
        idempotency: Some(Idempotency {
            holder: [holder; 32],
            key,
        }),
        ..plain(body)
    };
    mailbox.send(at(now_ms), "jobs", message)
}

#[test]
fn a_key_sends_once_and_outlives_its_message() {
    let mailbox = mailbox();
    let first = send_as(&mailbox, 1, 1, "k", b"work").unwrap();
    assert!(!first.duplicate);
    let again = || send_as(&mailbox, 2, 1, "k", b"work").unwrap();
    assert_eq!((again().id, again().duplicate), (first.id, true));
    assert_eq!(
        send_as(&mailbox, 2, 1, "k", b"other work"),
        Err(SendError::KeyReused)
    );
    // Another holder's key is another key, whatever it was used for.
    assert!(
        !send_as(&mailbox, 2, 2, "k", b"other work")
            .unwrap()
            .duplicate
    );
    let got = receive(&mailbox, 3, queue("jobs"), 1);
    ack(&mailbox, 3, queue("jobs"), &got[0]);
    assert_eq!(again().id, first.id);
    purge(&mailbox, 3, queue("jobs"));
    assert_eq!(again().id, first.id);
    assert_eq!(mailbox.counters().duplicates, 4);
}

#[test]
fn a_key_is_kept_for_the_window_and_not_longer() {
    let mailbox = mailbox();
    let first = send_as(&mailbox, 1, 1, "k", b"work").unwrap();
    let last_ms = CONFIG.window_ms;
    assert!(
        send_as(&mailbox, last_ms, 1, "k", b"work")
            .unwrap()
            .duplicate
    );
    let anew = send_as(&mailbox, last_ms + 1, 1, "k", b"else").unwrap();
    assert!(!anew.duplicate && anew.id != first.id);
}

#[test]
fn a_duplicate_is_one_also_when_the_queue_is_full() {
    let mailbox = mailbox_of(MailboxConfig {
        max_messages: 1,
        max_messages_total: 1,
        ..CONFIG
    })
    .0;
    let first = send_as(&mailbox, 1, 1, "k", b"work").unwrap();
    let again = send_as(&mailbox, 1, 1, "k", b"work").unwrap();
    assert_eq!((again.id, again.duplicate), (first.id, true));
    let full = Err(SendError::Quota(Quota::Messages));
    assert_eq!(send_as(&mailbox, 1, 1, "l", b"work"), full);
    // It was refused, and so not used.
    let got = receive(&mailbox, 1, queue("jobs"), 1);
    ack(&mailbox, 1, queue("jobs"), &got[0]);
    assert!(!send_as(&mailbox, 1, 1, "l", b"other").unwrap().duplicate);
}

#[test]
fn a_queue_keeps_so_many_keys_and_forgets_none_early() {
    let (mailbox, budget) = mailbox_of(CONFIG);
    for i in 0..IDEMPOTENCY_KEYS {
        send_as(&mailbox, 1, 1, &i.to_string(), b"").unwrap();
    }
    let before = budget.committed();
    assert_eq!(
        send_as(&mailbox, 1, 1, "more", b""),
        Err(SendError::Quota(Quota::Keys))
    );
    assert_eq!(budget.committed(), before);
    assert!(send_as(&mailbox, 1, 1, "0", b"").unwrap().duplicate);
    assert_eq!(
        stats(&mailbox, 1, queue("jobs")).ready,
        IDEMPOTENCY_KEYS as u64
    );

    // They go by themselves, and what they cost goes with them.
    while mailbox.sweep(at(1 + CONFIG.window_ms)) {}
    assert!(budget.committed() < before - IDEMPOTENCY_KEYS as u64 * 250);
    mailbox.clear();
    assert_empty(&mailbox, &budget);
}
