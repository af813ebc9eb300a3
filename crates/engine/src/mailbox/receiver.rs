//! Somebody who waits.

use std::task::Waker;

use super::Delivery;
use crate::Now;

/// A long-poll or a subscription at one queue.
pub struct Receiver {
    _private: (),
}

impl Receiver {
    /// Whether a message is visible, and there is credit for it. If not, `waker` is woken when
    /// that may have changed; whoever came first is woken first.
    pub fn poll_ready(&mut self, _now: Now, _waker: &Waker) -> bool {
        false
    }

    /// Leases up to `max` messages that are visible now, within the credit.
    pub fn receive(
        &mut self,
        _now: Now,
        _max: usize,
        _visibility_ms: u64,
        _out: &mut Vec<Delivery>,
    ) {
    }
}
