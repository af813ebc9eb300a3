//! Keeps what lasts on a disk of this machine: an index in one file, a file for every large object,
//! and one for every few thousand small ones.
//!
//! ```text
//! DIR/                0700, one node at a time
//!   lock              held by it
//!   format            what this directory is, and in which version
//!   index.redb        everything but the bytes of objects; of small ones the latest too
//!   objects/          a file for each large object, and for many small ones together, named by a
//!                     number that is never used again
//! ```
//!
//! A file is whole and synced before the index names it, and removed only after the
//! index names it no more; so a crash leaves files that nothing names, and never the other way
//! round. They are removed at the next start. The index is a copy-on-write tree with checksums:
//! a batch is in it, or it is not. It is checked as a whole when it is opened, and every object is
//! hashed when it comes back. What is in it is checked twice and read once more at every start, which
//! is why small objects do not stay there (`small`).
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
mod pack_file;
mod packing;
mod rows;
mod small;

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
use packing::Packing;
use small::SmallObjects;

pub use directory::OpenError;

/// A directory of this machine, see the [module](self).
pub struct LocalBackend {
    disk: Arc<dyn Disk>,
    /// `None` after an error.
    index: Option<Index>,
    objects: Arc<ObjectFiles>,
    small: SmallObjects,
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
            small: SmallObjects::read(&index)?,
            index: Some(index),
            objects: Arc::new(objects),
            obsolete: BTreeSet::new(),
            unused: 0,
            mailbox_key,
            _lock: lock,
        })
    }

    /// Has small objects move to packs with so many bytes in the index, so that a test need not have
    /// megabytes of them.
    #[must_use]
    pub fn packing_from(mut self, bytes: u64) -> Self {
        self.small.set_limit(bytes);
        self
    }

    /// Runs `work` on the index, which is opened first if need be, and closed if it fails.
    fn with_index<T, E: From<BackendError>>(
        &mut self,
        work: impl FnOnce(&mut Index, &mut SmallObjects) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut index = match self.index.take() {
            Some(index) => index,
            None => {
                let index = Index::open(&self.disk, directory::INDEX)?;
                self.small.settle(&index, &self.objects)?;
                index
            }
        };
        let done = work(&mut index, &mut self.small)?;
        self.index = Some(index);
        Ok(done)
    }

    /// Commits a batch, and what `prepare` has moved before it.
    fn commit_with(
        &mut self,
        batch: &[Change],
        prepare: impl FnOnce(&Index, &mut SmallObjects) -> Packing,
    ) -> Result<Committed, BackendError> {
        let mut obsolete = std::mem::take(&mut self.obsolete);
        let objects = Arc::clone(&self.objects);
        let done = self.with_index(|index, small| {
            let packing = prepare(index, small);
            objects.sync()?;
            commit::commit(index, small, packing, batch, &mut obsolete)
        });
        self.obsolete = obsolete;
        let done = done?;
        self.unused = (self.unused + done.freed).max(0);
        self.remove_obsolete();
        Ok(done.committed)
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
        self.with_index(|index, small| load::load(index, small, &objects, now_wall_ms, restore))
    }

    fn commit(&mut self, batch: &[Change]) -> Result<Committed, BackendError> {
        let objects = Arc::clone(&self.objects);
        self.commit_with(batch, |index, small| {
            packing::prepare(index, &objects, small, batch)
        })
    }

    fn make_room(&mut self) -> Result<(), BackendError> {
        // To look for some where there is none takes what is left.
        if let Some(pack) = self.small.emptiest() {
            let objects = Arc::clone(&self.objects);
            self.commit_with(&[], |index, small| {
                packing::rewrite(index, &objects, small, pack)
            })?;
        }
        if self.unused >= INDEX_UNUSED_BYTES {
            self.with_index(|index, _| index.compact())?;
            self.unused = 0;
        }
        Ok(())
    }
}
