//! The bounds of all queues together, and those of each as the operator last chose them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use micronode_protocol::limits::QUEUES;

use super::stats::Quota;

/// What the operator chose for queues. Dead letters count for the queue that they came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxConfig {
    /// Messages of one queue.
    pub max_messages: u64,
    /// Bytes of the bodies of one queue.
    pub max_bytes: u64,
    /// Messages of all queues.
    pub max_messages_total: u64,
    /// Bytes of the bodies of all queues.
    pub max_bytes_total: u64,
    /// Largest body in bytes.
    pub max_body: usize,
    /// A message whose delivery failed so often is a dead letter.
    pub max_deliveries: u32,
    /// How long an idempotency key is remembered, in milliseconds.
    pub window_ms: u64,
}

/// The configuration, read by every command and written by a reload. Each bound is read for
/// itself: no two of them have to be of one reload.
#[derive(Default)]
pub(super) struct Bounds {
    max_messages: AtomicU64,
    max_bytes: AtomicU64,
    max_messages_total: AtomicU64,
    max_bytes_total: AtomicU64,
    max_body: AtomicU64,
    max_deliveries: AtomicU64,
    window_ms: AtomicU64,
}

impl Bounds {
    pub(super) fn store(&self, config: MailboxConfig) {
        self.max_messages.store(config.max_messages, Relaxed);
        self.max_bytes.store(config.max_bytes, Relaxed);
        self.max_messages_total
            .store(config.max_messages_total, Relaxed);
        self.max_bytes_total.store(config.max_bytes_total, Relaxed);
        self.max_body.store(config.max_body as u64, Relaxed);
        self.max_deliveries
            .store(u64::from(config.max_deliveries), Relaxed);
        self.window_ms.store(config.window_ms, Relaxed);
    }

    pub(super) fn load(&self) -> MailboxConfig {
        MailboxConfig {
            max_messages: self.max_messages.load(Relaxed),
            max_bytes: self.max_bytes.load(Relaxed),
            max_messages_total: self.max_messages_total.load(Relaxed),
            max_bytes_total: self.max_bytes_total.load(Relaxed),
            max_body: self.max_body.load(Relaxed) as usize,
            max_deliveries: self.max_deliveries.load(Relaxed) as u32,
            window_ms: self.window_ms.load(Relaxed),
        }
    }
}

/// What all queues hold, and how often something did not fit. On cache lines of their own: every
/// send and every ack writes here, and nobody should wait for that who only reads the bounds.
#[repr(align(128))]
#[derive(Default)]
pub(super) struct Totals {
    queues: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    exhausted: [AtomicU64; Quota::ALL.len()],
}

/// A message's share of the totals, given back unless it is kept.
pub(super) struct Share<'a> {
    totals: &'a Totals,
    bytes: u64,
}

impl Totals {
    pub(super) fn add_message(
        &self,
        config: &MailboxConfig,
        bytes: u64,
    ) -> Result<Share<'_>, Quota> {
        take(&self.messages, 1, config.max_messages_total).ok_or(Quota::Messages)?;
        if take(&self.bytes, bytes, config.max_bytes_total).is_none() {
            self.messages.fetch_sub(1, Relaxed);
            return Err(Quota::Bytes);
        }
        Ok(Share {
            totals: self,
            bytes,
        })
    }

    /// What was kept is there, whatever may be sent now.
    pub(super) fn restore_message(&self, bytes: u64) {
        self.messages.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn remove_messages(&self, messages: u64, bytes: u64) {
        if messages > 0 {
            self.messages.fetch_sub(messages, Relaxed);
            self.bytes.fetch_sub(bytes, Relaxed);
        }
    }

    pub(super) fn add_queue(&self) -> Result<(), Quota> {
        take(&self.queues, 1, QUEUES as u64).ok_or(Quota::Queues)
    }

    pub(super) fn remove_queue(&self) {
        self.queues.fetch_sub(1, Relaxed);
    }

    pub(super) fn count_exhausted(&self, quota: Quota) {
        self.exhausted[quota as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn exhausted(&self) -> [u64; Quota::ALL.len()] {
        std::array::from_fn(|quota| self.exhausted[quota].load(Relaxed))
    }
}

impl Share<'_> {
    /// The message was taken.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.totals.remove_messages(1, self.bytes);
    }
}

/// Moves a counter by `more`, not above `most`.
fn take(counter: &AtomicU64, more: u64, most: u64) -> Option<()> {
    let fits = |held: u64| held.checked_add(more).filter(|sum| *sum <= most);
    counter.fetch_update(Relaxed, Relaxed, fits).ok().map(drop)
}
