//! What the store tells the journal.

use std::sync::Arc;

use super::Store;
use crate::journal::{Change, Journal};

impl Store {
    /// Tells `journal` of every change, under the lock of the object's shard.
    ///
    /// # Panics
    ///
    /// If the store has clones already, whose changes might have gone unrecorded.
    #[must_use]
    pub fn journaled(mut self, journal: Arc<dyn Journal>) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("journaled before it is shared");
        shared.journal = Some(journal);
        self
    }

    /// For the holder of the lock of the shard that has changed.
    pub(super) fn record(&self, change: impl FnOnce() -> Change) {
        if let Some(journal) = &self.shared.journal {
            journal.record(change());
        }
    }
}
