//! A receive that found nothing and waits.
//!
//! While it waits it holds a waiter's slot and nothing else: no place among the requests in
//! progress, none of its facet's permits, no stream of an OAP connection. Its ingress lets go of
//! those and awaits [`Wait::over`], which is admitted again before it takes what has come. A wait
//! that came to nothing needs no admission to be answered.

use crate::authority::{Failed, Holder};
use crate::call::queue::{Messages, Receive};
use crate::call::{CallError, Cost, Facet, Reply};
use crate::clock;
use crate::guard::admission::{Permits, readmit};
use crate::metrics::histogram::Histogram;
use crate::node::Node;
use crate::readiness::State;
use micronode_engine::mailbox::Receiver;
use micronode_hardening::Permit;
use micronode_protocol::ErrorCode;
use micronode_protocol::limits::{AUTHORITY_RECHECK, SLOW_SHARE_WAIT};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// See the [module](self).
pub(crate) struct Wait {
    receive: Receive,
    receiver: Receiver,
    timed: Arc<Histogram>,
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
        let (max, out) = (receive.max, &mut messages);
        let timed = &node.metrics.mailbox_recv;
        timed.time(|| node.mailbox.receive(now, queue, max, visibility_ms, out));
        if !messages.is_empty() || receive.wait.is_zero() {
            return Ok(Reply::Messages(messages));
        }
        if node.state() == State::Draining {
            // Who is told that there is nothing asks again, and again.
            return Err(CallError::new(
                ErrorCode::Draining,
                "the node is shutting down, and nothing waits on it any more",
            ));
        }
        let slot = node.waiter()?;
        let receiver = node.mailbox.receiver(now, queue, None)?;
        let until = clock::instant() + receive.wait;
        Ok(Reply::Waits(Box::new(Self {
            receive,
            receiver,
            timed: Arc::clone(timed),
            until,
            _slot: slot,
        })))
    }

    /// Waits for what comes, and takes it; what it needed for that, unless it came to nothing.
    pub(crate) async fn over(
        mut self: Box<Self>,
        node: &Node,
        cost: Cost,
        facet: Facet,
        holder: Option<&Holder>,
    ) -> Result<(Reply, Option<Permits>), CallError> {
        while self.ready(node).await {
            // Nothing is leased to who may not have it any more.
            if holder.is_some_and(|holder| !node.stands(holder)) {
                return Err(Failed::Ended.error());
            }
            let permits = readmit(node, cost, facet, self.readmission()).await?;
            match self.take() {
                Reply::Waits(wait) => self = wait,
                reply => {
                    node.settled().await?;
                    return Ok((reply, Some(permits)));
                }
            }
        }
        Ok((Reply::Messages(Messages::new()), None))
    }

    /// Waits until there is something to take; false if the time is over, or the node shuts down,
    /// before there is.
    async fn ready(&mut self, node: &Node) -> bool {
        let receiver = &mut self.receiver;
        let visible = poll_fn(|cx| match receiver.poll_ready(clock::now(), cx.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        let until_drain = node.draining.notified();
        if node.state() == State::Draining {
            return false;
        }
        tokio::select! {
            biased;
            () = visible => true,
            () = sleep_until(self.until) => false,
            () = until_drain => false,
        }
    }

    /// How long it may take until it is admitted again.
    fn readmission(&self) -> Instant {
        self.until.max(clock::instant() + SLOW_SHARE_WAIT)
    }

    /// Takes what has come; somebody else may have been quicker.
    fn take(mut self: Box<Self>) -> Reply {
        let mut messages = Messages::new();
        let visibility_ms = millis(self.receive.visibility);
        let (now, max, out) = (clock::now(), self.receive.max, &mut messages);
        let timed = &self.timed;
        timed.time(|| self.receiver.receive(now, max, visibility_ms, out));
        if messages.is_empty() && clock::instant() < self.until {
            return Reply::Waits(self);
        }
        Reply::Messages(messages)
    }
}

/// What comes of a wait, unless the token that it was asked with ends before: for an ingress that
/// does not look after its holders itself.
pub(crate) async fn while_it_stands<T>(
    node: &Node,
    holder: Option<&Holder>,
    wait: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    let mut wait = pin!(wait);
    loop {
        match timeout(AUTHORITY_RECHECK, &mut wait).await {
            Ok(over) => return over,
            Err(_) if holder.is_none_or(|holder| node.stands(holder)) => {}
            Err(_) => return Err(Failed::Ended.error()),
        }
    }
}

/// As the engine counts time.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
