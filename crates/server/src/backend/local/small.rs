//! Where the bytes of small objects are.
//!
//! Each small object has a slot: a number that is above all that were given out before it. Its
//! bytes are in the index at first, where they are durable with their batch, and move to a *pack*
//! with all others that are there as soon as they are a few megabytes: a file that has one object
//! behind the other and is read in one go at a start. The row of an object names its slot, and the
//! row of a pack says which slots it has, so that moving is making one row, however many objects
//! move.
//!
//! An object that is removed leaves a hole in its pack. One that is half holes is written anew
//! without, together with its neighbours if they are small ([`packing`](super::packing)).
//!
//! What is counted here is for deciding when to do that. What the index says is what counts.

use std::collections::{BTreeMap, BTreeSet};

use micronode_protocol::limits::{PACK_BYTES, PACK_OBJECT_BYTES};
use redb::ReadableTable;

use super::index::{Index, PACKS, SMALL};
use super::object_files::ObjectFiles;
use super::rows::{self, Entry};
use crate::backend::BackendError;

/// So much of a pack is worth writing one anew for, where there is little room.
const WORTH_IT: u64 = 16;

/// What an object of so many bytes counts in a pack.
pub(super) fn weight(bytes: u64) -> u64 {
    bytes + PACK_OBJECT_BYTES
}

/// A file of small objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pack {
    pub(super) file: u64,
    last_slot: u64,
    /// Weight of all that is in the file.
    all: u64,
    /// Weight of objects that there still are, or a guess.
    used: u64,
}

impl Pack {
    pub(super) fn new(file: u64, entries: &[Entry]) -> Self {
        let weights = entries.iter().map(|entry| weight(entry.len.into()));
        let all = weights.sum();
        Self {
            file,
            last_slot: entries.last().map_or(0, |entry| entry.slot),
            all,
            used: all,
        }
    }

    fn unused(&self) -> u64 {
        self.all.saturating_sub(self.used)
    }

    fn is_half_empty(&self) -> bool {
        self.unused() * 2 > self.all
    }
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct SmallObjects {
    /// The weight from which bytes move to a pack, and half of what no pack exceeds.
    limit: u64,
    next_slot: u64,
    /// Weight of what is in the index.
    inline: u64,
    /// Packs by their first slot.
    packs: BTreeMap<u64, Pack>,
    /// First slots of those that are half empty or more.
    half_empty: BTreeSet<u64>,
    /// Files of packs that the index may name or not, as long as a batch is written.
    in_doubt: Vec<u64>,
    /// The last try to make a pack has failed, with so much in the index.
    failed_at: Option<u64>,
}

impl SmallObjects {
    /// What the index has.
    pub(super) fn read(index: &Index) -> Result<Self, BackendError> {
        let mut small = Self {
            limit: PACK_BYTES,
            ..Self::default()
        };
        small.read_again(index)?;
        Ok(small)
    }

    fn read_again(&mut self, index: &Index) -> Result<(), BackendError> {
        let transaction = index.read()?;
        let before = std::mem::take(&mut self.packs).into_values();
        let used: BTreeMap<u64, u64> = before.map(|pack| (pack.file, pack.used)).collect();
        self.half_empty.clear();
        for row in transaction.open_table(PACKS)?.iter()? {
            let (first_slot, row) = row?;
            let (file, entries) = rows::decode_pack(row.value())?;
            let mut pack = Pack::new(file, &entries);
            pack.used = used.get(&file).copied().unwrap_or(pack.used);
            self.add_pack(first_slot.value(), pack);
        }
        self.inline = 0;
        for row in transaction.open_table(SMALL)?.iter()? {
            let (slot, bytes) = row?;
            self.inline += weight(bytes.value().len() as u64);
            self.next_slot = self.next_slot.max(slot.value() + 1);
        }
        Ok(())
    }

    /// After an error and opening the index anew: what has become of what was in doubt. Files that
    /// the index does not name are removed.
    pub(super) fn settle(
        &mut self,
        index: &Index,
        files: &ObjectFiles,
    ) -> Result<(), BackendError> {
        let mut doubtful: BTreeSet<u64> = self.in_doubt.iter().copied().collect();
        doubtful.extend(self.packs.values().map(|pack| pack.file));
        self.read_again(index)?;
        for pack in self.packs.values() {
            doubtful.remove(&pack.file);
        }
        for file in doubtful {
            files.remove(file);
        }
        self.in_doubt.clear();
        Ok(())
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn set_limit(&mut self, weight: u64) {
        self.limit = weight;
    }

    pub(super) fn new_slot(&mut self) -> u64 {
        let slot = self.next_slot;
        self.next_slot += 1;
        slot
    }

    /// An object's bytes are in the index.
    pub(super) fn kept_inline(&mut self, bytes: u64) {
        self.inline += weight(bytes);
    }

    /// They are no more.
    pub(super) fn removed_inline(&mut self, bytes: u64) {
        self.inline = self.inline.saturating_sub(weight(bytes));
    }

    /// All that was in the index has moved.
    pub(super) fn moved(&mut self) {
        self.inline = 0;
        self.failed_at = None;
    }

    /// What there is to be put into packs, if it is so much that it should, with objects of this
    /// weight that are new.
    pub(super) fn to_be_packed(&self, new: u64) -> Option<u64> {
        let all = self.inline + new;
        // What failed is not tried again with every batch.
        let least = self.failed_at.unwrap_or(0) + self.limit;
        (all >= least).then_some(all)
    }

    /// Making a pack has failed: it is tried again when there is as much again.
    pub(super) fn put_off(&mut self) {
        self.failed_at = Some(self.inline);
    }

    pub(super) fn packs(&self) -> &BTreeMap<u64, Pack> {
        &self.packs
    }

    /// The first slot of the pack that has this one among its own.
    pub(super) fn pack_of(&self, slot: u64) -> Option<u64> {
        let (first_slot, pack) = self.packs.range(..=slot).next_back()?;
        (slot <= pack.last_slot).then_some(*first_slot)
    }

    pub(super) fn add_pack(&mut self, first_slot: u64, pack: Pack) {
        self.next_slot = self.next_slot.max(pack.last_slot + 1);
        self.packs.insert(first_slot, pack);
        self.set_used(first_slot, pack.used);
    }

    pub(super) fn remove_pack(&mut self, first_slot: u64) -> Option<Pack> {
        self.half_empty.remove(&first_slot);
        self.packs.remove(&first_slot)
    }

    /// An object that was in this pack has gone.
    pub(super) fn removed_from(&mut self, first_slot: u64, bytes: u64) {
        if let Some(pack) = self.packs.get(&first_slot) {
            self.set_used(first_slot, pack.used.saturating_sub(weight(bytes)));
        }
    }

    /// So much of this pack is objects that there are.
    pub(super) fn set_used(&mut self, first_slot: u64, weight: u64) {
        if let Some(pack) = self.packs.get_mut(&first_slot) {
            pack.used = weight;
            if pack.is_half_empty() {
                self.half_empty.insert(first_slot);
            } else {
                self.half_empty.remove(&first_slot);
            }
        }
    }

    /// The index may name these files from now on, or not.
    pub(super) fn doubt(&mut self, files: impl IntoIterator<Item = u64>) {
        self.in_doubt.extend(files);
    }

    /// It does.
    pub(super) fn is_settled(&mut self) {
        self.in_doubt.clear();
    }

    /// Packs that are to be written anew as one: one that is half empty, and its neighbours as long
    /// as what is left of all is no more than a pack.
    pub(super) fn next_to_rewrite(&mut self) -> Option<Vec<u64>> {
        let first_slot = self.half_empty.pop_first()?;
        let mut together = 0;
        let mut fits = |(_, pack): &(&u64, &Pack)| {
            let is_fit = together + pack.used <= self.limit;
            together += if is_fit { pack.used } else { 0 };
            is_fit
        };
        let from_here = self.packs.range(first_slot..).take_while(&mut fits);
        let mut group: Vec<u64> = from_here.map(|(first_slot, _)| *first_slot).collect();
        let before = self.packs.range(..first_slot).rev().take_while(&mut fits);
        group.extend(before.map(|(first_slot, _)| *first_slot));
        group.sort_unstable();
        Some(group)
    }

    /// The pack with most room in it that is not used, if it is worth writing one anew for it.
    pub(super) fn emptiest(&self) -> Option<u64> {
        let emptiest = self.packs.iter().max_by_key(|(_, pack)| pack.unused())?;
        (emptiest.1.unused() >= self.limit / WORTH_IT).then_some(*emptiest.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 100_000;

    /// Packs with slots 10, 20, …, of which this share in percent is used.
    fn packs(used: &[u64]) -> SmallObjects {
        let mut small = SmallObjects {
            limit: LIMIT,
            ..SmallObjects::default()
        };
        for (file, percent) in (1..).zip(used) {
            let len = u32::try_from(LIMIT).unwrap_or(0);
            let entry = |slot| Entry { slot, len };
            let pack = Pack::new(file, &[entry(file * 10), entry(file * 10 + 4)]);
            small.add_pack(file * 10, pack);
            small.set_used(file * 10, LIMIT * percent / 100);
        }
        small
    }

    #[test]
    fn a_slot_is_in_the_pack_whose_range_it_is_in() {
        let small = packs(&[100, 100]);
        let found = [9, 10, 14, 15, 20, 24, 25].map(|slot| small.pack_of(slot));
        let expected = [None, Some(10), Some(10), None, Some(20), Some(20), None];
        assert_eq!(found, expected);
    }

    #[test]
    fn new_slots_are_above_all_there_are() {
        assert_eq!(packs(&[]).new_slot(), 0);
        let mut small = packs(&[100, 100]);
        assert_eq!((small.new_slot(), small.new_slot()), (25, 26));
    }

    #[test]
    fn neighbours_are_written_anew_together_while_they_fit() {
        // Each file has twice the limit.
        assert_eq!(packs(&[150, 120]).next_to_rewrite(), None);
        let mut small = packs(&[150, 50, 30, 20, 30]);
        assert_eq!(small.next_to_rewrite(), Some(vec![20, 30, 40]));
        let mut small = packs(&[60, 30, 150]);
        assert_eq!(small.next_to_rewrite(), Some(vec![10, 20]));
        assert_eq!(small.next_to_rewrite(), Some(vec![10, 20]));
        assert_eq!(small.next_to_rewrite(), None);
    }

    #[test]
    fn what_failed_is_tried_again_with_as_much_more() {
        let mut small = packs(&[]);
        small.kept_inline(LIMIT - 2 * PACK_OBJECT_BYTES);
        assert_eq!(small.to_be_packed(0), None);
        assert_eq!(small.to_be_packed(PACK_OBJECT_BYTES), Some(LIMIT));
        small.put_off();
        assert_eq!(small.to_be_packed(LIMIT - 1), None);
        let all = 2 * LIMIT - PACK_OBJECT_BYTES;
        assert_eq!(small.to_be_packed(LIMIT), Some(all));
        small.moved();
        assert_eq!(small.to_be_packed(LIMIT), Some(LIMIT));
    }

    #[test]
    fn the_emptiest_pack_is_found_where_it_is_worth_it() {
        assert_eq!(packs(&[190, 150, 180]).emptiest(), Some(20));
        assert_eq!(packs(&[199, 198]).emptiest(), None);
        assert_eq!(packs(&[]).emptiest(), None);
    }
}
