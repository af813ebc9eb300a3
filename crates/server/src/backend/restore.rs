//! How what a backend has kept comes back.
//!
//! A backend reads and tells, and whoever restores verifies and keeps count of memory. In this
//! order: objects, by several threads at once, names, queues with their messages and keys.
//!
//! [`EngineRestore`] is the engine's side of it.

mod engine;

use std::io::{self, BufRead};

use micronode_engine::PutError;
use micronode_engine::journal::{KeptKey, MessageState};
use micronode_engine::mailbox::SendError;
use micronode_engine::names::SetError;
use micronode_protocol::Address;
use thiserror::Error;

use super::BackendError;

pub use engine::EngineRestore;

/// Takes back what was kept, see the [module](self).
pub trait Restore: Sync {
    /// An object, whose bytes come out of `bytes`: as many as it says, if it is not damaged.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Damaged`] if they do not hash to the address: then it is dropped.
    fn object(&self, object: &KeptObject<'_>, bytes: &mut dyn BufRead) -> Result<(), RestoreError>;

    /// A name.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Damaged`] if there is no such object: then it is dropped.
    fn name(&mut self, name: &str, address: Address, revision: u64) -> Result<(), RestoreError>;

    /// The latest revision that a change of a name has had, after all names.
    fn revision(&mut self, revision: u64);

    /// A queue. The messages and keys that follow are its own.
    ///
    /// # Errors
    ///
    /// If it does not fit.
    fn queue(&mut self, number: u64, name: &str, last_sequence: u64) -> Result<(), RestoreError>;

    /// A message; they come in the order in which they were sent.
    ///
    /// # Errors
    ///
    /// If it does not fit.
    fn message(&mut self, message: &KeptMessage<'_>) -> Result<(), RestoreError>;

    /// An idempotency key, after all messages of its queue; those that are forgotten earlier come
    /// earlier.
    ///
    /// # Errors
    ///
    /// If it does not fit.
    fn key(&mut self, key: KeptKey) -> Result<(), RestoreError>;

    /// The number of the next queue, after all queues.
    fn next_queue(&mut self, number: u64);
}

/// An object as it is kept, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptObject<'a> {
    /// Its address.
    pub address: Address,
    /// Its size in bytes.
    pub size: u64,
    /// Its media type, if it has one.
    pub media_type: Option<&'a str>,
    /// When it was stored, in milliseconds since the Unix epoch.
    pub stored_at_wall_ms: u64,
    /// When it expires; `None` for never.
    pub expires_at_wall_ms: Option<u64>,
}

/// A message as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMessage<'a> {
    /// Its number in its queue.
    pub sequence: u64,
    /// Its bytes.
    pub body: &'a [u8],
    /// When it was sent, in milliseconds since the Unix epoch.
    pub sent_wall_ms: u64,
    /// All of its state.
    pub state: MessageState,
}

/// What has come back, and what has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// Names.
    pub names: u64,
    /// Queues.
    pub queues: u64,
    /// Messages.
    pub messages: u64,
    /// Idempotency keys.
    pub keys: u64,
    /// Objects that have expired meanwhile, and are dropped.
    pub expired: u64,
    /// Objects that are not what was kept, and are dropped.
    pub damaged: u64,
    /// Names dropped because their objects were.
    pub dropped_names: u64,
    /// Files that nothing names, and are removed.
    pub orphans: u64,
}

/// Why one thing has not come back.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// It is not what was kept.
    #[error("it is damaged")]
    Damaged,
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// There is no place for it.
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

/// There is no place for what was kept: the node may hold less than the one that kept it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    /// An object.
    #[error("the objects that are kept do not fit: {0}")]
    Object(PutError),
    /// Objects that names point at, which do not make room.
    #[error("the objects that names point at do not fit into memory")]
    Named,
    /// Names.
    #[error("the names that are kept do not fit: {0}")]
    Name(SetError),
    /// A queue, message or key.
    #[error("the messages that are kept do not fit: {0}")]
    Message(SendError),
}

/// Why nothing has come back.
#[derive(Debug, Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// There is no place for it.
    #[error(transparent)]
    Unfit(#[from] Unfit),
}
