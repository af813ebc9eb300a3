//! Keeps what lasts on a disk of this machine: an index in one file, and a file for every large
//! object.
//!
//! ```text
//! DIR/                0700, one node at a time
//!   lock              held by it
//!   format            what this directory is, and in which version
//!   index.redb        everything but the bytes of large objects
//!   objects/          one file for each, named by a number that is never used again
//! ```
//!
//! An object's file is whole and synced before the index names it, and removed only after the
//! index names it no more; so a crash leaves files that nothing names, and never the other way
//! round. They are removed at the next start. The index is a copy-on-write tree with checksums:
//! a batch is in it, or it is not. It is checked as a whole when it is opened, and every object is
//! hashed when it comes back.
//!
//! After an error of the disk the index is closed, and opened and checked anew before the next
//! batch: what memory holds of it may not be what the disk holds.
//!
//! Not here: the I/O itself ([`disk`](super::disk)).

mod commit;
mod directory;
mod index;
mod load;
mod object_files;
mod rows;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use micronode_engine::Change;
use micronode_protocol::limits::INDEX_UNUSED_BYTES;
use zeroize::Zeroizing;

use super::disk::{Disk, FileSystem, Lock, Room};
use super::restore::{LoadError, Loaded, Restore};
use super::{Backend, BackendError, Committed, Staging};
use index::Index;
use object_files::{ObjectFiles, Stage};

pub use directory::OpenError;

/// A directory of this machine, see the [module](self).
pub struct LocalBackend {
    disk: Arc<dyn Disk>,
    /// `None` after an error.
    index: Option<Index>,
    objects: Arc<ObjectFiles>,
    /// Files that the index names no more, once what is being committed is durable.
    obsolete: BTreeSet<u64>,
    /// Bytes that were removed from the index and that its file still has, or less.
    unused: i64,
    mailbox_key: Zeroizing<[u8; 32]>,
    /// Last, so that it is let go of when the index is closed.
    _lock: Box<dyn Lock>,
}

impl LocalBackend {
    /// Opens the directory, or makes one if there is none, or an empty one. `new_key` is the key
    /// of the mailbox if it is new.
    ///
    /// # Errors
    ///
    /// If somebody else has it open, it is something else, or it cannot be read.
    pub fn open(directory: &Path, new_key: [u8; 32]) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(FileSystem::new(directory)?), new_key)
    }

    /// As [`open`](Self::open), on any disk.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open_on(disk: Arc<dyn Disk>, new_key: [u8; 32]) -> Result<Self, OpenError> {
        let lock = directory::prepare(&*disk)?;
        let mut index = directory::open_or_create_index(&disk, new_key)?;
        if !disk.room().is_ok_and(Room::is_enough) && index.compact().is_err() {
            index = Index::open(&disk, directory::INDEX)?;
        }
        let mailbox_key = Zeroizing::new(index.mailbox_key()?);
        let objects = ObjectFiles::open(Arc::clone(&disk), index.counter(index::NEXT_FILE)?)?;
        Ok(Self {
            disk,
            index: Some(index),
            objects: Arc::new(objects),
            obsolete: BTreeSet::new(),
            unused: 0,
            mailbox_key,
            _lock: lock,
        })
    }

    /// Runs `work` on the index, which is opened first if need be, and closed if it fails.
    fn with_index<T, E: From<BackendError>>(
        &mut self,
        work: impl FnOnce(&Index) -> Result<T, E>,
    ) -> Result<T, E> {
        let index = match self.index.take() {
            Some(index) => index,
            None => Index::open(&self.disk, directory::INDEX)?,
        };
        let done = work(&index)?;
        self.index = Some(index);
        Ok(done)
    }

    /// Removes files that the index names no more. One that stays is found at the next start.
    fn remove_obsolete(&mut self) {
        for file in std::mem::take(&mut self.obsolete) {
            self.objects.remove(file);
        }
    }
}

impl Backend for LocalBackend {
    fn staging(&self) -> Arc<dyn Staging> {
        Arc::new(Stage(Arc::clone(&self.objects)))
    }

    fn mailbox_key(&self) -> [u8; 32] {
        *self.mailbox_key
    }

    fn load(&mut self, now_wall_ms: u64, restore: &mut dyn Restore) -> Result<Loaded, LoadError> {
        let objects = Arc::clone(&self.objects);
        self.with_index(|index| load::load(index, &objects, now_wall_ms, restore))
    }

    fn commit(&mut self, batch: &[Change]) -> Result<Committed, BackendError> {
        let mut obsolete = std::mem::take(&mut self.obsolete);
        let objects = Arc::clone(&self.objects);
        let committed = self.with_index(|index| {
            objects.sync()?;
            commit::commit(index, batch, &mut obsolete)
        });
        self.obsolete = obsolete;
        let (committed, freed) = committed?;
        self.unused = (self.unused + freed).max(0);
        self.remove_obsolete();
        Ok(committed)
    }

    fn make_room(&mut self) -> Result<(), BackendError> {
        // To look for some where there is none takes what is left.
        if self.unused < INDEX_UNUSED_BYTES {
            return Ok(());
        }
        if let Some(mut index) = self.index.take() {
            index.compact()?;
            self.index = Some(index);
            self.unused = 0;
        }
        Ok(())
    }
}
