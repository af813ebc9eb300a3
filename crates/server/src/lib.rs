//! All I/O and assembly of a micronode: what turns the pure crates into a running node.
//!
//! The life of a request goes one way: socket → `ingress` (bytes to `Call`) → `guard` (may
//! it?) → `dispatch` (who answers?) → engine (what happens?) → ingress (`Reply` to bytes).
//!
//! [`config`] and [`run`] are what the binary uses, [`EmbeddedNode`] and [`backend`] are for benches
//! and tests; the rest is private to the node.

// A node says nothing but what its log can.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod admin;
mod amnesia;
mod authority;
pub mod backend;
mod buffer;
mod call;
mod clock;
pub mod config;
mod console;
mod dispatch;
#[cfg(test)]
mod documents;
mod embed;
mod events;
mod fds;
mod feed;
mod guard;
mod ingress;
mod keeper;
mod lifecycle;
mod listen;
mod locked;
mod log;
mod metrics;
mod node;
mod persist;
mod planes;
mod readiness;
mod regular_file;
mod reload;
mod service_manager;
mod spool;
mod stack;
mod supervisor;
mod sweeper;
mod tls;
mod waiting;
mod workers;
#[cfg(feature = "faults")]
mod worse;

pub use amnesia::{MemoryProtection, forbid_dumps};
pub use embed::EmbeddedNode;
pub use lifecycle::{Bound, OperatorToken, RunError, Start, check, run};
pub use listen::ListenError;
pub use locked::{LockedKeys, locked_keys};
pub use persist::PersistError;
pub use tls::TlsError;
