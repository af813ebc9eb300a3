//! Messages of a queue as they come, as far as the credit goes.

use super::Item;
use crate::call::queue::{Messages, Queue, Subscribe};
use crate::call::{CallError, Room};
use crate::clock;
use crate::metrics::histogram::Histogram;
use crate::node::Node;
use crate::waiting::millis;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use micronode_engine::mailbox::{Mailbox, Receiver};
use micronode_hardening::Permit;
use micronode_protocol::limits::PERSIST_LEASES;
use std::sync::Arc;
use std::task::{Context, Waker};

/// See the [module](self).
pub(crate) struct Subscription {
    receiver: Receiver,
    timed: Arc<Histogram>,
    visibility_ms: u64,
    mailbox: Mailbox,
    queue: Queue,
    /// Leased and not told yet, the last first.
    leased: Messages,
    /// When their leases are over.
    until_ms: u64,
    /// Ready when the leases are durable, for a node that keeps them: a delivery that was told
    /// counts, also after a crash.
    settling: Option<BoxFuture<'static, ()>>,
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
            mailbox: node.mailbox.clone(),
            queue: subscribe.queue.clone(),
            leased: Messages::new(),
            until_ms: 0,
            settling: None,
            _slot: slot,
        })
    }

    pub(super) fn poll_ready(&mut self, waker: &Waker) -> bool {
        if let Some(settling) = &mut self.settling {
            if settling
                .poll_unpin(&mut Context::from_waker(waker))
                .is_pending()
            {
                return false;
            }
            self.settling = None;
        }
        !self.leased.is_empty() || self.receiver.poll_ready(clock::now(), waker)
    }

    pub(super) fn decline(&mut self) {
        self.receiver.decline();
    }

    pub(super) fn next(&mut self, node: &Node) -> Option<Item> {
        if self.settling.is_some() {
            return None;
        }
        let now = clock::now();
        if now.mono_ms >= self.until_ms {
            // They are somebody else's by now.
            self.leased.clear();
        }
        if self.leased.is_empty() {
            // Those that wait for the disk do so together.
            let most = node.keeper.as_ref().map_or(1, |_| PERSIST_LEASES);
            if let Some(keeper) = &node.keeper
                && keeper.admit(Room::Spared).is_err()
            {
                let keeper = Arc::clone(keeper);
                self.settling = Some(async move { keeper.works().await }.boxed());
                return None;
            }
            let (visibility_ms, out) = (self.visibility_ms, &mut self.leased);
            let timed = &self.timed;
            timed.time(|| self.receiver.receive(now, most, visibility_ms, out));
            self.leased.reverse();
            self.until_ms = now.mono_ms.saturating_add(visibility_ms);
            if let Some(keeper) = node.keeper.clone().filter(|_| !self.leased.is_empty()) {
                // What a disk that fails has not kept is delivered once more at most.
                let settled = async move { drop(keeper.settled().await) };
                self.settling = Some(settled.boxed());
                return None;
            }
        }
        self.leased.pop().map(Item::Message)
    }
}

impl Drop for Subscription {
    /// Gives back what was leased for nobody, lest it be out of sight until its lease is over.
    fn drop(&mut self) {
        if self.leased.is_empty() {
            return;
        }
        let texts: Vec<_> = self.leased.iter().map(|it| it.receipt.text()).collect();
        let receipts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        let queue = self.queue.as_ref();
        self.mailbox
            .nack(clock::now(), queue, 0, &receipts, &mut Vec::new());
    }
}
