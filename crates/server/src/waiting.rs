//! A receive that found nothing and waits.
//!
//! While it waits it holds a waiter's slot and nothing else: no place among the requests in
//! progress, none of its facet's permits, no stream of an OAP connection. Its ingress lets go of
//! those, awaits [`Wait::ready`], and is admitted again before it takes what has come.

use crate::call::queue::{Messages, Receive};
use crate::call::{CallError, Reply};
use crate::clock;
use crate::node::Node;
use crate::readiness::State;
use micronode_engine::mailbox::Receiver;
use micronode_hardening::Permit;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// See the [module](self).
pub(crate) struct Wait {
    receive: Receive,
    receiver: Receiver,
    until: Instant,
    /// A waiter's.
    _slot: Permit,
}

impl Wait {
    /// Leases what is there, or waits for it if that was asked for.
    pub(crate) fn begin(node: &Node, receive: Receive) -> Result<Reply, CallError> {
        let mut messages = Messages::new();
        let queue = receive.queue.as_ref();
        let visibility_ms = millis(receive.visibility);
        let now = clock::now();
        node.mailbox
            .receive(now, queue, receive.max, visibility_ms, &mut messages);
        if !messages.is_empty() || receive.wait.is_zero() {
            return Ok(Reply::Messages(messages));
        }
        let slot = node.waiters.acquire()?;
        let receiver = node.mailbox.receiver(now, queue, None)?;
        let until = clock::instant() + receive.wait;
        Ok(Reply::Waits(Box::new(Self {
            receive,
            receiver,
            until,
            _slot: slot,
        })))
    }

    /// Waits until there is something to take, the time is over, or the node shuts down.
    pub(crate) async fn ready(&mut self, node: &Node) {
        let receiver = &mut self.receiver;
        let visible = poll_fn(|cx| match receiver.poll_ready(clock::now(), cx.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        let until_drain = node.draining.notified();
        if node.state() == State::Draining {
            self.until = clock::instant();
        }
        // However it ends, the queue is looked at.
        tokio::select! {
            () = visible => {}
            () = sleep_until(self.until) => {}
            () = until_drain => self.until = clock::instant(),
        }
    }

    /// When it has waited long enough.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Takes what has come; somebody else may have been quicker.
    pub(crate) fn take(mut self: Box<Self>) -> Reply {
        let mut messages = Messages::new();
        let visibility_ms = millis(self.receive.visibility);
        self.receiver
            .receive(clock::now(), self.receive.max, visibility_ms, &mut messages);
        if messages.is_empty() && clock::instant() < self.until {
            return Reply::Waits(self);
        }
        Reply::Messages(messages)
    }
}

/// As the engine counts time.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
