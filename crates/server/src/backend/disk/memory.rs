//! A disk in memory that fails when it is told to, for tests.
//!
//! It keeps apart what programs see and what would be there after the power was cut: the latter
//! follows when a file or a directory is synced. [`MemoryDisk::restart`] gives the disk that is
//! found after the process, or the power, has gone: of what was not synced, any part of it.

mod file;
mod loss;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::{Disk, DiskFile, Lock, Room};
use file::{Content, OpenFile};

pub use loss::Loss;

/// An operation that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How many operations succeed before it. All of the backend's I/O counts, reading too.
    pub after: u64,
    /// How it fails.
    pub kind: FaultKind,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It has no effect, and neither has any after it.
    Crash,
    /// If it writes, the first half of it is written, and if it syncs, some of what was written
    /// before is on the disk; nothing after it has an effect.
    Torn,
    /// It alone fails, with an error of the device. What it wrote is there in part; what it synced
    /// may not be on the disk, and will not be written again.
    Device,
    /// It alone fails, for want of room.
    Full,
}

/// A disk in memory, see the [module](self). Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// All there have been, by number.
    files: Vec<Content>,
    seen: Directory,
    durable: Directory,
    /// What was seen and is not durable, in order, and in which directory.
    pending: Vec<(String, Entry)>,
    is_locked: bool,
    operations: u64,
    fault: Option<Fault>,
    has_crashed: bool,
    /// How many bytes all files may have.
    capacity: Option<u64>,
    /// For what a failed sync leaves undone.
    seed: u64,
}

/// The names of files and directories.
#[derive(Clone, Debug, Default)]
struct Directory {
    files: BTreeMap<String, usize>,
    directories: BTreeSet<String>,
}

/// A change of a directory.
#[derive(Clone, Debug)]
enum Entry {
    File(String, usize),
    Directory(String),
    Renamed(String, String, usize),
    Removed(String),
}

impl Directory {
    fn apply(&mut self, entry: &Entry) {
        match entry.clone() {
            Entry::File(path, file) => drop(self.files.insert(path, file)),
            Entry::Directory(path) => drop(self.directories.insert(path)),
            Entry::Renamed(from, to, file) => {
                self.files.remove(&from);
                self.files.insert(to, file);
            }
            Entry::Removed(path) => drop(self.files.remove(&path)),
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// What an operation may do.
enum Permit {
    All,
    /// A part, and fail with this.
    Half(io::Error),
}

impl State {
    /// Every operation begins here.
    fn begin(&mut self) -> io::Result<Permit> {
        if self.has_crashed {
            return Err(Errno::IO.into());
        }
        let number = self.operations;
        self.operations += 1;
        match self.fault {
            Some(fault) if fault.after == number => match fault.kind {
                FaultKind::Crash => {
                    self.has_crashed = true;
                    Err(Errno::IO.into())
                }
                FaultKind::Torn => {
                    self.has_crashed = true;
                    Ok(Permit::Half(Errno::IO.into()))
                }
                FaultKind::Device => Ok(Permit::Half(Errno::IO.into())),
                FaultKind::Full => Ok(Permit::Half(Errno::NOSPC.into())),
            },
            _ => Ok(Permit::All),
        }
    }

    /// Begins an operation that happens as a whole or not at all.
    fn begin_whole(&mut self) -> io::Result<()> {
        match self.begin()? {
            Permit::All => Ok(()),
            Permit::Half(error) => Err(error),
        }
    }

    fn change(&mut self, directory: &str, entry: Entry) {
        self.seen.apply(&entry);
        self.pending.push((directory.to_owned(), entry));
    }

    fn find(&self, path: &str) -> io::Result<usize> {
        let found = self.seen.files.get(path);
        found.copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn used(&self) -> u64 {
        let files = self.seen.files.values();
        files.map(|file| self.files[*file].seen.len() as u64).sum()
    }

    /// How long a file may become that is `len` bytes long.
    fn longest(&self, len: u64) -> u64 {
        let room = |capacity: u64| len + capacity.saturating_sub(self.used());
        self.capacity.map_or(u64::MAX, room)
    }
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self {
            state: Arc::default(),
        }
    }

    /// Counts operations anew, and has one of them fail.
    pub fn fail(&self, fault: Option<Fault>) {
        let mut state = self.state.lock();
        state.operations = 0;
        state.fault = fault;
    }

    /// Operations since the count began.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Whether the operation that was to fail has come.
    pub fn has_failed(&self) -> bool {
        let state = self.state.lock();
        state
            .fault
            .is_some_and(|fault| fault.after < state.operations)
    }

    /// Lets all files together have so many bytes from now on; `None` for any number.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }

    /// What is left when everybody who used this disk has gone: another disk. `seed` makes the
    /// choice of what is lost.
    #[must_use]
    pub fn restart(&self, loss: Loss, seed: u64) -> Self {
        let state = loss::survivors(&self.state.lock(), loss, seed);
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The names of all files.
    pub fn files(&self) -> Vec<String> {
        self.state.lock().seen.files.keys().cloned().collect()
    }

    /// Changes a file behind everybody's back, durably.
    ///
    /// # Errors
    ///
    /// If there is no such file.
    pub fn damage(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.state.lock();
        let file = state.find(path)?;
        state.files[file].damage(change);
        Ok(())
    }

    /// Creates a file behind everybody's back, durably.
    pub fn plant(&self, path: &str, bytes: &[u8]) {
        let mut state = self.state.lock();
        let entry = Entry::File(path.to_owned(), state.files.len());
        state.files.push(Content::new(bytes.to_vec()));
        state.seen.apply(&entry);
        state.durable.apply(&entry);
    }

    /// Removes a file behind everybody's back, durably.
    pub fn steal(&self, path: &str) {
        let mut state = self.state.lock();
        let entry = Entry::Removed(path.to_owned());
        state.seen.apply(&entry);
        state.durable.apply(&entry);
    }

    fn file(&self, number: usize) -> Box<dyn DiskFile> {
        Box::new(OpenFile {
            state: Arc::clone(&self.state),
            number,
        })
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.begin_whole()?;
        if state.seen.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let directory = parent(path);
        if !directory.is_empty() && !state.seen.directories.contains(directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let number = state.files.len();
        state.files.push(Content::default());
        state.change(directory, Entry::File(path.to_owned(), number));
        drop(state);
        Ok(self.file(number))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.begin_whole()?;
        let number = state.find(path)?;
        drop(state);
        Ok(self.file(number))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin_whole()?;
        let file = state.find(from)?;
        let entry = Entry::Renamed(from.to_owned(), to.to_owned(), file);
        state.change(parent(from), entry);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin_whole()?;
        state.find(path)?;
        state.change(parent(path), Entry::Removed(path.to_owned()));
        Ok(())
    }

    fn create_directory(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin_whole()?;
        if !state.seen.directories.contains(path) {
            state.change(parent(path), Entry::Directory(path.to_owned()));
        }
        Ok(())
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin_whole()?;
        let State {
            pending, durable, ..
        } = &mut *state;
        pending.retain(|(directory, entry)| {
            let is_here = directory == path;
            if is_here {
                durable.apply(entry);
            }
            !is_here
        });
        Ok(())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let mut state = self.state.lock();
        state.begin_whole()?;
        let files = state.seen.files.keys();
        let all = files.chain(&state.seen.directories);
        let here = all.filter(|it| parent(it) == path);
        Ok(here
            .map(|it| it[path.len()..].trim_start_matches('/').to_owned())
            .collect())
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Lock>> {
        let mut state = self.state.lock();
        state.begin_whole()?;
        if state.is_locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !state.seen.files.contains_key(path) {
            let entry = Entry::File(path.to_owned(), state.files.len());
            state.files.push(Content::default());
            state.change("", entry);
        }
        state.is_locked = true;
        Ok(Box::new(Locked(Arc::clone(&self.state))))
    }

    fn room(&self) -> io::Result<Room> {
        let mut state = self.state.lock();
        state.begin_whole()?;
        let total = state.capacity.unwrap_or(u64::MAX);
        Ok(Room {
            available: total.saturating_sub(state.used()),
            total,
        })
    }
}

#[derive(Debug)]
struct Locked(Arc<Mutex<State>>);

impl Lock for Locked {}

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.lock().is_locked = false;
    }
}
