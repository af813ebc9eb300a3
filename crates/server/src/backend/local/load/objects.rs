//! Reads and verifies objects, on several threads.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufReader, Read};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use micronode_protocol::Address;
use micronode_protocol::limits::{GROUP_BYTES, LOAD_THREADS};
use parking_lot::Mutex;
use redb::ReadOnlyTable;

use super::plan::{Job, Jobs, Places, Wanted};
use crate::backend::BackendError;
use crate::backend::disk::DiskFile;
use crate::backend::local::index::{Index, PACKS, SMALL};
use crate::backend::local::object_files::ObjectFiles;
use crate::backend::local::pack_file::{self, Span};
use crate::backend::local::rows::{self, Place};
use crate::backend::local::small::weight;
use crate::backend::restore::{KeptObject, LoadError, Restore, RestoreError};

/// What has become of the objects.
#[derive(Default)]
pub(super) struct Objects {
    /// Restored.
    pub(super) count: u64,
    /// Restored, in bytes.
    pub(super) bytes: u64,
    /// Not what was kept.
    pub(super) damaged: Places,
    /// Files of those restored, packs among them.
    pub(super) files: HashSet<u64>,
    /// Files of those damaged.
    pub(super) damaged_files: HashSet<u64>,
    /// How much has been restored of each pack.
    pub(super) packs: BTreeMap<u64, u64>,
}

impl Objects {
    pub(super) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
        self.damaged.extend(other.damaged);
        self.files.extend(other.files);
        self.damaged_files.extend(other.damaged_files);
        for (first_slot, weight) in other.packs {
            *self.packs.entry(first_slot).or_default() += weight;
        }
    }

    /// What has become of an object that is in this file, or in the index.
    fn count(
        &mut self,
        object: &Wanted,
        file: Option<u64>,
        restored: Result<(), Failure>,
    ) -> Result<(), LoadError> {
        match restored {
            Ok(()) => {
                self.count += 1;
                self.bytes += object.size;
                self.files.extend(file);
            }
            Err(Failure::Damaged) => {
                self.damaged.insert(object.address, object.place);
                self.damaged_files.extend(file);
            }
            Err(Failure::Load(error)) => return Err(error),
        }
        Ok(())
    }
}

/// Restores the objects that it is asked for.
pub(super) fn restore(
    index: &Index,
    files: &ObjectFiles,
    jobs: Jobs,
    restore: &dyn Restore,
) -> Result<Objects, LoadError> {
    let jobs = Mutex::new(jobs.into_jobs().fuse());
    let has_failed = AtomicBool::new(false);
    let work = || {
        let transaction = index.read()?;
        let mut reading = Reading {
            inline: transaction.open_table(SMALL)?,
            packs: transaction.open_table(PACKS)?,
            files,
            restore,
            found: Objects::default(),
        };
        while !has_failed.load(Relaxed) {
            let job = jobs.lock().next();
            let done = match job {
                Some(Job::Pack(first_slot, wanted)) => reading.pack(first_slot, &wanted),
                Some(Job::Others(wanted)) => reading.others(&wanted),
                None => break,
            };
            if let Err(error) = done {
                // The others need not go on.
                has_failed.store(true, Relaxed);
                return Err(error);
            }
        }
        Ok(reading.found)
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
    inline: ReadOnlyTable<u64, &'static [u8]>,
    packs: ReadOnlyTable<u64, &'static [u8]>,
    files: &'a ObjectFiles,
    restore: &'a dyn Restore,
    found: Objects,
}

impl Reading<'_> {
    /// Objects of one pack, in the order in which they are there.
    fn pack(&mut self, first_slot: u64, wanted: &[Wanted]) -> Result<(), LoadError> {
        let row = self.packs.get(first_slot)?.ok_or_else(rows::damaged)?;
        let (file, entries) = rows::decode_pack(row.value())?;
        let all: Vec<Span> = pack_file::spans(&entries).collect();
        let (mut objects, mut spans) = (Vec::new(), Vec::new());
        for object in wanted {
            match all.binary_search_by_key(&object.place.number(), |span| span.slot) {
                Ok(at) => {
                    objects.push(object);
                    spans.push(all[at]);
                }
                Err(_) => self.found.count(object, Some(file), DAMAGED)?,
            }
        }

        let mut objects = objects.into_iter();
        let mut used = 0;
        let read = self.files.open_file(file).map_err(Failure::from);
        let read = read.and_then(|opened| {
            pack_file::read(&*opened, &spans, &mut |bytes| {
                let Some(object) = objects.next() else {
                    return DAMAGED;
                };
                let restored = match bytes {
                    Some(bytes) => self.whole(object, bytes),
                    None => DAMAGED,
                };
                used += restored.as_ref().map_or(0, |()| weight(object.size));
                Ok(self.found.count(object, Some(file), restored)?)
            })
        });
        match read {
            // There is no such file.
            Err(Failure::Damaged) => {
                for object in objects {
                    self.found.count(object, Some(file), DAMAGED)?;
                }
            }
            Err(Failure::Load(error)) => return Err(error),
            Ok(()) => {}
        }
        *self.found.packs.entry(first_slot).or_default() += used;
        Ok(())
    }

    /// Objects in files of their own, or in the index.
    fn others(&mut self, wanted: &[Wanted]) -> Result<(), LoadError> {
        for object in wanted {
            let (file, restored) = match object.place {
                Place::File(file) => (Some(file), self.large(object, file)),
                Place::Slot(slot) => (None, self.inline(object, slot)),
            };
            self.found.count(object, file, restored)?;
        }
        Ok(())
    }

    fn inline(&self, object: &Wanted, slot: u64) -> Result<(), Failure> {
        let bytes = self.inline.get(slot).map_err(BackendError::from)?;
        let bytes = bytes.ok_or(Failure::Damaged)?;
        self.whole(object, bytes.value())
    }

    fn whole(&self, object: &Wanted, mut bytes: &[u8]) -> Result<(), Failure> {
        if bytes.len() as u64 != object.size {
            return DAMAGED;
        }
        Ok(self.restore.object(&object.kept(), &mut bytes)?)
    }

    fn large(&self, object: &Wanted, file: u64) -> Result<(), Failure> {
        let file = self.files.open_file(file)?;
        if file.len()? != object.size {
            return DAMAGED;
        }
        let bytes = FileReader {
            file: &*file,
            offset: 0,
            len: object.size,
        };
        let mut bytes = BufReader::with_capacity(GROUP_BYTES, bytes);
        Ok(self.restore.object(&object.kept(), &mut bytes)?)
    }
}

impl Wanted {
    fn kept(&self) -> KeptObject<'_> {
        KeptObject {
            address: Address::from_bytes(self.address),
            size: self.size,
            media_type: self.media_type.as_deref(),
            stored_at_wall_ms: self.stored_at_wall_ms,
            expires_at_wall_ms: self.expires_at_wall_ms,
        }
    }
}

/// Why an object does not come back: by itself, or with all others.
enum Failure {
    Damaged,
    Load(LoadError),
}

const DAMAGED: Result<(), Failure> = Err(Failure::Damaged);

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self::Load(error.into())
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
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
