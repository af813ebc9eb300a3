//! Putting back what was kept of a queue. Nobody else has seen the queue.

use bytes::Bytes;

use super::{Queue, Terms};
use crate::journal::{KeptKey, MessageState};
use crate::mailbox::SendError;
use crate::mailbox::keys::Fingerprint;
use crate::mailbox::slab::History;

impl Queue {
    /// It was sent to before, up to the message of that number.
    pub(in crate::mailbox) const fn restore(&mut self, last_sequence: u64) {
        self.last_sequence = last_sequence;
        self.was_sent_to = true;
    }

    /// Puts back a message that was sent after those that are there.
    ///
    /// # Errors
    ///
    /// If there is no memory for it; the bounds of a queue apply to what is sent, not to what is
    /// kept.
    pub(in crate::mailbox) fn restore_message(
        &mut self,
        terms: &Terms<'_>,
        sequence: u64,
        body: Bytes,
        sent_wall_ms: u64,
        state: &MessageState,
    ) -> Result<(), SendError> {
        self.check_slots()?;
        self.reserve(terms.budget)?;
        let history = match &state.history {
            Some(attempts) => Some(History::of(attempts, terms.budget)?),
            None => None,
        };
        self.lane(state.is_dead).bytes += body.len() as u64;
        let slot = self.slots.insert(body, sequence, sent_wall_ms);
        let message = &mut self.slots[slot];
        message.is_dead = state.is_dead;
        message.attempts = state.attempts;
        message.content().history = history;
        let visible_at_wall_ms = state.visible_at_wall_ms.unwrap_or(0);
        let delay_ms = visible_at_wall_ms.saturating_sub(terms.now.wall_ms);
        self.enqueue(slot, delay_ms, terms);
        Ok(())
    }

    /// Puts back a key that is forgotten after those that are there. One whose time is over is
    /// forgotten in its turn.
    ///
    /// # Errors
    ///
    /// If there are as many as there may be, or there is no memory for it.
    pub(in crate::mailbox) fn restore_key(
        &mut self,
        terms: &Terms<'_>,
        kept: &KeptKey,
    ) -> Result<(), SendError> {
        self.keys.reserve(terms.budget)?;
        let of = Fingerprint {
            key: kept.key,
            body: kept.body,
        };
        let expires_ms = terms.now.mono_at(kept.expires_at_wall_ms);
        self.keys.insert(of, kept.sequence, expires_ms);
        Ok(())
    }
}
