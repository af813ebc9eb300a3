//! Everything that is kept goes back to where it came from.
//!
//! Objects are most of it, and are read by several threads. Names, queues and messages follow on
//! one. What is dropped on the way leaves the index at the end, when nothing can fail any more but
//! that.

mod objects;

use std::collections::{HashMap, HashSet};

use micronode_engine::journal::MessageState;
use redb::{ReadTransaction, ReadableTable};

use super::index::{
    BYTES, Index, KEYS, MESSAGES, NAMES, NEXT_QUEUE, OBJECTS, QUEUES, REVISION, STATES,
};
use super::object_files::ObjectFiles;
use super::rows::{self, ObjectRow};
use crate::backend::BackendError;
use crate::backend::restore::{KeptMessage, LoadError, Loaded, Restore, RestoreError, Unfit};
use objects::Objects;

/// Restores all that the index and the files have.
pub(super) fn load(
    index: &Index,
    files: &ObjectFiles,
    now_wall_ms: u64,
    restore: &mut dyn Restore,
) -> Result<Loaded, LoadError> {
    let transaction = index.read()?;
    let named = named(&transaction)?;
    let expired = expired(&transaction, now_wall_ms, &named)?;
    let mut loaded = Loaded::default();
    // Where there is too little room, objects that nothing points at make some, and routes may tell
    // queues of that: so they come last.
    let keeps = |address: &[u8; 32]| named.contains(address);
    let mut objects = objects::restore(index, files, &keeps, &*restore)?;
    let dropped_names = restore_names(&transaction, restore, &objects.damaged, &mut loaded)?;
    restore.revision(index.counter(REVISION)?);
    restore_queues(&transaction, restore, &mut loaded)?;
    restore.next_queue(index.counter(NEXT_QUEUE)?);
    let keeps = |address: &[u8; 32]| !named.contains(address) && !expired.contains_key(address);
    objects.add(objects::restore(index, files, &keeps, &*restore)?);
    let lost = objects.damaged.values().flatten().count();
    if lost > objects.files.len().max(LOST_FILES) {
        let what = "most files of large objects are missing or damaged: bring them back";
        return Err(BackendError::Damaged(what.to_owned()).into());
    }
    loaded.objects = objects.count;
    loaded.object_bytes = objects.bytes;
    loaded.expired = expired.len() as u64;
    loaded.damaged = objects.damaged.len() as u64;

    let dropped: Vec<_> = objects.damaged.iter().chain(&expired).collect();
    drop_from_index(index, &dropped, &dropped_names)?;
    for file in dropped.iter().filter_map(|(_, file)| **file) {
        files.remove(file);
    }
    loaded.orphans = remove_orphans(files, &objects)?;
    Ok(loaded)
}

/// More lost files than this, and than there are left, are no damage of a disk but another
/// directory, or a half of one: nothing is dropped then.
const LOST_FILES: usize = 3;

/// Objects by address, and in which file their bytes are, if not in the index.
type Places = HashMap<[u8; 32], Option<u64>>;

/// Objects that names point at.
fn named(transaction: &ReadTransaction) -> Result<HashSet<[u8; 32]>, LoadError> {
    let mut named = HashSet::new();
    for row in transaction.open_table(NAMES)?.iter()? {
        let (address, _) = rows::decode_name(row?.1.value())?;
        named.insert(*address.as_bytes());
    }
    Ok(named)
}

/// Objects whose time is over, and that no name keeps.
fn expired(
    transaction: &ReadTransaction,
    now_wall_ms: u64,
    named: &HashSet<[u8; 32]>,
) -> Result<Places, LoadError> {
    let mut expired = Places::new();
    for row in transaction.open_table(OBJECTS)?.iter()? {
        let (address, row) = row?;
        let row = ObjectRow::decode(row.value())?;
        let is_over = row.expires_at_wall_ms.is_some_and(|at| at <= now_wall_ms);
        if is_over && !named.contains(address.value()) {
            expired.insert(*address.value(), row.file);
        }
    }
    Ok(expired)
}

/// Names whose objects are damaged are returned.
fn restore_names(
    transaction: &ReadTransaction,
    restore: &mut dyn Restore,
    damaged: &Places,
    loaded: &mut Loaded,
) -> Result<Vec<String>, LoadError> {
    let mut dropped = Vec::new();
    for row in transaction.open_table(NAMES)?.iter()? {
        let (name, row) = row?;
        let (address, revision) = rows::decode_name(row.value())?;
        match restore.name(name.value(), address, revision) {
            Ok(()) => loaded.names += 1,
            Err(RestoreError::Damaged) if damaged.contains_key(address.as_bytes()) => {
                dropped.push(name.value().to_owned());
            }
            // It has made room for another.
            Err(RestoreError::Damaged) => return Err(Unfit::Named.into()),
            Err(error) => return Err(fatal(error)),
        }
    }
    loaded.dropped_names = dropped.len() as u64;
    Ok(dropped)
}

fn restore_queues(
    transaction: &ReadTransaction,
    restore: &mut dyn Restore,
    loaded: &mut Loaded,
) -> Result<(), LoadError> {
    let messages = transaction.open_table(MESSAGES)?;
    let states = transaction.open_table(STATES)?;
    let keys = transaction.open_table(KEYS)?;
    for row in transaction.open_table(QUEUES)?.iter()? {
        let (queue, row) = row?;
        let queue = queue.value();
        let (last_sequence, name) = rows::decode_queue(row.value())?;
        restore.queue(queue, name, last_sequence).map_err(fatal)?;
        loaded.queues += 1;
        for row in messages.range((queue, 0)..=(queue, u64::MAX))? {
            let (message, row) = row?;
            let (_, sequence) = message.value();
            let (sent_wall_ms, body) = rows::decode_message(row.value())?;
            let state = match states.get((queue, sequence))? {
                Some(row) => rows::decode_state(row.value())?,
                None => MessageState::default(),
            };
            let message = KeptMessage {
                sequence,
                body,
                sent_wall_ms,
                state,
            };
            restore.message(&message).map_err(fatal)?;
            loaded.messages += 1;
        }
        let mut kept = Vec::new();
        for row in keys.range((queue, &[0; 32])..=(queue, &[u8::MAX; 32]))? {
            let (key, row) = row?;
            let (_, key) = key.value();
            kept.push(rows::decode_key(key, row.value())?);
        }
        kept.sort_unstable_by_key(|key| (key.expires_at_wall_ms, key.sequence));
        for key in kept {
            restore.key(key).map_err(fatal)?;
            loaded.keys += 1;
        }
    }
    Ok(())
}

/// For what is not dropped by itself.
fn fatal(error: RestoreError) -> LoadError {
    match error {
        RestoreError::Damaged => rows::damaged().into(),
        RestoreError::Io(error) => BackendError::from(error).into(),
        RestoreError::Unfit(unfit) => unfit.into(),
    }
}

fn drop_from_index(
    index: &Index,
    objects: &[(&[u8; 32], &Option<u64>)],
    names: &[String],
) -> Result<(), BackendError> {
    if objects.is_empty() && names.is_empty() {
        return Ok(());
    }
    let transaction = index.write()?;
    {
        let mut rows = transaction.open_table(OBJECTS)?;
        let mut bytes = transaction.open_table(BYTES)?;
        for (address, _) in objects {
            rows.remove(address)?;
            bytes.remove(address)?;
        }
        let mut rows = transaction.open_table(NAMES)?;
        for name in names {
            rows.remove(&**name)?;
        }
    }
    Ok(transaction.commit()?)
}

/// Removes the files that no object has, of which there were so many.
fn remove_orphans(files: &ObjectFiles, objects: &Objects) -> Result<u64, BackendError> {
    let mut orphans = 0;
    for file in files.list()? {
        if !objects.files.contains(&file) {
            files.remove(file);
            orphans += 1;
        }
    }
    Ok(orphans)
}
