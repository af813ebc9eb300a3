//! The database's file, read and written through the seam of the disk.
//!
//! When a sync has failed, what the system holds of the file in memory passes for written and may
//! not be on the disk. The database is closed then, and whoever opens it next, in this process or
//! another, has to see what the disk has.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use redb::StorageBackend;

use crate::backend::disk::DiskFile;

/// See the [module](self). There is no lock here: the directory has one.
#[derive(Debug)]
pub(super) struct Pages {
    file: Box<dyn DiskFile>,
    has_failed: AtomicBool,
}

impl Pages {
    pub(super) fn new(file: Box<dyn DiskFile>) -> Self {
        Self {
            file,
            has_failed: AtomicBool::new(false),
        }
    }
}

impl StorageBackend for Pages {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.file.sync();
        if synced.is_err() {
            self.has_failed.store(true, Relaxed);
        }
        synced
    }

    fn close(&self) -> io::Result<()> {
        if self.has_failed.load(Relaxed) {
            self.file.forget_cached()?;
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }
}
