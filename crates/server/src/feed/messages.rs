//! Messages of a queue as they come, as far as the credit goes.

use super::Item;
use crate::call::CallError;
use crate::call::queue::{Messages, Subscribe};
use crate::clock;
use crate::metrics::histogram::Histogram;
use crate::node::Node;
use crate::waiting::millis;
use micronode_engine::mailbox::Receiver;
use micronode_hardening::Permit;
use std::sync::Arc;
use std::task::Waker;

/// See the [module](self).
pub(crate) struct Subscription {
    receiver: Receiver,
    timed: Arc<Histogram>,
    visibility_ms: u64,
    /// Room for one delivery, kept.
    leased: Messages,
    _slot: Permit,
}

impl Subscription {
    pub(crate) fn new(node: &Node, subscribe: &Subscribe) -> Result<Self, CallError> {
        let slot = node.waiter()?;
        let (queue, credit) = (subscribe.queue.as_ref(), Some(subscribe.credit));
        Ok(Self {
            receiver: node.mailbox.receiver(clock::now(), queue, credit)?,
            timed: Arc::clone(&node.metrics.mailbox_recv),
            visibility_ms: millis(subscribe.visibility),
            leased: Messages::new(),
            _slot: slot,
        })
    }

    pub(super) fn poll_ready(&mut self, waker: &Waker) -> bool {
        self.receiver.poll_ready(clock::now(), waker)
    }

    pub(super) fn decline(&mut self) {
        self.receiver.decline();
    }

    pub(super) fn next(&mut self) -> Option<Item> {
        let (now, visibility_ms, out) = (clock::now(), self.visibility_ms, &mut self.leased);
        let timed = &self.timed;
        timed.time(|| self.receiver.receive(now, 1, visibility_ms, out));
        self.leased.pop().map(Item::Message)
    }
}
