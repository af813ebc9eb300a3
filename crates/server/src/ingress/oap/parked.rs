//! Streams that wait for something to happen: receives that found nothing, and feeds.
//!
//! They are many and mostly silent, so each has a waker of its own, and only those that were woken
//! are looked at. One that is cancelled is dropped at once, and its place in a queue passes on.

use super::question::Asked;
use super::session::Session;
use super::terms::Terms;
use crate::call::{CallError, Reply};
use crate::clock;
use crate::feed::Feed;
use crate::guard::admission::{InProgress, Permits, Readmission};
use crate::node::Node;
use crate::readiness::State;
use crate::waiting::Wait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use micronode_hardening::Transport;
use micronode_protocol::ErrorCode;
use micronode_protocol::operation::{CONTROL, Operation};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Release};
use std::task::{Context, Poll, Wake, Waker};
use tokio::time::Sleep;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Parked {
    streams: HashMap<u64, ParkedStream>,
    woken: Arc<Woken>,
    /// Streams being looked at; its memory is kept.
    due: Vec<u64>,
    /// Feeds that were woken and have not had their turn.
    pub(super) called: Vec<u64>,
    /// Ready when the node drains, while there are or have been feeds.
    draining: Option<BoxFuture<'static, ()>>,
}

pub(super) struct ParkedStream {
    pub(super) in_progress: InProgress,
    pub(super) waiting: Waiting,
    pub(super) waker: Waker,
    is_woken: Arc<AtomicBool>,
}

type Received = Result<(Reply, Option<Permits>), CallError>;

/// What a stream waits for.
pub(super) enum Waiting {
    /// The answer to a receive, and what is needed to give it.
    Receive(BoxFuture<'static, Received>),
    Feed(Feeding),
}

/// A feed, and what is between it and the connection.
pub(super) struct Feeding {
    pub(super) feed: Box<Feed>,
    /// Of an item that has begun.
    pub(super) rest: Bytes,
    /// There was no permit to lease a message with; then there may be one.
    pub(super) retry: Option<Pin<Box<Sleep>>>,
    pub(super) readmission: Readmission,
}

/// Streams that were woken and not yet looked at, and the task that looks.
#[derive(Default)]
struct Woken(Mutex<(Vec<u64>, Option<Waker>)>);

impl Woken {
    fn push(&self, corr_id: u64) {
        let mut woken = self.0.lock();
        let is_first = woken.0.is_empty();
        woken.0.push(corr_id);
        let task = woken.1.clone().filter(|_| is_first);
        drop(woken);
        if let Some(task) = task {
            task.wake();
        }
    }
}

/// Wakes one stream; once, until it has been looked at.
struct StreamWaker {
    corr_id: u64,
    is_woken: Arc<AtomicBool>,
    woken: Arc<Woken>,
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_woken.swap(true, AcqRel) {
            self.woken.push(self.corr_id);
        }
    }
}

impl Parked {
    /// Takes a stream in, which is looked at soon.
    fn insert(&mut self, corr_id: u64, in_progress: InProgress, waiting: Waiting) {
        let is_woken = Arc::new(AtomicBool::new(false));
        let waker = Waker::from(Arc::new(StreamWaker {
            corr_id,
            is_woken: Arc::clone(&is_woken),
            woken: Arc::clone(&self.woken),
        }));
        waker.wake_by_ref();
        let stream = ParkedStream {
            in_progress,
            waiting,
            waker,
            is_woken,
        };
        self.streams.insert(corr_id, stream);
    }

    /// Who looks at the streams that are woken.
    pub(super) fn listen(&mut self, task: &Waker) {
        self.woken.0.lock().1 = Some(task.clone());
        if let Some(draining) = &mut self.draining {
            // Its answer is looked for in the node's state.
            let _ = draining.poll_unpin(&mut Context::from_waker(task));
        }
    }

    pub(super) fn get_mut(&mut self, corr_id: u64) -> Option<&mut ParkedStream> {
        self.streams.get_mut(&corr_id)
    }

    pub(super) fn remove(&mut self, corr_id: u64) -> Option<ParkedStream> {
        self.called.retain(|called| *called != corr_id);
        self.streams.remove(&corr_id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &ParkedStream)> {
        self.streams.iter().map(|(corr_id, it)| (*corr_id, it))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.streams.clear();
    }
}

impl ParkedStream {
    pub(super) fn is_feed(&self) -> bool {
        matches!(self.waiting, Waiting::Feed(_))
    }
}

impl<I: Transport> Session<I> {
    /// A receive waits for messages.
    pub(super) fn park_receive(
        &mut self,
        corr_id: u64,
        wait: Box<Wait>,
        in_progress: InProgress,
    ) -> Result<(), CallError> {
        let Terms { cost, facet, .. } = Terms::of(Operation::Receive);
        let (node, holder) = (Arc::clone(&self.node), in_progress.holder.clone());
        let over = async move { wait.over(&node, cost, facet, holder.as_deref()).await };
        self.park(corr_id, in_progress, Waiting::Receive(over.boxed()))
    }

    /// A feed begins.
    pub(super) fn park_feed(
        &mut self,
        corr_id: u64,
        feed: Box<Feed>,
        in_progress: InProgress,
    ) -> Result<(), CallError> {
        let feeding = Feeding {
            feed,
            rest: Bytes::new(),
            retry: None,
            readmission: Readmission::default(),
        };
        self.park(corr_id, in_progress, Waiting::Feed(feeding))?;
        if self.parked.draining.is_none() {
            self.parked.draining = Some(drained(Arc::clone(&self.node)).boxed());
            if let Some(task) = &self.waker {
                self.parked.listen(task);
            }
        }
        Ok(())
    }

    fn park(
        &mut self,
        corr_id: u64,
        mut in_progress: InProgress,
        waiting: Waiting,
    ) -> Result<(), CallError> {
        if !self.connection.park(corr_id) {
            let detail = "as many streams of this connection wait as may; use another one";
            return Err(CallError::new(ErrorCode::TooManyStreams, detail));
        }
        in_progress.park();
        self.parked.insert(corr_id, in_progress, waiting);
        Ok(())
    }

    /// Looks at the streams that were woken.
    pub(super) fn poll_parked(&mut self) {
        if self.parked.is_empty() {
            return;
        }
        let mut due = std::mem::take(&mut self.parked.due);
        std::mem::swap(&mut due, &mut self.parked.woken.0.lock().0);
        for corr_id in due.drain(..) {
            self.poll_stream(corr_id);
        }
        self.parked.due = due;
        if self.parked.draining.is_some() && self.node.state() == State::Draining {
            self.parked.draining = None;
            self.end_feeds();
        }
    }

    fn poll_stream(&mut self, corr_id: u64) {
        let Some(stream) = self.parked.get_mut(corr_id) else {
            return;
        };
        stream.is_woken.store(false, Release);
        let mut cx = Context::from_waker(&stream.waker);
        match &mut stream.waiting {
            Waiting::Receive(answer) => {
                if let Poll::Ready(answer) = answer.as_mut().poll(&mut cx) {
                    self.received(corr_id, answer);
                }
            }
            Waiting::Feed(Feeding { feed, retry, .. }) => {
                if let Some(at) = retry
                    && at.poll_unpin(&mut cx).is_pending()
                {
                    return;
                }
                *retry = None;
                if feed.poll_ready(&stream.waker) {
                    self.want_feed(corr_id);
                }
            }
        }
    }

    /// There is something to tell it.
    pub(super) fn want_feed(&mut self, corr_id: u64) {
        self.connection.want_turn(corr_id);
        self.parked.called.push(corr_id);
    }

    /// The peer takes nothing now: somebody else has the messages that its subscriptions were woken
    /// for. Those have their turns all the same, once there is room.
    pub(super) fn pass_on(&mut self) {
        for corr_id in self.parked.called.drain(..) {
            if let Some(stream) = self.parked.streams.get_mut(&corr_id)
                && let Waiting::Feed(feeding) = &mut stream.waiting
            {
                feeding.feed.decline();
            }
        }
    }

    fn received(&mut self, corr_id: u64, answer: Received) {
        self.connection.unpark(corr_id);
        let Some(ParkedStream {
            mut in_progress, ..
        }) = self.parked.remove(corr_id)
        else {
            return;
        };
        let answered = answer.and_then(|(reply, permits)| {
            if let Some(permits) = permits {
                in_progress.resume(permits);
            }
            self.begin_answer(corr_id, Asked::Other, reply, in_progress, clock::instant())
        });
        if let Err(error) = answered {
            self.refuse(corr_id, CONTROL, &error);
        }
    }

    /// A feed would outlive the node otherwise.
    fn end_feeds(&mut self) {
        let feeds = self.parked.iter().filter(|(_, stream)| stream.is_feed());
        let detail = "the node is shutting down; go on with another one";
        let error = CallError::new(ErrorCode::Draining, detail);
        for corr_id in feeds.map(|(corr_id, _)| corr_id).collect::<Vec<_>>() {
            self.refuse(corr_id, CONTROL, &error);
        }
    }
}

async fn drained(node: Arc<Node>) {
    node.draining.notified().await;
}
