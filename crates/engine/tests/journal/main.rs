//! What the engine tells a journal, and what it is when it is put back from that.
//!
//! The journal here is a list of changes, and what is kept is what plain maps make of them, or of
//! the first of them: a crash loses the others.
#![allow(clippy::unwrap_used)]

mod compare;
mod kept;
mod laws;
mod node;
mod restoring;
mod threads;

use micronode_engine::mailbox::MailboxConfig;
use micronode_protocol::name::QueueRef;

/// The wall clock when the tests begin.
const WALL_MS: u64 = 1_700_000_000_000;
const QUEUES: [&str; 2] = ["jobs", "mail"];
const NAMES: [&str; 3] = ["a", "b", "c"];
const CONFIG: MailboxConfig = MailboxConfig {
    max_messages: 40,
    max_bytes: 4000,
    max_messages_total: 60,
    max_bytes_total: 6000,
    max_body: 200,
    max_deliveries: 3,
    window_ms: 300,
};

fn queue(queue: &str, is_dead: bool) -> QueueRef<'_> {
    QueueRef { queue, is_dead }
}

/// Every queue, and its dead letters.
fn lanes() -> impl Iterator<Item = QueueRef<'static>> {
    let lanes = |name| [queue(name, false), queue(name, true)];
    QUEUES.into_iter().flat_map(lanes)
}
