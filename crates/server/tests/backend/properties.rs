//! Any changes, with restarts anywhere in between.

use micronode_server::backend::disk::{Loss, MemoryDisk};
use micronode_server::backend::{Backend, LocalBackend};
use proptest::prelude::*;

use crate::model::{NOW_WALL_MS, load, load_at};
use crate::workload::{Workload, keep, open, stage};

#[derive(Clone, Debug)]
enum Step {
    Batch,
    /// An object is staged, and then refused.
    Discard,
    /// The batch before is committed again, as after an error.
    Again,
    Close,
    Cut(Loss),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Batch),
        1 => Just(Step::Discard),
        2 => Just(Step::Again),
        1 => Just(Step::Close),
        1 => Just(Step::Cut(Loss::None)),
        1 => Just(Step::Cut(Loss::Some)),
        1 => Just(Step::Cut(Loss::All)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_committed_comes_back(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut disk = MemoryDisk::new();
        let mut backend = open(&disk).unwrap();
        let mut workload = Workload::new(seed);
        let mut last = Vec::new();
        for step in steps {
            match step {
                Step::Batch => {
                    last = stage(&backend, &workload.batch()).unwrap();
                    backend.commit(&last).unwrap();
                    continue;
                }
                Step::Discard => {
                    let refused = stage(&backend, &Workload::new(!seed).batch()).unwrap();
                    discard(&backend, &refused);
                    continue;
                }
                Step::Again => {
                    backend.commit(&last).unwrap();
                    continue;
                }
                Step::Close => drop(backend),
                Step::Cut(loss) => {
                    disk = disk.restart(loss, seed);
                    drop(backend);
                }
            }
            backend = open(&disk).unwrap();
            let (model, loaded) = load(&mut backend).unwrap();
            prop_assert_eq!(&model, &workload.model);
            prop_assert_eq!(loaded.damaged, 0);
        }
        // Nothing is left of what was replaced, removed or refused.
        let (model, _) = load(&mut backend).unwrap();
        prop_assert_eq!(&model, &workload.model);
        let large = |size: u64| size > micronode_protocol::limits::INLINE_OBJECT_BYTES;
        let kept = model.objects.values().filter(|object| large(object.size)).count();
        let small = model.objects.len() - kept;
        let files = disk.files().into_iter().filter(|path| path.starts_with("objects/")).count();
        // No pack is there for nothing.
        prop_assert!((kept..=kept + small).contains(&files), "{files} files, {kept} and {small}");
    }
}

fn discard(backend: &LocalBackend, batch: &[micronode_engine::Change]) {
    for change in batch {
        if let micronode_engine::Change::ObjectStored {
            place: Some(place), ..
        } = change
        {
            backend.staging().discard(*place);
        }
    }
}

/// What has expired while nobody was there does not come back, but for what a name keeps.
#[test]
fn what_has_expired_is_dropped_unless_a_name_keeps_it() {
    let disk = MemoryDisk::new();
    let mut backend = open(&disk).unwrap();
    let mut workload = Workload::new(3);
    for _ in 0..40 {
        keep(&mut backend, &workload.batch()).unwrap();
    }
    let later = NOW_WALL_MS + 1_000_500;
    let (model, loaded) = load_at(&mut backend, later).unwrap();
    let is_named = |address| workload.model.names.values().any(|name| name.0 == address);
    let mut expected = workload.model.clone();
    expected.objects.retain(|address, object| {
        object.expires_at_wall_ms.is_none_or(|at| at > later) || is_named(*address)
    });
    let expired = workload.model.objects.len() - expected.objects.len();
    let is_late = |at: Option<u64>| at.is_some_and(|at| at <= later);
    let late = expected
        .objects
        .values()
        .filter(|object| is_late(object.expires_at_wall_ms));
    assert!(expired > 0 && late.count() > 0, "the workload has both");
    assert_eq!(model, expected);
    assert_eq!(loaded.expired, expired as u64);

    // They are gone for good, whatever the clock says now.
    drop(backend);
    let (model, loaded) = load(&mut open(&disk).unwrap()).unwrap();
    assert_eq!(model, expected);
    assert_eq!((loaded.expired, loaded.orphans), (0, 0));
}
