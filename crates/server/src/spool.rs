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
    /// The first bytes, which may be all: to make a file and remove it again takes as long as a
    /// sync, while there is one. A copy, as pieces may be many and small.
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
            self.staging.discard(place);
        }
    }
}
