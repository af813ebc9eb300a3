//! A response body that keeps something until its last byte has left for the socket.
//!
//! The server takes the last piece of a body, drops the body, and only then writes: a guard that
//! the body itself owned would be gone while up to a write buffer of bytes still waits for a slow
//! reader. So the guard moves into the last piece.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// `body`, with a guard that is dropped once the last byte is written, or when the response is
    /// given up.
    ///
    /// A body that does not know its last piece ([`Body::is_end_stream`] stays false after it)
    /// gives its guard back as soon as its end has been polled.
    #[derive(Debug)]
    pub struct HeldBody<B, G> {
        #[pin]
        body: B,
        guard: Option<G>,
    }
}

impl<B, G> HeldBody<B, G> {
    /// Holds `guard` as long as `body`.
    pub fn new(body: B, guard: G) -> Self {
        Self {
            body,
            guard: Some(guard),
        }
    }

    /// A body of the same type that holds nothing, for an answer that took no guard.
    pub fn unguarded(body: B) -> Self {
        Self { body, guard: None }
    }
}

impl<B: From<&'static str>, G> From<&'static str> for HeldBody<B, G> {
    fn from(text: &'static str) -> Self {
        Self::unguarded(B::from(text))
    }
}

impl<B, G> Body for HeldBody<B, G>
where
    B: Body<Data = Bytes>,
    G: Send + 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let frame = match ready!(this.body.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) if this.body.is_end_stream() => match this.guard.take() {
                Some(guard) => Some(Ok(frame.map_data(|bytes| {
                    Bytes::from_owner(LastPiece {
                        bytes,
                        _guard: guard,
                    })
                }))),
                None => Some(Ok(frame)),
            },
            Some(Ok(frame)) => Some(Ok(frame)),
            ended => {
                *this.guard = None;
                ended
            }
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The last bytes of a body and what must outlive them.
struct LastPiece<G> {
    bytes: Bytes,
    _guard: G,
}

impl<G> AsRef<[u8]> for LastPiece<G> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http_body_util::{BodyExt, Empty, Full, StreamBody};

    use super::*;
    use crate::InFlight;

    #[tokio::test]
    async fn the_guard_lives_in_the_last_bytes() {
        let in_flight = InFlight::new(1);
        let body = Full::new(Bytes::from_static(b"last"));
        let mut body = HeldBody::new(body, in_flight.acquire().unwrap());
        let bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
        drop(body);
        assert_eq!(in_flight.in_use(), 1, "the bytes are not written yet");
        let rest = bytes.slice(2..);
        drop(bytes);
        assert_eq!(in_flight.in_use(), 1, "half of them is written");
        assert_eq!(rest, "st");
        drop(rest);
        assert_eq!(in_flight.in_use(), 0);
    }

    #[tokio::test]
    async fn a_body_that_does_not_know_its_end_gives_back_at_the_end() {
        let in_flight = InFlight::new(1);
        let pieces =
            ["a", "b"].map(|piece| Ok::<_, std::io::Error>(Frame::data(Bytes::from(piece))));
        let body = StreamBody::new(futures_util::stream::iter(pieces));
        let mut body = HeldBody::new(body, in_flight.acquire().unwrap());
        for _ in 0..2 {
            body.frame().await.unwrap().unwrap();
            assert_eq!(in_flight.in_use(), 1);
        }
        assert!(body.frame().await.is_none());
        assert_eq!(in_flight.in_use(), 0);
    }

    #[tokio::test]
    async fn an_error_or_an_early_drop_gives_back() {
        let in_flight = InFlight::new(1);
        let broken = [Err::<Frame<Bytes>, _>(std::io::Error::other("broken"))];
        let body = StreamBody::new(futures_util::stream::iter(broken));
        let mut body = HeldBody::new(body, in_flight.acquire().unwrap());
        body.frame().await.unwrap().unwrap_err();
        assert_eq!(in_flight.in_use(), 0);

        let body = HeldBody::new(Empty::<Bytes>::new(), in_flight.acquire().unwrap());
        assert!(body.is_end_stream());
        assert_eq!(in_flight.in_use(), 1);
        drop(body);
        assert_eq!(in_flight.in_use(), 0);
    }
}
