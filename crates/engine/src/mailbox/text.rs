//! Ids and receipts as text.

use std::ops::Deref;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// An id or a receipt as it is written, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    digits: [u8; TEXT_CHARS],
    length: usize,
}

/// Base64url of 28 bytes.
const TEXT_CHARS: usize = 38;

impl Text {
    /// Up to 28 bytes as base64url.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut digits = [0; TEXT_CHARS];
        let length = URL_SAFE_NO_PAD.encode_slice(bytes, &mut digits);
        let length = length.expect("no more than 28 bytes");
        Self { digits, length }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.digits[..self.length]).expect("base64url is ASCII")
    }
}
