//! The files of packs: the bytes of small objects, one behind the other. Which they are is said in
//! the index.

use std::io;
use std::sync::Arc;

use micronode_protocol::limits::{PACK_GAP_BYTES, PACK_IO_BYTES};

use super::object_files::{ObjectFiles, Stage};
use super::rows::Entry;
use super::small::weight;
use crate::backend::disk::DiskFile;
use crate::backend::{BackendError, Staged, Staging};

/// A pack that is whole and synced.
pub(super) struct NewPack {
    pub(super) file: u64,
    /// At least one, in the order of slots.
    pub(super) entries: Vec<Entry>,
}

/// Writes objects to one pack after another. Dropped unfinished, it leaves none.
pub(super) struct PackWriter<'a> {
    files: &'a Arc<ObjectFiles>,
    /// A pack that has as much is full, if as much is left for the next one.
    limit: u64,
    /// What is to come.
    left: u64,
    current: Option<Current>,
    /// Bytes of the current one on their way.
    buffer: Vec<u8>,
    finished: Vec<NewPack>,
}

struct Current {
    staged: Box<dyn Staged>,
    entries: Vec<Entry>,
    weight: u64,
}

impl<'a> PackWriter<'a> {
    /// One for objects that weigh `all` together.
    pub(super) fn new(files: &'a Arc<ObjectFiles>, limit: u64, all: u64) -> Self {
        Self {
            files,
            limit,
            left: all,
            current: None,
            buffer: Vec::with_capacity(PACK_IO_BYTES),
            finished: Vec::new(),
        }
    }

    /// Appends an object; slots ascend.
    pub(super) fn add(&mut self, slot: u64, bytes: &[u8]) -> Result<(), BackendError> {
        let is_full = |current: &Current| current.weight >= self.limit && self.left >= self.limit;
        if self.current.as_ref().is_some_and(is_full) {
            self.end()?;
        }
        if self.buffer.len() + bytes.len() > PACK_IO_BYTES {
            self.flush()?;
        }
        let current = match &mut self.current {
            Some(current) => current,
            none => none.insert(Current {
                staged: Stage(Arc::clone(self.files)).begin()?,
                entries: Vec::new(),
                weight: 0,
            }),
        };
        let len = u32::try_from(bytes.len()).map_err(|_| io::Error::other("not a small object"))?;
        current.entries.push(Entry { slot, len });
        current.weight += weight(len.into());
        self.left = self.left.saturating_sub(weight(len.into()));
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BackendError> {
        if let Some(current) = &mut self.current
            && !self.buffer.is_empty()
        {
            current.staged.write(&self.buffer)?;
        }
        self.buffer.clear();
        Ok(())
    }

    /// Ends the current pack.
    fn end(&mut self) -> Result<(), BackendError> {
        self.flush()?;
        if let Some(current) = self.current.take() {
            self.finished.push(NewPack {
                file: current.staged.finish()?,
                entries: current.entries,
            });
        }
        Ok(())
    }

    /// All packs that have come of it.
    pub(super) fn finish(mut self) -> Result<Vec<NewPack>, BackendError> {
        self.end()?;
        Ok(std::mem::take(&mut self.finished))
    }
}

impl Drop for PackWriter<'_> {
    fn drop(&mut self) {
        for pack in &self.finished {
            self.files.remove(pack.file);
        }
    }
}

/// Where in a pack an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) slot: u64,
    offset: u64,
    len: usize,
}

impl Span {
    fn end(&self) -> u64 {
        self.offset + self.len as u64
    }
}

/// Where the objects of a pack are.
pub(super) fn spans(entries: &[Entry]) -> impl Iterator<Item = Span> {
    let mut end = 0;
    entries.iter().map(move |entry| {
        let offset = end;
        end += u64::from(entry.len);
        Span {
            slot: entry.slot,
            offset,
            len: entry.len as usize,
        }
    })
}

/// What gets the objects of a pack: no bytes of one that the file is too short for.
pub(super) type Each<'a, E> = dyn FnMut(Option<&[u8]>) -> Result<(), E> + 'a;

/// Reads objects of a pack in few pieces. `each` gets one after the other, in the order of `spans`,
/// which is that of the file.
pub(super) fn read<E: From<io::Error>>(
    file: &dyn DiskFile,
    mut spans: &[Span],
    each: &mut Each<'_, E>,
) -> Result<(), E> {
    let len = file.len()?;
    let mut buffer = Vec::new();
    while let Some(first) = spans.first() {
        let is_near = |pair: &[Span]| {
            pair[1].offset - pair[0].end() <= PACK_GAP_BYTES
                && pair[1].end() - first.offset <= PACK_IO_BYTES as u64
                && pair[1].end() <= len
        };
        let more = spans.windows(2).take_while(|pair| is_near(pair)).count();
        let (run, rest) = spans.split_at(1 + more);
        spans = rest;
        if first.end() > len {
            each(None)?;
            continue;
        }
        let end = run.last().map_or(first.end(), Span::end);
        buffer.resize(usize::try_from(end - first.offset).unwrap_or(usize::MAX), 0);
        file.read(first.offset, &mut buffer)?;
        for span in run {
            let begin = (span.offset - first.offset) as usize;
            each(Some(&buffer[begin..begin + span.len]))?;
        }
    }
    Ok(())
}
