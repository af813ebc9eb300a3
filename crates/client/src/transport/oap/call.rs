//! One stream as its caller sees it. Dropping it closes the stream.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use tokio::time::timeout;

use super::super::TOO_EARLY;
use super::link::Link;
use super::notices::Notice;
use crate::{Error, TransportError};

/// A call that came to nothing.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    /// Nothing of the request has left this host.
    pub(super) unsent: bool,
}

/// An open stream. One task waits for it, for one thing at a time.
pub(super) struct Call {
    link: Arc<Link>,
    id: u64,
}

impl Call {
    pub(super) fn new(link: Arc<Link>, id: u64) -> Self {
        Call { link, id }
    }

    /// Waits until some of the request has left.
    pub(super) async fn begun(&self) -> Result<(), Failed> {
        poll_fn(|context| self.link.streams().poll_begun(self.id, context)).await
    }

    /// Waits until more of the request's body can be [sent](Self::send). An answer makes it fail,
    /// because it came too early.
    pub(super) async fn room(&self) -> Result<(), Error> {
        poll_fn(|context| self.link.streams().poll_room(self.id, context)).await
    }

    /// Goes on with the request's body, where there is room.
    pub(super) fn send(&self, piece: Bytes, last: bool) {
        self.link.streams().send(self.id, piece, last);
        self.link.wake();
    }

    /// Waits until the answer begins; its status.
    pub(super) async fn answered(&self) -> Result<u16, Failed> {
        poll_fn(|context| self.link.streams().poll_answered(self.id, context)).await
    }

    /// The next piece of the answer, which moves at least every `time`; `None` only when all of
    /// it came.
    pub(super) async fn next(&self, time: Duration) -> Result<Option<Bytes>, Error> {
        let next = poll_fn(|context| self.link.streams().poll_next(self.id, context));
        self.within(time, next).await?
    }

    /// The whole answer. What it may come to was said when the stream was opened.
    pub(super) async fn collect(&self, time: Duration) -> Result<Bytes, Error> {
        let first = self.next(time).await?.unwrap_or_default();
        let Some(second) = self.next(time).await? else {
            return Ok(first);
        };
        let mut whole = BytesMut::from(&first[..]);
        whole.extend_from_slice(&second);
        while let Some(piece) = self.next(time).await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// The next thing that is told before an answer, however long that takes, as long as the
    /// connection says at least every `time` that it lives.
    pub(super) async fn notice(&self, time: Duration) -> Result<Notice, Error> {
        loop {
            let next = poll_fn(|context| self.link.streams().poll_notice(self.id, context));
            match timeout(time, next).await {
                Ok(next) => {
                    let (notice, waited) = next?;
                    if waited {
                        self.link.wake();
                    }
                    return Ok(notice);
                }
                Err(_) if self.link.silent_for() < time => {}
                Err(_) => {
                    self.link.stalled(self.id, time);
                    return Err(TransportError::Stalled(time).into());
                }
            }
        }
    }

    /// Waits for something else, at most for `time`, while there should be no answer.
    pub(super) async fn unless_answered<F: Future>(
        &self,
        time: Duration,
        future: F,
    ) -> Result<F::Output, Error> {
        let (future, answered) = (pin!(future), pin!(self.answered()));
        match timeout(time, select(future, answered)).await {
            Ok(Either::Left((output, _))) => Ok(output),
            Ok(Either::Right((Err(failed), _))) => Err(failed.error),
            Ok(Either::Right((Ok(_), _))) => Err(TOO_EARLY),
            Err(_) => Err(TransportError::Stalled(time).into()),
        }
    }

    /// Waits for the node, at most for `time`.
    pub(super) async fn within<F: Future>(
        &self,
        time: Duration,
        future: F,
    ) -> Result<F::Output, Error> {
        timeout(time, future).await.map_err(|_| {
            self.link.stalled(self.id, time);
            TransportError::Stalled(time).into()
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.link.streams().close(self.id);
        self.link.wake();
    }
}
