//! The files of large objects: written once, whole, under a number of their own, and never changed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use micronode_protocol::limits::STAGED_SYNC_BYTES;

use super::directory::OBJECTS;
use crate::backend::disk::{Disk, DiskFile, Room};
use crate::backend::{BackendError, Staged, Staging};

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

    pub(super) fn remove(&self, file: u64) {
        // If it stays, it is found at the next start.
        let _ = self.disk.remove(&path(file));
    }
}

/// A file that is being written.
struct Unfinished {
    files: Arc<ObjectFiles>,
    number: u64,
    file: Box<dyn DiskFile>,
    length: u64,
    /// Up to here it is durable.
    synced: u64,
    is_finished: bool,
}

impl Staged for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        self.file.write(self.length, bytes)?;
        self.length += bytes.len() as u64;
        // Whoever finishes waits for the rest, and everybody who commits meanwhile does.
        if self.length - self.synced >= STAGED_SYNC_BYTES {
            self.file.sync()?;
            self.synced = self.length;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<u64, BackendError> {
        self.file.sync()?;
        self.files.is_unsynced.store(true, Relaxed);
        self.is_finished = true;
        Ok(self.number)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            self.files.remove(self.number);
        }
    }
}

/// Shared, so that what is unfinished can outlive the call that began it.
pub(super) struct Stage(pub(super) Arc<ObjectFiles>);

impl Staging for Stage {
    fn begin(&self) -> Result<Box<dyn Staged>, BackendError> {
        let files = Arc::clone(&self.0);
        let number = files.next.fetch_add(1, Relaxed);
        Ok(Box::new(Unfinished {
            file: files.disk.create(&path(number))?,
            files,
            number,
            length: 0,
            synced: 0,
            is_finished: false,
        }))
    }

    fn discard(&self, place: u64) {
        self.0.remove(place);
    }

    fn has_room(&self) -> bool {
        self.0.disk.room().is_ok_and(Room::is_enough)
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
