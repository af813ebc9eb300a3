//! Ends leases and delays of messages when their time is over, and forgets what queues need no
//! longer. Asleep until the first of them is due: messages that wait for nothing cost nothing.

use crate::clock;
use crate::node::Node;
use micronode_engine::mailbox::Mailbox;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::sleep_until;

/// Timers of the runtime stand still while the machine sleeps, and the time of leases does not: the
/// next deadline is looked at again after this.
const RECHECK: Duration = Duration::from_secs(10);
/// The resolution of timers. Also what keeps this from running hot, should something stay due.
const LEAST: Duration = Duration::from_millis(1);

/// Starts the task, under the supervisor.
pub(crate) fn sweep_queues(node: &Arc<Node>) -> AbortHandle {
    let supervisor = Arc::clone(&node.supervisor);
    let node = Arc::clone(node);
    supervisor.spawn("mailbox", move || {
        let node = Arc::clone(&node);
        async move {
            loop {
                due(&node.mailbox).await;
                #[cfg(feature = "faults")]
                node.sweeper_fault.strike();
                while node.mailbox.sweep(clock::now()) {
                    yield_now().await;
                }
            }
        }
    })
}

/// Waits until something may be due.
async fn due(mailbox: &Mailbox) {
    let begun = clock::instant();
    let mut timer = pin!(sleep_until(begun + RECHECK));
    poll_fn(|cx| {
        // In this order: what becomes earlier from here on wakes.
        mailbox.wake_when_earlier(cx.waker());
        let Some(deadline_ms) = mailbox.next_deadline() else {
            return Poll::Pending;
        };
        let left = Duration::from_millis(deadline_ms.saturating_sub(clock::now().mono_ms));
        let at = clock::instant() + left.min(RECHECK);
        timer.as_mut().reset(at.max(begun + LEAST));
        timer.as_mut().poll(cx)
    })
    .await;
}

/// Panics on demand, so that tests see what becomes of it.
#[cfg(feature = "faults")]
#[derive(Default)]
pub(crate) struct Fault(std::sync::atomic::AtomicU32);

#[cfg(feature = "faults")]
impl Fault {
    /// The next lives of the task end in a panic, so many of them.
    pub(crate) fn panics(&self, times: u32) {
        self.0.store(times, std::sync::atomic::Ordering::Relaxed);
    }

    fn strike(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        let one_less = |left: u32| left.checked_sub(1);
        let left = self.0.fetch_update(Relaxed, Relaxed, one_less);
        assert!(left.is_err(), "a test has asked for this panic");
    }
}
