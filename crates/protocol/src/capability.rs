//! What a right looks like on the wire, and when it holds.
//!
//! - [`macaroon`]: the bytes of a token, and its chain of signatures.
//! - [`caveat`]: the language in which a token is narrowed; [`network`] is a part of it.
//! - [`rights`]: what all the caveats of a token leave.
//! - [`identifier`]: what a node writes into the tokens that it makes.
//! - [`keyring`]: the keys of a node; making tokens and verifying them.
//! - [`grant`]: signed statements that are exchanged for a capability, and who signs them.
//! - [`base64url`]: the one spelling of a capability as text.
//!
//! Keys, clocks and randomness are handed in; nothing here reads one.

pub mod base64url;
pub mod caveat;
pub mod grant;
pub mod identifier;
pub mod keyring;
pub mod macaroon;
pub mod network;
pub mod rights;

pub use identifier::{GrantRef, Identifier};
pub use keyring::{Fresh, KeyRing, Lives, Verified};
pub use macaroon::Macaroon;
pub use rights::{Access, Denied, Resource, Rights};
