//! Everything that is kept goes back to where it came from.
//!
//! Objects are most of it, and are read by several threads. Names, queues and messages follow on
//! one. What is dropped on the way leaves the index at the end, when nothing can fail any more but
//! that.

mod objects;
mod plan;

use std::collections::HashSet;

use micronode_engine::journal::MessageState;
use redb::{ReadTransaction, ReadableTable};

use super::index::{
    Index, KEYS, MESSAGES, NAMES, NEXT_QUEUE, OBJECTS, PACKS, QUEUES, REVISION, SMALL, STATES,
};
use super::object_files::ObjectFiles;
use super::rows::{self, Place};
use super::small::SmallObjects;
use crate::backend::BackendError;
use crate::backend::restore::{KeptMessage, LoadError, Loaded, Restore, RestoreError, Unfit};
use objects::Objects;
use plan::{Places, Plan};

/// Restores all that the index and the files have.
pub(super) fn load(
    index: &Index,
    small: &mut SmallObjects,
    files: &ObjectFiles,
    now_wall_ms: u64,
    restore: &mut dyn Restore,
) -> Result<Loaded, LoadError> {
    let Plan {
        named,
        rest,
        expired,
    } = Plan::new(index, small, now_wall_ms)?;
    let transaction = index.read()?;
    let mut loaded = Loaded::default();
    // Where there is too little room, objects that nothing points at make some, and routes may tell
    // queues of that: so they come last.
    let mut objects = objects::restore(index, files, named, &*restore)?;
    let dropped_names = restore_names(&transaction, restore, &objects.damaged, &mut loaded)?;
    restore.revision(index.counter(REVISION)?);
    restore_queues(&transaction, restore, &mut loaded)?;
    restore.next_queue(index.counter(NEXT_QUEUE)?);
    objects.add(objects::restore(index, files, rest, &*restore)?);
    let lost = objects.damaged_files.difference(&objects.files).count();
    if lost > objects.files.len().max(LOST_FILES) {
        let what = "most files of objects are missing or damaged: bring them back";
        return Err(BackendError::Damaged(what.to_owned()).into());
    }
    loaded.objects = objects.count;
    loaded.object_bytes = objects.bytes;
    loaded.expired = expired.len() as u64;
    loaded.damaged = objects.damaged.len() as u64;

    drop_from_index(index, small, &expired, &objects, &dropped_names)?;
    let dropped = objects.damaged.values().chain(expired.values());
    for place in dropped {
        if let Place::File(file) = place {
            files.remove(*file);
        }
    }
    loaded.orphans = remove_orphans(files, &objects, small)?;
    Ok(loaded)
}

/// More lost files than this, and than there are left, are no damage of a disk but another
/// directory, or a half of one: nothing is dropped then.
const LOST_FILES: usize = 3;

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

/// What does not come back, and packs that nothing of came back.
fn drop_from_index(
    index: &Index,
    small: &mut SmallObjects,
    expired: &Places,
    objects: &Objects,
    names: &[String],
) -> Result<(), BackendError> {
    let used = |first_slot| objects.packs.get(&first_slot).copied().unwrap_or(0);
    let first_slots: Vec<u64> = small.packs().keys().copied().collect();
    let (empty, others): (Vec<u64>, Vec<u64>) = first_slots
        .into_iter()
        .partition(|first_slot| used(*first_slot) == 0);
    for first_slot in others {
        small.set_used(first_slot, used(first_slot));
    }
    let dropped = objects.damaged.iter().chain(expired);
    if dropped.clone().next().is_none() && names.is_empty() && empty.is_empty() {
        return Ok(());
    }
    let transaction = index.write()?;
    {
        let mut rows = transaction.open_table(OBJECTS)?;
        let mut inline = transaction.open_table(SMALL)?;
        for (address, place) in dropped {
            rows.remove(address)?;
            if let Place::Slot(slot) = place
                && let Some(bytes) = inline.remove(slot)?
            {
                small.removed_inline(bytes.value().len() as u64);
            }
        }
        let mut packs = transaction.open_table(PACKS)?;
        for first_slot in empty {
            packs.remove(first_slot)?;
            small.remove_pack(first_slot);
        }
        let mut rows = transaction.open_table(NAMES)?;
        for name in names {
            rows.remove(&**name)?;
        }
    }
    Ok(transaction.commit()?)
}

/// Removes the files that no object has, of which there were so many.
fn remove_orphans(
    files: &ObjectFiles,
    objects: &Objects,
    small: &SmallObjects,
) -> Result<u64, BackendError> {
    let packs: HashSet<u64> = small.packs().values().map(|pack| pack.file).collect();
    let mut orphans = 0;
    for file in files.list()? {
        if !objects.files.contains(&file) && !packs.contains(&file) {
            files.remove(file);
            orphans += 1;
        }
    }
    Ok(orphans)
}
