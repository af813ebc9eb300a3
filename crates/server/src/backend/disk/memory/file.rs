//! A file in memory: what is seen of it, what is durable, and what lies between.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::loss::{Chance, Loss};
use super::{Permit, State};
use crate::backend::disk::DiskFile;

/// What the disk writes as a whole or not at all.
const BLOCK: usize = 4096;

/// A file's bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) seen: Vec<u8>,
    durable: Vec<u8>,
    /// What was written and not synced, in order.
    pending: Vec<Written>,
}

#[derive(Clone, Debug)]
enum Written {
    Bytes(usize, Vec<u8>),
    Len(usize),
}

fn apply(bytes: &mut Vec<u8>, written: &Written) {
    match written {
        Written::Bytes(offset, new) => {
            let end = offset + new.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(new);
        }
        Written::Len(len) => bytes.resize(*len, 0),
    }
}

impl Content {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self {
            seen: bytes.clone(),
            durable: bytes,
            pending: Vec::new(),
        }
    }

    pub(super) fn damage(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        self.sync();
        change(&mut self.seen);
        self.durable.clone_from(&self.seen);
    }

    /// What is on the disk when what was not synced was written in part.
    pub(super) fn survivor(&self, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for written in &self.pending {
            if chance.survives() {
                apply(&mut bytes, written);
            }
        }
        bytes
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        apply(&mut self.seen, &Written::Bytes(offset, bytes.to_vec()));
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let here = rest.len().min(BLOCK - at % BLOCK);
            self.pending.push(Written::Bytes(at, rest[..here].to_vec()));
            at += here;
            rest = &rest[here..];
        }
    }

    fn set_len(&mut self, len: usize) {
        let written = Written::Len(len);
        apply(&mut self.seen, &written);
        self.pending.push(written);
    }

    fn sync(&mut self) {
        for written in self.pending.drain(..) {
            apply(&mut self.durable, &written);
        }
    }

    /// A sync that was cut off, or failed: some of it is on the disk. If it failed, the rest passes
    /// for written.
    fn sync_in_part(&mut self, chance: &mut Chance, has_failed: bool) {
        self.durable = self.survivor(chance);
        if has_failed {
            self.pending.clear();
        }
    }

    fn forget_cached(&mut self) {
        self.seen.clone_from(&self.durable);
        for written in &self.pending {
            apply(&mut self.seen, written);
        }
    }
}

/// A file that somebody has open.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) number: usize,
}

impl DiskFile for OpenFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.begin_whole()?;
        Ok(state.files[self.number].seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin_whole()?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let end = offset.saturating_add(out.len());
        let bytes = state.files[self.number].seen.get(offset..end);
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let permit = state.begin()?;
        let longest = state.longest(state.files[self.number].seen.len() as u64);
        let file = &mut state.files[self.number];
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        if let Permit::Half(error) = permit {
            file.write(start, &bytes[..bytes.len() / 2]);
            return Err(error);
        }
        if offset.saturating_add(bytes.len() as u64) > longest {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write(start, bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin_whole()?;
        if len > state.longest(state.files[self.number].seen.len() as u64) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let len = usize::try_from(len).map_err(io::Error::other)?;
        state.files[self.number].set_len(len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let permit = state.begin()?;
        let seed = state.seed ^ state.operations;
        let has_failed = !state.has_crashed;
        let file = &mut state.files[self.number];
        match permit {
            Permit::All => {
                file.sync();
                Ok(())
            }
            Permit::Half(error) => {
                file.sync_in_part(&mut Chance::new(Loss::Some, seed), has_failed);
                Err(error)
            }
        }
    }

    fn forget_cached(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin_whole()?;
        state.files[self.number].forget_cached();
        Ok(())
    }
}
