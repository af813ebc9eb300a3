//! The part of a batch that is about objects.

use std::collections::BTreeSet;
use std::sync::Arc;

use micronode_engine::{IntegrityError, Object};
use micronode_protocol::Address;
use redb::{ReadableTable, Table, WriteTransaction};

use super::{Bytes, Kept};
use crate::backend::local::index::{OBJECTS, SMALL};
use crate::backend::local::packing::{self, Packing};
use crate::backend::local::rows::{ObjectRow, Place};
use crate::backend::local::small::SmallObjects;
use crate::backend::{BackendError, Committed};

/// The tables while a batch is written.
pub(super) struct Objects<'t> {
    rows: Table<'t, &'static [u8; 32], Bytes>,
    /// Bytes of small objects.
    inline: Table<'t, u64, Bytes>,
    small: &'t mut SmallObjects,
    packing: Packing,
    obsolete: &'t mut BTreeSet<u64>,
    pub(super) next_file: u64,
    pub(super) freed: i64,
    pub(super) committed: Committed,
}

impl<'t> Objects<'t> {
    pub(super) fn begin(
        transaction: &'t WriteTransaction,
        small: &'t mut SmallObjects,
        packing: Packing,
        obsolete: &'t mut BTreeSet<u64>,
    ) -> Result<Self, BackendError> {
        Ok(Self {
            rows: transaction.open_table(OBJECTS)?,
            inline: transaction.open_table(SMALL)?,
            small,
            packing,
            obsolete,
            next_file: 0,
            freed: 0,
            committed: Committed::default(),
        })
    }

    pub(super) fn store(
        &mut self,
        object: &Arc<Object>,
        file: Option<u64>,
        expires_at_wall_ms: Option<u64>,
    ) -> Kept {
        // What was there goes in any case: it is replaced because it was damaged, or expired.
        self.remove(object.address())?;
        let place = match file {
            Some(file) => {
                self.next_file = self.next_file.max(file + 1);
                // Committed before, by a batch of which nobody heard that it was.
                self.obsolete.remove(&file);
                Place::File(file)
            }
            None => match self.keep_bytes(object)? {
                Ok(slot) => Place::Slot(slot),
                Err(IntegrityError) => {
                    self.committed.damaged += 1;
                    return Ok(());
                }
            },
        };
        let row = ObjectRow {
            place,
            size: object.size(),
            stored_at_wall_ms: object.stored_at_wall_ms(),
            expires_at_wall_ms,
            media_type: object.media_type().unwrap_or_default(),
        };
        let row = row.encode();
        self.rows.insert(object.address().as_bytes(), &row[..])?;
        Ok(())
    }

    /// Has a small object's bytes kept, if they are not in a pack already; its slot.
    fn keep_bytes(
        &mut self,
        object: &Arc<Object>,
    ) -> Result<Result<u64, IntegrityError>, BackendError> {
        if let Some(packed) = self.packing.next_slot() {
            return Ok(packed);
        }
        let bytes = match packing::bytes(object) {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Err(error)),
        };
        let slot = self.small.new_slot();
        self.inline.insert(slot, &bytes[..])?;
        self.small.kept_inline(object.size());
        self.freed -= bytes.len() as i64;
        Ok(Ok(slot))
    }

    pub(super) fn extend(&mut self, address: &Address, expires_at_wall_ms: Option<u64>) -> Kept {
        let Some(row) = self.rows.get(address.as_bytes())? else {
            return Ok(());
        };
        let extended = ObjectRow {
            expires_at_wall_ms,
            ..ObjectRow::decode(row.value())?
        };
        let extended = extended.encode();
        drop(row);
        self.rows.insert(address.as_bytes(), &extended[..])?;
        Ok(())
    }

    pub(super) fn remove(&mut self, address: &Address) -> Kept {
        let Some(row) = self.rows.remove(address.as_bytes())? else {
            return Ok(());
        };
        let ObjectRow { place, size, .. } = ObjectRow::decode(row.value())?;
        match place {
            Place::File(file) => drop(self.obsolete.insert(file)),
            Place::Slot(slot) => match self.small.pack_of(slot) {
                Some(pack) => self.small.removed_from(pack, size),
                None => {
                    if let Some(row) = self.inline.remove(slot)? {
                        self.small.removed_inline(size);
                        self.freed += row.value().len() as i64;
                    }
                }
            },
        }
        Ok(())
    }
}
