//! The files of large objects: written once, whole, under a number of their own, and never changed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use micronode_engine::store::Sealed;
use micronode_protocol::limits::INLINE_OBJECT_BYTES;

use super::directory::OBJECTS;
use crate::backend::disk::{Disk, DiskFile, Room};
use crate::backend::{BackendError, Staging};

/// See the [module](self).
pub(super) struct ObjectFiles {
    disk: Arc<dyn Disk>,
    /// Of the next file.
    next: AtomicU64,
    /// Files were created since the directory was synced.
    is_unsynced: AtomicBool,
}

fn path(file: u64) -> String {
    format!("{OBJECTS}/{file:016x}")
}

/// The number of a file that is named like ours.
fn number(name: &str) -> Option<u64> {
    let number = u64::from_str_radix(name, 16).ok()?;
    (path(number).strip_prefix(OBJECTS)?.strip_prefix('/')? == name).then_some(number)
}

impl ObjectFiles {
    /// The files that there are; new ones get numbers from `next`, or above all that there are.
    pub(super) fn open(disk: Arc<dyn Disk>, next: u64) -> io::Result<Self> {
        let files = Self {
            disk,
            next: AtomicU64::new(next),
            // A file that was found may have been created just before a crash.
            is_unsynced: AtomicBool::new(true),
        };
        let beyond = files.list()?.into_iter().map(|file| file + 1).max();
        files.next.fetch_max(beyond.unwrap_or(0), Relaxed);
        Ok(files)
    }

    /// The numbers of all files.
    pub(super) fn list(&self) -> io::Result<Vec<u64>> {
        let names = self.disk.list(OBJECTS)?;
        Ok(names.iter().filter_map(|name| number(name)).collect())
    }

    pub(super) fn open_file(&self, file: u64) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(&path(file))
    }

    /// Has every file that was staged before be found after a crash.
    pub(super) fn sync(&self) -> io::Result<()> {
        // One that is staged from here on sets it again.
        if self.is_unsynced.swap(false, Relaxed) {
            let synced = self.disk.sync_directory(OBJECTS);
            if synced.is_err() {
                self.is_unsynced.store(true, Relaxed);
            }
            return synced;
        }
        Ok(())
    }

    fn write(&self, path: &str, object: &Sealed) -> Result<(), BackendError> {
        let file = self.disk.create(path)?;
        let mut offset = 0;
        for piece in object.pieces() {
            let piece = piece?;
            file.write(offset, piece)?;
            offset += piece.len() as u64;
        }
        Ok(file.sync()?)
    }
}

impl Staging for ObjectFiles {
    fn stage(&self, object: &Sealed) -> Result<Option<u64>, BackendError> {
        if object.size() <= INLINE_OBJECT_BYTES {
            return Ok(None);
        }
        let file = self.next.fetch_add(1, Relaxed);
        match self.write(&path(file), object) {
            Ok(()) => {
                self.is_unsynced.store(true, Relaxed);
                Ok(Some(file))
            }
            Err(error) => {
                self.discard(file);
                Err(error)
            }
        }
    }

    fn discard(&self, place: u64) {
        // If it stays, it is found at the next start.
        let _ = self.disk.remove(&path(place));
    }

    fn has_room(&self) -> bool {
        self.disk.room().is_ok_and(Room::is_enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_like_ours_are_numbers() {
        assert_eq!(number("00000000000000ff"), Some(255));
        assert_eq!(number("00000000000000FF"), None);
        assert_eq!(number("ff"), None);
        assert_eq!(number("+0000000000000ff"), None);
        assert_eq!(number("lost+found"), None);
    }
}
