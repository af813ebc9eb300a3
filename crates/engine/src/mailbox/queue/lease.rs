//! What becomes of a message that is visible: it is leased, and acknowledged, given back or kept;
//! or the lease runs out.

use std::sync::Arc;

use micronode_protocol::limits::{QUEUE_TURN_MESSAGES, RECEIVE_BYTES};

use super::{Queue, Settlement, Terms};
use crate::mailbox::Verdict;
use crate::mailbox::delivery::{Attempt, AttemptEnd, Delivery, MessageId};
use crate::mailbox::effects::Effects;
use crate::mailbox::receipt::Receipt;
use crate::mailbox::slab::State;

impl Queue {
    /// Leases up to `most` visible messages, for `receiver` if that is one who has credit. Their
    /// receipts are not sealed yet. Those that had more deliveries than the configuration allows
    /// by now are buried instead; if there are many, the next command goes on with them.
    pub(in crate::mailbox) fn receive(
        &mut self,
        terms: &Terms<'_>,
        is_dead: bool,
        receiver: u64,
        most: usize,
        visibility_ms: u64,
        out: &mut Vec<Delivery>,
    ) -> usize {
        let deadline = terms.now.mono_ms.saturating_add(visibility_ms);
        let mut bytes = 0;
        let mut count = 0;
        let mut buried = 0;
        while count < most
            && buried < QUEUE_TURN_MESSAGES
            && let lane = &mut self.lanes[usize::from(is_dead)]
            && let Some(slot) = lane.first(&self.slots)
        {
            if !is_dead && self.slots[slot].attempts >= terms.config.max_deliveries {
                lane.hide(&mut self.slots, slot);
                self.bury(slot, terms);
                buried += 1;
                continue;
            }
            bytes += self.slots[slot].bytes();
            if count > 0 && bytes > RECEIVE_BYTES as u64 {
                break;
            }
            count += 1;
            lane.hide(&mut self.slots, slot);
            lane.leased += 1;
            self.last_delivery += 1;
            let message = &mut self.slots[slot];
            message.state = State::Leased;
            message.at_ms = deadline;
            message.delivery = self.last_delivery;
            message.leased_wall_ms = terms.now.wall_ms;
            message.receiver = receiver;
            message.attempts = message.attempts.saturating_add(1);
            let (sequence, attempt) = (message.sequence, message.attempts);
            let enqueued_wall_ms = message.enqueued_wall_ms;
            let content = message.content();
            out.push(Delivery {
                id: MessageId {
                    queue: self.id,
                    sequence,
                },
                receipt: Receipt::unsealed(slot, self.last_delivery),
                attempt,
                enqueued_wall_ms,
                body: content.body.clone(),
                history: content.history.as_ref().map(|it| Arc::clone(&it.attempts)),
            });
            self.deadlines.push(&mut self.slots, deadline, slot);
            self.record_changed(slot, terms.now);
        }
        self.counters.delivered += count as u64;
        count
    }

    /// Does with a message what the holder of a receipt asks for, if the lease still runs.
    pub(in crate::mailbox) fn settle_lease(
        &mut self,
        terms: &Terms<'_>,
        (slot, delivery): (u32, u64),
        settlement: Settlement,
        effects: &mut Effects,
    ) -> Verdict {
        // Its end may be over without having been seen to.
        let runs = self.slots.get(slot).is_some_and(|message| {
            !message.is_vacant()
                && message.state == State::Leased
                && message.delivery == delivery
                && terms.now.mono_ms < message.at_ms
        });
        if !runs {
            return Verdict::Late;
        }
        match settlement {
            Settlement::Ack => {
                self.remove(slot, effects);
                self.counters.acked += 1;
            }
            Settlement::Nack { delay_ms } => {
                self.deadlines.remove(&mut self.slots, slot);
                let wall_ms = terms.now.wall_ms;
                self.fail(slot, AttemptEnd::Nacked, wall_ms, delay_ms, terms);
            }
            Settlement::Extend { visibility_ms } => {
                let deadline = terms.now.mono_ms.saturating_add(visibility_ms);
                self.slots[slot].at_ms = deadline;
                self.deadlines.rekey(&mut self.slots, slot, deadline);
            }
        }
        Verdict::Ok
    }

    /// Ends up to `most` leases and delays that are over.
    pub(super) fn end_due(&mut self, terms: &Terms<'_>, most: usize) {
        for _ in 0..most {
            match self.deadlines.first() {
                Some((deadline, slot)) if deadline <= terms.now.mono_ms => {
                    self.deadlines.remove(&mut self.slots, slot);
                    self.end(slot, deadline, terms);
                }
                _ => return,
            }
        }
    }

    /// Ends a lease or a delay, which has left the deadlines. The end of a delay is not recorded:
    /// when it would be was.
    fn end(&mut self, slot: u32, deadline: u64, terms: &Terms<'_>) {
        if self.slots[slot].state == State::Leased {
            self.counters.visibility_timeouts += 1;
            let late_ms = terms.now.mono_ms - deadline;
            let ended_wall_ms = terms.now.wall_ms.saturating_sub(late_ms);
            self.fail(slot, AttemptEnd::Expired, ended_wall_ms, 0, terms);
        } else {
            let is_dead = self.slots[slot].is_dead;
            let lane = &mut self.lanes[usize::from(is_dead)];
            lane.delayed -= 1;
            lane.show(&mut self.slots, slot, terms.now, terms.budget);
        }
    }

    /// A delivery has failed, and its lease has left the deadlines: the message comes back, or is
    /// a dead letter from now on.
    fn fail(
        &mut self,
        slot: u32,
        end: AttemptEnd,
        ended_wall_ms: u64,
        delay_ms: u64,
        terms: &Terms<'_>,
    ) {
        self.end_lease(slot);
        let message = &mut self.slots[slot];
        if !message.is_dead {
            let attempt = Attempt {
                leased_wall_ms: message.leased_wall_ms,
                ended_wall_ms,
                end,
            };
            message.content().record(attempt, terms.budget);
            if message.attempts >= terms.config.max_deliveries {
                self.bury(slot, terms);
                return;
            }
        }
        self.enqueue(slot, delay_ms, terms);
        self.record_changed(slot, terms.now);
    }

    /// Makes a dead letter of a message that is in no order.
    fn bury(&mut self, slot: u32, terms: &Terms<'_>) {
        self.change_lane(slot);
        self.counters.dead_lettered += 1;
        self.lanes[1].show(&mut self.slots, slot, terms.now, terms.budget);
        self.record_changed(slot, terms.now);
    }

    pub(super) fn end_lease(&mut self, slot: u32) {
        let message = &self.slots[slot];
        let lane = &mut self.lanes[usize::from(message.is_dead)];
        lane.leased -= 1;
        if message.receiver != 0 {
            lane.waiters.released(message.receiver);
        }
    }
}
