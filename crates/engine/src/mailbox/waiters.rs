//! Who waits at a lane, and in which order.
//!
//! A receiver that has to wait takes a place. It is woken at its turn and gives up its place with
//! what it then receives; if somebody else was faster, it waits on in the same place. As long as
//! anybody waits, as many have been woken as there are messages to be had, and no more.

use std::collections::BTreeMap;
use std::task::Waker;

use super::effects::Effects;

#[derive(Default)]
pub(super) struct Waiters {
    receivers: BTreeMap<u64, Waiter>,
    /// Those who can be woken, by place.
    parked: BTreeMap<u64, u64>,
    /// Those who were woken and have not come back.
    woken: u64,
    last_place: u64,
}

struct Waiter {
    /// `None`: it may lease what it likes, and nobody counts.
    credit: Option<u16>,
    leased: u64,
    place: Option<u64>,
    /// Kept while it waits and has not been woken.
    waker: Option<Waker>,
    is_woken: bool,
}

impl Waiter {
    fn has_credit(&self) -> bool {
        self.credit
            .is_none_or(|credit| self.leased < u64::from(credit))
    }

    /// Lets it be woken, if it waits and has credit.
    fn park(&self, number: u64, parked: &mut BTreeMap<u64, u64>) {
        if let (Some(place), Some(_)) = (self.place, &self.waker)
            && self.has_credit()
        {
            parked.insert(place, number);
        }
    }
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.receivers.is_empty()
    }

    /// `number` is nobody else's.
    pub(super) fn join(&mut self, number: u64, credit: Option<u16>) {
        let waiter = Waiter {
            credit,
            leased: 0,
            place: None,
            waker: None,
            is_woken: false,
        };
        self.receivers.insert(number, waiter);
    }

    /// A wake that it has not used is the next one's.
    pub(super) fn leave(&mut self, number: u64, effects: &mut Effects) {
        if let Some(waiter) = self.receivers.remove(&number) {
            self.woken -= u64::from(waiter.is_woken);
            if let Some(place) = waiter.place {
                self.parked.remove(&place);
            }
            effects.unused.extend(waiter.waker);
        }
    }

    /// How many messages it may lease now, `most` at most, and whether its leases are counted.
    pub(super) fn credit(&self, number: u64, most: usize) -> (usize, bool) {
        match self.receivers.get(&number) {
            Some(Waiter {
                credit: Some(credit),
                leased,
                ..
            }) => {
                let left = u64::from(*credit).saturating_sub(*leased);
                (most.min(left as usize), true)
            }
            _ => (most, false),
        }
    }

    /// It has come back, and goes on to receive if there is something `visible` and it may;
    /// otherwise it waits.
    pub(super) fn poll(
        &mut self,
        number: u64,
        visible: bool,
        waker: &Waker,
        effects: &mut Effects,
    ) -> bool {
        let Some(waiter) = self.receivers.get_mut(&number) else {
            return false;
        };
        if visible && waiter.has_credit() {
            return true;
        }
        self.woken -= u64::from(std::mem::take(&mut waiter.is_woken));
        if !waiter
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            effects.unused.extend(waiter.waker.replace(waker.clone()));
        }
        waiter.place.get_or_insert_with(|| {
            self.last_place += 1;
            self.last_place
        });
        waiter.park(number, &mut self.parked);
        false
    }

    /// It has received `count` messages. Without any it keeps its place.
    pub(super) fn received(&mut self, number: u64, count: usize, effects: &mut Effects) {
        let Some(waiter) = self.receivers.get_mut(&number) else {
            return;
        };
        self.woken -= u64::from(std::mem::take(&mut waiter.is_woken));
        waiter.leased += count as u64;
        if count > 0 {
            if let Some(place) = waiter.place.take() {
                self.parked.remove(&place);
            }
            effects.unused.extend(waiter.waker.take());
        }
    }

    /// It will not receive now, whatever there is, and is not woken before it has polled again.
    /// Its place stays its own; a wake that it has not used is the next one's.
    pub(super) fn decline(&mut self, number: u64, effects: &mut Effects) {
        let Some(waiter) = self.receivers.get_mut(&number) else {
            return;
        };
        self.woken -= u64::from(std::mem::take(&mut waiter.is_woken));
        if let Some(place) = waiter.place {
            self.parked.remove(&place);
        }
        effects.unused.extend(waiter.waker.take());
    }

    /// A message that it had leased is not its any more.
    pub(super) fn released(&mut self, number: u64) {
        let Some(waiter) = self.receivers.get_mut(&number) else {
            return;
        };
        waiter.leased = waiter.leased.saturating_sub(1);
        waiter.park(number, &mut self.parked);
    }

    /// All that they had leased is gone.
    pub(super) fn release_all(&mut self) {
        for (number, waiter) in &mut self.receivers {
            waiter.leased = 0;
            waiter.park(*number, &mut self.parked);
        }
    }

    /// Wakes one for each of the `visible` messages that nobody was woken for.
    pub(super) fn wake(&mut self, visible: u64, effects: &mut Effects) {
        while self.woken < visible
            && let Some((_, number)) = self.parked.pop_first()
        {
            if let Some(waiter) = self.receivers.get_mut(&number) {
                waiter.is_woken = true;
                self.woken += 1;
                effects.woken.extend(waiter.waker.take());
            }
        }
    }
}
