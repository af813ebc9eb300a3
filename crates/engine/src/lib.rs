//! micronode's decisions: what is stored, what it may cost, what has to go.
//!
//! Nothing here does I/O, reads a clock or awaits. Time comes in as [`Now`]; everything is `Sync`
//! and called from as many worker threads as there are. Locks are short, sharded, and never held
//! while memory is wiped.
//!
//! - [`budget`]: the one memory budget of a node, lock-free.
//! - [`bus`]: the latest events of the node, for whoever wants to follow.
//! - [`names`]: mutable pointers to objects, which they keep.
//! - [`mailbox`]: queues with at-least-once delivery.
//! - [`store`]: content-addressed objects, verified on every write and every read.
//! - [`wiped`]: memory that is zeroed before it goes back to the allocator.

// A node says nothing but what its log can.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod budget;
pub mod bus;
pub mod mailbox;
pub mod names;
pub mod store;
pub mod wiped;

pub use budget::{Budget, Charge, MemoryKind, OverBudget, Reservation};
pub use bus::Bus;
pub use mailbox::{Mailbox, MailboxConfig};
pub use names::Names;
pub use store::{
    DeleteError, Eviction, Expired, GetError, IntegrityError, NotFound, Object, Pinned, PutError,
    PutHead, Reader, Stats, Store, StoreConfig, StoreEvent, Stored, Upload, Why,
};

/// The two clocks, read by the caller once per request or event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never goes back and counts suspend (CLOCK_BOOTTIME). Expiry
    /// and recency run on it.
    pub mono_ms: u64,
    /// Milliseconds since the Unix epoch. Only shown to people, never compared.
    pub wall_ms: u64,
}
