//! Small objects move to packs.
//!
//! A pack is written and synced before the batch that says that it is there, as every file is. So
//! it can be made, or written anew, or given up, without anybody noticing: what is not in a pack is
//! in the index, and if a pack cannot be made, it stays there.

use std::collections::VecDeque;
use std::sync::Arc;

use micronode_engine::{Change, IntegrityError, Object};
use micronode_protocol::Address;
use redb::{ReadOnlyTable, ReadableTable, WriteTransaction};

use super::index::{Index, OBJECTS, PACKS, SMALL};
use super::object_files::ObjectFiles;
use super::pack_file::{self, NewPack, PackWriter, Span};
use super::rows::{self, ObjectRow, Place};
use super::small::{Pack, SmallObjects, weight};
use crate::backend::BackendError;

/// What moves with a batch. Its files are there; what the index says of them is still to be
/// written.
#[derive(Default)]
pub(super) struct Packing {
    new: Vec<NewPack>,
    /// First slots of packs whose objects are in the new ones.
    replaced: Vec<u64>,
    /// How many bytes that were in the index are in the new packs: all that there were.
    moved: Option<i64>,
    /// Slots of the batch's own small objects, in order, if they are in the new packs; `None` for
    /// one that is damaged.
    slots: Option<VecDeque<Option<u64>>>,
}

/// Makes the packs that are to be made with this batch, as far as that works.
pub(super) fn prepare(
    index: &Index,
    files: &Arc<ObjectFiles>,
    small: &mut SmallObjects,
    batch: &[Change],
) -> Packing {
    let mut packing = Packing::default();
    let new = inline_objects(batch).map(|object| weight(object.size()));
    if let Some(all) = small.to_be_packed(new.sum())
        && packing.pack(index, files, small, batch, all).is_err()
    {
        small.put_off();
    }
    // As many as are added may be half empty.
    let mut left = small.limit().max(packing.weight());
    while left > 0
        && let Some(group) = small.next_to_rewrite()
    {
        let before = packing.weight();
        if packing.rewrite(index, files, group).is_err() {
            // They stay as they are until there is less in them.
            break;
        }
        left = left.saturating_sub(packing.weight() - before);
    }
    small.doubt(packing.new.iter().map(|pack| pack.file));
    packing
}

/// Writes one pack anew, if that works.
pub(super) fn rewrite(
    index: &Index,
    files: &Arc<ObjectFiles>,
    small: &mut SmallObjects,
    first_slot: u64,
) -> Packing {
    let mut packing = Packing::default();
    // Where it does not, there was no room, or the index is the next to say what is wrong.
    let _stays = packing.rewrite(index, files, vec![first_slot]);
    small.doubt(packing.new.iter().map(|pack| pack.file));
    packing
}

/// Objects of the batch that are kept with it.
fn inline_objects(batch: &[Change]) -> impl Iterator<Item = &Arc<Object>> {
    batch.iter().filter_map(|change| match change {
        Change::ObjectStored {
            object,
            place: None,
            ..
        } => Some(object),
        _ => None,
    })
}

impl Packing {
    fn weight(&self) -> u64 {
        let entries = self.new.iter().flat_map(|pack| &pack.entries);
        entries.map(|entry| weight(entry.len.into())).sum()
    }

    /// All small objects that are in the index, and the batch's.
    fn pack(
        &mut self,
        index: &Index,
        files: &Arc<ObjectFiles>,
        small: &mut SmallObjects,
        batch: &[Change],
        all: u64,
    ) -> Result<(), BackendError> {
        let mut writer = PackWriter::new(files, small.limit(), all);
        let mut moved = 0;
        for row in index.read()?.open_table(SMALL)?.iter()? {
            let (slot, bytes) = row?;
            writer.add(slot.value(), bytes.value())?;
            moved += bytes.value().len() as i64;
        }
        let mut slots = VecDeque::new();
        for object in inline_objects(batch) {
            let slot = match bytes(object) {
                Ok(bytes) => {
                    let slot = small.new_slot();
                    writer.add(slot, &bytes)?;
                    Some(slot)
                }
                Err(IntegrityError) => None,
            };
            slots.push_back(slot);
        }
        self.new.extend(writer.finish()?);
        (self.moved, self.slots) = (Some(moved), Some(slots));
        Ok(())
    }

    /// What is left of these packs, in one.
    fn rewrite(
        &mut self,
        index: &Index,
        files: &Arc<ObjectFiles>,
        group: Vec<u64>,
    ) -> Result<(), BackendError> {
        let transaction = index.read()?;
        let packs = transaction.open_table(PACKS)?;
        let objects = transaction.open_table(OBJECTS)?;
        let mut writer = PackWriter::new(files, u64::MAX, 0);
        for first_slot in &group {
            let row = packs.get(first_slot)?.ok_or_else(rows::damaged)?;
            let (file, entries) = rows::decode_pack(row.value())?;
            let spans: Vec<Span> = pack_file::spans(&entries).collect();
            let file = files.open_file(file)?;
            let mut slots = spans.iter().map(|span| span.slot);
            pack_file::read(&*file, &spans, &mut |bytes| match (slots.next(), bytes) {
                (Some(slot), Some(bytes)) if is_kept(&objects, slot, bytes)? => {
                    writer.add(slot, bytes)
                }
                // It has been removed, or is damaged: then it is missed at the next start.
                _ => Ok(()),
            })?;
        }
        self.new.extend(writer.finish()?);
        self.replaced.extend(group);
        Ok(())
    }

    /// Has the index say it, and whoever asks where things are. Before the batch.
    ///
    /// Returns files that are of no use once that is durable, and by how many bytes there is less in
    /// the index.
    pub(super) fn apply(
        &self,
        transaction: &WriteTransaction,
        small: &mut SmallObjects,
    ) -> Result<(Vec<u64>, i64), BackendError> {
        if self.moved.is_some() {
            // All at once. Whoever opens it next makes an empty one.
            transaction.delete_table(SMALL)?;
            small.moved();
        }
        let mut obsolete = Vec::new();
        if !self.is_empty() {
            let mut packs = transaction.open_table(PACKS)?;
            for first_slot in &self.replaced {
                packs.remove(first_slot)?;
                obsolete.extend(small.remove_pack(*first_slot).map(|pack| pack.file));
            }
            for pack in &self.new {
                let row = rows::encode_pack(pack.file, &pack.entries);
                let first_slot = pack.entries.first().map_or(0, |entry| entry.slot);
                packs.insert(first_slot, &row[..])?;
                small.add_pack(first_slot, Pack::new(pack.file, &pack.entries));
            }
        }
        Ok((obsolete, self.moved.unwrap_or(0)))
    }

    /// Whether no pack changes.
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.replaced.is_empty()
    }

    /// Where the next small object of the batch is, if it is in a pack already.
    pub(super) fn next_slot(&mut self) -> Option<Result<u64, IntegrityError>> {
        let slot = self.slots.as_mut()?.pop_front()?;
        Some(slot.ok_or(IntegrityError))
    }
}

/// Whether the index has an object with these bytes in this slot.
fn is_kept(
    objects: &ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    slot: u64,
    bytes: &[u8],
) -> Result<bool, BackendError> {
    let Some(row) = objects.get(Address::of(bytes).as_bytes())? else {
        return Ok(false);
    };
    Ok(ObjectRow::decode(row.value())?.place == Place::Slot(slot))
}

/// A small object's bytes, verified.
pub(super) fn bytes(object: &Arc<Object>) -> Result<bytes::Bytes, IntegrityError> {
    let mut reader = object.read(0..object.size());
    let first = reader.next_piece()?.unwrap_or_default();
    if reader.remaining() == 0 {
        return Ok(first);
    }
    let mut all = first.to_vec();
    while let Some(piece) = reader.next_piece()? {
        all.extend_from_slice(&piece);
    }
    Ok(all.into())
}
