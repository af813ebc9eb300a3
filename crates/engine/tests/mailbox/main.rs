//! The mailbox seen from outside, by topic.
#![allow(clippy::unwrap_used)]

mod bounds;
mod keys;
mod laws;
mod leases;
mod model;
mod receivers;
mod threads;

use micronode_engine::mailbox::{
    Delivery, Mailbox, MailboxConfig, MailboxKeys, QueueStats, Redriven, Send, SendError, Sent,
    Verdict,
};
use micronode_engine::{Budget, MemoryKind, Now};
use micronode_protocol::name::QueueRef;

const WALL_MS: u64 = 1_700_000_000_000;
const MIB: u64 = 1 << 20;
const VISIBILITY_MS: u64 = 1000;

const CONFIG: MailboxConfig = MailboxConfig {
    max_messages: 100_000,
    max_bytes: 64 * MIB,
    max_messages_total: 200_000,
    max_bytes_total: 128 * MIB,
    max_body: MIB as usize,
    max_deliveries: 3,
    window_ms: 600_000,
};

fn at(mono_ms: u64) -> Now {
    Now {
        mono_ms,
        wall_ms: WALL_MS + mono_ms,
    }
}

fn keys() -> MailboxKeys {
    MailboxKeys::new([3; 32], [4; 32])
}

fn mailbox_of(config: MailboxConfig) -> (Mailbox, Budget) {
    let budget = Budget::new(256 * MIB);
    (Mailbox::new(config, budget.clone(), keys()), budget)
}

fn mailbox() -> Mailbox {
    mailbox_of(CONFIG).0
}

fn queue(queue: &str) -> QueueRef<'_> {
    QueueRef {
        queue,
        is_dead: false,
    }
}

fn dead(queue: &str) -> QueueRef<'_> {
    QueueRef {
        queue,
        is_dead: true,
    }
}

fn plain(body: &[u8]) -> Send<'_> {
    Send {
        body,
        delay_ms: 0,
        idempotency: None,
    }
}

fn send(mailbox: &Mailbox, now_ms: u64, to: &str, body: &[u8]) -> Result<Sent, SendError> {
    mailbox.send(at(now_ms), to, plain(body))
}

fn receive(mailbox: &Mailbox, now_ms: u64, from: QueueRef<'_>, max: usize) -> Vec<Delivery> {
    let mut out = Vec::new();
    mailbox.receive(at(now_ms), from, max, VISIBILITY_MS, &mut out);
    out
}

fn bodies(deliveries: &[Delivery]) -> Vec<&[u8]> {
    deliveries.iter().map(|delivery| &*delivery.body).collect()
}

fn ack(mailbox: &Mailbox, now_ms: u64, of: QueueRef<'_>, delivery: &Delivery) -> Verdict {
    let mut out = Vec::new();
    mailbox.ack(at(now_ms), of, &[&delivery.receipt.to_string()], &mut out);
    out[0]
}

fn nack(mailbox: &Mailbox, now_ms: u64, of: QueueRef<'_>, delivery: &Delivery) -> Verdict {
    let mut out = Vec::new();
    let receipt = delivery.receipt.to_string();
    mailbox.nack(at(now_ms), of, 0, &[&receipt], &mut out);
    out[0]
}

fn purge(mailbox: &Mailbox, now_ms: u64, of: QueueRef<'_>) -> Option<u64> {
    let mut purge = mailbox.purge(at(now_ms), of)?;
    Some(model::all_turns(|| purge.turn(at(now_ms))))
}

fn redrive(mailbox: &Mailbox, now_ms: u64, of: &str, limit: u32) -> Option<Redriven> {
    let mut redrive = mailbox.redrive(at(now_ms), of, limit)?;
    Some(model::all_turns(|| redrive.turn(at(now_ms))))
}

fn stats(mailbox: &Mailbox, now_ms: u64, of: QueueRef<'_>) -> QueueStats {
    mailbox.stats(at(now_ms), of).unwrap()
}

fn assert_empty(mailbox: &Mailbox, budget: &Budget) {
    assert_eq!(budget.committed(), 0);
    assert_eq!(budget.used(MemoryKind::Messages), 0);
    assert_eq!(mailbox.next_deadline(), None);
}
