//! What a directory is and is not opened as.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use micronode_server::backend::disk::MemoryDisk;
use micronode_server::backend::{Backend, LocalBackend, OpenError};

use crate::model::load;
use crate::workload::{KEY, Workload, keep};

#[test]
fn a_second_node_is_refused_until_the_first_has_gone() {
    let directory = tempfile::tempdir().unwrap();
    let first = LocalBackend::open(directory.path(), KEY).unwrap();
    let second = LocalBackend::open(directory.path(), KEY);
    assert!(matches!(second, Err(OpenError::Locked)));
    drop(first);
    LocalBackend::open(directory.path(), KEY).unwrap();
}

#[test]
fn a_real_directory_comes_back_with_its_key_and_is_its_owners() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("kept");
    let mut workload = Workload::new(1);
    let mut backend = LocalBackend::open(&directory, KEY).unwrap();
    for _ in 0..20 {
        keep(&mut backend, &workload.batch()).unwrap();
    }
    drop(backend);

    let mut backend = LocalBackend::open(&directory, [8; 32]).unwrap();
    assert_eq!(backend.mailbox_key(), KEY);
    assert_eq!(load(&mut backend).unwrap().0, workload.model);
    let mut directories = vec![directory];
    while let Some(directory) = directories.pop() {
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&directory) & 0o777, 0o700);
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                assert_eq!(mode(&path) & 0o777, 0o600, "{}", path.display());
            }
        }
    }
}

#[test]
fn a_directory_of_something_else_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("letter"), b"dear").unwrap();
    let opened = LocalBackend::open(directory.path(), KEY);
    assert!(matches!(opened, Err(OpenError::NotOurs)));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);

    let disk = MemoryDisk::new();
    disk.plant("format", b"another program's\n");
    let opened = LocalBackend::open_on(Arc::new(disk), KEY);
    assert!(matches!(opened, Err(OpenError::NotOurs)));
}

#[test]
fn the_root_of_a_file_system_is_as_good_as_empty() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("lost+found")).unwrap();
    LocalBackend::open(directory.path(), KEY).unwrap();
}

#[test]
fn another_version_is_refused() {
    let disk = MemoryDisk::new();
    drop(LocalBackend::open_on(Arc::new(disk.clone()), KEY).unwrap());
    for other in ["1", "3"] {
        let text = format!("micronode store {other}\n");
        disk.damage("format", |format| *format = text.into_bytes())
            .unwrap();
        let opened = LocalBackend::open_on(Arc::new(disk.clone()), KEY);
        let error = opened.err().unwrap();
        assert!(matches!(&error, OpenError::Version { found } if found == other));
        assert!(error.to_string().contains(&format!("format {other}")));
    }
}

#[test]
fn objects_without_an_index_are_not_taken_for_an_empty_directory() {
    let disk = MemoryDisk::new();
    drop(LocalBackend::open_on(Arc::new(disk.clone()), KEY).unwrap());
    disk.plant("objects/0000000000000001", b"bytes");
    disk.steal("index.redb");
    let opened = LocalBackend::open_on(Arc::new(disk.clone()), KEY);
    assert!(matches!(opened, Err(OpenError::NoIndex)));
    assert!(disk.files().iter().any(|path| path.starts_with("objects/")));
}

#[test]
fn files_that_nothing_names_are_removed_and_their_numbers_not_used_again() {
    let disk = MemoryDisk::new();
    drop(LocalBackend::open_on(Arc::new(disk.clone()), KEY).unwrap());
    disk.plant("objects/00000000000000ff", b"half of an obj");
    disk.plant("objects/README", b"not one of ours");
    let mut backend = LocalBackend::open_on(Arc::new(disk.clone()), KEY).unwrap();
    let (_, loaded) = load(&mut backend).unwrap();
    assert_eq!(loaded.orphans, 1);
    let files = disk.files();
    assert!(!files.contains(&"objects/00000000000000ff".to_owned()));
    assert!(files.contains(&"objects/README".to_owned()));

    let mut workload = Workload::new(2);
    for _ in 0..20 {
        keep(&mut backend, &workload.batch()).unwrap();
    }
    let numbered = disk.files();
    let mut numbered = numbered
        .iter()
        .filter_map(|path| path.strip_prefix("objects/00"));
    assert!(numbered.clone().count() > 0);
    assert!(numbered.all(|number| number > "000000000000ff"));
}
