//! What both ends of a micronode conversation agree on.
//!
//! This crate holds formats and rules, nothing else: no sockets, no clock, no randomness, no
//! async runtime. The node, the client and the load tools all depend on it, so a cap, an error
//! code or the shape of an address exists exactly once.
//!
//! - [`limits`]: every hard cap, with the relations between them asserted at compile time.
//! - [`error`]: the public error codes and their HTTP status; the only such table.
//! - [`address`]: `b3:` content addresses.
//! - [`group`]: 64 KiB chunk groups, their chaining values, and the groups that a range touches.
//! - [`manifest`]: the chaining values of an object, and verification of any part of it.
//! - [`hasher`]: from groups to an address and its manifest, in one pass.
//! - [`frame`]: the frame of OAP/1, and [`codec`], frames out of bytes and into bytes.
//! - [`compression`]: a frame's payload under zstd, inflated within bounds.
//! - [`connection`]: what a node makes of the frames of one connection, as a state machine.
//! - [`capability`]: what a right looks like: macaroons, their caveats, and signed grants.
//! - [`name`]: how names and queues are spelled.
//! - [`idempotency`]: how idempotency keys are spelled.
//! - [`operation`]: the operations below the framing, and the fields of their payloads.

// A node says nothing but what its log can.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod address;
pub mod capability;
pub mod codec;
pub mod compression;
pub mod connection;
pub mod error;
pub mod frame;
pub mod group;
pub mod hasher;
pub mod idempotency;
pub mod limits;
pub mod manifest;
pub mod name;
pub mod operation;

pub use address::Address;
pub use error::ErrorCode;
pub use hasher::ObjectHasher;
pub use manifest::{Manifest, VerifiedManifest};
