//! `FILE.part`: where a download is put together before it is `FILE`.
//!
//! Pieces are written at their offsets in any order, each after it was verified. What a former
//! attempt left is not trusted: it is verified again, group by group, and only whole groups count.
//! The file is locked while it is written, because two downloads of different objects would
//! otherwise mix their bytes in one output.

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use micronode_client::Piece;
use micronode_protocol::VerifiedManifest;
use micronode_protocol::group::GroupSlices;
use micronode_protocol::limits::GROUP_BYTES;
use tokio::task::spawn_blocking;

/// An incomplete download of a part of an object.
pub(crate) struct PartFile {
    file: Arc<File>,
    path: PathBuf,
    output: PathBuf,
    /// Offset in the object of the file's first byte.
    start: u64,
}

impl PartFile {
    /// Opens the part file of `output` for `range` of an object; with it come the ranges that are
    /// still to be written: all, or what `resume` did not find in a former attempt.
    pub(crate) async fn open(
        output: &Path,
        manifest: Arc<VerifiedManifest>,
        range: Range<u64>,
        resume: bool,
    ) -> io::Result<(Self, Vec<Range<u64>>)> {
        let output = output.to_owned();
        blocking(move || {
            let path = part_path(&output)?;
            let file = lock(&path)?;
            let missing = if resume {
                missing(&file, &manifest, range.clone())?
            } else {
                file.set_len(0)?;
                vec![range.clone()]
            };
            file.set_len(range.end - range.start)?;
            Ok((
                PartFile {
                    file: Arc::new(file),
                    path,
                    output,
                    start: range.start,
                },
                missing,
            ))
        })
        .await
    }

    /// Writes a verified piece where it belongs.
    pub(crate) async fn write(&self, piece: Piece) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        let offset = piece.offset - self.start;
        blocking(move || file.write_all_at(&piece.bytes, offset)).await
    }

    /// Gives the complete file its name, replacing what had it before.
    pub(crate) async fn finish(self) -> io::Result<()> {
        // The lock is held until the name is given.
        blocking(move || {
            // A name that survives a power cut must not stand over blocks that did not.
            self.file.sync_all()?;
            fs::rename(&self.path, &self.output)
        })
        .await
    }
}

fn part_path(output: &Path) -> io::Result<PathBuf> {
    let mut name = output
        .file_name()
        .ok_or_else(|| io::Error::other("it does not name a file"))?
        .to_owned();
    name.push(".part");
    Ok(output.with_file_name(name))
}

/// Opens and locks the file, and makes sure that it still has its name afterwards: a download that
/// ended in between has turned the file just opened into a complete one.
fn lock(path: &Path) -> io::Result<File> {
    let busy = || {
        io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("{} is in use by another download", path.display()),
        )
    };
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy()),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) if (named.dev(), named.ino()) == (opened.dev(), opened.ino()) => Ok(file),
        _ => Err(busy()),
    }
}

/// The parts of `range` that `file` does not hold. Groups that `range` covers only in part cannot
/// be verified from the file and are always missing. At most every other group starts a part.
fn missing(
    file: &File,
    manifest: &VerifiedManifest,
    range: Range<u64>,
) -> io::Result<Vec<Range<u64>>> {
    let held = file.metadata()?.len();
    let mut group = vec![0; GROUP_BYTES];
    let mut missing: Vec<Range<u64>> = Vec::new();
    let mut at = range.start;
    for slice in GroupSlices::new(range.clone()) {
        let bytes = &mut group[..slice.within.len()];
        let part = at..at + bytes.len() as u64;
        at = part.end;
        if part.end - range.start <= held {
            file.read_exact_at(bytes, part.start - range.start)?;
            // Also fails for what is not a whole group.
            if slice.within.start == 0 && manifest.verify_group(slice.index, bytes).is_ok() {
                continue;
            }
        }
        match missing.last_mut() {
            Some(last) if last.end == part.start => last.end = part.end,
            _ => missing.push(part),
        }
    }
    Ok(missing)
}

/// File system calls stay off the threads that serve connections.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work)
        .await
        .expect("file system calls do not panic and are not cancelled")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]
    use super::*;
    use micronode_protocol::ObjectHasher;

    const GROUP: u64 = GROUP_BYTES as u64;

    fn object(size: u64) -> (Vec<u8>, Arc<VerifiedManifest>) {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let mut hasher = ObjectHasher::new();
        bytes
            .chunks(GROUP_BYTES)
            .for_each(|group| hasher.push(group));
        (bytes, Arc::new(hasher.finish()))
    }

    async fn open(
        output: &Path,
        manifest: &Arc<VerifiedManifest>,
        range: Range<u64>,
        resume: bool,
    ) -> (PartFile, Vec<Range<u64>>) {
        PartFile::open(output, Arc::clone(manifest), range, resume)
            .await
            .unwrap()
    }

    async fn write(part: &PartFile, object: &[u8], range: Range<u64>) {
        let bytes = object[range.start as usize..range.end as usize]
            .to_vec()
            .into();
        part.write(Piece {
            offset: range.start,
            bytes,
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn pieces_in_any_order_become_the_output_under_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("file");
        fs::write(&output, "something older and longer".repeat(10_000)).unwrap();
        let (bytes, manifest) = object(2 * GROUP + 5);
        let range = 10..2 * GROUP + 3;
        let (part, missing) = open(&output, &manifest, range.clone(), false).await;
        assert_eq!(missing, [10..2 * GROUP + 3]);
        write(&part, &bytes, GROUP..2 * GROUP + 3).await;
        write(&part, &bytes, 10..GROUP).await;
        part.finish().await.unwrap();
        assert_eq!(fs::read(&output).unwrap(), bytes[10..range.end as usize]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn resuming_keeps_whole_verified_groups_only() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("file");
        let (bytes, manifest) = object(5 * GROUP + 5);
        let end = bytes.len() as u64;
        // Group 0 is cut by the range, 2 was never written, 4 went bad on the disk, and the short
        // last group is complete.
        let range = 1..end;
        {
            let (part, _) = open(&output, &manifest, range.clone(), false).await;
            write(&part, &bytes, 1..2 * GROUP).await;
            write(&part, &bytes, 3 * GROUP..end).await;
            part.file.write_all_at(&[0xff], 4 * GROUP + 7 - 1).unwrap();
        }
        let (_, missing) = open(&output, &manifest, range, true).await;
        assert_eq!(
            missing,
            [1..GROUP, 2 * GROUP..3 * GROUP, 4 * GROUP..5 * GROUP]
        );
    }

    #[tokio::test]
    async fn what_a_part_file_lacks_or_has_too_much_is_fetched_and_cut() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("file");
        let (bytes, manifest) = object(3 * GROUP);
        let path = part_path(&output).unwrap();
        for (held, expected) in [
            (0, vec![0..3 * GROUP]),
            (GROUP - 1, vec![0..3 * GROUP]),
            (GROUP, vec![GROUP..3 * GROUP]),
            (3 * GROUP, vec![]),
        ] {
            fs::write(&path, &bytes[..held as usize]).unwrap();
            let (_, missing) = open(&output, &manifest, 0..3 * GROUP, true).await;
            assert_eq!(missing, expected, "{held} bytes held");
        }
        fs::write(&path, [bytes.as_slice(), b"more"].concat()).unwrap();
        let (part, missing) = open(&output, &manifest, 0..3 * GROUP, true).await;
        assert_eq!(missing, []);
        part.finish().await.unwrap();
        assert_eq!(fs::read(&output).unwrap(), bytes);
        // Without resuming, nothing is kept.
        fs::write(&path, &bytes).unwrap();
        let (_, missing) = open(&output, &manifest, 0..3 * GROUP, false).await;
        assert_eq!(missing, [0..3 * GROUP]);
    }

    #[tokio::test]
    async fn two_downloads_never_write_the_same_file() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("file");
        let (bytes, manifest) = object(2 * GROUP);
        let (first, _) = open(&output, &manifest, 0..2 * GROUP, false).await;
        let second = PartFile::open(&output, Arc::clone(&manifest), 0..2 * GROUP, false).await;
        assert_eq!(second.err().unwrap().kind(), io::ErrorKind::ResourceBusy);
        // The attempt must not have emptied the file either.
        write(&first, &bytes, 0..2 * GROUP).await;
        let second = PartFile::open(&output, Arc::clone(&manifest), 0..2 * GROUP, false).await;
        assert!(second.is_err());
        first.finish().await.unwrap();
        assert_eq!(fs::read(&output).unwrap(), bytes);
        open(&output, &manifest, 0..2 * GROUP, false).await;
    }
}
