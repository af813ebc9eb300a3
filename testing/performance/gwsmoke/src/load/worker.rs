//! What the connections of one thread share: whose turn it is, what is asked, and what came of it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use super::content::Content;
use super::plan::{Plan, Receipt, Request};
use super::source::Source;
use crate::clock;
use crate::record::{Outcome, Recorder};

/// A request that a connection has taken on.
#[derive(Debug)]
pub(crate) struct Job {
    /// What its latency counts from.
    pub(crate) due: Instant,
    pub(crate) request: Request,
    /// Whether every byte of its answer is to be compared with what it has to be.
    pub(crate) is_verified: bool,
}

/// The shared part of a thread.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) content: Arc<Content>,
    pub(crate) source: Source,
    pub(crate) plan: RefCell<Plan>,
    pub(crate) record: RefCell<Recorder>,
    /// One of so many answers is verified.
    pub(crate) verify_every: u64,
    /// Requests handed out, and connections opened.
    pub(crate) taken: Cell<u64>,
    pub(crate) opened: Cell<u64>,
    /// Requests ended, for whoever wants to see how it goes on.
    pub(crate) ended: Arc<AtomicU64>,
}

impl Worker {
    /// The next request for `connection`, once one is due; `None` when there will be no more.
    pub(crate) fn poll_job(&self, connection: usize, cx: &mut Context<'_>) -> Poll<Option<Job>> {
        let Poll::Ready(due) = self.source.poll_take(connection, clock::now(), cx) else {
            return Poll::Pending;
        };
        let request = due.and_then(|due| Some((due, self.plan.borrow_mut().next()?)));
        Poll::Ready(request.map(|(due, request)| {
            self.record.borrow_mut().begin(request.kind(), due);
            let number = self.taken.get();
            self.taken.set(number + 1);
            Job {
                due,
                request,
                is_verified: number.is_multiple_of(self.verify_every),
            }
        }))
    }

    /// The same, to be awaited.
    pub(crate) async fn job(&self, connection: usize) -> Option<Job> {
        std::future::poll_fn(|cx| self.poll_job(connection, cx)).await
    }

    /// A request has ended; with the receipts of messages that it brought.
    pub(crate) fn end(&self, job: &Job, outcome: &Outcome, receipt: Option<Receipt>) {
        let now = clock::now();
        let kind = job.request.kind();
        self.record.borrow_mut().end(kind, job.due, outcome, now);
        let mut plan = self.plan.borrow_mut();
        if let Some(receipt) = receipt {
            plan.received(receipt);
        }
        plan.ended(&job.request, outcome.verdict);
        // Nobody else writes it.
        let ended = self.ended.load(Ordering::Relaxed);
        self.ended.store(ended + 1, Ordering::Relaxed);
    }

    /// A connection has been opened.
    pub(crate) fn opened(&self) {
        self.opened.set(self.opened.get() + 1);
    }
}
