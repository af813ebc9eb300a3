//! Random commands against a plain map that follows the documented rules.
//!
//! The model knows nothing of shards, locks, orders or groups; it predicts every outcome exactly,
//! evictions, refusals and what an observer is told included.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use micronode_engine::{
    DeleteError, Eviction, GetError, IntegrityError, MemoryKind, NotFound, Object, Pinned,
    PutError, PutHead, Store, StoreEvent, Why,
};
use micronode_protocol::Address;
use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::{GROUP, MIB, WALL_MS, assert_empty, at, cost, read, sample, store_of};

static CONTENTS: LazyLock<Vec<(Address, Vec<u8>)>> = LazyLock::new(|| {
    [
        0,
        1,
        1000,
        GROUP - 1,
        GROUP,
        GROUP + 1,
        2 * GROUP,
        2 * GROUP + 777,
    ]
    .into_iter()
    .enumerate()
    .map(|(i, len)| sample(len, i as u8))
    .map(|bytes| (Address::of(&bytes), bytes))
    .collect()
});

const MEDIA_TYPES: [Option<&str>; 3] = [None, Some("text/plain"), Some("application/x-longer")];

#[derive(Clone, Debug)]
enum Command {
    Put {
        content: Index,
        declared: bool,
        wrong: bool,
        ttl_ms: Option<u64>,
        media: Index,
        piece: usize,
    },
    Abandon {
        content: Index,
        declared: bool,
        after: Index,
    },
    Read {
        content: Index,
        from: Index,
        to: Index,
    },
    Has {
        content: Index,
    },
    Delete {
        content: Index,
    },
    Corrupt {
        content: Index,
        offset: Index,
    },
    /// Keep a reader's handle, or let the oldest go.
    Hold {
        content: Index,
    },
    Release,
    Pin {
        content: Index,
    },
    Unpin {
        which: Index,
    },
    Expire,
    Advance {
        ms: u64,
    },
}

fn command() -> impl Strategy<Value = Command> {
    let content = any::<Index>;
    prop_oneof![
        8 => (content(), any::<bool>(), prop::bool::weighted(0.1), prop::option::of(1..60_u64), content(), 1..200_000_usize)
            .prop_map(|(content, declared, wrong, ttl_ms, media, piece)| {
                Command::Put { content, declared, wrong, ttl_ms, media, piece }
            }),
        1 => (content(), any::<bool>(), content())
            .prop_map(|(content, declared, after)| Command::Abandon { content, declared, after }),
        5 => (content(), content(), content())
            .prop_map(|(content, from, to)| Command::Read { content, from, to }),
        1 => content().prop_map(|content| Command::Has { content }),
        2 => content().prop_map(|content| Command::Delete { content }),
        1 => (content(), content()).prop_map(|(content, offset)| Command::Corrupt { content, offset }),
        1 => content().prop_map(|content| Command::Hold { content }),
        1 => Just(Command::Release),
        2 => content().prop_map(|content| Command::Pin { content }),
        2 => content().prop_map(|which| Command::Unpin { which }),
        1 => Just(Command::Expire),
        3 => (0..30_u64).prop_map(|ms| Command::Advance { ms }),
    ]
}

/// One copy of an object, which may outlive its place in the map.
#[derive(Clone, Debug)]
struct Copy {
    content: usize,
    media_type: Option<&'static str>,
    expires_ms: Option<u64>,
    accessed_ms: u64,
    damaged_group: Option<usize>,
    quarantined: bool,
}

impl Copy {
    fn cost(&self) -> u64 {
        cost(CONTENTS[self.content].1.len() as u64, self.media_type)
    }

    fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|deadline| deadline <= now_ms)
    }

    /// What is pinned beyond its time may go any moment.
    fn expires_at_wall_ms(&self, now_ms: u64) -> Option<u64> {
        self.expires_ms.map(|ms| ms.max(now_ms) + WALL_MS)
    }

    /// Reads as the store would: whether all groups of the range are intact.
    fn read(&mut self, range: &Range<u64>, failures: &mut u64) -> bool {
        let groups = range.start as usize / GROUP..(range.end as usize).div_ceil(GROUP);
        if range.is_empty() {
            return true;
        }
        if !self.quarantined
            && self
                .damaged_group
                .is_some_and(|group| groups.contains(&group))
        {
            self.quarantined = true;
            *failures += 1;
        }
        !self.quarantined
    }
}

struct Model {
    evicts: bool,
    limit: u64,
    now_ms: u64,
    copies: BTreeMap<u64, Copy>,
    next_copy: u64,
    /// Which copy is to be found under an address (here: the index of its content).
    stored: HashMap<usize, u64>,
    held: Vec<(u64, Arc<Object>)>,
    pins: Vec<(usize, Pinned)>,
    events: Vec<StoreEvent>,
    evicted_lru: u64,
    evicted_expired: u64,
    failures: u64,
}

impl Model {
    fn is_pinned(&self, content: usize) -> bool {
        self.pins.iter().any(|(pinned, _)| *pinned == content)
    }

    fn present(&mut self, content: usize) -> Option<&mut Copy> {
        let now_ms = self.now_ms;
        let is_pinned = self.is_pinned(content);
        let copy = self.copies.get_mut(self.stored.get(&content)?)?;
        (is_pinned || !copy.is_expired(now_ms)).then_some(copy)
    }

    /// What is stored and may go by itself.
    fn unpinned(&self) -> impl Iterator<Item = (usize, &Copy)> {
        self.stored
            .iter()
            .filter(|(content, _)| !self.is_pinned(**content))
            .map(|(content, id)| (*content, &self.copies[id]))
    }

    /// What is charged for what may not.
    fn pinned_bytes(&self) -> u64 {
        self.stored
            .iter()
            .filter(|(content, _)| self.is_pinned(**content))
            .map(|(_, id)| self.copies[id].cost())
            .sum()
    }

    /// Copies in memory: stored, or held by a reader.
    fn committed(&self) -> u64 {
        self.copies.values().map(Copy::cost).sum()
    }

    /// Removes what is stored, for a reason that is told.
    fn delete(&mut self, content: usize, why: Why) -> Copy {
        let address = CONTENTS[content].0;
        self.events.push(StoreEvent::Deleted { address, why });
        self.remove(content)
    }

    fn remove(&mut self, content: usize) -> Copy {
        let id = self.stored.remove(&content).unwrap();
        let copy = self.copies[&id].clone();
        self.drop_unused(id);
        copy
    }

    fn drop_unused(&mut self, id: u64) {
        let used = self.stored.values().any(|stored| *stored == id)
            || self.held.iter().any(|(held, _)| *held == id);
        if !used {
            self.copies.remove(&id);
        }
    }

    fn expire(&mut self) -> usize {
        let mut due: Vec<usize> = self
            .unpinned()
            .filter(|(_, copy)| copy.is_expired(self.now_ms))
            .map(|(content, _)| content)
            .collect();
        due.sort_by_key(|content| {
            let copy = &self.copies[&self.stored[content]];
            (copy.expires_ms, CONTENTS[*content].0)
        });
        for content in &due {
            self.delete(*content, Why::Expired);
            self.evicted_expired += 1;
        }
        due.len()
    }

    fn evict_one(&mut self) -> Option<u64> {
        let (content, _) = self
            .unpinned()
            .min_by_key(|(content, copy)| (copy.accessed_ms, CONTENTS[*content].0))?;
        self.evicted_lru += 1;
        Some(self.delete(content, Why::Evicted).cost())
    }

    /// Whether `bytes` can be had for an upload, after making the room that is allowed.
    fn make_room(&mut self, bytes: u64, reserve: bool) -> bool {
        let missing = |model: &Self| bytes.saturating_sub(model.limit - model.committed());
        if missing(self) == 0 {
            return true;
        }
        self.expire();
        let lasting = if self.evicts {
            self.pinned_bytes()
        } else {
            self.committed()
        };
        let obtainable = self.limit - lasting;
        if bytes > obtainable {
            return false;
        }
        if !reserve {
            return true;
        }
        for _ in 0..4 {
            let missing = missing(self);
            if missing == 0 {
                return true;
            }
            let mut evicted = 0;
            while evicted < missing {
                match self.evict_one() {
                    Some(charged) => evicted += charged,
                    None if evicted == 0 => return false,
                    None => break,
                }
            }
        }
        missing(self) == 0
    }

    /// Admits the first `arrived` bytes of an upload.
    fn admit(&mut self, media_type: Option<&str>, declared: Option<u64>, arrived: u64) -> bool {
        if let Some(declared) = declared {
            let cost = cost(declared, media_type);
            return self.make_room(cost, false) && self.make_room(cost, true);
        }
        let groups = arrived.div_ceil(GROUP as u64);
        // What earlier groups took stays reserved, so asking for all of it anew is the same.
        (0..=groups).all(|groups| self.make_room(cost(groups * GROUP as u64, media_type), true))
    }

    /// Whether a damaged copy is there whose media type is too long to be kept beside it.
    fn cannot_heal(&mut self, content: usize) -> bool {
        let free = self.limit - self.committed();
        self.present(content)
            .is_some_and(|copy| copy.quarantined && copy.cost() > free)
    }

    fn put(
        &mut self,
        content: usize,
        media_type: Option<&'static str>,
        ttl_ms: Option<u64>,
    ) -> (bool, Option<u64>) {
        let now_ms = self.now_ms;
        let later = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.max(b));
        let mut new = Copy {
            content,
            media_type,
            expires_ms: ttl_ms.map(|ttl| now_ms + ttl),
            accessed_ms: now_ms,
            damaged_group: None,
            quarantined: false,
        };
        if let Some(present) = self.present(content) {
            let expires_ms = later(present.expires_ms, new.expires_ms);
            if !present.quarantined {
                present.expires_ms = expires_ms;
                present.accessed_ms = now_ms;
                return (true, present.expires_at_wall_ms(now_ms));
            }
            new.media_type = present.media_type;
            new.expires_ms = expires_ms;
            self.remove(content);
        } else if self.stored.contains_key(&content) {
            self.delete(content, Why::Expired);
            self.evicted_expired += 1;
        }
        let (address, bytes) = &CONTENTS[content];
        self.events.push(StoreEvent::Put {
            address: *address,
            size: bytes.len() as u64,
        });
        let expires_at_wall_ms = new.expires_at_wall_ms(now_ms);
        self.copies.insert(self.next_copy, new);
        self.stored.insert(content, self.next_copy);
        self.next_copy += 1;
        (false, expires_at_wall_ms)
    }
}

fn range_of(len: usize, from: Index, to: Index) -> Range<u64> {
    let (from, to) = (from.index(len + 1) as u64, to.index(len + 1) as u64);
    from.min(to)..from.max(to)
}

fn step(store: &Store, model: &mut Model, command: &Command) {
    let now = at(model.now_ms);
    let pick = |content: &Index| content.index(CONTENTS.len());
    match command {
        Command::Put {
            content,
            declared,
            wrong,
            ttl_ms,
            media,
            piece,
        } => {
            let content = pick(content);
            let (address, bytes) = &CONTENTS[content];
            let media_type = MEDIA_TYPES[media.index(MEDIA_TYPES.len())];
            let declared = declared.then_some(bytes.len() as u64);
            let expected = if *wrong {
                Address::of(b"wrong")
            } else {
                *address
            };
            let head = PutHead {
                expected: Some(expected),
                declared,
                ttl_ms: *ttl_ms,
                media_type,
            };
            let outcome = store.begin_put(now, head).and_then(|mut upload| {
                bytes
                    .chunks(*piece)
                    .try_for_each(|piece| upload.write(piece))?;
                upload.finish(now)
            });
            if !model.admit(media_type, declared, bytes.len() as u64) {
                assert!(
                    matches!(outcome, Err(PutError::OverBudget(_))),
                    "{outcome:?}"
                );
            } else if *wrong {
                assert_eq!(outcome, Err(PutError::DigestMismatch));
            } else if model.cannot_heal(content) {
                assert!(
                    matches!(outcome, Err(PutError::OverBudget(_))),
                    "{outcome:?}"
                );
            } else {
                let stored = outcome.unwrap();
                let (existed, expires_at_wall_ms) = model.put(content, media_type, *ttl_ms);
                assert_eq!(
                    (stored.address, stored.size),
                    (*address, bytes.len() as u64)
                );
                assert_eq!(stored.existed, existed);
                assert_eq!(stored.expires_at_wall_ms, expires_at_wall_ms);
            }
        }
        Command::Abandon {
            content,
            declared,
            after,
        } => {
            let bytes = &CONTENTS[pick(content)].1;
            let after = after.index(bytes.len() + 1);
            let declared = declared.then_some(bytes.len() as u64);
            let head = PutHead {
                declared,
                ..PutHead::default()
            };
            let outcome = store
                .begin_put(now, head)
                .and_then(|mut upload| upload.write(&bytes[..after]));
            assert_eq!(outcome.is_ok(), model.admit(None, declared, after as u64));
        }
        Command::Read { content, from, to } => {
            let content = pick(content);
            let (address, bytes) = &CONTENTS[content];
            let found = store.get(now, address);
            let now_ms = model.now_ms;
            let mut failures = model.failures;
            match model.present(content) {
                None => assert_eq!(found.err(), Some(GetError::NotFound(NotFound))),
                Some(copy) if copy.quarantined => {
                    assert_eq!(found.err(), Some(GetError::Integrity(IntegrityError)));
                }
                Some(copy) => {
                    copy.accessed_ms = now_ms;
                    let object = found.unwrap();
                    assert_eq!(object.media_type(), copy.media_type);
                    assert_eq!(
                        object.expires_at_wall_ms(now),
                        copy.expires_at_wall_ms(now_ms)
                    );
                    let range = range_of(bytes.len(), *from, *to);
                    let expected = copy
                        .read(&range, &mut failures)
                        .then(|| &bytes[range.start as usize..range.end as usize]);
                    assert_eq!(read(&object, range).ok().as_deref(), expected);
                }
            }
            model.failures = failures;
        }
        Command::Has { content } => {
            let content = pick(content);
            let readable = model.present(content).is_some_and(|copy| !copy.quarantined);
            assert_eq!(store.has(now, &CONTENTS[content].0), readable);
        }
        Command::Delete { content } => {
            let content = pick(content);
            let expected = if model.present(content).is_none() {
                Err(DeleteError::NotFound)
            } else if model.is_pinned(content) {
                Err(DeleteError::Pinned)
            } else {
                Ok(())
            };
            assert_eq!(store.delete(now, &CONTENTS[content].0), expected);
            if expected.is_ok() {
                model.delete(content, Why::Deleted);
            }
        }
        Command::Corrupt { content, offset } => {
            let content = pick(content);
            let (address, bytes) = &CONTENTS[content];
            let offset = offset.index(bytes.len() + 1);
            let damaged = store.corrupt(address, offset as u64);
            assert_eq!(
                damaged,
                model.stored.contains_key(&content) && offset < bytes.len()
            );
            if damaged {
                let id = model.stored[&content];
                model.copies.get_mut(&id).unwrap().damaged_group = Some(offset / GROUP);
            }
        }
        Command::Hold { content } => {
            let content = pick(content);
            let now_ms = model.now_ms;
            if let Ok(object) = store.get(now, &CONTENTS[content].0) {
                model.present(content).unwrap().accessed_ms = now_ms;
                model.held.push((model.stored[&content], object));
            }
        }
        Command::Release => {
            if !model.held.is_empty() {
                let (id, object) = model.held.remove(0);
                let size = object.size();
                let copy = model.copies.get_mut(&id).unwrap();
                let bytes = &CONTENTS[copy.content].1;
                let expected = copy
                    .read(&(0..size), &mut model.failures)
                    .then_some(&bytes[..]);
                assert_eq!(read(&object, 0..size).ok().as_deref(), expected);
                drop(object);
                model.drop_unused(id);
            }
        }
        Command::Pin { content } => {
            let content = pick(content);
            let readable = model.present(content).is_some_and(|copy| !copy.quarantined);
            let pin = store.pin(now, &CONTENTS[content].0);
            assert_eq!(pin.is_ok(), readable);
            model.pins.extend(pin.ok().map(|pin| (content, pin)));
        }
        Command::Unpin { which } => {
            if !model.pins.is_empty() {
                let which = which.index(model.pins.len());
                drop(model.pins.swap_remove(which));
            }
        }
        Command::Expire => {
            let swept = store.expire(now);
            assert_eq!((swept.removed, swept.more), (model.expire(), false));
        }
        Command::Advance { ms } => model.now_ms += ms,
    }
}

fn assert_same(store: &Store, model: &Model) {
    let stats = store.stats();
    assert_eq!(stats.objects, model.stored.len() as u64);
    let sizes = model
        .stored
        .keys()
        .map(|content| CONTENTS[*content].1.len() as u64);
    assert_eq!(stats.object_bytes, sizes.sum::<u64>());
    assert_eq!(stats.evicted_lru, model.evicted_lru);
    assert_eq!(stats.evicted_expired, model.evicted_expired);
    assert_eq!(stats.integrity_failures, model.failures);
    assert_eq!(stats.pinned_bytes, model.pinned_bytes());
    let next = model
        .unpinned()
        .filter_map(|(_, copy)| copy.expires_ms)
        .min();
    assert_eq!(store.next_expiry(), next);
    assert_eq!(store.budget().committed(), model.committed());
    assert_eq!(store.budget().used(MemoryKind::Objects), model.committed());
    assert_eq!(store.budget().used(MemoryKind::Uploads), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn the_store_does_what_the_rules_say(
        evicts: bool,
        limit in prop_oneof![Just(8 * MIB), Just(400_000), Just(200_000), Just(70_000)],
        commands in prop::collection::vec(command(), 1..80),
    ) {
        let eviction = if evicts { Eviction::Lru } else { Eviction::Refuse };
        let told = Arc::new(Mutex::new(Vec::new()));
        let observer = Arc::clone(&told);
        let store = store_of(eviction, limit).observed(move |event| observer.lock().push(event));
        let mut model = Model {
            evicts,
            limit,
            now_ms: 1,
            copies: BTreeMap::new(),
            next_copy: 0,
            stored: HashMap::new(),
            held: Vec::new(),
            pins: Vec::new(),
            events: Vec::new(),
            evicted_lru: 0,
            evicted_expired: 0,
            failures: 0,
        };
        for command in &commands {
            step(&store, &mut model, command);
            assert_same(&store, &model);
            assert_eq!(std::mem::take(&mut *told.lock()), std::mem::take(&mut model.events));
        }
        model.held.clear();
        store.clear();
        assert_empty(&store);
        // Pins that have outlived what they pinned.
        model.pins.clear();
        assert_empty(&store);
    }
}
