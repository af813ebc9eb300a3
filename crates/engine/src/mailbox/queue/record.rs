//! What a queue tells the journal of its changes.

use std::sync::Arc;

use super::Queue;
use crate::Now;
use crate::journal::{Change, Journal, KeptKey, MessageState};
use crate::mailbox::slab::{Slot, State};

/// Tells a journal what changes in one queue. Called under the lock of that queue.
pub(in crate::mailbox) struct Recorder {
    pub(in crate::mailbox) journal: Arc<dyn Journal>,
    pub(in crate::mailbox) queue: u64,
    pub(in crate::mailbox) name: Arc<str>,
}

/// When its delay is over; `None` if it has none.
fn visible_at_wall_ms(message: &Slot, now: Now) -> Option<u64> {
    (message.state == State::Delayed).then(|| now.wall_at(message.at_ms))
}

// Cold, so that a node without a journal does not pay for what it never does.
impl Recorder {
    #[cold]
    fn sent(&self, message: &Slot, key: Option<&KeptKey>, now: Now) {
        self.journal.record(Change::MessageSent {
            queue: self.queue,
            name: Arc::clone(&self.name),
            sequence: message.sequence,
            body: message.body().clone(),
            sent_wall_ms: message.enqueued_wall_ms,
            visible_at_wall_ms: visible_at_wall_ms(message, now),
            key: key.copied(),
        });
    }

    #[cold]
    fn changed(&self, message: &Slot, now: Now) {
        self.journal.record(Change::MessageChanged {
            queue: self.queue,
            sequence: message.sequence,
            state: MessageState {
                is_dead: message.is_dead,
                attempts: message.attempts,
                visible_at_wall_ms: visible_at_wall_ms(message, now),
                history: message.history().cloned(),
            },
        });
    }

    #[cold]
    fn removed(&self, message: &Slot) {
        self.journal.record(Change::MessageRemoved {
            queue: self.queue,
            sequence: message.sequence,
        });
    }

    #[cold]
    pub(super) fn key_forgotten(&self, key: [u8; 32]) {
        self.journal.record(Change::KeyForgotten {
            queue: self.queue,
            key,
        });
    }

    #[cold]
    fn forgotten(&self) {
        self.journal
            .record(Change::QueueForgotten { queue: self.queue });
    }
}

impl Queue {
    #[inline]
    pub(super) fn record_sent(&self, slot: u32, key: Option<&KeptKey>, now: Now) {
        if let Some(recorder) = &self.recorder {
            recorder.sent(&self.slots[slot], key, now);
        }
    }

    /// Comes after every change of a message but the last, once it is complete.
    #[inline]
    pub(super) fn record_changed(&self, slot: u32, now: Now) {
        if let Some(recorder) = &self.recorder {
            recorder.changed(&self.slots[slot], now);
        }
    }

    /// Comes before a message is removed.
    #[inline]
    pub(super) fn record_removed(&self, slot: u32) {
        if let Some(recorder) = &self.recorder {
            recorder.removed(&self.slots[slot]);
        }
    }

    /// A queue that was never sent to was never told of, and one that was cleared stays where it
    /// is kept.
    pub(in crate::mailbox) fn record_forgotten(&self) {
        if let Some(recorder) = &self.recorder
            && self.was_sent_to
        {
            recorder.forgotten();
        }
    }
}
