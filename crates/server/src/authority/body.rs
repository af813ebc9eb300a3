//! Request bodies that are held to a capability while they come.

use super::failure::Failed;
use super::holder::Holder;
use crate::call::CallBody;
use crate::clock;
use crate::node::Node;
use bytes::Bytes;
use http_body::{Body, Frame};
use micronode_hardening::BodyError;
use micronode_protocol::limits::AUTHORITY_RECHECK;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep_until};

/// No more of a body than a token allows, however long it says that it is.
pub(super) struct Capped {
    body: CallBody,
    left: u64,
    node: Arc<Node>,
}

impl Capped {
    /// `body`, of which at most so many bytes may come.
    pub(super) fn around(body: CallBody, most: u64, node: &Arc<Node>) -> CallBody {
        if most == u64::MAX {
            body
        } else {
            Box::pin(Self {
                body,
                left: most,
                node: Arc::clone(node),
            })
        }
    }
}

impl Body for Capped {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.body.as_mut().poll_frame(cx).map(|frame| {
            let frame = frame?;
            let length = |frame: &Frame<Bytes>| frame.data_ref().map_or(0, Bytes::len) as u64;
            Some(frame.and_then(|frame| {
                match self.left.checked_sub(length(&frame)) {
                    Some(left) => self.left = left,
                    None => {
                        self.node.authority.count(Failed::MaxBytes);
                        return Err(BodyError::Transport(Box::new(Failed::MaxBytes.error())));
                    }
                }
                Ok(frame)
            }))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// A body that ends when the token it comes with does.
pub(crate) struct Standing {
    body: CallBody,
    node: Arc<Node>,
    holder: Arc<Holder>,
    check_at: Instant,
    /// Set only when the body is waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Standing {
    /// `body`, which comes with a token that stands at `now`.
    pub(crate) fn around(
        body: CallBody,
        node: &Arc<Node>,
        holder: &Arc<Holder>,
        now: Instant,
    ) -> CallBody {
        Box::pin(Self {
            body,
            node: Arc::clone(node),
            holder: Arc::clone(holder),
            check_at: now + AUTHORITY_RECHECK,
            timer: None,
        })
    }

    fn check(&mut self, now: Instant) -> Result<(), BodyError> {
        if now < self.check_at {
            return Ok(());
        }
        self.check_at = now + AUTHORITY_RECHECK;
        if self.node.stands(&self.holder) {
            return Ok(());
        }
        Err(BodyError::Transport(Box::new(Failed::Ended.error())))
    }
}

impl Body for Standing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let frame = self.body.as_mut().poll_frame(cx);
            let ended = matches!(frame, Poll::Ready(None));
            if !ended && let Err(error) = self.check(clock::instant()) {
                return Poll::Ready(Some(Err(error)));
            }
            if frame.is_ready() {
                return frame;
            }
            let check_at = self.check_at;
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(check_at)));
            if timer.deadline() != check_at {
                timer.as_mut().reset(check_at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
