//! The index: one redb database, and what its tables are.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | what | bytes of it |
//! | `objects` | address | [`ObjectRow`](super::rows::ObjectRow) |
//! | `small` | slot | the bytes of a [small object](super::small) that is in no pack yet |
//! | `packs` | its first slot | file, slots and lengths of what is in it |
//! | `names` | name | address, revision |
//! | `queues` | queue | last sequence, name |
//! | `messages` | queue, sequence | when it was sent, body |
//! | `states` | queue, sequence | state, if it is not that of a message just sent |
//! | `keys` | queue, key | body's hash, sequence, expiry |

mod pages;

use std::io;
use std::sync::Arc;

use micronode_protocol::limits::INDEX_CACHE_BYTES;
use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction,
};

use super::rows;
use crate::backend::disk::Disk;
use crate::backend::{BackendError, LoadError};
use pages::Pages;

type Bytes = &'static [u8];
/// A queue, and a message's number in it.
pub(super) type MessageKey = (u64, u64);

pub(super) const META: TableDefinition<'_, &str, Bytes> = TableDefinition::new("meta");
pub(super) const OBJECTS: TableDefinition<'_, &[u8; 32], Bytes> = TableDefinition::new("objects");
pub(super) const SMALL: TableDefinition<'_, u64, Bytes> = TableDefinition::new("small");
pub(super) const PACKS: TableDefinition<'_, u64, Bytes> = TableDefinition::new("packs");
pub(super) const NAMES: TableDefinition<'_, &str, Bytes> = TableDefinition::new("names");
pub(super) const QUEUES: TableDefinition<'_, u64, Bytes> = TableDefinition::new("queues");
pub(super) const MESSAGES: TableDefinition<'_, MessageKey, Bytes> =
    TableDefinition::new("messages");
pub(super) const STATES: TableDefinition<'_, MessageKey, Bytes> = TableDefinition::new("states");
pub(super) const KEYS: TableDefinition<'_, (u64, &[u8; 32]), Bytes> = TableDefinition::new("keys");

/// In `meta`: the key of message ids and idempotency keys.
const MAILBOX_KEY: &str = "mailbox-key";
/// In `meta`: the number of the next queue.
pub(super) const NEXT_QUEUE: &str = "next-queue";
/// In `meta`: the latest revision of a name.
pub(super) const REVISION: &str = "revision";
/// In `meta`: the number of the next file.
pub(super) const NEXT_FILE: &str = "next-file";

/// The open index.
pub(super) struct Index {
    database: Database,
}

impl Index {
    /// A new one in a file that does not exist.
    pub(super) fn create(
        disk: &Arc<dyn Disk>,
        path: &str,
        mailbox_key: [u8; 32],
    ) -> Result<Self, BackendError> {
        let index = Self::of(Pages::new(disk.create(path)?), false)?;
        let transaction = index.write()?;
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert(MAILBOX_KEY, &mailbox_key[..])?;
            for counter in [NEXT_QUEUE, REVISION, NEXT_FILE] {
                meta.insert(counter, &rows::encode_counter(0)[..])?;
            }
            // Opening makes them.
            transaction.open_table(OBJECTS)?;
            transaction.open_table(SMALL)?;
            transaction.open_table(PACKS)?;
            transaction.open_table(NAMES)?;
            transaction.open_table(QUEUES)?;
            transaction.open_table(MESSAGES)?;
            transaction.open_table(STATES)?;
            transaction.open_table(KEYS)?;
        }
        transaction.commit()?;
        Ok(index)
    }

    /// Opens one, and checks all of it: every page has a checksum.
    pub(super) fn open(disk: &Arc<dyn Disk>, path: &str) -> Result<Self, BackendError> {
        Self::of(Pages::new(disk.open(path)?), true)
    }

    fn of(pages: Pages, is_checked: bool) -> Result<Self, BackendError> {
        let database = Database::builder()
            .set_cache_size(INDEX_CACHE_BYTES)
            .set_check_integrity_on_open(is_checked)
            .create_with_backend(pages)?;
        Ok(Self { database })
    }

    /// Begins a transaction that is durable when it is committed.
    pub(super) fn write(&self) -> Result<WriteTransaction, BackendError> {
        let mut transaction = self.database.begin_write()?;
        let set = transaction.set_durability(Durability::Immediate);
        set.expect("there are no savepoints");
        Ok(transaction)
    }

    /// Makes the file as short as what is in it. It grows by itself, and does not shrink by itself.
    pub(super) fn compact(&mut self) -> Result<(), BackendError> {
        self.database.compact()?;
        Ok(())
    }

    /// Begins to read.
    pub(super) fn read(&self) -> Result<ReadTransaction, BackendError> {
        Ok(self.database.begin_read()?)
    }

    /// See [`Backend::mailbox_key`](crate::backend::Backend::mailbox_key).
    pub(super) fn mailbox_key(&self) -> Result<[u8; 32], BackendError> {
        let table = self.read()?.open_table(META)?;
        let row = table.get(MAILBOX_KEY)?.ok_or_else(rows::damaged)?;
        row.value().try_into().map_err(|_| rows::damaged())
    }

    /// A counter of `meta`.
    pub(super) fn counter(&self, name: &str) -> Result<u64, BackendError> {
        let table = self.read()?.open_table(META)?;
        let row = table.get(name)?.ok_or_else(rows::damaged)?;
        rows::decode_counter(row.value())
    }
}

/// What an error of the database means.
fn meaning(error: redb::Error) -> BackendError {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        redb::Error::Io(error) if matches!(error.kind(), InvalidData | UnexpectedEof) => {
            BackendError::Damaged(error.to_string())
        }
        redb::Error::Io(error) => error.into(),
        redb::Error::PreviousIo => BackendError::Io(io::Error::other("it has failed before")),
        other => BackendError::Damaged(other.to_string()),
    }
}

/// The database has an error for each thing that it is asked for.
macro_rules! meaning_of {
    ($($error:ident),+) => {
        $(impl From<redb::$error> for BackendError {
            fn from(error: redb::$error) -> Self {
                meaning(error.into())
            }
        })+
    };
}

meaning_of!(
    StorageError,
    TableError,
    TransactionError,
    CommitError,
    CompactionError,
    DatabaseError
);

impl From<redb::StorageError> for LoadError {
    fn from(error: redb::StorageError) -> Self {
        BackendError::from(error).into()
    }
}

impl From<redb::TableError> for LoadError {
    fn from(error: redb::TableError) -> Self {
        BackendError::from(error).into()
    }
}
