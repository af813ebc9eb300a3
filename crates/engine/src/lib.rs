//! micronode's decisions: what is stored, what it may cost, what has to go.
//!
//! Nothing here does I/O, reads a clock or awaits. Time comes in as [`Now`]; everything is `Sync`
//! and called from as many worker threads as there are. Locks are short, sharded, and never held
//! while memory is wiped.
//!
//! - [`budget`]: the one memory budget of a node, lock-free.
//! - [`mailbox`]: queues with at-least-once delivery.
//! - [`store`]: content-addressed objects, verified on every write and every read.
//! - [`wiped`]: memory that is zeroed before it goes back to the allocator.

pub mod budget;
pub mod mailbox;
pub mod store;
pub mod wiped;

pub use budget::{Budget, Charge, MemoryKind, OverBudget, Reservation};
pub use mailbox::{Mailbox, MailboxConfig};
pub use store::{
    Eviction, Expired, GetError, IntegrityError, NotFound, Object, PutError, PutHead, Reader,
    Stats, Store, StoreConfig, Stored, Upload,
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
