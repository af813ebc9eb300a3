//! All that the local backend asks of a disk: the seam at which tests let it fail.
//!
//! Paths are relative to the backend's directory and are its own, never a peer's. A write is only
//! there for sure once its file was synced, a file only once its directory was.
//!
//! - [`FileSystem`]: the real one.
//! - `MemoryDisk` (feature `faults`): one in memory that fails when it is told to, and forgets
//!   what was not synced.

mod file_system;
#[cfg(feature = "faults")]
mod memory;

use std::fmt::Debug;
use std::io;

use micronode_protocol::limits::{DISK_HEADROOM_BYTES, DISK_HEADROOM_PERCENT};

pub use file_system::FileSystem;
#[cfg(feature = "faults")]
pub use memory::{Fault, FaultKind, Loss, MemoryDisk};

/// A directory on a disk, see the [module](self). The root's path is empty.
pub trait Disk: Debug + Send + Sync {
    /// Creates a file, which must not exist, for reading and writing.
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, in place of what had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Creates a directory. No error if there is one.
    fn create_directory(&self, path: &str) -> io::Result<()>;

    /// Makes what was created, renamed and removed in a directory durable.
    fn sync_directory(&self, path: &str) -> io::Result<()>;

    /// The names of what is in a directory.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;

    /// Locks a file, which is created if need be, for as long as what is returned is kept.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if somebody else has.
    fn lock(&self, path: &str) -> io::Result<Box<dyn Lock>>;

    /// How much room there is.
    fn room(&self) -> io::Result<Room>;
}

/// An open file.
#[expect(clippy::len_without_is_empty, reason = "nobody asks")]
pub trait DiskFile: Debug + Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Fills `out` with the bytes at `offset`.
    ///
    /// # Errors
    ///
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if there are fewer.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file, or fills it up with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;

    /// Has the next reads come from the disk. After a sync has failed, what the system holds in
    /// memory passes for written and is not.
    fn forget_cached(&self) -> io::Result<()>;
}

/// A lock that is held until it is dropped.
pub trait Lock: Debug + Send + Sync {}

/// Room on a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What may still be written.
    pub available: u64,
    /// All of the disk.
    pub total: u64,
}

impl Room {
    /// Whether there is more left than what is kept for removing things.
    pub fn is_enough(self) -> bool {
        let share = self.total / 100 * DISK_HEADROOM_PERCENT;
        self.available >= share.min(DISK_HEADROOM_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn headroom_is_a_share_of_a_small_disk_and_an_amount_of_a_large_one() {
        let room = |available, total| Room { available, total }.is_enough();
        assert!(room(5 * MIB, 100 * MIB));
        assert!(!room(5 * MIB - 1, 100 * MIB));
        assert!(room(16 * MIB, 1000 * 1000 * MIB));
        assert!(!room(16 * MIB - 1, 1000 * 1000 * MIB));
        assert!(!room(0, 100 * MIB));
    }
}
