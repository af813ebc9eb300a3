//! Response bodies of the data plane: nothing, bytes at hand, verified pieces of an object, messages,
//! or events as they come.

use super::messages::MessageList;
use super::multipart::Multipart;
use super::sse::EventStream;
use crate::ingress::pieces::Pieces;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use micronode_engine::IntegrityError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A response body whose length is known, so that a cut one is seen to be cut; but for events, which
/// have no end.
pub(crate) enum ReplyBody {
    /// Bytes at hand; `None` once they are out, or when there are none.
    Full(Option<Bytes>),
    /// A manifest's head, until it is out, and its chaining values in the object's own memory.
    Manifest(Option<Bytes>, Bytes),
    /// One range of an object; every piece is verified as it is asked for.
    Object(Pieces),
    /// Several ranges of an object.
    Multipart(Multipart),
    /// Messages in JSON.
    Messages(MessageList),
    /// Events as they come.
    Events(EventStream),
}

impl ReplyBody {
    pub(crate) fn empty() -> Self {
        Self::Full(None)
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        Self::Full(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    /// Bytes that are left; `None` if nobody knows.
    fn remaining(&self) -> Option<u64> {
        Some(match self {
            Self::Full(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::Manifest(head, values) => {
                (head.as_ref().map_or(0, Bytes::len) + values.len()) as u64
            }
            Self::Object(pieces) => pieces.remaining(),
            Self::Multipart(multipart) => multipart.remaining(),
            Self::Messages(messages) => messages.remaining(),
            Self::Events(_) => return None,
        })
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = IntegrityError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IntegrityError>>> {
        let piece = match self.get_mut() {
            Self::Full(bytes) => bytes.take().map(Ok),
            Self::Manifest(head, values) => head
                .take()
                .or_else(|| Some(std::mem::take(values)).filter(|values| !values.is_empty()))
                .map(Ok),
            Self::Object(pieces) => pieces.next(),
            Self::Multipart(multipart) => multipart.next(),
            Self::Messages(messages) => messages.next().map(Ok),
            Self::Events(events) => ready!(events.poll_next(cx)).map(Ok),
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining()
            .map(SizeHint::with_exact)
            .unwrap_or_default()
    }
}
