//! A directory of the real file system. Nobody but its owner may read what is created in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, OFlags, fadvise, statvfs};

use super::{Disk, DiskFile, Lock, Room};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A directory of the real file system.
#[derive(Debug)]
pub struct FileSystem {
    root: PathBuf,
}

impl FileSystem {
    /// The directory at `root`, which is created if its parent exists.
    ///
    /// # Errors
    ///
    /// If there is none, and none can be made.
    pub fn new(root: &Path) -> io::Result<Self> {
        let disk = Self {
            root: root.to_path_buf(),
        };
        let is_new = !root.is_dir();
        if is_new {
            disk.create_directory("")?;
        }
        let parent = root
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let parent = File::open(parent.unwrap_or(Path::new(".")));
        let synced = parent.and_then(|parent| parent.sync_all());
        // One that was found may have been made just before a crash. Where it has been for long,
        // its parent need not be readable.
        if is_new {
            synced?;
        }
        Ok(disk)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // Nothing that is ours is a link.
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    options
        .read(true)
        .write(true)
        .mode(FILE_MODE)
        .custom_flags(flags);
    options
}

impl Disk for FileSystem {
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = options().create_new(true).open(self.path(path))?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(options().open(self.path(path))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    fn create_directory(&self, path: &str) -> io::Result<()> {
        let path = self.path(path);
        match DirBuilder::new().mode(DIRECTORY_MODE).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            created => created,
        }
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        File::open(self.path(path))?.sync_all()
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.path(path))?;
        // What is not UTF-8 is none of ours, by this name too.
        entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Lock>> {
        let file = options().create(true).open(self.path(path))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn room(&self) -> io::Result<Room> {
        let found = statvfs(&self.root)?;
        Ok(Room {
            available: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn forget_cached(&self) -> io::Result<()> {
        Ok(fadvise(self, 0, None, Advice::DontNeed)?)
    }
}

/// Held by the open file.
impl Lock for File {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_created_is_for_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("kept");
        let disk = FileSystem::new(&root).unwrap();
        disk.create_directory("objects").unwrap();
        disk.create_directory("objects").unwrap();
        disk.create("objects/1")
            .unwrap()
            .write(0, b"bytes")
            .unwrap();
        let lock = disk.lock("lock").unwrap();
        assert_eq!(mode(&root), 0o700);
        assert_eq!(mode(&root.join("objects")), 0o700);
        assert_eq!(mode(&root.join("objects/1")), 0o600);
        assert_eq!(mode(&root.join("lock")), 0o600);

        let again = FileSystem::new(&root).unwrap();
        let error = again.lock("lock").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        again.lock("lock").unwrap();
        let error = disk.create("objects/1").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_directory_is_not_made_in_place_of_a_file_nor_without_its_parent() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("file"), b"").unwrap();
        assert!(FileSystem::new(&parent.path().join("file")).is_err());
        assert!(FileSystem::new(&parent.path().join("absent/kept")).is_err());
    }
}
