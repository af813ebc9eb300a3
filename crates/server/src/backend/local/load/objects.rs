//! Reads and verifies objects, on several threads: each takes the next slice of the addresses,
//! which are hashes and so spread evenly.

use std::collections::HashSet;
use std::io::{self, Read};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use micronode_protocol::Address;
use micronode_protocol::limits::LOAD_THREADS;
use redb::ReadOnlyTable;

use super::Places;
use crate::backend::BackendError;
use crate::backend::disk::DiskFile;
use crate::backend::local::index::{BYTES, Index, OBJECTS};
use crate::backend::local::object_files::ObjectFiles;
use crate::backend::local::rows::ObjectRow;
use crate::backend::restore::{KeptObject, LoadError, Restore, RestoreError};

/// By the first byte of the address.
const SLICES: usize = 256;

/// What has become of the objects.
#[derive(Default)]
pub(super) struct Objects {
    /// Restored.
    pub(super) count: u64,
    /// Restored, in bytes.
    pub(super) bytes: u64,
    /// Not what was kept.
    pub(super) damaged: Places,
    /// Files of those restored.
    pub(super) files: HashSet<u64>,
}

impl Objects {
    pub(super) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
        self.damaged.extend(other.damaged);
        self.files.extend(other.files);
    }
}

/// Restores the objects that it is asked for.
pub(super) fn restore(
    index: &Index,
    files: &ObjectFiles,
    is_wanted: &(dyn Fn(&[u8; 32]) -> bool + Sync),
    restore: &dyn Restore,
) -> Result<Objects, LoadError> {
    let next_slice = AtomicUsize::new(0);
    let work = || {
        let transaction = index.read()?;
        let mut reading = Reading {
            rows: transaction.open_table(OBJECTS)?,
            bytes: transaction.open_table(BYTES)?,
            files,
            is_wanted,
            restore,
            found: Objects::default(),
        };
        loop {
            let slice = next_slice.fetch_add(1, Relaxed);
            let Ok(first_byte) = u8::try_from(slice) else {
                return Ok(reading.found);
            };
            if let Err(error) = reading.slice(first_byte) {
                // The others need not go on.
                next_slice.store(SLICES, Relaxed);
                return Err(error);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut all = Objects::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(LOAD_THREADS))
            .map(|_| scope.spawn(work))
            .collect();
        for worker in workers {
            let found = worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.add(found?);
        }
        Ok(all)
    })
}

/// What one thread works with.
struct Reading<'a> {
    rows: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    bytes: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    files: &'a ObjectFiles,
    is_wanted: &'a (dyn Fn(&[u8; 32]) -> bool + Sync),
    restore: &'a dyn Restore,
    found: Objects,
}

impl Reading<'_> {
    /// All objects whose address begins with this byte.
    fn slice(&mut self, first_byte: u8) -> Result<(), LoadError> {
        let (mut first, mut last) = ([0; 32], [u8::MAX; 32]);
        (first[0], last[0]) = (first_byte, first_byte);
        for row in self.rows.range::<&[u8; 32]>(&first..=&last)? {
            let (address, row) = row?;
            let address = address.value();
            if !(self.is_wanted)(address) {
                continue;
            }
            let row = ObjectRow::decode(row.value())?;
            match self.object(address, &row) {
                Ok(()) => {
                    self.found.count += 1;
                    self.found.bytes += row.size;
                    self.found.files.extend(row.file);
                }
                Err(Failure::Damaged) => {
                    self.found.damaged.insert(*address, row.file);
                }
                Err(Failure::Load(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn object(&self, address: &[u8; 32], row: &ObjectRow<'_>) -> Result<(), Failure> {
        let object = KeptObject {
            address: Address::from_bytes(*address),
            size: row.size,
            media_type: (!row.media_type.is_empty()).then_some(row.media_type),
            stored_at_wall_ms: row.stored_at_wall_ms,
            expires_at_wall_ms: row.expires_at_wall_ms,
        };
        let Some(file) = row.file else {
            let bytes = self.bytes.get(address).map_err(BackendError::from)?;
            let bytes = bytes.ok_or(Failure::Damaged)?;
            let mut bytes = bytes.value();
            if bytes.len() as u64 != row.size {
                return Err(Failure::Damaged);
            }
            return Ok(self.restore.object(&object, &mut bytes)?);
        };
        let file = self.files.open_file(file)?;
        if file.len()? != row.size {
            return Err(Failure::Damaged);
        }
        let mut bytes = FileReader {
            file: &*file,
            offset: 0,
            len: row.size,
        };
        Ok(self.restore.object(&object, &mut bytes)?)
    }
}

/// Why an object does not come back: by itself, or with all others.
enum Failure {
    Damaged,
    Load(LoadError),
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self::Load(error.into())
    }
}

impl From<io::Error> for Failure {
    /// A file that is missing or short, or none, is damage; one that cannot be read may be read
    /// another time.
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{IsADirectory, NotFound, UnexpectedEof};
        let is_a_link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
        match error.kind() {
            NotFound | UnexpectedEof | IsADirectory => Self::Damaged,
            _ if is_a_link => Self::Damaged,
            _ => BackendError::from(error).into(),
        }
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Damaged => Self::Damaged,
            RestoreError::Io(error) => error.into(),
            RestoreError::Unfit(unfit) => Self::Load(unfit.into()),
        }
    }
}

/// Reads a file from its beginning.
struct FileReader<'a> {
    file: &'a dyn DiskFile,
    offset: u64,
    len: u64,
}

impl Read for FileReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len - self.offset).unwrap_or(usize::MAX);
        let here = left.min(out.len());
        self.file.read(self.offset, &mut out[..here])?;
        self.offset += here as u64;
        Ok(here)
    }
}
