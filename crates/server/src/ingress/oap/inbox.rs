//! The parts of a request on their way from the connection to the work that takes them.
//!
//! Both ends are in one task, so the lock is never waited for. What lies in all inboxes of a
//! connection together is counted, so that the connection stops taking more.

use crate::call::CallError;
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use micronode_hardening::{BodyError, GuardedBody};
use micronode_protocol::ErrorCode;
use micronode_protocol::frame::HEADER_BYTES;
use micronode_protocol::limits::OAP_CHUNK_BYTES;
use micronode_protocol::operation::FieldsError;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

/// What lies in the inboxes of one connection: see [`cost`].
pub(super) type Backlog = Arc<AtomicUsize>;

/// A part is counted as the frame that it came in: an empty one has a place here too, and holds on
/// to the buffer that it was read into.
fn cost(part: &Bytes) -> usize {
    HEADER_BYTES + part.len()
}

struct Shared {
    parts: VecDeque<Bytes>,
    ended: bool,
    reader: Option<Waker>,
    backlog: Backlog,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let left: usize = self.parts.iter().map(cost).sum();
        self.backlog.fetch_sub(left, Relaxed);
    }
}

/// The connection's end.
pub(super) struct Inbox(Arc<Mutex<Shared>>);

/// The worker's end: a request body, a part for each frame.
pub(super) struct InboxBody(Arc<Mutex<Shared>>);

/// An inbox, and the body that it feeds.
pub(super) fn inbox(backlog: &Backlog) -> (Inbox, InboxBody) {
    let shared = Arc::new(Mutex::new(Shared {
        parts: VecDeque::new(),
        ended: false,
        reader: None,
        backlog: Arc::clone(backlog),
    }));
    (Inbox(Arc::clone(&shared)), InboxBody(shared))
}

impl Inbox {
    /// Hands on one frame's payload.
    pub(super) fn put(&self, payload: Bytes, ends: bool) {
        let mut shared = self.0.lock();
        shared.backlog.fetch_add(cost(&payload), Relaxed);
        shared.parts.push_back(payload);
        shared.ended = ends;
        if let Some(reader) = shared.reader.take() {
            reader.wake();
        }
    }

    /// Whether the last frame has come.
    pub(super) fn is_ended(&self) -> bool {
        self.0.lock().ended
    }
}

impl Body for InboxBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut shared = self.0.lock();
        if let Some(part) = shared.parts.pop_front() {
            shared.backlog.fetch_sub(cost(&part), Relaxed);
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        if shared.ended {
            return Poll::Ready(None);
        }
        shared.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.0.lock();
        shared.ended && shared.parts.is_empty()
    }
}

/// A guarded body whose every part is one frame: no more than a chunk each, unless the request is
/// one frame.
pub(super) struct Chunks {
    body: Pin<Box<GuardedBody<InboxBody>>>,
    is_one_frame: bool,
    /// Body bytes that came in one frame with the fields.
    first: Option<Bytes>,
}

impl Chunks {
    pub(super) fn new(body: GuardedBody<InboxBody>, is_one_frame: bool) -> Self {
        Self {
            body: Box::pin(body),
            is_one_frame,
            first: None,
        }
    }

    /// Takes the fields off the front, however they are cut: their bytes, and the rest. `measure`
    /// says how many they are, of at most `most`; `None` while some are missing.
    pub(super) async fn split_fields(
        mut self,
        most: usize,
        measure: impl Fn(&[u8]) -> Result<Option<usize>, CallError>,
    ) -> Result<(Vec<u8>, Self), CallError> {
        let mut fields = Vec::new();
        loop {
            let Some(frame) = self.body.frame().await.transpose()? else {
                return Err(FieldsError::Truncated.into());
            };
            let Ok(mut part) = frame.into_data() else {
                continue;
            };
            let before = fields.len();
            let wanted = (most - before).min(part.len());
            fields.extend_from_slice(&part[..wanted]);
            if let Some(length) = measure(&fields)? {
                fields.truncate(length);
                let rest = part.split_off(length - before);
                self.check(&rest)?;
                self.first = Some(rest).filter(|rest| !rest.is_empty());
                return Ok((fields, self));
            }
        }
    }

    fn check(&self, part: &Bytes) -> Result<(), CallError> {
        if part.len() <= OAP_CHUNK_BYTES || self.is_one_frame {
            return Ok(());
        }
        Err(CallError::new(
            ErrorCode::ChunkTooLarge,
            "a frame of several has at most 64 KiB of the body",
        ))
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.body.as_mut().poll_frame(cx).map(|frame| {
            let frame = frame?;
            let checked = frame.and_then(|frame| match frame.data_ref() {
                Some(part) => match self.check(part) {
                    Ok(()) => Ok(frame),
                    // Only this protocol has such a fault.
                    Err(error) => Err(BodyError::Transport(Box::new(error))),
                },
                None => Ok(frame),
            });
            Some(checked)
        })
    }
}
