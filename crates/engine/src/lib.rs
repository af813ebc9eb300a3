//! micronode's decisions: what is stored, what it may cost, what has to go.
//!
//! Nothing here does I/O, reads a clock or awaits. Time comes in as [`Now`]; everything is `Sync`
//! and called from as many worker threads as there are. Locks are short, sharded, and never held
//! while memory is wiped.
//!
//! - [`budget`]: the one memory budget of a node, lock-free.
//! - [`bus`]: the latest events of the node, for whoever wants to follow.
//! - [`journal`]: every change that lasts, for whoever keeps it.
//! - [`names`]: mutable pointers to objects, which they keep.
//! - [`mailbox`]: queues with at-least-once delivery.
//! - [`store`]: content-addressed objects, verified on every write and every read.
//! - [`wiped`]: memory that is zeroed before it goes back to the allocator.

// A node says nothing but what its log can.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod budget;
pub mod bus;
pub mod journal;
pub mod mailbox;
pub mod names;
pub mod store;
pub mod wiped;

pub use budget::{Budget, Charge, MemoryKind, OverBudget, Reservation};
pub use bus::Bus;
pub use journal::{Change, Journal};
pub use mailbox::{Mailbox, MailboxConfig, MailboxKeys};
pub use names::Names;
pub use store::{
    DeleteError, Eviction, Expired, GetError, IntegrityError, NotFound, Object, Pinned, PutError,
    PutHead, Reader, Restored, Sealed, Stats, Store, StoreConfig, StoreEvent, Stored, Upload, Why,
};

/// The two clocks, read by the caller once per request or event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never goes back and counts suspend (CLOCK_BOOTTIME). Expiry
    /// and recency run on it.
    pub mono_ms: u64,
    /// Milliseconds since the Unix epoch. Shown to people, and kept where another start has to
    /// read it; never compared but then.
    pub wall_ms: u64,
}

impl Now {
    /// When the monotonic clock will be at `mono_ms`, on the wall clock.
    const fn wall_at(self, mono_ms: u64) -> u64 {
        self.wall_ms
            .saturating_add(mono_ms.saturating_sub(self.mono_ms))
    }

    /// When the wall clock will be at `wall_ms`, on the monotonic clock; now if that is over.
    const fn mono_at(self, wall_ms: u64) -> u64 {
        self.mono_ms
            .saturating_add(wall_ms.saturating_sub(self.wall_ms))
    }
}
