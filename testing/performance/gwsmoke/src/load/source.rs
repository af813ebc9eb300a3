//! Whose turn it is: hands requests that are due to connections that are free.
//!
//! What waits for a connection is a difference of two counts, so a queue takes no memory however
//! long it gets. It all belongs to one thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::schedule::Schedule;

/// How requests come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loop {
    /// At fixed times, whatever the node does.
    Open(Schedule),
    /// Each upon the answer before, until a time.
    Closed { end: Instant },
}

/// Hands out requests, by when they are due.
#[derive(Debug)]
pub(crate) struct Source {
    from: Loop,
    /// Of an open loop: requests that have been due, and of those the ones handed out.
    due: Cell<u64>,
    taken: Cell<u64>,
    /// Connections that wait for a request, the longest first; and how each is woken.
    waiting: RefCell<VecDeque<usize>>,
    wakers: RefCell<Vec<Option<Waker>>>,
}

impl Source {
    pub(crate) fn new(from: Loop, connections: usize) -> Self {
        Self {
            from,
            due: Cell::new(0),
            taken: Cell::new(0),
            waiting: RefCell::new(VecDeque::with_capacity(connections)),
            wakers: RefCell::new(vec![None; connections]),
        }
    }

    /// When the next request was due, once there is one for `connection`; `None` when there will be
    /// no more.
    pub(crate) fn poll_take(
        &self,
        connection: usize,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Instant>> {
        let schedule = match &self.from {
            Loop::Closed { end } => return Poll::Ready((now < *end).then_some(now)),
            Loop::Open(schedule) => schedule,
        };
        let taken = self.taken.get();
        if taken == self.due.get() && self.due.get() < schedule.total {
            self.due.set(schedule.due_by(now));
        }
        if taken < self.due.get() {
            self.taken.set(taken + 1);
            return Poll::Ready(Some(schedule.due(taken)));
        }
        if taken == schedule.total {
            return Poll::Ready(None);
        }
        let waker = &mut self.wakers.borrow_mut()[connection];
        match waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => {
                *waker = Some(cx.waker().clone());
                self.waiting.borrow_mut().push_back(connection);
            }
        }
        Poll::Pending
    }

    /// Wakes as many connections as there are requests that are due. Returns when the next one is,
    /// and how late the last one that became due just now was; `None` once all have been.
    pub(crate) fn release(&self, now: Instant) -> Option<Instant> {
        let Loop::Open(schedule) = &self.from else {
            return None;
        };
        self.due.set(self.due.get().max(schedule.due_by(now)));
        let is_over = self.due.get() == schedule.total;
        // At the end everybody learns that there is no more.
        let wake = match is_over {
            true => usize::MAX,
            false => usize::try_from(self.due.get() - self.taken.get()).unwrap_or(usize::MAX),
        };
        for _ in 0..wake {
            let Some(connection) = self.waiting.borrow_mut().pop_front() else {
                break;
            };
            if let Some(waker) = self.wakers.borrow_mut()[connection].take() {
                waker.wake();
            }
        }
        (!is_over).then(|| schedule.due(self.due.get()))
    }

    /// Requests that nobody will take any more.
    pub(crate) fn untaken(&self, is_measured: impl Fn(Instant) -> bool) -> u64 {
        let Loop::Open(schedule) = &self.from else {
            return 0;
        };
        let left = self.taken.get()..schedule.total;
        left.filter(|k| is_measured(schedule.due(*k))).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn requests_go_to_who_has_waited_longest_and_none_is_lost() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        // Due at 0, 100, 200 and 300 ms.
        let schedule = Schedule::new(start, 10.0, Duration::from_millis(400), 0, 1);
        let source = Source::new(Loop::Open(schedule), 2);
        let woken = [(); 2].map(|()| Arc::new(Woken::default()));
        let take = |connection: usize, now| {
            let waker = Waker::from(Arc::clone(&woken[connection]));
            source.poll_take(connection, now, &mut Context::from_waker(&waker))
        };
        let count = |connection: usize| woken[connection].0.load(Ordering::Relaxed);
        assert_eq!(take(0, at(5)), Poll::Ready(Some(at(0))));
        assert_eq!(take(0, at(6)), Poll::Pending);
        assert_eq!(take(1, at(7)), Poll::Pending);
        assert_eq!(
            take(0, at(8)),
            Poll::Pending,
            "asking twice keeps its place"
        );
        assert_eq!(source.release(at(99)), Some(at(100)));
        assert_eq!((count(0), count(1)), (0, 0));
        assert_eq!(source.release(at(100)), Some(at(200)));
        assert_eq!((count(0), count(1)), (1, 0));
        assert_eq!(take(0, at(101)), Poll::Ready(Some(at(100))));
        // The last two, one of which a connection finds by itself.
        assert_eq!(take(0, at(201)), Poll::Ready(Some(at(200))));
        assert_eq!(source.untaken(|_| true), 1);
        assert_eq!(source.untaken(|due| due < at(300)), 0);
        assert_eq!(source.release(at(300)), None);
        assert_eq!(count(1), 1);
        assert_eq!(take(1, at(301)), Poll::Ready(Some(at(300))));
        assert_eq!(take(1, at(302)), Poll::Ready(None));
        assert_eq!(take(0, at(302)), Poll::Ready(None));
        assert_eq!(source.untaken(|_| true), 0);
    }

    #[test]
    fn a_closed_loop_is_due_now_until_its_end() {
        let start = clock::now();
        let end = start + Duration::from_secs(1);
        let source = Source::new(Loop::Closed { end }, 1);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(
            source.poll_take(0, start, &mut cx),
            Poll::Ready(Some(start))
        );
        assert_eq!(source.poll_take(0, end, &mut cx), Poll::Ready(None));
        assert_eq!(source.release(end), None);
    }
}
