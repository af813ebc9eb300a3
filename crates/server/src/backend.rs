//! Where what lasts is kept: the seam between the node and whatever outlives it.
//!
//! The engine is in memory and decides. Its journal of [`Change`]s goes to a [`Backend`], in
//! batches and in order, and comes back from it through [`Restore`] at the next start. A backend
//! decides nothing: it keeps what it is told, all of a batch or nothing, and says when that is
//! safe. [`local`] keeps it on a disk of this machine; one that keeps it elsewhere implements the
//! same two traits.
//!
//! Everything here may take as long as a disk does: it is for threads that may block.
//!
//! Not here: who collects a batch, who waits for it, what is refused when it fails.

pub mod disk;
pub mod local;
pub mod restore;

use std::io;
use std::sync::Arc;

use micronode_engine::store::Sealed;
use micronode_engine::{Change, IntegrityError};
use micronode_protocol::limits::INLINE_OBJECT_BYTES;
use thiserror::Error;

pub use local::{LocalBackend, OpenError};
pub use restore::{EngineRestore, LoadError, Loaded, Restore, RestoreError};

/// Keeps changes, see the [module](self). Owned by the one thread that commits.
pub trait Backend: Send {
    /// The part that all threads share.
    fn staging(&self) -> Arc<dyn Staging>;

    /// The key that ids of messages are made with, and idempotency keys hashed. It is kept, so that they mean the
    /// same after the next start.
    fn mailbox_key(&self) -> [u8; 32];

    /// Hands over everything that is kept. Once, before the first commit, and again if it failed.
    /// What is damaged or over is dropped, here too.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or does not fit where it is to go. Nothing is dropped then.
    fn load(&mut self, now_wall_ms: u64, restore: &mut dyn Restore) -> Result<Loaded, LoadError>;

    /// Keeps the changes of `batch`, in order, all of them or none: durable when this returns.
    ///
    /// # Errors
    ///
    /// If it may not be durable. It may have been kept nevertheless: the next batch must begin with
    /// the same changes, which makes no difference then.
    fn commit(&mut self, batch: &[Change]) -> Result<Committed, BackendError>;

    /// Gives back room that is taken and not used, as far as there is some. May take long.
    ///
    /// # Errors
    ///
    /// If it fails. Nothing is lost then.
    fn make_room(&mut self) -> Result<(), BackendError>;
}

/// Keeps the bytes of large objects before anybody hears of them. Those of small ones are kept when
/// they are committed.
pub trait Staging: Send + Sync {
    /// Begins to write an object's bytes where they will stay.
    ///
    /// # Errors
    ///
    /// If there is no such place.
    fn begin(&self) -> Result<Box<dyn Staged>, BackendError>;

    /// Writes an object that is there already as a whole; `None` for one that is kept with its
    /// change.
    ///
    /// # Errors
    ///
    /// If that fails, or the object does not match its address. Nothing is kept then.
    fn stage(&self, object: &Sealed) -> Result<Option<u64>, BackendError> {
        if object.size() <= INLINE_OBJECT_BYTES {
            return Ok(None);
        }
        let mut staged = self.begin()?;
        for piece in object.pieces() {
            staged.write(piece?)?;
        }
        staged.finish().map(Some)
    }

    /// Gives up a place that no change has named, and none will.
    fn discard(&self, place: u64);

    /// Whether there is room for more than what is removed. False too if that cannot be told.
    fn has_room(&self) -> bool;
}

/// An object's bytes on their way. Dropped unfinished, they are removed.
pub trait Staged: Send {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// If they cannot be written. It is of no more use then.
    fn write(&mut self, bytes: &[u8]) -> Result<(), BackendError>;

    /// Makes the bytes durable; their place. They may be found again once the change is committed
    /// that stores the object there.
    ///
    /// # Errors
    ///
    /// If that fails. Nothing is kept then.
    fn finish(self: Box<Self>) -> Result<u64, BackendError>;
}

/// What has become of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Objects that were not kept, because their bytes in memory do not match their address.
    pub damaged: u64,
}

/// Why something was not kept.
#[derive(Debug, Error)]
pub enum BackendError {
    /// No room, or no more allowed. It may work when something was removed.
    #[error("no room on the disk: {0}")]
    Full(#[source] io::Error),
    /// The disk fails in another way. It may work the next time.
    #[error("the disk fails: {0}")]
    Io(#[source] io::Error),
    /// What is on the disk is not what was written. It will not work the next time.
    #[error("what is kept on the disk is damaged: {0}")]
    Damaged(String),
    /// The object in memory does not match its address.
    #[error(transparent)]
    Integrity(#[from] IntegrityError),
}

impl From<io::Error> for BackendError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full(error),
            _ => Self::Io(error),
        }
    }
}
