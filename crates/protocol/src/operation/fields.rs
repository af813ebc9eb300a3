//! Reading and writing the fields in front of a body.

use bytes::BufMut;
use thiserror::Error;

/// Why fields cannot be what they should be, however many more bytes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FieldsError {
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A text beyond its cap.
    #[error("a text is too long")]
    TooLong,
    /// A value that the field may not have.
    #[error("a field has a value that it may not have")]
    Value,
}

/// What was parsed, and how many bytes of the payload it took; `None` while bytes are missing.
pub type Parsed<T> = Result<Option<(T, usize)>, FieldsError>;

/// Fields being read from the front of a payload. A method returns `None` when the payload ends
/// before the field does.
pub(super) struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self { payload, at: 0 }
    }

    /// Bytes read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = self.payload.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(*array)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A text of at most `most` bytes: its length, then its bytes.
    pub(super) fn str16(&mut self, most: usize) -> Result<Option<&'a str>, FieldsError> {
        let Some(length) = self.array().map(u16::from_be_bytes) else {
            return Ok(None);
        };
        let length = usize::from(length);
        if length > most {
            return Err(FieldsError::TooLong);
        }
        let Some(bytes) = self.payload.get(self.at..self.at + length) else {
            return Ok(None);
        };
        self.at += length;
        std::str::from_utf8(bytes)
            .map(Some)
            .map_err(|_| FieldsError::Text)
    }
}

/// Writes a text: its length, then its bytes.
///
/// # Panics
///
/// If it is longer than its length can say. Texts have far lower caps.
pub(super) fn put_str16(buffer: &mut impl BufMut, text: &str) {
    buffer.put_u16(u16::try_from(text.len()).expect("a text within its cap"));
    buffer.put_slice(text.as_bytes());
}
