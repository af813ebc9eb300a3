//! What is told on the bus.

use std::sync::Arc;

use micronode_protocol::Address;

use crate::store::Why;

/// Something that has happened on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in milliseconds since the Unix epoch.
    pub at_wall_ms: u64,
    /// What.
    pub kind: EventKind,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// An object has become visible.
    ObjectPut {
        /// Its address.
        address: Address,
        /// Its size in bytes.
        size: u64,
    },
    /// An object has gone.
    ObjectDeleted {
        /// Its address.
        address: Address,
        /// What took it away.
        why: Why,
    },
    /// A name points somewhere else, or is new.
    NameSet {
        /// The name.
        name: Arc<str>,
        /// Where it points.
        address: Address,
        /// Where it pointed before, if it did: not to be told, but who may be told depends on it.
        before: Option<Address>,
        /// Its revision.
        revision: u64,
    },
    /// A name is gone.
    NameDeleted {
        /// The name.
        name: Arc<str>,
        /// As of [`NameSet`](Self::NameSet).
        before: Option<Address>,
        /// The revision of the deletion.
        revision: u64,
    },
    /// Another configuration is in force.
    ConfigUpdated,
    /// The node's readiness has changed.
    Health {
        /// The state it is in.
        state: &'static str,
        /// What brought it there.
        reason: &'static str,
    },
}

impl EventKind {
    /// The words for all kinds.
    pub const WORDS: [&'static str; 6] = [
        "object.put",
        "object.deleted",
        "name.set",
        "name.deleted",
        "config.updated",
        "health",
    ];

    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        Self::WORDS[match self {
            Self::ObjectPut { .. } => 0,
            Self::ObjectDeleted { .. } => 1,
            Self::NameSet { .. } => 2,
            Self::NameDeleted { .. } => 3,
            Self::ConfigUpdated => 4,
            Self::Health { .. } => 5,
        }]
    }
}
