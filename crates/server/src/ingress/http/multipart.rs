//! `multipart/byteranges` of RFC 9110 §14.6: several verified ranges of one object.

use crate::ingress::pieces::Pieces;
use bytes::Bytes;
use micronode_engine::{IntegrityError, Object};
use std::{collections::VecDeque, ops::Range, sync::Arc};

/// The parts that are still to be sent. At most `limits::RANGES_PER_REQUEST`, as many as the
/// request was allowed to ask for.
pub(crate) struct Multipart {
    /// Each part's delimiter and head, then its pieces.
    parts: VecDeque<(Bytes, Pieces)>,
    /// The pieces of the part whose head is out.
    pieces: Option<Pieces>,
    end: Option<Bytes>,
    remaining: u64,
}

impl Multipart {
    /// Lays the parts out. The first piece of every part is verified here: a bad one is refused
    /// before the response head is sent.
    pub(crate) fn new(
        object: &Arc<Object>,
        ranges: &[Range<u64>],
        media_type: &str,
        boundary: &str,
    ) -> Result<Self, IntegrityError> {
        let end = Bytes::from(format!("\r\n--{boundary}--\r\n"));
        let mut remaining = end.len() as u64;
        let mut parts = VecDeque::with_capacity(ranges.len());
        for range in ranges {
            let head = Bytes::from(format!(
                "\r\n--{boundary}\r\ncontent-type: {media_type}\r\ncontent-range: bytes {}-{}/{}\r\n\r\n",
                range.start,
                range.end - 1,
                object.size(),
            ));
            remaining += head.len() as u64 + (range.end - range.start);
            parts.push_back((head, Pieces::new(object.read(range.clone()))?));
        }
        Ok(Self {
            parts,
            pieces: None,
            end: Some(end),
            remaining,
        })
    }

    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    pub(crate) fn next(&mut self) -> Option<Result<Bytes, IntegrityError>> {
        let piece = self.next_piece()?;
        if let Ok(bytes) = &piece {
            self.remaining -= bytes.len() as u64;
        }
        Some(piece)
    }

    fn next_piece(&mut self) -> Option<Result<Bytes, IntegrityError>> {
        if let Some(piece) = self.pieces.as_mut().and_then(Pieces::next) {
            return Some(piece);
        }
        match self.parts.pop_front() {
            Some((head, pieces)) => {
                self.pieces = Some(pieces);
                Some(Ok(head))
            }
            None => self.end.take().map(Ok),
        }
    }
}
