//! A node that keeps what it holds: opening where it is kept, taking it back at the start, and
//! writing until the end.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::authority::random;
use crate::backend::restore::EngineRestore;
use crate::backend::{Backend, LoadError, LocalBackend, OpenError};
use crate::clock;
use crate::config::{self, Sync};
use crate::keeper::Keeper;
use crate::log;
use crate::node::Node;

/// What was kept, before there is a node for it.
pub(crate) struct Kept {
    directory: PathBuf,
    backend: Box<dyn Backend>,
    pub(crate) keeper: Arc<Keeper>,
    /// Of message ids and idempotency keys.
    pub(crate) mailbox_key: Zeroizing<[u8; 32]>,
    interval: Duration,
}

/// Why what was kept cannot be had.
#[derive(Debug, Error)]
pub enum PersistError {
    /// The directory cannot be used.
    #[error("--persist {}: {error}", directory.display())]
    Open {
        /// The directory.
        directory: PathBuf,
        /// What is the matter with it.
        #[source]
        error: OpenError,
    },
    /// What is in it cannot be taken back.
    #[error("--persist {}: {error}", directory.display())]
    Load {
        /// The directory.
        directory: PathBuf,
        /// What is the matter with it.
        #[source]
        error: LoadError,
    },
    /// There is no thread to write.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

impl Kept {
    /// Opens the directory, if the configuration has one.
    pub(crate) fn open(config: &config::Persist) -> Result<Option<Self>, PersistError> {
        let Some(directory) = &config.dir else {
            return Ok(None);
        };
        let opened = LocalBackend::open(directory, random());
        let backend = opened.map_err(|error| PersistError::Open {
            directory: directory.clone(),
            error,
        })?;
        let waits = config.sync == Sync::Always;
        Ok(Some(Self {
            directory: directory.clone(),
            keeper: Keeper::new(waits, backend.staging()),
            mailbox_key: Zeroizing::new(backend.mailbox_key()),
            backend: Box::new(backend),
            interval: config.interval,
        }))
    }

    /// Takes back what was kept, before anybody is served, and begins to write what changes.
    pub(crate) fn restore(mut self, node: &Node) -> Result<Writer, PersistError> {
        let now = clock::now();
        let (store, names, mailbox) = (&node.store, &node.names, &node.mailbox);
        let mut engine = EngineRestore::new(now, store.clone(), names.clone(), mailbox.clone());
        let loaded = self.backend.load(now.wall_ms, &mut engine);
        // Who restores a queue keeps it.
        drop(engine);
        let loaded = loaded.map_err(|error| PersistError::Load {
            directory: self.directory,
            error,
        })?;
        if loaded.damaged + loaded.dropped_names > 0 {
            log::kept_and_damaged(loaded.damaged, loaded.dropped_names);
        }
        log::taken_back(loaded.objects, loaded.names, loaded.messages);
        let thread = self.keeper.write_to(self.backend, self.interval)?;
        let keeper = self.keeper;
        Ok(Writer { keeper, thread })
    }
}

/// The thread that writes.
pub(crate) struct Writer {
    keeper: Arc<Keeper>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Writes what is left, as far as the disk takes it.
    pub(crate) fn stop(self) {
        self.keeper.close();
        if self.thread.join().is_err() {
            log::writer_panicked();
        }
        let left = self.keeper.pending();
        if left > 0 {
            log::not_kept(left as u64);
        }
    }
}
