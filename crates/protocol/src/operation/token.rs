//! The answer of exchange and mint.

use bytes::BufMut;

use super::fields::{Field, FieldsError, front, whole};
use crate::limits::CAPABILITY_BYTES;

/// Longest text of a token: base64url of [`CAPABILITY_BYTES`].
pub const TOKEN_TEXT_BYTES: usize = (CAPABILITY_BYTES * 8).div_ceil(6);

/// A token that a node has made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenReply<'a> {
    /// base64url.
    pub token: &'a str,
    /// When it ends, in milliseconds since the Unix epoch.
    pub expires_ms: u64,
}

impl std::fmt::Debug for TokenReply<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenReply")
            .field("expires_ms", &self.expires_ms)
            .finish_non_exhaustive()
    }
}

impl<'a> TokenReply<'a> {
    /// Appends the fields.
    pub fn encode(&self, buffer: &mut impl BufMut) {
        self.token.put(buffer);
        self.expires_ms.put(buffer);
    }

    /// Reads a payload that is nothing but these fields.
    pub fn decode(payload: &'a [u8]) -> Result<Self, FieldsError> {
        whole(payload, |payload| {
            front(payload, |reader| {
                Ok(Self {
                    token: reader.str16(TOKEN_TEXT_BYTES)?,
                    expires_ms: reader.u64()?,
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_reads_back_and_is_not_printed() {
        let reply = TokenReply {
            token: "AgEJ",
            expires_ms: 5,
        };
        let mut payload = Vec::new();
        reply.encode(&mut payload);
        assert_eq!(payload, *b"\0\x04AgEJ\0\0\0\0\0\0\0\x05");
        assert_eq!(TokenReply::decode(&payload), Ok(reply));
        for length in 0..payload.len() {
            let cut = TokenReply::decode(&payload[..length]);
            assert_eq!(cut, Err(FieldsError::Truncated));
        }
        payload.push(0);
        assert_eq!(TokenReply::decode(&payload), Err(FieldsError::Trailing));
        assert!(!format!("{reply:?}").contains("AgEJ"));
    }

    #[test]
    fn the_longest_token_fits_and_a_longer_does_not() {
        for (length, fits) in [(TOKEN_TEXT_BYTES, true), (TOKEN_TEXT_BYTES + 1, false)] {
            let mut payload = Vec::new();
            "A".repeat(length).as_str().put(&mut payload);
            payload.put_u64(0);
            assert_eq!(TokenReply::decode(&payload).is_ok(), fits);
        }
    }
}
