//! Making room: what memory that does not fit may remove.

use micronode_protocol::limits::{SWEEP_BYTES, SWEEP_OBJECTS};

use super::order::LeastRecent;
use super::{Eviction, Expired, Store, Why};
use crate::Now;
use crate::budget::{MemoryKind, OverBudget, Reservation};

/// How often memory that does not fit evicts and tries again. More than once because
/// others compete for what was freed, and because readers keep the memory of evicted objects.
const EVICTION_ROUNDS: usize = 4;

/// How often one eviction corrects a batch of stale entries before it takes what comes first. A
/// million objects read since the last eviction would otherwise hold one upload, and its worker,
/// for a tenth of a second.
const SETTLING_ROUNDS: usize = 64;

impl Store {
    /// Refuses what cannot fit the budget whatever is removed. Reserves nothing, but removes what
    /// has expired before anything else has to go.
    pub(super) fn check_room(&self, now: Now, bytes: u64) -> Result<(), OverBudget> {
        if bytes > self.budget().free() {
            self.expire(now);
        }
        match bytes.saturating_sub(self.obtainable()) {
            0 => Ok(()),
            missing => Err(OverBudget { missing }),
        }
    }

    /// Bytes that are free or held by objects that may make room.
    fn obtainable(&self) -> u64 {
        let evictable = match self.shared.config.eviction {
            Eviction::Refuse => 0,
            Eviction::Lru => {
                let pinned = self.shared.counters.pinned_bytes();
                // The two are not read in one instant.
                let objects = self.budget().used(MemoryKind::Objects);
                objects.saturating_sub(pinned)
            }
        };
        self.budget().free() + evictable
    }

    /// Grows a reservation, and makes room for it if that is allowed.
    pub(super) fn reserve(
        &self,
        now: Now,
        charge: &mut Reservation,
        bytes: u64,
    ) -> Result<(), OverBudget> {
        self.with_room(now, bytes, || charge.grow(bytes))
    }

    /// Calls `take`, which takes `bytes` from the budget. When they do not fit, makes room if that
    /// is allowed, and calls it again. For memory of any kind: objects are what can be had again.
    ///
    /// # Errors
    ///
    /// If they do not fit whatever may be removed, or others are faster every time.
    pub fn with_room<T>(
        &self,
        now: Now,
        bytes: u64,
        mut take: impl FnMut() -> Result<T, OverBudget>,
    ) -> Result<T, OverBudget> {
        if let Ok(taken) = take() {
            return Ok(taken);
        }
        self.check_room(now, bytes)?;
        for _ in 0..EVICTION_ROUNDS {
            match take() {
                Ok(taken) => return Ok(taken),
                Err(over) if self.evict(over.missing) => {}
                refused => return refused,
            }
        }
        take()
    }

    /// Removes least recently used objects until `bytes` were charged for them. False if there
    /// was none to remove.
    fn evict(&self, bytes: u64) -> bool {
        let mut evicted = 0;
        while evicted < bytes {
            match self.evict_one() {
                Some(charged) => evicted += charged,
                None => break,
            }
        }
        evicted > 0
    }

    /// Removes the least recently used object; what was charged for it. After a long time of
    /// reads alone, when that would take long to find, one that was stored or settled early.
    fn evict_one(&self) -> Option<u64> {
        let mut rounds = 0;
        loop {
            rounds += 1;
            let exact = rounds <= SETTLING_ROUNDS;
            let popped = if exact {
                self.shared.order.lock().pop_least_recent()
            } else {
                let earliest = self.shared.order.lock().pop_earliest();
                earliest.map_or(LeastRecent::Nothing, LeastRecent::Victim)
            };
            // Bound before the shard is locked, and so dropped (and wiped) after.
            let victim = match popped {
                LeastRecent::Victim(victim) => victim,
                LeastRecent::Unsettled => continue,
                LeastRecent::Nothing => return None,
            };
            let mut objects = self.shared.shards.of(victim.address()).write();
            // Anything may have happened to it between the two locks.
            if !objects.holds(&victim) || victim.is_pinned() {
                continue;
            }
            // Readers are locked out now. A pin that came and went has put it back already.
            if exact && victim.accessed_ms() > victim.ordered_ms() {
                self.shared.order.lock().reinsert_access(&victim);
                continue;
            }
            self.remove(&mut objects, &victim);
            drop(objects);
            self.shared.counters.evicted_lru();
            self.tell_deleted(&victim, Why::Evicted);
            return Some(victim.charged());
        }
    }

    /// Removes objects whose time is over. Stops at [`SWEEP_OBJECTS`] and [`SWEEP_BYTES`], so that
    /// a sweep never stalls its thread for long.
    pub fn expire(&self, now: Now) -> Expired {
        let mut removed = 0;
        let mut bytes = 0;
        while removed < SWEEP_OBJECTS && bytes < SWEEP_BYTES {
            // Bound before the shard is locked, and so dropped (and wiped) after.
            let due = self.shared.order.lock().pop_expired(now);
            let Some(object) = due else {
                return Expired {
                    removed,
                    more: false,
                };
            };
            let mut objects = self.shared.shards.of(object.address()).write();
            // Its time may have been extended since it left the order; then it is back there. Or
            // it was pinned; then its last pin brings it back.
            if objects.holds(&object) && object.is_expired(now) {
                self.remove(&mut objects, &object);
                drop(objects);
                self.shared.counters.evicted_expired();
                self.tell_deleted(&object, Why::Expired);
                removed += 1;
                bytes += object.size();
            }
        }
        Expired {
            removed,
            more: self.next_expiry().is_some_and(|next| next <= now.mono_ms),
        }
    }
}
