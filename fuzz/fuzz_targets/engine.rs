//! The store against a plain map: any sequence of uploads (several at once), reads, deletions,
//! damage and jumps of the clock. What was acknowledged reads back bit for bit until it was
//! deleted, has expired or was evicted; nothing else does; and all memory is given back.
//!
//! Which object an eviction takes, and when, is predicted by the crate's own model test. Here
//! objects may vanish no faster than the store counts evictions.
#![no_main]

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use micronode_engine::{
    Budget, Eviction, GetError, IntegrityError, NotFound, Now, PutError, PutHead, Reader, Store,
    StoreConfig, Upload,
};
use micronode_protocol::limits::{GROUP_BYTES, OBJECT_OVERHEAD_BYTES, RESERVE_AHEAD_BYTES};
use micronode_protocol::{Address, Manifest};

/// Commands looked at, uploads at once and readers at once.
const COMMANDS: usize = 100;
const OPEN: usize = 4;

const MAX_OBJECT_BYTES: u64 = 4 * GROUP_BYTES as u64;
const BUDGETS: [u64; 4] = [70_000, 200_000, 400_000, 8 << 20];
/// Lengths that uploads aim for: around the boundaries of groups and of the largest object.
const LENGTHS: [usize; 8] = [
    0,
    1,
    1000,
    GROUP_BYTES,
    GROUP_BYTES + 1,
    2 * GROUP_BYTES,
    3 * GROUP_BYTES + 777,
    4 * GROUP_BYTES + 1,
];
const MEDIA_TYPES: [Option<&str>; 3] = [None, Some("text/plain"), Some("application/x-longer")];
/// The latest time: behind it lies the end of the number range, which stands for "never".
const LAST_MS: u64 = u64::MAX - 1;

#[derive(Debug)]
struct Input {
    eviction: Eviction,
    budget: u64,
    commands: Vec<Command>,
}

/// Indices count modulo what there is.
#[derive(Debug)]
enum Command {
    Begin(Plan),
    /// The next bytes of an upload, also beyond its plan.
    Write {
        upload: u8,
        length: u16,
    },
    /// All that is missing of an upload's plan.
    WriteRest {
        upload: u8,
    },
    Finish {
        upload: u8,
    },
    Abandon {
        upload: u8,
    },
    Open {
        object: u8,
        from: u32,
        to: u32,
    },
    Read {
        reader: u8,
    },
    Close {
        reader: u8,
    },
    Has {
        object: u8,
    },
    Delete {
        object: u8,
    },
    Corrupt {
        object: u8,
        offset: u32,
    },
    Sweep,
    Clear,
    Tick {
        ms: u8,
    },
    /// The clock that never goes back; an earlier time is now.
    Jump {
        mono_ms: u64,
    },
    /// The clock for people, in any direction.
    SetWall {
        wall_ms: u64,
    },
}

/// What an upload is to become.
#[derive(Debug)]
struct Plan {
    /// Distinguishes contents of one length.
    seed: u8,
    length: usize,
    declared: Option<u64>,
    expected: Option<Address>,
    ttl_ms: Option<u64>,
    media_type: Option<&'static str>,
}

/// A byte for the eviction (odd: LRU), one for the budget (modulo 4), and then commands: a byte
/// that says which (modulo 16, in the order above) and its operands, little endian.
impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let eviction = if u.arbitrary()? {
            Eviction::Lru
        } else {
            Eviction::Refuse
        };
        let budget = *u.choose(&BUDGETS)?;
        let mut commands = Vec::new();
        while !u.is_empty() && commands.len() < COMMANDS {
            commands.push(u.arbitrary()?);
        }
        Ok(Self {
            eviction,
            budget,
            commands,
        })
    }
}

impl<'a> Arbitrary<'a> for Command {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(match u.int_in_range(0..=15)? {
            0 => Self::Begin(u.arbitrary()?),
            1 => Self::Write {
                upload: u.arbitrary()?,
                length: u.arbitrary()?,
            },
            2 => Self::WriteRest {
                upload: u.arbitrary()?,
            },
            3 => Self::Finish {
                upload: u.arbitrary()?,
            },
            4 => Self::Abandon {
                upload: u.arbitrary()?,
            },
            5 => Self::Open {
                object: u.arbitrary()?,
                from: u.arbitrary()?,
                to: u.arbitrary()?,
            },
            6 => Self::Read {
                reader: u.arbitrary()?,
            },
            7 => Self::Close {
                reader: u.arbitrary()?,
            },
            8 => Self::Has {
                object: u.arbitrary()?,
            },
            9 => Self::Delete {
                object: u.arbitrary()?,
            },
            10 => Self::Corrupt {
                object: u.arbitrary()?,
                offset: u.arbitrary()?,
            },
            11 => Self::Sweep,
            12 => Self::Clear,
            13 => Self::Tick { ms: u.arbitrary()? },
            14 => Self::Jump {
                mono_ms: u.arbitrary()?,
            },
            _ => Self::SetWall {
                wall_ms: u.arbitrary()?,
            },
        })
    }
}

/// A byte each for: seed (modulo 4), length, declared (modulo 4: no, rightly, one less, far too
/// much), expected (modulo 3: no, rightly, wrongly), time to live (modulo 4: none, a byte of
/// milliseconds, eight bytes of them, the most), media type (modulo 3).
impl<'a> Arbitrary<'a> for Plan {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let seed = u.int_in_range(0..=3)?;
        let length = *u.choose(&LENGTHS)?;
        let right = length as u64;
        Ok(Self {
            seed,
            length,
            declared: *u.choose(&[None, Some(right), right.checked_sub(1), Some(u64::MAX)])?,
            expected: match u.int_in_range(0..=2)? {
                0 => None,
                1 => Some(Address::of(&content(seed, 0, length))),
                _ => Some(Address::of(b"something else")),
            },
            ttl_ms: match u.int_in_range(0..=3)? {
                0 => None,
                1 => Some(u8::arbitrary(u)?.into()),
                2 => Some(u.arbitrary()?),
                _ => Some(u64::MAX),
            },
            media_type: *u.choose(&MEDIA_TYPES)?,
        })
    }
}

/// Some bytes of a content without end.
fn content(seed: u8, from: usize, length: usize) -> Vec<u8> {
    (from..from + length)
        .map(|at| (at % 251) as u8 ^ seed)
        .collect()
}

/// What the store charges for an object, written out from its documentation.
fn cost(size: u64, media_type: Option<&str>) -> u64 {
    let group = GROUP_BYTES as u64;
    let groups = if size <= group {
        0
    } else {
        size.div_ceil(group)
    };
    size + groups * (32 + 16) + media_type.map_or(0, str::len) as u64 + OBJECT_OVERHEAD_BYTES
}

/// One copy of an object, which may outlive its place in the map.
struct Copy {
    bytes: Vec<u8>,
    media_type: Option<&'static str>,
    expires_ms: Cell<Option<u64>>,
    damaged_group: Cell<Option<usize>>,
    quarantined: Cell<bool>,
}

impl Copy {
    fn is_expired(&self, now: Now) -> bool {
        self.expires_ms.get().is_some_and(|at| at <= now.mono_ms)
    }

    fn cost(&self) -> u64 {
        cost(self.bytes.len() as u64, self.media_type)
    }
}

struct OpenUpload {
    upload: Upload,
    plan: Plan,
    written: Vec<u8>,
    failed: Option<PutError>,
}

struct OpenReader {
    reader: Reader,
    copy: Rc<Copy>,
    at: usize,
    end: usize,
}

struct Run {
    store: Store,
    now: Now,
    uploads: Vec<OpenUpload>,
    readers: Vec<OpenReader>,
    /// What is to be found under an address. The expired stay until a sweep.
    stored: HashMap<Address, Rc<Copy>>,
    /// Every address ever stored, and one that never was.
    known: Vec<Address>,
    evicted_lru: u64,
    integrity_failures: u64,
}

fuzz_target!(|input: Input| {
    let config = StoreConfig {
        eviction: input.eviction,
        max_object_bytes: MAX_OBJECT_BYTES,
    };
    let mut run = Run {
        store: Store::new(config, Budget::new(input.budget)),
        now: Now {
            mono_ms: 1,
            wall_ms: 1_700_000_000_000,
        },
        uploads: Vec::new(),
        readers: Vec::new(),
        stored: HashMap::new(),
        known: vec![Address::of(b"never stored")],
        evicted_lru: 0,
        integrity_failures: 0,
    };
    for command in input.commands {
        run.step(command);
        run.check(input.eviction);
    }
    run.uploads.clear();
    run.readers.clear();
    run.sweep();
    run.store.clear();
    let stats = run.store.stats();
    assert_eq!((stats.objects, stats.object_bytes), (0, 0));
    assert_eq!(run.store.next_expiry(), None);
    let budget = run.store.budget();
    assert_eq!((budget.committed(), budget.used_total()), (0, 0));
});

fn pick<T>(of: &mut [T], index: u8) -> Option<&mut T> {
    let index = usize::from(index).checked_rem(of.len())?;
    of.get_mut(index)
}

fn take<T>(of: &mut Vec<T>, index: u8) -> Option<T> {
    let index = usize::from(index).checked_rem(of.len())?;
    Some(of.swap_remove(index))
}

impl Run {
    fn step(&mut self, command: Command) {
        let now = self.now;
        match command {
            Command::Begin(plan) => self.begin(plan),
            Command::Write { upload, length } => {
                if let Some(open) = pick(&mut self.uploads, upload) {
                    open.write(&self.store, length.into());
                }
            }
            Command::WriteRest { upload } => {
                if let Some(open) = pick(&mut self.uploads, upload) {
                    let rest = open.plan.length.saturating_sub(open.written.len());
                    open.write(&self.store, rest);
                }
            }
            Command::Finish { upload } => {
                if let Some(open) = take(&mut self.uploads, upload) {
                    self.finish(open);
                }
            }
            Command::Abandon { upload } => drop(take(&mut self.uploads, upload)),
            Command::Open { object, from, to } => self.open(object, from, to),
            Command::Read { reader } => {
                if let Some(open) = pick(&mut self.readers, reader) {
                    self.integrity_failures += u64::from(open.read());
                }
            }
            Command::Close { reader } => drop(take(&mut self.readers, reader)),
            Command::Has { object } => {
                let address = self.address(object);
                let readable = self
                    .present(&address)
                    .is_some_and(|copy| !copy.quarantined.get());
                assert_eq!(self.store.has(now, &address), readable);
            }
            Command::Delete { object } => {
                let address = self.address(object);
                let present = self.present(&address).is_some();
                assert_eq!(self.store.delete(now, &address).is_ok(), present);
                if present {
                    self.stored.remove(&address);
                }
            }
            Command::Corrupt { object, offset } => self.corrupt(object, offset),
            Command::Sweep => self.sweep(),
            Command::Clear => {
                self.store.clear();
                self.stored.clear();
            }
            Command::Tick { ms } => self.jump(now.mono_ms.saturating_add(ms.into())),
            Command::Jump { mono_ms } => self.jump(mono_ms),
            Command::SetWall { wall_ms } => self.now.wall_ms = wall_ms,
        }
    }

    fn jump(&mut self, mono_ms: u64) {
        self.now.mono_ms = mono_ms.clamp(self.now.mono_ms, LAST_MS);
    }

    fn address(&self, index: u8) -> Address {
        self.known[usize::from(index) % self.known.len()]
    }

    fn present(&self, address: &Address) -> Option<&Rc<Copy>> {
        let copy = self.stored.get(address)?;
        (!copy.is_expired(self.now)).then_some(copy)
    }

    fn expires_at_wall_ms(&self, expires_ms: Option<u64>) -> Option<u64> {
        let after = expires_ms?.saturating_sub(self.now.mono_ms);
        Some(self.now.wall_ms.saturating_add(after))
    }

    fn begin(&mut self, plan: Plan) {
        if self.uploads.len() == OPEN {
            return;
        }
        let head = PutHead {
            expected: plan.expected,
            declared: plan.declared,
            ttl_ms: plan.ttl_ms,
            media_type: plan.media_type,
        };
        let announced = plan.declared.unwrap_or(0);
        let free = self.store.budget().free();
        match self.store.begin_put(self.now, head) {
            Ok(upload) => {
                assert!(announced <= MAX_OBJECT_BYTES);
                self.uploads.push(OpenUpload {
                    upload,
                    plan,
                    written: Vec::new(),
                    failed: None,
                });
            }
            Err(PutError::TooLarge { max_object_bytes }) => {
                assert_eq!(max_object_bytes, MAX_OBJECT_BYTES);
                assert!(announced > MAX_OBJECT_BYTES);
            }
            Err(PutError::OverBudget(over)) => {
                assert!(over.missing > 0);
                assert!(
                    free < cost(announced, plan.media_type),
                    "it would have fitted"
                );
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn finish(&mut self, open: OpenUpload) {
        let OpenUpload {
            upload,
            plan,
            written,
            failed,
        } = open;
        let size = written.len() as u64;
        let address = Address::of(&written);
        let outcome = upload.finish(self.now);
        if let Some(failed) = failed {
            assert_eq!(outcome, Err(failed));
            return;
        }
        if plan.declared.is_some_and(|declared| declared != size) {
            assert_eq!(outcome, Err(PutError::LengthMismatch));
            return;
        }
        if plan.expected.is_some_and(|expected| expected != address) {
            assert_eq!(outcome, Err(PutError::DigestMismatch));
            return;
        }
        let mut expires_ms = plan
            .ttl_ms
            .map(|ttl| self.now.mono_ms.saturating_add(ttl).min(LAST_MS));
        let mut media_type = plan.media_type;
        let present = self.present(&address).cloned();
        let heals = present.as_ref().is_some_and(|copy| copy.quarantined.get());
        if let Some(present) = &present {
            let deadlines = present.expires_ms.get().zip(expires_ms);
            expires_ms = deadlines.map(|(there, new)| there.max(new));
            media_type = present.media_type;
        }
        let stored = match outcome {
            Ok(stored) => stored,
            // The media type that is kept is longer than the one that was paid for.
            Err(PutError::OverBudget(_))
                if heals && cost(size, media_type) > cost(size, plan.media_type) =>
            {
                return;
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!((stored.address, stored.size), (address, size));
        assert_eq!(stored.existed, present.is_some() && !heals);
        assert_eq!(
            stored.expires_at_wall_ms,
            self.expires_at_wall_ms(expires_ms)
        );
        match present {
            Some(present) if !heals => present.expires_ms.set(expires_ms),
            _ => {
                let copy = Copy {
                    bytes: written,
                    media_type,
                    expires_ms: Cell::new(expires_ms),
                    damaged_group: Cell::new(None),
                    quarantined: Cell::new(false),
                };
                self.stored.insert(address, Rc::new(copy));
            }
        }
        if !self.known.contains(&address) {
            self.known.push(address);
        }
    }

    fn open(&mut self, object: u8, from: u32, to: u32) {
        let address = self.address(object);
        let found = self.store.get(self.now, &address);
        let Some(copy) = self.present(&address).cloned() else {
            assert_eq!(found.err(), Some(GetError::NotFound(NotFound)));
            return;
        };
        if copy.quarantined.get() {
            assert_eq!(found.err(), Some(GetError::Integrity(IntegrityError)));
            return;
        }
        let object = found.expect("stored, and not known to be damaged");
        assert_eq!(object.media_type(), copy.media_type);
        assert_eq!(
            object.expires_at_wall_ms(self.now),
            self.expires_at_wall_ms(copy.expires_ms.get())
        );
        let wire = object.encoded_manifest().concat();
        let manifest = Manifest::decode(&wire).expect("its own wire form");
        assert!(manifest.validate(address).is_ok());

        let length = copy.bytes.len();
        let (from, to) = (from as usize % (length + 1), to as usize % (length + 1));
        let (at, end) = (from.min(to), from.max(to));
        if self.readers.len() < OPEN {
            let reader = object.read(at as u64..end as u64);
            self.readers.push(OpenReader {
                reader,
                copy,
                at,
                end,
            });
        }
    }

    fn corrupt(&mut self, object: u8, offset: u32) {
        let address = self.address(object);
        let Some(copy) = self.stored.get(&address) else {
            assert!(!self.store.corrupt(&address, offset.into()));
            return;
        };
        let offset = offset as usize % (copy.bytes.len() + 1);
        let damaged = self.store.corrupt(&address, offset as u64);
        // An expired one may be gone.
        assert!(damaged == (offset < copy.bytes.len()) || copy.is_expired(self.now));
        if damaged {
            copy.damaged_group.set(Some(offset / GROUP_BYTES));
        }
    }

    /// Removes all that has expired; afterwards the store and the map have the same contents, and
    /// the budget is charged for nothing else.
    fn sweep(&mut self) {
        while self.store.expire(self.now).more {}
        self.stored.retain(|_, copy| !copy.is_expired(self.now));

        let stats = self.store.stats();
        let sizes = self.stored.values().map(|copy| copy.bytes.len() as u64);
        assert_eq!(stats.objects, self.stored.len() as u64);
        assert_eq!(stats.object_bytes, sizes.sum::<u64>());
        let deadlines = self
            .stored
            .values()
            .filter_map(|copy| copy.expires_ms.get());
        assert_eq!(self.store.next_expiry(), deadlines.min());

        if self.uploads.is_empty() {
            let read = self.readers.iter().map(|open| &open.copy);
            let mut copies: Vec<_> = self.stored.values().chain(read).collect();
            copies.sort_by_key(|copy| Rc::as_ptr(copy));
            copies.dedup_by_key(|copy| Rc::as_ptr(copy));
            let charged: u64 = copies.iter().map(|copy| copy.cost()).sum();
            assert_eq!(self.store.budget().committed(), charged);
            assert_eq!(self.store.budget().used_total(), charged);
        }
    }

    /// What holds after every command.
    fn check(&mut self, eviction: Eviction) {
        let budget = self.store.budget();
        assert!(budget.committed() <= budget.limit());
        assert!(budget.used_total() <= budget.committed());

        let stats = self.store.stats();
        assert_eq!(stats.integrity_failures, self.integrity_failures);
        let evicted = stats.evicted_lru - self.evicted_lru;
        assert!(evicted == 0 || eviction == Eviction::Lru);
        self.evicted_lru = stats.evicted_lru;

        let before = self.stored.len();
        let (store, now) = (&self.store, self.now);
        self.stored.retain(|address, copy| {
            copy.is_expired(now)
                || if copy.quarantined.get() {
                    let found = store.get(now, address).err();
                    found == Some(GetError::Integrity(IntegrityError))
                } else {
                    store.has(now, address)
                }
        });
        let lost = (before - self.stored.len()) as u64;
        assert!(lost <= evicted, "{lost} lost, {evicted} evicted");
        assert!(stats.objects <= self.stored.len() as u64);
    }
}

impl OpenUpload {
    fn write(&mut self, store: &Store, length: usize) {
        let bytes = content(self.plan.seed, self.written.len(), length);
        let end = (self.written.len() + length) as u64;
        let free = store.budget().free();
        let outcome = self.upload.write(&bytes);
        if let Some(failed) = self.failed {
            assert_eq!(outcome, Err(failed), "once failed, failed");
            return;
        }
        match outcome {
            Ok(()) => {
                self.written.extend_from_slice(&bytes);
                assert!(end <= self.plan.declared.unwrap_or(MAX_OBJECT_BYTES));
                assert_eq!(self.upload.size(), end);
            }
            Err(PutError::LengthMismatch) => {
                assert!(self.plan.declared.is_some_and(|declared| end > declared));
            }
            Err(PutError::TooLarge { .. }) => assert!(end > MAX_OBJECT_BYTES),
            Err(PutError::OverBudget(_)) => {
                let ahead = end + RESERVE_AHEAD_BYTES as u64;
                assert!(
                    free < cost(ahead, self.plan.media_type),
                    "it would have fitted"
                );
            }
            Err(error) => panic!("{error}"),
        }
        self.failed = outcome.err();
    }
}

impl OpenReader {
    /// Reads the next piece; whether that found damage which nobody had found.
    fn read(&mut self) -> bool {
        assert_eq!(self.reader.remaining(), (self.end - self.at) as u64);
        let piece = self.reader.next_piece();
        if self.at == self.end {
            assert_eq!(piece, Ok(None));
            return false;
        }
        let group = self.at / GROUP_BYTES;
        let damaged = self.copy.damaged_group.get() == Some(group);
        if damaged || self.copy.quarantined.get() {
            assert_eq!(piece, Err(IntegrityError));
            return !self.copy.quarantined.replace(true);
        }
        let end = self.end.min((group + 1) * GROUP_BYTES);
        let piece = piece.expect("not damaged").expect("not the end");
        assert!(
            piece == self.copy.bytes[self.at..end],
            "other bytes than stored"
        );
        self.at = end;
        false
    }
}
