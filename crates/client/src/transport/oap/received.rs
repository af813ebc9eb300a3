//! Bytes of an answer that its caller has not taken yet.

use std::collections::VecDeque;
use std::mem;

use bytes::{Bytes, BytesMut};
use micronode_protocol::limits::OAP_READ_BYTES;

/// A payload is a part of the buffer that it was read into and keeps all of it. One that is
/// shorter than this is copied: otherwise a node could make a few bytes cost a buffer each.
const SHARED_BYTES_MIN: usize = OAP_READ_BYTES / 2;

/// A payload as it may be kept for long.
pub(super) fn kept(payload: Bytes) -> Bytes {
    if payload.len() < SHARED_BYTES_MIN {
        Bytes::copy_from_slice(&payload)
    } else {
        payload
    }
}

/// In order. How much comes in is bounded by its owner; it takes about twice that, at most.
#[derive(Debug, Default)]
pub(super) struct Received {
    pieces: VecDeque<Bytes>,
    /// Behind the pieces: what was copied.
    tail: BytesMut,
}

impl Received {
    pub(super) fn push(&mut self, payload: Bytes) {
        if payload.len() < SHARED_BYTES_MIN {
            self.tail.extend_from_slice(&payload);
            if self.tail.len() >= SHARED_BYTES_MIN {
                let copied = self.take_tail();
                self.pieces.extend(copied);
            }
        } else {
            let copied = self.take_tail();
            self.pieces.extend(copied);
            self.pieces.push_back(payload);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.pieces.pop_front().or_else(|| self.take_tail())
    }

    fn take_tail(&mut self) -> Option<Bytes> {
        (!self.tail.is_empty()).then(|| mem::take(&mut self.tail).freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_in_comes_out_in_order_and_short_payloads_keep_no_buffer() {
        let buffer = Bytes::from(
            (0..OAP_READ_BYTES)
                .map(|i| (i % 251) as u8)
                .collect::<Vec<_>>(),
        );
        let mut received = Received::default();
        let mut expected = Vec::new();
        for length in [0, 1, 7, SHARED_BYTES_MIN, 3, SHARED_BYTES_MIN - 1, 5, 5] {
            received.push(buffer.slice(..length));
            expected.extend_from_slice(&buffer[..length]);
        }
        let mut out = Vec::new();
        let mut shared = 0;
        while let Some(piece) = received.pop() {
            assert!(!piece.is_empty());
            shared += usize::from(piece.as_ptr() == buffer.as_ptr());
            out.extend_from_slice(&piece);
        }
        assert_eq!(out, expected);
        assert_eq!(shared, 1, "only the long one is a part of the buffer");
    }
}
