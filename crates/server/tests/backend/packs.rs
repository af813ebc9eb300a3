//! Small objects are in packs after a while, and it makes no difference.

use std::sync::Arc;

use micronode_engine::{Change, Object, Store};
use micronode_server::backend::disk::{Loss, MemoryDisk};
use micronode_server::backend::{Backend, BackendError, LoadError, LocalBackend};

use crate::model::{Model, load};
use crate::random::Random;
use crate::workload::{PACK_BYTES, keep, object, open, store, stored};

/// Bytes of each object here: some eighteen make a pack.
const LEN: u64 = 600;

/// Objects that are kept one after another, in pairs.
struct Kept {
    disk: MemoryDisk,
    backend: LocalBackend,
    store: Store,
    model: Model,
    objects: Vec<Arc<Object>>,
}

impl Kept {
    fn new(count: u64) -> Self {
        let disk = MemoryDisk::new();
        let mut kept = Self {
            backend: open(&disk).unwrap(),
            disk,
            store: store(),
            model: Model::default(),
            objects: Vec::new(),
        };
        let mut random = Random::new(count);
        for _ in 0..count / 2 {
            kept.put(&[random.bytes(LEN), random.bytes(LEN)]);
        }
        kept
    }

    fn put(&mut self, all: &[Vec<u8>]) {
        let objects = all.iter().map(|bytes| object(&self.store, bytes, None));
        let objects: Vec<_> = objects.collect();
        let batch: Vec<_> = objects.iter().map(stored).collect();
        keep(&mut self.backend, &batch).unwrap();
        for change in &batch {
            self.model.apply(change);
        }
        self.objects.extend(objects);
    }

    fn remove(&mut self, object: &Object) {
        let change = Change::ObjectRemoved {
            address: *object.address(),
        };
        self.model.apply(&change);
        self.backend.commit(&[change]).unwrap();
    }

    fn packs(&self) -> Vec<String> {
        let mut files = self.disk.files();
        files.retain(|path| path.starts_with("objects/"));
        files
    }

    /// Bytes of all packs.
    fn packed(&self) -> u64 {
        let mut bytes = 0;
        for pack in self.packs() {
            let add = |pack: &mut Vec<u8>| bytes += pack.len() as u64;
            self.disk.damage(&pack, add).unwrap();
        }
        bytes
    }

    fn assert_all_come_back(&mut self) {
        let disk = self.disk.restart(Loss::All, 1);
        let mut backend = open(&disk).unwrap();
        let (model, loaded) = load(&mut backend).unwrap();
        assert_eq!(model, self.model);
        assert_eq!(loaded.damaged, 0);
    }
}

#[test]
fn they_move_to_packs_and_come_back() {
    let mut kept = Kept::new(100);
    assert_eq!(kept.packs().len(), 100 / 18);
    // What is left is less than a pack.
    assert!(kept.packed() > 100 * LEN - PACK_BYTES);
    kept.assert_all_come_back();
}

#[test]
fn a_large_batch_goes_to_packs_at_once() {
    let mut kept = Kept::new(2);
    let mut random = Random::new(7);
    let all: Vec<_> = (0..100).map(|_| random.bytes(LEN)).collect();
    kept.put(&all);
    assert_eq!(kept.packed(), 102 * LEN);
    // None of them is twice as large as it should be.
    assert!((3..=6).contains(&kept.packs().len()));
    kept.assert_all_come_back();
}

#[test]
fn a_pack_with_holes_is_written_anew_without() {
    for every in [2, 3, 5] {
        let mut kept = Kept::new(200);
        let before = kept.packed();
        for (number, object) in kept.objects.clone().iter().enumerate() {
            if number % every > 0 {
                kept.remove(object);
            }
        }
        let left = 200 / every as u64 * LEN;
        let after = kept.packed();
        assert!(after <= 2 * left + PACK_BYTES, "{before}, {left}, {after}");
        kept.assert_all_come_back();
    }
}

#[test]
fn packs_that_have_become_small_are_put_together() {
    let mut kept = Kept::new(1_000);
    let before = kept.packs().len();
    for (number, object) in kept.objects.clone().iter().enumerate() {
        if number % 100 > 0 {
            kept.remove(object);
        }
    }
    let after = kept.packs().len();
    assert!(before > 40 && after <= 3, "{before}, {after}");
    kept.assert_all_come_back();
}

#[test]
fn nothing_is_left_of_what_was_removed() {
    let mut kept = Kept::new(100);
    for object in kept.objects.clone() {
        kept.remove(&object);
    }
    // The last pack goes with the next batch.
    kept.backend.commit(&[]).unwrap();
    assert_eq!(kept.packs(), Vec::<String>::new());
    kept.assert_all_come_back();
}

#[test]
fn an_object_that_is_put_again_is_kept_once() {
    let mut kept = Kept::new(40);
    let objects = kept.objects.clone();
    for object in &objects {
        keep(&mut kept.backend, &[stored(object)]).unwrap();
        keep(&mut kept.backend, &[stored(object), stored(object)]).unwrap();
    }
    kept.assert_all_come_back();
}

#[test]
fn a_damaged_byte_costs_one_object() {
    let mut random = Random::new(3);
    let mut damaged = 0;
    for _ in 0..20 {
        let kept = Kept::new(60);
        let disk = kept.disk.restart(Loss::None, 0);
        let packs = kept.packs();
        let path = random.choose(packs.iter()).unwrap();
        disk.damage(path, |bytes| {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1;
        })
        .unwrap();
        let mut backend = open(&disk).unwrap();
        let (model, loaded) = load(&mut backend).unwrap();
        assert_eq!(loaded.damaged, 1);
        assert_eq!(model.objects.len(), 59);
        damaged += 1;

        // Once and for all, also when the pack is written anew.
        for object in kept.objects.iter().take(40) {
            let address = *object.address();
            backend
                .commit(&[Change::ObjectRemoved { address }])
                .unwrap();
        }
        drop(backend);
        let (after, loaded) = load(&mut open(&disk).unwrap()).unwrap();
        assert_eq!(loaded.damaged, 0);
        let mut expected = model;
        for object in kept.objects.iter().take(40) {
            expected.objects.remove(object.address());
        }
        assert_eq!(after, expected);
    }
    assert_eq!(damaged, 20);
}

#[test]
fn what_a_pack_has_that_is_short_or_missing_is_dropped_and_nothing_else() {
    let changes: [fn(&MemoryDisk, &str); 3] = [
        |disk, path| {
            disk.damage(path, |bytes| bytes.truncate(bytes.len() - 1))
                .unwrap();
        },
        |disk, path| disk.damage(path, Vec::clear).unwrap(),
        |disk, path| disk.steal(path),
    ];
    for (change, damaged) in changes.into_iter().zip([1, 18, 18]) {
        let kept = Kept::new(100);
        let disk = kept.disk.restart(Loss::None, 0);
        change(&disk, &kept.packs()[2]);
        let (model, loaded) = load(&mut open(&disk).unwrap()).unwrap();
        assert_eq!(loaded.damaged, damaged);
        assert_eq!(model.objects.len() as u64, 100 - damaged);
        let (again, loaded) = load(&mut open(&disk).unwrap()).unwrap();
        assert_eq!(again, model);
        assert_eq!(loaded.damaged, 0);
    }
}

#[test]
fn a_directory_without_its_packs_is_refused_and_left_as_it_is() {
    let kept = Kept::new(100);
    let disk = kept.disk.restart(Loss::None, 0);
    for pack in kept.packs() {
        disk.steal(&pack);
    }
    for _ in 0..2 {
        let error = load(&mut open(&disk).unwrap()).unwrap_err();
        let refused = matches!(error, LoadError::Backend(BackendError::Damaged(_)));
        assert!(refused, "{error}");
    }
}

/// Where there is no room for a pack, its objects stay in the index.
#[test]
fn without_room_for_a_pack_there_is_none() {
    let mut kept = Kept::new(16);
    assert_eq!(kept.packs().len(), 0);
    // What the index has free is enough for a few more, which would make a pack.
    kept.disk.set_capacity(Some(kept.disk.used() + 1_000));
    let mut random = Random::new(5);
    let bytes: Vec<_> = (0..4).map(|_| random.bytes(LEN)).collect();
    kept.put(&bytes);
    assert_eq!(kept.packs().len(), 0);
    kept.assert_all_come_back();

    // With room again there is one, in time.
    kept.disk.set_capacity(None);
    for _ in 0..20 {
        let bytes = random.bytes(LEN);
        kept.put(&[bytes]);
    }
    assert!(!kept.packs().is_empty());
    kept.assert_all_come_back();
}

#[test]
fn making_room_fills_holes() {
    let mut kept = Kept::new(200);
    for (number, object) in kept.objects.clone().iter().enumerate() {
        if number % 5 == 0 {
            kept.remove(object);
        }
    }
    let before = kept.packed();
    for _ in 0..kept.packs().len() {
        kept.backend.make_room().unwrap();
    }
    let left = 160 * LEN;
    let after = kept.packed();
    assert!(before > left && after <= left, "{before}, {after}, {left}");
    kept.assert_all_come_back();
}
