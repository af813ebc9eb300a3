//! One queue: commands and time in; messages, counts and wakers out. No lock, no clock, nothing
//! shared but the budget, and the journal that is told of what lasts.
//!
//! A message is visible, leased or delayed, in the queue or among its dead letters, and in exactly
//! one order at a time: visible ones in that of their lane, the others in one heap of deadlines.
//! Every command costs the logarithm of what is leased or delayed at most, and a message that
//! waits costs nothing.

mod lease;
mod record;
mod restore;

use micronode_protocol::limits::{QUEUE_IDLE, QUEUE_TURN_MESSAGES, SETTLE_MESSAGES};

use super::delivery::MessageId;
use super::effects::{Effects, Storage};
use super::heap::Heap;
use super::keys::{Fingerprint, Keys};
use super::lane::Lane;
use super::slab::{Slab, State};
use super::stats::{MailboxCounters, QueueStats, Quota};
use super::{MailboxConfig, SendError, Sent};
use crate::Now;
use crate::budget::{Budget, OverBudget};
use crate::journal::KeptKey;
use bytes::Bytes;

pub(super) use record::Recorder;

/// What applies to a command.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) now: Now,
    pub(super) config: MailboxConfig,
    pub(super) budget: &'a Budget,
}

/// What is to be done with a message that is leased.
#[derive(Clone, Copy)]
pub(super) enum Settlement {
    Ack,
    Nack { delay_ms: u64 },
    Extend { visibility_ms: u64 },
}

pub(super) struct Queue {
    slots: Slab,
    /// When leases and delays are over. There is room in it for every message.
    deadlines: Heap,
    /// The queue, and its dead letters.
    lanes: [Lane; 2],
    keys: Keys,
    /// What the ids of its messages begin with.
    id: u64,
    last_sequence: u64,
    last_delivery: u64,
    last_receiver: u64,
    used_ms: u64,
    was_sent_to: bool,
    pub(super) counters: MailboxCounters,
    /// When the sweep looks at it; `u64::MAX` for never.
    pub(super) scheduled_ms: u64,
    /// It is in the map no more: whoever still has it looks there again.
    pub(super) is_forgotten: bool,
    recorder: Option<Recorder>,
}

impl Queue {
    pub(super) fn new(id: u64, recorder: Option<Recorder>, now: Now) -> Self {
        Self {
            slots: Slab::new(),
            deadlines: Heap::new(),
            lanes: [Lane::new(), Lane::new()],
            keys: Keys::default(),
            id,
            last_sequence: 0,
            last_delivery: 0,
            last_receiver: 0,
            used_ms: now.mono_ms,
            was_sent_to: false,
            counters: MailboxCounters::default(),
            scheduled_ms: u64::MAX,
            is_forgotten: false,
            recorder,
        }
    }

    pub(super) fn lane(&mut self, is_dead: bool) -> &mut Lane {
        &mut self.lanes[usize::from(is_dead)]
    }

    fn messages(&self) -> u64 {
        self.lanes.iter().map(Lane::messages).sum()
    }

    fn bytes(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.bytes).sum()
    }

    /// Ends what is over, within bounds. Comes before every command.
    pub(super) fn settle(&mut self, terms: &Terms<'_>) {
        self.used_ms = terms.now.mono_ms;
        self.expire_keys(terms.now, SETTLE_MESSAGES);
        self.end_due(terms, SETTLE_MESSAGES);
    }

    #[inline]
    fn expire_keys(&mut self, now: Now, most: usize) {
        // Most queues have none.
        if self.keys.is_empty() {
            return;
        }
        let recorder = &self.recorder;
        self.keys.expire(now, most, |key| {
            if let Some(recorder) = recorder {
                recorder.key_forgotten(key);
            }
        });
    }

    /// Moves a message that is in no order between the queue and its dead letters.
    fn change_lane(&mut self, slot: u32) {
        let message = &mut self.slots[slot];
        let bytes = message.bytes();
        self.lanes[usize::from(message.is_dead)].bytes -= bytes;
        message.is_dead = !message.is_dead;
        self.lanes[usize::from(message.is_dead)].bytes += bytes;
    }

    /// Makes a message visible, now or later.
    fn enqueue(&mut self, slot: u32, delay_ms: u64, terms: &Terms<'_>) {
        let message = &mut self.slots[slot];
        let lane = &mut self.lanes[usize::from(message.is_dead)];
        if delay_ms == 0 {
            lane.show(&mut self.slots, slot, terms.now, terms.budget);
        } else {
            lane.delayed += 1;
            let deadline = terms.now.mono_ms.saturating_add(delay_ms);
            message.state = State::Delayed;
            message.at_ms = deadline;
            self.deadlines.push(&mut self.slots, deadline, slot);
        }
    }

    /// `body` is ready to be kept, or says why it is not: a duplicate is one all the same. It is
    /// taken if the message is, and otherwise left for the caller to wipe.
    pub(super) fn send(
        &mut self,
        terms: &Terms<'_>,
        body: &mut Result<Bytes, SendError>,
        delay_ms: u64,
        fingerprint: Option<Fingerprint>,
    ) -> Result<Sent, SendError> {
        if let Some(of) = &fingerprint
            && let Some(sequence) = self.keys.find(terms.now, of)?
        {
            self.counters.duplicates += 1;
            return Ok(Sent {
                id: self.id_of(sequence),
                duplicate: true,
            });
        }
        let body = body.as_mut().map_err(|error| *error)?;
        self.check_quota(&terms.config, body.len() as u64)?;
        self.reserve(terms.budget)?;
        if fingerprint.is_some() {
            self.keys.reserve(terms.budget)?;
        }

        self.last_sequence += 1;
        let sequence = self.last_sequence;
        let key = fingerprint.map(|of| self.remember(terms, of, sequence));
        self.lanes[0].bytes += body.len() as u64;
        let body = std::mem::take(body);
        let slot = self.slots.insert(body, sequence, terms.now.wall_ms);
        self.enqueue(slot, delay_ms, terms);
        self.record_sent(slot, key.as_ref(), terms.now);
        self.counters.sent += 1;
        self.was_sent_to = true;
        Ok(Sent {
            id: self.id_of(sequence),
            duplicate: false,
        })
    }

    /// Remembers a key that was paid for; what is kept of it.
    #[cold]
    fn remember(&mut self, terms: &Terms<'_>, of: Fingerprint, sequence: u64) -> KeptKey {
        let until_ms = terms.now.mono_ms.saturating_add(terms.config.window_ms);
        let expires_ms = self.keys.insert(of, sequence, until_ms);
        KeptKey {
            key: of.key,
            body: of.body,
            sequence,
            expires_at_wall_ms: terms.now.wall_at(expires_ms),
        }
    }

    /// A slot has 32 bits, and one value of them means none.
    fn check_slots(&self) -> Result<(), SendError> {
        if self.messages() >= u64::from(u32::MAX) {
            return Err(SendError::Quota(Quota::Messages));
        }
        Ok(())
    }

    fn check_quota(&self, config: &MailboxConfig, bytes: u64) -> Result<(), SendError> {
        self.check_slots()?;
        if self.messages() >= config.max_messages {
            Err(SendError::Quota(Quota::Messages))
        } else if self.bytes() + bytes > config.max_bytes {
            Err(SendError::Quota(Quota::Bytes))
        } else {
            Ok(())
        }
    }

    fn reserve(&mut self, budget: &Budget) -> Result<(), OverBudget> {
        self.slots.reserve(budget)?;
        self.deadlines.reserve(self.messages() as usize + 1, budget)
    }

    const fn id_of(&self, sequence: u64) -> MessageId {
        MessageId {
            queue: self.id,
            sequence,
        }
    }

    /// Removes a message, whatever its state.
    fn remove(&mut self, slot: u32, effects: &mut Effects) {
        self.record_removed(slot);
        let message = &self.slots[slot];
        let (state, is_dead, bytes) = (message.state, message.is_dead, message.bytes());
        match state {
            State::Leased => {
                self.deadlines.remove(&mut self.slots, slot);
                self.end_lease(slot);
            }
            State::Delayed => {
                self.deadlines.remove(&mut self.slots, slot);
                self.lane(is_dead).delayed -= 1;
            }
            State::Listed | State::Returned => {
                self.lanes[usize::from(is_dead)].hide(&mut self.slots, slot);
            }
        }
        self.lane(is_dead).bytes -= bytes;
        self.slots.remove(slot, effects);
        effects.messages += 1;
        effects.bytes += bytes;
        self.trim(effects);
    }

    /// Gives up storage that is not needed for what is left, a bounded part of it.
    fn trim(&mut self, effects: &mut Effects) {
        let messages = self.messages() as usize;
        let [main, dead] = &mut self.lanes;
        for (heap, len) in [
            (&mut self.deadlines, messages),
            (main.returned(), 0),
            (dead.returned(), 0),
        ] {
            while let Some(chunk) = heap.trim(len) {
                effects.entries.push(chunk);
                if messages > 0 {
                    break;
                }
            }
        }
        if messages == 0 {
            self.slots.trim();
        }
    }

    /// Removes the messages of a lane that were sent up to `horizon`, in the slots from `from` on.
    /// How many there were, and where to go on.
    pub(super) fn purge(
        &mut self,
        is_dead: bool,
        from: u32,
        horizon: u64,
        effects: &mut Effects,
    ) -> (u64, Option<u32>) {
        let end = from.saturating_add(QUEUE_TURN_MESSAGES as u32);
        let mut removed = 0;
        for slot in from..end.min(self.slots.end()) {
            let goes = self.slots.get(slot).is_some_and(|message| {
                !message.is_vacant() && message.is_dead == is_dead && message.sequence <= horizon
            });
            if goes {
                self.remove(slot, effects);
                removed += 1;
            }
        }
        self.counters.purged += removed;
        let goes_on = end < self.slots.end() && self.lane(is_dead).messages() > 0;
        (removed, goes_on.then_some(end))
    }

    pub(super) const fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Moves up to `most` visible dead letters back, the oldest first, while the queue is within
    /// its quota; how many.
    pub(super) fn redrive(&mut self, terms: &Terms<'_>, most: u64, effects: &mut Effects) -> u64 {
        let mut moved = 0;
        while moved < most.min(QUEUE_TURN_MESSAGES as u64)
            && self.messages() <= terms.config.max_messages
            && self.bytes() <= terms.config.max_bytes
            && let Some(slot) = self.lanes[1].first(&self.slots)
        {
            self.lanes[1].hide(&mut self.slots, slot);
            self.change_lane(slot);
            let message = &mut self.slots[slot];
            message.attempts = 0;
            effects.histories.extend(message.content().history.take());
            self.lanes[0].show(&mut self.slots, slot, terms.now, terms.budget);
            self.record_changed(slot, terms.now);
            moved += 1;
        }
        self.counters.redriven += moved;
        moved
    }

    /// A receiver's number.
    pub(super) fn join(&mut self, is_dead: bool, credit: Option<u16>) -> u64 {
        self.last_receiver += 1;
        let number = self.last_receiver;
        self.lane(is_dead).waiters.join(number, credit);
        number
    }

    /// Wakes as many as there are messages for. Comes after every command.
    pub(super) fn wake(&mut self, effects: &mut Effects) {
        for lane in &mut self.lanes {
            lane.waiters.wake(lane.ready, effects);
        }
    }

    /// Does what is due, within bounds.
    pub(super) fn sweep(&mut self, terms: &Terms<'_>) {
        self.expire_keys(terms.now, QUEUE_TURN_MESSAGES);
        self.end_due(terms, QUEUE_TURN_MESSAGES);
    }

    /// When there is something to do without a command.
    pub(super) fn next_deadline(&self) -> u64 {
        let deadline = self.deadlines.first().map(|(deadline, _)| deadline);
        let expiry = self.keys.next_expiry();
        match (deadline, expiry) {
            (None, None) => self.forget_at().unwrap_or(u64::MAX),
            _ => deadline.unwrap_or(u64::MAX).min(expiry.unwrap_or(u64::MAX)),
        }
    }

    /// When it may be forgotten, if nothing else happens. `None` as long as there is anything in
    /// it, or anybody waits.
    fn forget_at(&self) -> Option<u64> {
        let is_unused = self.messages() == 0
            && self.keys.is_empty()
            && self.lanes.iter().all(|lane| lane.waiters.is_empty());
        is_unused.then(|| self.used_ms.saturating_add(QUEUE_IDLE.as_millis() as u64))
    }

    /// Whether it may be forgotten now: at once if nothing was ever sent to it.
    pub(super) fn may_be_forgotten(&self, now_ms: u64) -> bool {
        self.forget_at()
            .is_some_and(|at| !self.was_sent_to || at <= now_ms)
    }

    /// `None` if it was never sent to.
    pub(super) fn stats(&self, is_dead: bool) -> Option<QueueStats> {
        let lane = &self.lanes[usize::from(is_dead)];
        let (dead, bytes) = if is_dead {
            (0, lane.bytes)
        } else {
            (self.lanes[1].messages(), self.bytes())
        };
        self.was_sent_to.then_some(QueueStats {
            ready: lane.ready,
            leased: lane.leased,
            delayed: lane.delayed,
            dead,
            bytes,
        })
    }

    /// See [`Lane::oldest_ready_ms`]; of the queue, not of its dead letters.
    pub(super) fn oldest_ready_ms(&self, now: Now) -> Option<u64> {
        self.lanes[0].oldest_ready_ms(&self.slots, now)
    }

    /// Removes everything but those who wait. The journal is not told.
    pub(super) fn clear(&mut self, effects: &mut Effects) {
        effects.messages += self.messages();
        effects.bytes += self.bytes();
        let lanes = self.lanes.each_mut().map(|lane| {
            let waiters = std::mem::take(&mut lane.waiters);
            let old = std::mem::replace(lane, Lane::new());
            lane.waiters = waiters;
            lane.waiters.release_all();
            old
        });
        let storage = Storage {
            _slots: std::mem::replace(&mut self.slots, Slab::new()),
            _deadlines: std::mem::replace(&mut self.deadlines, Heap::new()),
            _lanes: lanes,
            _keys: std::mem::take(&mut self.keys),
        };
        effects.storage = Some(Box::new(storage));
        self.was_sent_to = false;
    }
}
