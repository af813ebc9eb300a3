//! What queues hold and what has happened to them, for people and metrics.

use std::ops::AddAssign;

/// A bound of the mailbox: the `quota` label of `quota_exhaustions_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Queues.
    Queues,
    /// Messages of a queue, or of all.
    Messages,
    /// Bytes of the bodies of a queue, or of all.
    Bytes,
    /// Idempotency keys of a queue.
    Keys,
}

impl Quota {
    /// Every quota, in declaration order.
    pub const ALL: [Self; 4] = [Self::Queues, Self::Messages, Self::Bytes, Self::Keys];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queues => "queues",
            Self::Messages => "messages",
            Self::Bytes => "bytes",
            Self::Keys => "keys",
        }
    }
}

/// What one queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages that can be received now.
    pub ready: u64,
    /// Messages that were received, and whose leases run.
    pub leased: u64,
    /// Messages that will be visible later.
    pub delayed: u64,
    /// Dead letters of the queue; 0 for a queue of dead letters.
    pub dead: u64,
    /// Bytes of all these bodies.
    pub bytes: u64,
}

impl QueueStats {
    pub(super) const fn is_empty(&self) -> bool {
        self.ready + self.leased + self.delayed == 0
    }
}

/// A queue's share of [`Depths`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// The queue's name, with `.dlq` for dead letters.
    pub name: String,
    /// Messages that can be received now.
    pub ready: u64,
    /// Messages that were received, and whose leases run.
    pub leased: u64,
    /// Messages that will be visible later.
    pub delayed: u64,
    /// For how long the first that can be received now could have been.
    pub oldest_ready_ms: Option<u64>,
}

/// What all queues hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Depths {
    /// The first by name.
    pub queues: Vec<QueueDepth>,
    /// The sum of all others, without a name.
    pub other: QueueDepth,
}

/// A reading of the mailbox's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailboxCounters {
    /// Messages taken; duplicates are not.
    pub sent: u64,
    /// Sends that were answered with an earlier one.
    pub duplicates: u64,
    /// Leases given.
    pub delivered: u64,
    /// Messages acknowledged.
    pub acked: u64,
    /// Leases that ran out.
    pub visibility_timeouts: u64,
    /// Messages that became dead letters.
    pub dead_lettered: u64,
    /// Messages purged.
    pub purged: u64,
    /// Dead letters moved back.
    pub redriven: u64,
    /// Sends refused, by [`Quota`] in the order of [`Quota::ALL`].
    pub quota_exhausted: [u64; Quota::ALL.len()],
}

impl AddAssign for MailboxCounters {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.duplicates += other.duplicates;
        self.delivered += other.delivered;
        self.acked += other.acked;
        self.visibility_timeouts += other.visibility_timeouts;
        self.dead_lettered += other.dead_lettered;
        self.purged += other.purged;
        self.redriven += other.redriven;
        for (sum, more) in self.quota_exhausted.iter_mut().zip(other.quota_exhausted) {
            *sum += more;
        }
    }
}

impl QueueDepth {
    /// Adds what another queue holds; the name stays.
    pub(super) fn add(&mut self, other: &Self) {
        self.ready += other.ready;
        self.leased += other.leased;
        self.delayed += other.delayed;
        self.oldest_ready_ms = self.oldest_ready_ms.max(other.oldest_ready_ms);
    }
}
