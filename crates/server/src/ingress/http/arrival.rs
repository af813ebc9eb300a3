//! Whether a request body has been read to its end, which decides the fate of its connection.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

/// A request body that remembers whether its end was seen.
pub(crate) struct Arriving<B> {
    body: B,
    end: End,
}

/// What an [`Arriving`] body remembers. A request without a body costs no allocation.
#[derive(Clone)]
pub(crate) struct End(Option<Arc<AtomicBool>>);

impl End {
    /// Nothing of the body is left on the connection.
    pub(crate) fn is_reached(&self) -> bool {
        self.0.as_ref().is_none_or(|end| end.load(Relaxed))
    }

    fn reach(&self) {
        if let Some(end) = &self.0 {
            end.store(true, Relaxed);
        }
    }
}

impl<B: Body> Arriving<B> {
    pub(crate) fn new(body: B) -> Self {
        let end = End((!body.is_end_stream()).then(Arc::default));
        Self { body, end }
    }

    pub(crate) fn end(&self) -> End {
        self.end.clone()
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Arriving<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.end.reach();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
