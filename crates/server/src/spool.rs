//! Writing an upload to disk while it arrives.
//!
//! A thread that may block writes what the network brings, a piece or two behind it; so a large
//! object is on disk soon after its last byte, and one that comes faster than the disk takes it is
//! slowed down. What is too small for a file of its own, which shows when it ends, is left to be
//! kept with its change.

use std::sync::Arc;

use bytes::Bytes;
use micronode_protocol::limits::{INLINE_OBJECT_BYTES, PERSIST_SPOOL_PIECES};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::backend::{BackendError, Staging};
use crate::call::CallError;
use crate::keeper::refused;

/// See the [module](self). Dropped unfinished, it leaves nothing.
pub(crate) struct Spool {
    staging: Arc<dyn Staging>,
    /// The first bytes, which may be all, and are in no need of a file then. A copy, as pieces may be
    /// many and small.
    held: Vec<u8>,
    writer: Option<Writer>,
}

struct Writer {
    pieces: mpsc::Sender<Piece>,
    thread: JoinHandle<Result<Option<Place>, BackendError>>,
}

enum Piece {
    Bytes(Bytes),
    End,
}

impl Spool {
    pub(crate) const fn new(staging: Arc<dyn Staging>) -> Self {
        Self {
            staging,
            held: Vec::new(),
            writer: None,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// If the disk does not take them.
    pub(crate) async fn write(&mut self, piece: Bytes) -> Result<(), CallError> {
        if self.writer.is_none() {
            if (self.held.len() + piece.len()) as u64 <= INLINE_OBJECT_BYTES {
                self.held.extend_from_slice(&piece);
                return Ok(());
            }
            self.writer = Some(start(Arc::clone(&self.staging)));
            let held = std::mem::take(&mut self.held);
            if !held.is_empty() {
                self.pass(Piece::Bytes(held.into())).await?;
            }
        }
        self.pass(Piece::Bytes(piece)).await
    }

    async fn pass(&mut self, piece: Piece) -> Result<(), CallError> {
        let Some(writer) = &self.writer else {
            return Ok(());
        };
        if writer.pieces.send(piece).await.is_ok() {
            return Ok(());
        }
        // It has ended because of an error.
        self.over().await.map(drop)
    }

    /// All bytes have come: where they are, unless that is to be where their change is.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub(crate) async fn finish(mut self) -> Result<Option<Place>, CallError> {
        self.pass(Piece::End).await?;
        self.over().await
    }

    /// What has become of the writer.
    async fn over(&mut self) -> Result<Option<Place>, CallError> {
        let Some(Writer { pieces, thread }) = self.writer.take() else {
            return Ok(None);
        };
        drop(pieces);
        match thread.await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(error)) => Err(refused((&error).into())),
            Err(_) => Err(refused(crate::keeper::Failure::Broken)),
        }
    }
}

fn start(staging: Arc<dyn Staging>) -> Writer {
    let (pieces, mut arrived) = mpsc::channel(PERSIST_SPOOL_PIECES);
    let thread = spawn_blocking(move || {
        let mut staged = staging.begin()?;
        loop {
            match arrived.blocking_recv() {
                Some(Piece::Bytes(piece)) => staged.write(&piece)?,
                Some(Piece::End) => break,
                // The upload has come to nothing.
                None => return Ok(None),
            }
        }
        let place = Some(staged.finish()?);
        Ok(Some(Place { staging, place }))
    });
    Writer { pieces, thread }
}

/// Where bytes are kept that no change has named yet. Dropped, they are removed.
pub(crate) struct Place {
    staging: Arc<dyn Staging>,
    place: Option<u64>,
}

impl Place {
    /// As changes name it.
    pub(crate) const fn number(&self) -> Option<u64> {
        self.place
    }

    /// A change has named it.
    pub(crate) fn keep(mut self) {
        self.place = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let staging = Arc::clone(&self.staging);
            spawn_blocking(move || staging.discard(place));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::backend::Staged;
    use parking_lot::Mutex;
    use std::io;

    /// Remembers what was written, and what was removed.
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Written>>);

    #[derive(Default)]
    struct Written {
        files: u64,
        bytes: Vec<u8>,
        discarded: Vec<u64>,
        fails: bool,
    }

    impl Staging for Memory {
        fn begin(&self) -> Result<Box<dyn Staged>, BackendError> {
            self.0.lock().files += 1;
            Ok(Box::new(self.clone()))
        }

        fn discard(&self, place: u64) {
            self.0.lock().discarded.push(place);
        }

        fn has_room(&self) -> bool {
            true
        }
    }

    impl Staged for Memory {
        fn write(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
            let mut written = self.0.lock();
            if written.fails {
                return Err(io::Error::from(io::ErrorKind::StorageFull).into());
            }
            written.bytes.extend_from_slice(bytes);
            Ok(())
        }

        fn finish(self: Box<Self>) -> Result<u64, BackendError> {
            Ok(7)
        }
    }

    async fn spooled(memory: &Memory, pieces: &[&[u8]]) -> Result<Option<Place>, CallError> {
        let mut spool = Spool::new(Arc::new(memory.clone()));
        for piece in pieces {
            spool.write(Bytes::copy_from_slice(piece)).await?;
        }
        spool.finish().await
    }

    const MOST: usize = INLINE_OBJECT_BYTES as usize;

    #[tokio::test]
    async fn a_small_object_has_no_file_however_it_comes() {
        let memory = Memory::default();
        for pieces in [&[&[1; MOST][..]][..], &[&[1; MOST - 1], &[2]], &[&[]], &[]] {
            assert!(spooled(&memory, pieces).await.unwrap().is_none());
        }
        assert_eq!(memory.0.lock().files, 0);
    }

    #[tokio::test]
    async fn a_larger_one_is_written_in_order() {
        let memory = Memory::default();
        let (first, second) = (vec![1; MOST], vec![2; 100_000]);
        let pieces = [&first[..], &second, &[3]];
        let place = spooled(&memory, &pieces).await.unwrap().unwrap();
        assert_eq!(place.number(), Some(7));
        assert_eq!(memory.0.lock().bytes, pieces.concat());
        place.keep();
        assert!(memory.0.lock().discarded.is_empty());
        let place = spooled(&memory, &pieces).await.unwrap();
        drop(place);
        while memory.0.lock().discarded != [7] {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_disk_that_fails_ends_the_upload() {
        let memory = Memory::default();
        memory.0.lock().fails = true;
        let piece = vec![0; MOST + 1];
        let failed = spooled(&memory, &[&piece, &piece, &piece, &piece, &piece]).await;
        assert_eq!(failed.err().unwrap().code.as_str(), "degraded");
    }
}
