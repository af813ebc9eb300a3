//! A request on its way out, from where its pieces are.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Most pieces.
const PIECES: usize = 4;

/// What is left of a request.
pub(crate) struct Outgoing<'a> {
    pieces: [&'a [u8]; PIECES],
    /// Bytes that have been written.
    pub(crate) written: u64,
    is_flushed: bool,
}

impl<'a> Outgoing<'a> {
    pub(crate) fn new(pieces: [&'a [u8]; PIECES]) -> Self {
        Self {
            pieces,
            written: 0,
            is_flushed: false,
        }
    }

    /// Writes what there is room for; ready when all of it has been, or nothing more can be.
    pub(crate) fn poll(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(stream);
        loop {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let left = self.pieces.iter().filter(|piece| !piece.is_empty());
            let count = left
                .zip(&mut slices)
                .map(|(piece, slice)| *slice = IoSlice::new(piece))
                .count();
            if count == 0 {
                break;
            }
            // Most requests are one piece, for which the plain call is the cheaper one.
            let written = match &slices[..count] {
                [piece] => stream.as_mut().poll_write(cx, piece),
                pieces => stream.as_mut().poll_write_vectored(cx, pieces),
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
        if !self.is_flushed {
            ready!(stream.poll_flush(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        self.written += written as u64;
        for piece in &mut self.pieces {
            let of_this = written.min(piece.len());
            *piece = &piece[of_this..];
            written -= of_this;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Takes a few bytes at a time.
    struct Slow<'a> {
        steps: std::iter::Cycle<std::slice::Iter<'a, usize>>,
        written: Vec<u8>,
    }

    impl AsyncWrite for Slow<'_> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = self.steps.next().copied().unwrap_or(1).min(bytes.len());
            self.written.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        #[test]
        fn all_of_it_is_written_in_order_however_little_at_once(
            pieces in prop::array::uniform4(prop::collection::vec(any::<u8>(), 0..40)),
            steps in prop::collection::vec(1..20_usize, 1..5),
        ) {
            let mut slow = Slow { steps: steps.iter().cycle(), written: Vec::new() };
            let mut outgoing = Outgoing::new([&pieces[0], &pieces[1], &pieces[2], &pieces[3]]);
            let mut cx = Context::from_waker(std::task::Waker::noop());
            prop_assert!(matches!(outgoing.poll(&mut slow, &mut cx), Poll::Ready(Ok(()))));
            prop_assert_eq!(slow.written, pieces.concat());
        }
    }
}
