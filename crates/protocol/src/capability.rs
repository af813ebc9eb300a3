//! What a right looks like on the wire, and when it holds.
//!
//! - [`base64url`]: the one spelling of a capability as text.
//!
//! Keys, clocks and randomness are handed in; nothing here reads one.

pub mod base64url;
