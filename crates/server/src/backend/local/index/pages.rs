//! The database's file, read and written through the seam of the disk.

use redb::StorageBackend;
use std::io;

use crate::backend::disk::DiskFile;

/// See the [module](self). There is no lock here: the directory has one.
#[derive(Debug)]
pub(super) struct Pages {
    file: Box<dyn DiskFile>,
}

impl Pages {
    pub(super) fn new(file: Box<dyn DiskFile>) -> Self {
        Self { file }
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
        self.file.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }
}
