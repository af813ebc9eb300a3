//! Which objects come back, and where each is to be read: found in one pass over their rows.

use std::collections::{BTreeMap, HashMap, HashSet};

use redb::ReadableTable;

use crate::backend::BackendError;
use crate::backend::local::index::{Index, NAMES, OBJECTS};
use crate::backend::local::rows::{self, ObjectRow, Place};
use crate::backend::local::small::SmallObjects;

/// Files of large objects, and small objects of the index, that one thread takes at a time.
const AT_ONCE: usize = 32;

/// Objects by address, and where their bytes are.
pub(super) type Places = HashMap<[u8; 32], Place>;

/// An object that is to come back.
pub(super) struct Wanted {
    pub(super) address: [u8; 32],
    pub(super) place: Place,
    pub(super) size: u64,
    pub(super) stored_at_wall_ms: u64,
    pub(super) expires_at_wall_ms: Option<u64>,
    pub(super) media_type: Option<Box<str>>,
}

/// What one thread reads in one go.
pub(super) enum Job {
    /// Objects of this pack, by its first slot, in the order of slots.
    Pack(u64, Vec<Wanted>),
    /// Objects that are elsewhere.
    Others(Vec<Wanted>),
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Plan {
    /// Objects that names point at. They come first.
    pub(super) named: Jobs,
    pub(super) rest: Jobs,
    /// Objects whose time is over, and that no name keeps.
    pub(super) expired: Places,
}

/// What is to be read, ordered by where it is.
#[derive(Default)]
pub(super) struct Jobs {
    packs: BTreeMap<u64, Vec<Wanted>>,
    others: Vec<Wanted>,
}

impl Plan {
    pub(super) fn new(
        index: &Index,
        small: &SmallObjects,
        now_wall_ms: u64,
    ) -> Result<Self, BackendError> {
        let transaction = index.read()?;
        let mut named = HashSet::new();
        for row in transaction.open_table(NAMES)?.iter()? {
            let (address, _) = rows::decode_name(row?.1.value())?;
            named.insert(*address.as_bytes());
        }
        let mut plan = Self::default();
        for row in transaction.open_table(OBJECTS)?.iter()? {
            let (address, row) = row?;
            let address = *address.value();
            let row = ObjectRow::decode(row.value())?;
            let is_named = named.contains(&address);
            let is_over = row.expires_at_wall_ms.is_some_and(|at| at <= now_wall_ms);
            if is_over && !is_named {
                plan.expired.insert(address, row.place);
            } else if is_named {
                plan.named.add(small, address, &row);
            } else {
                plan.rest.add(small, address, &row);
            }
        }
        Ok(plan)
    }
}

impl Jobs {
    fn add(&mut self, small: &SmallObjects, address: [u8; 32], row: &ObjectRow<'_>) {
        let pack = match row.place {
            Place::Slot(slot) => small.pack_of(slot),
            Place::File(_) => None,
        };
        let together = match pack {
            Some(first_slot) => self.packs.entry(first_slot).or_default(),
            None => &mut self.others,
        };
        together.push(Wanted {
            address,
            place: row.place,
            size: row.size,
            stored_at_wall_ms: row.stored_at_wall_ms,
            expires_at_wall_ms: row.expires_at_wall_ms,
            media_type: (!row.media_type.is_empty()).then(|| row.media_type.into()),
        });
    }

    /// One after another; what has been read is let go of.
    pub(super) fn into_jobs(mut self) -> impl Iterator<Item = Job> {
        let packs = self.packs.into_iter().map(|(first_slot, mut wanted)| {
            wanted.sort_unstable_by_key(|object| object.place.number());
            Job::Pack(first_slot, wanted)
        });
        let others = std::iter::from_fn(move || {
            let from = self.others.len().saturating_sub(AT_ONCE);
            let some = self.others.split_off(from);
            (!some.is_empty()).then_some(Job::Others(some))
        });
        others.chain(packs)
    }
}
