//! A full disk refuses, says so, and goes on when there is room again.

use std::sync::Arc;

use micronode_engine::Change;
use micronode_server::backend::disk::MemoryDisk;
use micronode_server::backend::{Backend, BackendError, LocalBackend};

use crate::model::load;
use crate::random::Random;
use crate::workload::{KEY, keep, object, store, stored};

const MIB: u64 = 1024 * 1024;

#[test]
fn a_full_disk_refuses_until_there_is_room_again() {
    let disk = MemoryDisk::new();
    let mut backend = LocalBackend::open_on(Arc::new(disk.clone()), KEY).unwrap();
    disk.set_capacity(Some(8 * MIB));

    let (store, mut random) = (store(), Random::new(1));
    for len in [100_000, 30_000] {
        let mut kept = Vec::new();
        let refused = loop {
            let object = object(&store, &random.bytes(len), None);
            match keep(&mut backend, &[stored(&object)]) {
                Ok(()) => kept.push(object),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, BackendError::Full(_)), "{refused}");

        // It opens, has what it had, and takes more as soon as there is room.
        drop(backend);
        backend = LocalBackend::open_on(Arc::new(disk.clone()), KEY).unwrap();
        let (model, loaded) = load(&mut backend).unwrap();
        assert_eq!(model.objects.len(), kept.len());
        assert_eq!(loaded.damaged, 0);
        disk.set_capacity(None);
        for object in &kept {
            let address = *object.address();
            backend
                .commit(&[Change::ObjectRemoved { address }])
                .unwrap();
        }
        let last = object(&store, &random.bytes(len), None);
        keep(&mut backend, &[stored(&last)]).unwrap();
        let address = *last.address();
        backend
            .commit(&[Change::ObjectRemoved { address }])
            .unwrap();
        disk.set_capacity(Some(disk.used() + 4 * MIB));
    }
}

/// The system's own answer, not ours: a small file system in memory, where we may mount one.
#[test]
fn a_full_file_system_refuses_until_there_is_room_again() {
    let Some(mounted) = Mounted::new() else {
        println!("not root: not tried");
        return;
    };
    let path = mounted.0.path().join("kept");
    let mut backend = LocalBackend::open(&path, KEY).unwrap();
    let staging = backend.staging();
    assert!(staging.has_room());
    let (store, mut random) = (store(), Random::new(2));
    let mut kept = Vec::new();
    let refused = loop {
        let len = [200_000, 20_000][kept.len() % 2];
        let object = object(&store, &random.bytes(len), None);
        match keep(&mut backend, &[stored(&object)]) {
            Ok(()) => kept.push(object),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, BackendError::Full(_)), "{refused}");
    assert!(!staging.has_room());
    // Large objects give back what they took, and with it goes what the index needs to give back
    // what it took.
    let mut left = kept.len();
    for object in &kept {
        let address = *object.address();
        match backend.commit(&[Change::ObjectRemoved { address }]) {
            Ok(_) => left -= 1,
            Err(BackendError::Full(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    drop(backend);
    let mut backend = LocalBackend::open(&path, KEY).unwrap();
    let (model, loaded) = load(&mut backend).unwrap();
    assert_eq!((model.objects.len(), loaded.damaged), (left, 0));
}

/// What is removed under the headroom is removed: that is what it is for.
#[test]
fn removing_works_where_writing_is_refused() {
    let Some(mounted) = Mounted::new() else {
        println!("not root: not tried");
        return;
    };
    let mut backend = LocalBackend::open(&mounted.0.path().join("kept"), KEY).unwrap();
    let (store, mut random) = (store(), Random::new(3));
    let mut kept = Vec::new();
    while backend.staging().has_room() {
        let len = [200_000, 20_000][kept.len() % 2];
        let object = object(&store, &random.bytes(len), None);
        keep(&mut backend, &[stored(&object)]).unwrap();
        kept.push(object);
    }
    for object in kept {
        let address = *object.address();
        backend
            .commit(&[Change::ObjectRemoved { address }])
            .unwrap();
    }
    assert!(backend.staging().has_room());
    assert_eq!(load(&mut backend).unwrap().0.objects.len(), 0);
}

/// A file system of 64 MiB that is gone with this.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new() -> Option<Self> {
        use rustix::mount::{MountFlags, mount};
        let directory = tempfile::tempdir().unwrap();
        let size = Some(c"size=64m");
        mount(
            "tmpfs",
            directory.path(),
            "tmpfs",
            MountFlags::empty(),
            size,
        )
        .ok()?;
        Some(Self(directory))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        use rustix::mount::{UnmountFlags, unmount};
        unmount(self.0.path(), UnmountFlags::DETACH).unwrap();
    }
}
