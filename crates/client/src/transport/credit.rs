//! What subscriptions over HTTP may still receive. The node keeps no account of them there, so it
//! is kept here: which leases each of them has brought and when those end, and what becomes of
//! them by the calls of the same client.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::mailbox::Settle;
use crate::{Message, Verdict};

/// Of all subscriptions of a client.
#[derive(Debug, Default)]
pub(super) struct Credits(Mutex<Vec<Weak<Credit>>>);

impl Credits {
    pub(super) fn open(&self, most: u16) -> Arc<Credit> {
        let credit = Arc::new(Credit {
            most: most.into(),
            leases: Mutex::default(),
            freed: Notify::new(),
        });
        let mut open = self.0.lock();
        open.retain(|credit| credit.strong_count() > 0);
        open.push(Arc::downgrade(&credit));
        credit
    }

    /// Takes note of what came of receipts, whichever subscription brought them.
    pub(super) fn settled(&self, settle: Settle, receipts: &[&str], verdicts: &[Verdict]) {
        let open: Vec<_> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        for credit in open {
            credit.settled(settle, receipts, verdicts);
        }
    }
}

/// Of one subscription.
#[derive(Debug)]
pub(crate) struct Credit {
    most: usize,
    /// Receipts of what is out, and when each lease ends; at most as many as `most`.
    leases: Mutex<HashMap<String, Instant>>,
    freed: Notify,
}

impl Credit {
    /// Waits until something may be received; how much.
    pub(super) async fn free(&self) -> usize {
        loop {
            let first_end = {
                let mut leases = self.leases.lock();
                let now = Instant::now();
                leases.retain(|_, ends| *ends > now);
                if leases.len() < self.most {
                    return self.most - leases.len();
                }
                leases.values().min().copied()
            };
            let first_end = first_end.expect("at least one lease is out");
            tokio::select! {
                () = self.freed.notified() => {}
                () = sleep_until(first_end) => {}
            }
        }
    }

    /// These have just been received: their leases end no later than `visibility` from now. The
    /// request says nothing of that, as a lease begins when the node has waited for its message.
    pub(super) fn take(&self, messages: &[Message], visibility: Duration) {
        let receipts = messages.iter().map(|message| message.receipt.clone());
        let ends = Instant::now() + visibility;
        self.leases.lock().extend(receipts.map(|it| (it, ends)));
    }

    fn settled(&self, settle: Settle, receipts: &[&str], verdicts: &[Verdict]) {
        let mut leases = self.leases.lock();
        for (receipt, verdict) in receipts.iter().zip(verdicts) {
            match (settle, verdict) {
                (Settle::Extend { visibility }, Verdict::Ok) => {
                    if let Some(ends) = leases.get_mut(*receipt) {
                        *ends = Instant::now() + visibility;
                    }
                }
                // What is late, or unknown, is not out any more either.
                _ => {
                    leases.remove(*receipt);
                }
            }
        }
        if leases.len() < self.most {
            self.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::SystemTime;
    use tokio::time::timeout;

    const SECOND: Duration = Duration::from_secs(1);

    fn messages(receipts: &[&str]) -> Vec<Message> {
        let message = |receipt: &&str| Message {
            id: String::new(),
            receipt: (*receipt).to_owned(),
            attempt: 1,
            enqueued_at: SystemTime::UNIX_EPOCH,
            body: "".into(),
            history: Vec::new(),
        };
        receipts.iter().map(message).collect()
    }

    /// How much is free now; nothing while it would wait.
    async fn free(credit: &Credit) -> Option<usize> {
        timeout(Duration::ZERO, credit.free()).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn credit_comes_back_by_every_end_of_a_lease_and_by_no_other_call() {
        let credits = Credits::default();
        let (credit, other) = (credits.open(3), credits.open(1));
        assert_eq!(free(&credit).await, Some(3));
        credit.take(&messages(&["a", "b", "c"]), 30 * SECOND);
        other.take(&messages(&["d"]), 30 * SECOND);
        assert_eq!(free(&credit).await, None);
        credits.settled(Settle::Ack, &["d", "x"], &[Verdict::Ok, Verdict::Unknown]);
        assert_eq!((free(&credit).await, free(&other).await), (None, Some(1)));
        credits.settled(Settle::Ack, &["a"], &[Verdict::Ok]);
        assert_eq!(free(&credit).await, Some(1));
        let delay = Duration::ZERO;
        credits.settled(Settle::Nack { delay }, &["b"], &[Verdict::Late]);
        assert_eq!(free(&credit).await, Some(2));
        // Prolonged to 60 s from now, then over.
        let visibility = 60 * SECOND;
        credits.settled(Settle::Extend { visibility }, &["c"], &[Verdict::Ok]);
        tokio::time::advance(59 * SECOND).await;
        assert_eq!(free(&credit).await, Some(2));
        tokio::time::advance(SECOND).await;
        assert_eq!(free(&credit).await, Some(3));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_credit_is_woken_by_an_ack_and_by_the_end_of_a_lease() {
        let credits = Arc::new(Credits::default());
        let credit = credits.open(1);
        for acked in [true, false] {
            credit.take(&messages(&["a"]), 30 * SECOND);
            let waits = tokio::spawn({
                let credit = Arc::clone(&credit);
                async move { credit.free().await }
            });
            tokio::task::yield_now().await;
            if acked {
                credits.settled(Settle::Ack, &["a"], &[Verdict::Ok]);
            }
            let before = Instant::now();
            assert_eq!(timeout(31 * SECOND, waits).await.unwrap().unwrap(), 1);
            assert_eq!(before.elapsed() < SECOND, acked);
        }
    }
}
