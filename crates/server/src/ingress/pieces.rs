//! The bytes of an object on their way to an answer, whatever the protocol.

use bytes::Bytes;
use micronode_engine::{IntegrityError, Reader};

/// The verified pieces of one range. The first is verified before the answer begins, so that
/// a bad one becomes an error instead of a cut stream.
pub(crate) struct Pieces {
    first: Option<Bytes>,
    reader: Reader,
}

impl Pieces {
    pub(crate) fn new(mut reader: Reader) -> Result<Self, IntegrityError> {
        let first = reader.next_piece()?;
        Ok(Self { first, reader })
    }

    pub(crate) fn next(&mut self) -> Option<Result<Bytes, IntegrityError>> {
        self.first
            .take()
            .map(Ok)
            .or_else(|| self.reader.next_piece().transpose())
    }

    pub(crate) fn remaining(&self) -> u64 {
        self.first.as_ref().map_or(0, |first| first.len() as u64) + self.reader.remaining()
    }
}
