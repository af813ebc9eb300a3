//! Bytes to upload that can be read as often as it takes: held in memory, or in a file.

use std::path::PathBuf;
use std::{fs, io};

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use micronode_protocol::Address;
use tokio::io::AsyncReadExt;
use tokio::task::spawn_blocking;

/// Bytes read and sent at once. A few times the unit that a node works in, because reading a file
/// costs a change of thread.
pub(crate) const PIECE_BYTES: usize = 256 * 1024;

/// Something to upload whose size and address are known.
pub(crate) enum Source {
    Bytes(Bytes),
    File { path: PathBuf, size: u64 },
}

impl Source {
    /// Reads a regular file once, off the async threads, to know what it will be stored under.
    pub(crate) async fn hash_file(path: PathBuf) -> io::Result<(Source, Address)> {
        let hashing = spawn_blocking(move || {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(fs::File::open(&path)?)?;
            let address = Address::from_bytes(*hasher.finalize().as_bytes());
            Ok((
                Source::File {
                    path,
                    size: hasher.count(),
                },
                address,
            ))
        });
        hashing
            .await
            .expect("hashing does not panic and is not cancelled")
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::File { size, .. } => *size,
        }
    }

    /// The bytes from the start, as many as [`Source::size`] says, in pieces of at most
    /// [`PIECE_BYTES`].
    pub(crate) async fn pieces(&self) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        match self {
            Source::Bytes(bytes) => {
                let pieces = stream::unfold(bytes.clone(), async |mut rest| {
                    let piece = rest.split_to(rest.len().min(PIECE_BYTES));
                    (!piece.is_empty()).then_some((Ok(piece), rest))
                });
                Ok(pieces.boxed())
            }
            Source::File { path, size } => {
                let file = tokio::fs::File::open(path).await?;
                let pieces = stream::try_unfold((file, *size), async |(mut file, left)| {
                    if left == 0 {
                        return Ok(None);
                    }
                    let mut piece = BytesMut::with_capacity(PIECE_BYTES);
                    let read = (&mut file).take(left).read_buf(&mut piece).await?;
                    if read == 0 {
                        return Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            "the file has become shorter",
                        ));
                    }
                    Ok(Some((piece.freeze(), (file, left - read as u64))))
                });
                Ok(pieces.boxed())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::TryStreamExt;

    async fn read(source: &Source) -> io::Result<Vec<u8>> {
        let pieces: Vec<Bytes> = source.pieces().await?.try_collect().await?;
        assert!(
            pieces
                .iter()
                .all(|piece| !piece.is_empty() && piece.len() <= PIECE_BYTES)
        );
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn both_sources_give_the_same_bytes_again_and_again() {
        for size in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
            let bytes: Vec<u8> = (0..size).map(|i| i as u8).collect();
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), &bytes).unwrap();
            let (in_file, address) = Source::hash_file(file.path().to_owned()).await.unwrap();
            assert_eq!(address, Address::of(&bytes));
            for source in [in_file, Source::Bytes(bytes.clone().into())] {
                assert_eq!(source.size(), size as u64);
                assert_eq!(read(&source).await.unwrap(), bytes);
                assert_eq!(read(&source).await.unwrap(), bytes);
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_changes_size_never_gives_another_number_of_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"12345").unwrap();
        let (source, _) = Source::hash_file(file.path().to_owned()).await.unwrap();
        fs::write(file.path(), b"123456").unwrap();
        assert_eq!(read(&source).await.unwrap(), b"12345");
        fs::write(file.path(), b"1234").unwrap();
        assert_eq!(
            read(&source).await.unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
