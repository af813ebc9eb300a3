//! Files that are not what was written: nothing wrong comes back from them.

use std::sync::Arc;

use micronode_protocol::Address;
use micronode_server::backend::disk::{Loss, MemoryDisk};
use micronode_server::backend::{BackendError, LoadError, LocalBackend, OpenError};

use crate::model::{Model, load};
use crate::random::Random;
use crate::workload::{KEY, Workload, keep, open};

/// A disk with something on it, after a clean stop or a cut, and the states that it went through.
fn kept(seed: u64, is_clean: bool) -> (MemoryDisk, Vec<Model>) {
    let disk = MemoryDisk::new();
    let backend = open(&disk).unwrap();
    written(seed, is_clean, disk, backend)
}

/// The same without packs.
fn kept_apart(seed: u64, is_clean: bool) -> (MemoryDisk, Vec<Model>) {
    let disk = MemoryDisk::new();
    let backend = LocalBackend::open_on(Arc::new(disk.clone()), KEY).unwrap();
    written(seed, is_clean, disk, backend)
}

fn written(
    seed: u64,
    is_clean: bool,
    disk: MemoryDisk,
    mut backend: LocalBackend,
) -> (MemoryDisk, Vec<Model>) {
    let mut workload = Workload::new(seed);
    let mut states = vec![Model::default()];
    for _ in 0..30 {
        keep(&mut backend, &workload.batch()).unwrap();
        states.push(workload.model.clone());
    }
    if is_clean {
        drop(backend);
        (disk, states)
    } else {
        (disk.restart(Loss::All, seed), states)
    }
}

fn flip(bytes: &mut [u8], random: &mut Random) {
    let at = random.below(bytes.len() as u64) as usize;
    bytes[at] ^= 1 << random.below(8);
}

type Kind = fn(u64, bool) -> (MemoryDisk, Vec<Model>);

/// What became of a damaged index.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Everything,
    /// After a crash, a last batch that is damaged cannot be told from one that was cut off.
    LessTheLastBatch,
    Refused,
}

fn find(disk: &MemoryDisk, states: &[Model], what: &str) -> Found {
    let opened = LocalBackend::open_on(Arc::new(disk.clone()), KEY);
    let loaded = match opened {
        Ok(mut backend) => load(&mut backend),
        Err(OpenError::Backend(BackendError::Damaged(_))) => return Found::Refused,
        Err(error) => panic!("{what}: {error}"),
    };
    match loaded {
        Ok((model, _)) if model == states[states.len() - 1] => Found::Everything,
        // Of the batch before, the files that the last one removed are gone.
        Ok((mut model, loaded)) => {
            let before = &states[states.len() - 2];
            let missing = before.objects.len() - model.objects.len();
            assert_eq!(missing as u64, loaded.damaged, "{what}");
            model.objects.clone_from(&before.objects);
            let names = before.names.len() - model.names.len();
            assert_eq!(names as u64, loaded.dropped_names, "{what}");
            model.names.clone_from(&before.names);
            assert_eq!(&model, before, "{what}");
            Found::LessTheLastBatch
        }
        Err(LoadError::Backend(BackendError::Damaged(_))) => Found::Refused,
        Err(error) => panic!("{what}: {error}"),
    }
}

#[test]
fn a_flipped_bit_of_the_index_is_noticed_or_makes_no_difference() {
    // Of an index from which small objects have moved, most is not in use.
    let kinds: [(Kind, usize); 2] = [(kept_apart, 40), (kept, 5)];
    for ((kind, least), is_clean) in kinds.into_iter().flat_map(|it| [(it, true), (it, false)]) {
        let mut random = Random::new(11);
        let (disk, states) = kind(5, is_clean);
        let mut found = Vec::new();
        for number in 0..400 {
            let disk = disk.restart(Loss::None, 0);
            disk.damage("index.redb", |bytes| flip(bytes, &mut random))
                .unwrap();
            found.push(find(&disk, &states, &format!("{is_clean}, flip {number}")));
        }
        let noticed = found.iter().filter(|it| **it != Found::Everything).count();
        assert!(noticed > least, "{noticed}");
        if is_clean {
            assert!(!found.contains(&Found::LessTheLastBatch));
        }
    }
}

#[test]
fn a_truncated_index_is_noticed_or_makes_no_difference() {
    for is_clean in [true, false] {
        let mut random = Random::new(12);
        let (disk, states) = kept(6, is_clean);
        let mut refused = 0;
        for number in 0..100 {
            let disk = disk.restart(Loss::None, 0);
            disk.damage("index.redb", |bytes| {
                let len = random.below(bytes.len() as u64) as usize;
                bytes.truncate(len);
            })
            .unwrap();
            let found = find(&disk, &states, &format!("{is_clean}, cut {number}"));
            refused += u32::from(found == Found::Refused);
        }
        assert!(refused > 50, "{refused}");
    }
}

#[test]
fn a_damaged_object_is_dropped_with_its_names_and_nothing_else() {
    let changes: [fn(&MemoryDisk, &str, &mut Random); 4] = [
        |disk, path, random| disk.damage(path, |bytes| flip(bytes, random)).unwrap(),
        |disk, path, _| {
            disk.damage(path, |bytes| bytes.truncate(bytes.len() - 1))
                .unwrap();
        },
        |disk, path, _| disk.damage(path, |bytes| bytes.push(0)).unwrap(),
        |disk, path, _| disk.steal(path),
    ];
    let mut random = Random::new(13);
    let (mut damaged, mut names) = (0, 0);
    for seed in 0..12 {
        for change in changes {
            let (disk, states) = kept_apart(seed, true);
            let all = disk.files();
            let objects = all.iter().filter(|path| path.starts_with("objects/"));
            let Some(path) = random.choose(objects) else {
                continue;
            };
            damaged += 1;
            change(&disk, path, &mut random);

            let expected = &states[states.len() - 1];
            let mut backend = LocalBackend::open_on(Arc::new(disk.clone()), KEY).unwrap();
            let (model, loaded) = load(&mut backend).unwrap();
            assert_eq!(loaded.damaged, 1);
            let mut without = expected.clone();
            let is_there = |address: &Address| model.objects.contains_key(address);
            without.objects.retain(|address, _| is_there(address));
            without.names.retain(|_, (address, _)| is_there(address));
            assert_eq!(model, without);
            assert_eq!(model.objects.len(), expected.objects.len() - 1);
            let dropped = expected.names.len() - model.names.len();
            assert_eq!(loaded.dropped_names, dropped as u64);
            names += dropped;

            // Once and for all.
            drop(backend);
            assert!(!disk.files().contains(path));
            let mut backend = LocalBackend::open_on(Arc::new(disk), KEY).unwrap();
            let (again, loaded) = load(&mut backend).unwrap();
            assert_eq!(again, model);
            assert_eq!((loaded.damaged, loaded.dropped_names), (0, 0));
        }
    }
    assert!(
        damaged > 20 && names > 0,
        "{damaged}, {names} of which had names"
    );
}
