//! What changes, told in the order in which it happens, to whoever keeps it.
//!
//! The engine is in memory and decides; a [`Journal`] hears of every change that outlives the
//! request that made it, as a value that says all that is needed to make it again. Changes of one
//! object, of the index, or of one queue are recorded under the lock that guards them, so their
//! order is the order in which they happened, and a prefix of the journal is a state that there
//! was. What is recorded first and what it depends on come in that order too: an object before the
//! name that points at it, a message before its delivery.
//!
//! What was kept is put back before the engine is used, by `restore` of its parts: an object and
//! then the names that point at it, and queues. Nothing of that is recorded, but for what has to
//! make room for it.
//!
//! Without a journal a change costs one branch.
//!
//! Not here: where it is kept, when it is durable, who waits for that.

use std::sync::Arc;

use bytes::Bytes;
use micronode_protocol::Address;

use crate::mailbox::Attempt;
use crate::store::Object;

/// Hears of changes, see the [module](self).
pub trait Journal: Send + Sync {
    /// Takes note of a change. Called under the lock of what has changed: returns at once, and
    /// does not call the engine. An object or a body in a change keeps its memory, and the charge
    /// for it, for as long as the change is held.
    fn record(&self, change: Change);
}

/// Something has changed. Times are in milliseconds since the Unix epoch, because the monotonic
/// clock of another start is another clock.
#[derive(Clone)]
pub enum Change {
    /// An object is there. What was kept at its address before, here as well as its place, is
    /// replaced without a record of its own.
    ObjectStored {
        /// With all its bytes.
        object: Arc<Object>,
        /// Where the caller of [`Sealed::insert`](crate::store::Sealed::insert) said that its
        /// bytes are kept already.
        place: Option<u64>,
        /// `None` for never.
        expires_at_wall_ms: Option<u64>,
    },
    /// An object expires later than it did.
    ObjectExtended {
        /// Its address.
        address: Address,
        /// `None` for never.
        expires_at_wall_ms: Option<u64>,
    },
    /// An object is there no more.
    ObjectRemoved {
        /// Its address.
        address: Address,
    },
    /// A name points somewhere.
    NameSet {
        /// The name.
        name: Arc<str>,
        /// Where it points.
        address: Address,
        /// The revision of the change: no later change has this or a lower one.
        revision: u64,
    },
    /// A name is there no more.
    NameRemoved {
        /// The name.
        name: Arc<str>,
        /// As for a name that is set.
        revision: u64,
    },
    /// A message was sent. Its queue may be one that there was no record of before.
    MessageSent {
        /// The queue's number.
        queue: u64,
        /// The queue's name.
        name: Arc<str>,
        /// The message's number in its queue: later ones have higher ones.
        sequence: u64,
        /// Its bytes, shared with the queue.
        body: Bytes,
        /// When it was sent.
        sent_wall_ms: u64,
        /// When its delay is over; `None` if it had none.
        visible_at_wall_ms: Option<u64>,
        /// The key under which it was sent. One that is kept already is replaced: its time is over.
        key: Option<KeptKey>,
    },
    /// A message that is there has another state, or one that was recorded before. The end of a
    /// delay is not recorded: its time was.
    MessageChanged {
        /// The queue's number.
        queue: u64,
        /// The message's number.
        sequence: u64,
        /// All of its state.
        state: MessageState,
    },
    /// A message is there no more.
    MessageRemoved {
        /// The queue's number.
        queue: u64,
        /// The message's number.
        sequence: u64,
    },
    /// The window of an idempotency key is over.
    KeyForgotten {
        /// The queue's number.
        queue: u64,
        /// What the key is known by.
        key: [u8; 32],
    },
    /// A queue without messages and keys is there no more.
    QueueForgotten {
        /// The queue's number.
        queue: u64,
    },
}

/// What is kept of a message beside its body. A lease is not: whoever held it is gone, so the
/// message is visible again, and the delivery counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageState {
    /// It is among the dead letters.
    pub is_dead: bool,
    /// Deliveries so far.
    pub attempts: u32,
    /// When its delay is over; `None` if it is visible or leased.
    pub visible_at_wall_ms: Option<u64>,
    /// Deliveries that have failed.
    pub history: Option<Arc<[Attempt]>>,
}

/// An idempotency key as it is kept: hashes of it, and what was sent under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptKey {
    /// What holder and key are known by.
    pub key: [u8; 32],
    /// What the body is known by.
    pub body: [u8; 32],
    /// The message's number.
    pub sequence: u64,
    /// When it is forgotten.
    pub expires_at_wall_ms: u64,
}
