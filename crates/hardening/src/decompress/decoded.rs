//! The body that a handler reads instead of the compressed one.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::inflate::{Inflate, Stop};
use super::{Coding, DecompressLimits};
use crate::{BodyError, BodyWatch, GuardedBody};

pin_project! {
    /// A guarded body, inflated piece by piece when it has a content coding.
    ///
    /// Pieces are at most [`PIECE_BYTES`](super::PIECE_BYTES) long; between two of them, and after
    /// as much input, the executor gets a turn. The decoder and its guard are freed as soon as the
    /// body is over. Trailers of a compressed body are dropped.
    pub struct DecodedBody<B, G> {
        #[pin]
        body: GuardedBody<B>,
        state: State<G>,
    }
}

enum State<G> {
    Plain,
    Decoding(Box<Decoding<G>>),
    Over,
}

struct Decoding<G> {
    inflate: Inflate,
    /// The permit and memory charge of this decoder.
    _guard: G,
}

impl<B: Body, G> DecodedBody<B, G> {
    /// A body without a coding, passed on as it is.
    pub fn plain(body: GuardedBody<B>) -> Self {
        Self {
            body,
            state: State::Plain,
        }
    }

    /// A body under `coding`. `guard` stands for what the decoder costs (see [`Coding::memory`])
    /// and is dropped with it.
    pub fn new(body: GuardedBody<B>, coding: Coding, limits: &DecompressLimits, guard: G) -> Self {
        let inflate = Inflate::new(coding, limits, body.declared());
        Self {
            body,
            state: State::Decoding(Box::new(Decoding {
                inflate,
                _guard: guard,
            })),
        }
    }

    /// What others may know about this body while it is read.
    pub fn watch(&self) -> BodyWatch {
        self.body.watch()
    }
}

impl<B, G> Body for DecodedBody<B, G>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut this = self.project();
        let inflate = match this.state {
            State::Plain => return this.body.poll_frame(cx),
            State::Decoding(decoding) => &mut decoding.inflate,
            State::Over => return Poll::Ready(None),
        };
        let outcome = ready!(poll_piece(this.body.as_mut(), inflate, cx));
        if !matches!(outcome, Some(Ok(_))) {
            *this.state = State::Over;
        }
        Poll::Ready(outcome.map(|piece| match piece {
            Ok(piece) => Ok(Frame::data(piece)),
            Err(BodyError::Refused(refusal)) => {
                Err(BodyError::Refused(this.body.watch().refuse(refusal)))
            }
            Err(error) => Err(error),
        }))
    }

    fn is_end_stream(&self) -> bool {
        match self.state {
            State::Plain => self.body.is_end_stream(),
            State::Decoding(_) => false,
            State::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.state {
            State::Plain => self.body.size_hint(),
            State::Decoding(_) => SizeHint::default(),
            State::Over => SizeHint::with_exact(0),
        }
    }
}

fn poll_piece<B>(
    mut body: Pin<&mut GuardedBody<B>>,
    inflate: &mut Inflate,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, BodyError>>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    loop {
        match inflate.run()? {
            Stop::Piece => return Poll::Ready(Some(Ok(inflate.take_piece()))),
            Stop::Turn => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Stop::Input => {}
        }
        match body.as_mut().poll_frame(cx) {
            Poll::Ready(Some(frame)) => {
                if let Ok(data) = frame?.into_data() {
                    inflate.feed(data);
                }
            }
            Poll::Ready(None) => {
                inflate.finish()?;
                let piece = inflate.take_piece();
                return Poll::Ready((!piece.is_empty()).then_some(Ok(piece)));
            }
            // What is there is handed on: a peer may wait for the answer to it.
            Poll::Pending => {
                let piece = inflate.take_piece();
                if piece.is_empty() {
                    return Poll::Pending;
                }
                body.pause();
                return Poll::Ready(Some(Ok(piece)));
            }
        }
    }
}
