//! What proves that a message was delivered.

use std::fmt;

use super::delivery::write_base64url;

/// Belongs to one delivery of a message. Written as 38 characters that need no escaping in a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    bytes: [u8; 28],
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_base64url(f, &self.bytes)
    }
}

/// What has become of a receipt's use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// Done.
    Ok = 0,
    /// The lease is over; nothing has changed.
    Late = 1,
    /// No receipt of this queue; nothing has changed.
    Unknown = 2,
}

impl Verdict {
    /// As it is written in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Late => "late",
            Self::Unknown => "unknown",
        }
    }
}
