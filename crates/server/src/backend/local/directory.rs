//! What a backend's directory looks like, and how one comes to be.
//!
//! The file `format` is the first thing that is written, and says that the rest is ours. Each
//! thing gets its name when it is whole, so that making a directory can be begun again after a
//! crash at any point.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use super::index::Index;
use crate::backend::BackendError;
use crate::backend::disk::{Disk, Lock};

const LOCK: &str = "lock";
const FORMAT: &str = "format";
const NEW_FORMAT: &str = "format.new";
pub(super) const INDEX: &str = "index.redb";
const NEW_INDEX: &str = "index.new";
pub(super) const OBJECTS: &str = "objects";
/// At the root of some file systems.
const LOST_AND_FOUND: &str = "lost+found";

/// What `format` says, before the version.
const FORMAT_PREFIX: &str = "micronode store ";
const VERSION: u32 = 2;
/// Nothing that we have written is longer.
const FORMAT_BYTES: u64 = 64;

/// Why a directory cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process uses it.
    #[error("another node has it open")]
    Locked,
    /// It has files, and they are not a node's.
    #[error("it is neither empty nor a node's: it has no file `format` of ours")]
    NotOurs,
    /// It was made by another version of this program.
    #[error("it has format {found}, and this program reads format {VERSION}")]
    Version {
        /// What it says itself.
        found: String,
    },
    /// Something of it is missing.
    #[error("it has objects and no index")]
    NoIndex,
    /// It cannot be read or written.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Backend(error.into())
    }
}

/// Makes sure that the directory is ours alone, and a node's.
pub(super) fn prepare(disk: &dyn Disk) -> Result<Box<dyn Lock>, OpenError> {
    check_is_ours(disk)?;
    let lock = disk.lock(LOCK).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked,
        _ => error.into(),
    })?;
    // Again, for somebody may have made it in between.
    if check_is_ours(disk)? {
        check_format(disk)?;
    } else {
        write_format(disk)?;
    }
    disk.create_directory(OBJECTS)?;
    disk.sync_directory("")?;
    Ok(lock)
}

/// Whether there is a `format`.
fn check_is_ours(disk: &dyn Disk) -> Result<bool, OpenError> {
    let entries = disk.list("")?;
    if entries.iter().any(|entry| entry == FORMAT) {
        return Ok(true);
    }
    let is_known = |entry: &String| [LOCK, NEW_FORMAT, LOST_AND_FOUND].contains(&&**entry);
    if entries.iter().all(is_known) {
        Ok(false)
    } else {
        Err(OpenError::NotOurs)
    }
}

fn check_format(disk: &dyn Disk) -> Result<(), OpenError> {
    let file = disk.open(FORMAT)?;
    let len = file.len()?.min(FORMAT_BYTES);
    let mut text = vec![0; usize::try_from(len).expect("a few bytes")];
    file.read(0, &mut text)?;
    let text = String::from_utf8_lossy(&text);
    let Some(found) = text.strip_prefix(FORMAT_PREFIX) else {
        return Err(OpenError::NotOurs);
    };
    let found = found.trim_end();
    if found == VERSION.to_string() {
        Ok(())
    } else {
        let found = found.escape_default().to_string();
        Err(OpenError::Version { found })
    }
}

fn write_format(disk: &dyn Disk) -> Result<(), OpenError> {
    remove_if_there(disk, NEW_FORMAT)?;
    let file = disk.create(NEW_FORMAT)?;
    file.write(0, format!("{FORMAT_PREFIX}{VERSION}\n").as_bytes())?;
    file.sync()?;
    disk.rename(NEW_FORMAT, FORMAT)?;
    Ok(disk.sync_directory("")?)
}

/// The index, whole. A directory without objects may have none yet.
pub(super) fn open_or_create_index(
    disk: &Arc<dyn Disk>,
    new_key: [u8; 32],
) -> Result<Index, OpenError> {
    if disk.list("")?.iter().any(|entry| entry == INDEX) {
        return Ok(Index::open(disk, INDEX)?);
    }
    if !disk.list(OBJECTS)?.is_empty() {
        return Err(OpenError::NoIndex);
    }
    remove_if_there(&**disk, NEW_INDEX)?;
    // Closed, and so all of it written, before it has its name.
    drop(Index::create(disk, NEW_INDEX, new_key)?);
    disk.rename(NEW_INDEX, INDEX)?;
    disk.sync_directory("")?;
    Ok(Index::open(disk, INDEX)?)
}

fn remove_if_there(disk: &dyn Disk, path: &str) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
