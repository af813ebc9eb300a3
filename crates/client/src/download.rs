//! Downloads: several spans fetched at once, given out in order or as they come.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use micronode_protocol::Address;
use micronode_protocol::manifest::VerifiedManifest;

use crate::span::{SpanReader, spans};
use crate::{ByteRange, Client, Error};

/// Verified bytes and where they belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Offset in the object, in bytes.
    pub offset: u64,
    /// 1 byte to 64 KiB.
    pub bytes: Bytes,
}

/// The verified bytes of an object or of a part of it, in order: a `Stream` of pieces of at most
/// 64 KiB. It ends with an error or is complete.
pub struct Download {
    size: u64,
    range: Range<u64>,
    pieces: BoxStream<'static, Result<Bytes, Error>>,
}

impl Download {
    /// Size of the whole object in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The part of the object that is read, in bytes.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// All of it in one buffer, if it is at most `limit` bytes.
    pub async fn bytes(mut self, limit: usize) -> Result<Bytes, Error> {
        let wanted = self.range.end - self.range.start;
        if wanted > limit as u64 {
            return Err(Error::TooLarge {
                size: wanted,
                limit,
            });
        }
        let mut whole = BytesMut::new();
        while let Some(piece) = self.pieces.try_next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}

impl Stream for Download {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_next_unpin(cx)
    }
}

impl Client {
    /// Reads a whole object.
    pub async fn get(&self, address: &Address) -> Result<Download, Error> {
        let manifest = self.manifest(address).await?;
        let whole = 0..manifest.size();
        Ok(self.download(manifest, whole))
    }

    /// Reads a part of an object; only the groups that it touches are fetched.
    pub async fn get_range(&self, address: &Address, range: ByteRange) -> Result<Download, Error> {
        let manifest = self.manifest(address).await?;
        let size = manifest.size();
        let range = range
            .resolve(size)
            .ok_or(Error::RangeUnsatisfiable { size })?;
        Ok(self.download(manifest, range))
    }

    /// Reads a part of an object whose manifest is at hand, in order. Holds at most as many spans
    /// as [`ClientOptions::connections`](crate::ClientOptions::connections) says.
    ///
    /// # Panics
    ///
    /// If the range ends behind the object.
    pub fn download(&self, manifest: VerifiedManifest, range: Range<u64>) -> Download {
        let size = manifest.size();
        assert!(range.end <= size, "the range lies inside the object");
        let manifest = Arc::new(manifest);
        let transport = self.transport.clone();
        let pieces = stream::iter(spans(range.clone()))
            .map(move |span| {
                let mut reader = SpanReader::new(transport.clone(), Arc::clone(&manifest), span);
                async move {
                    let mut pieces = Vec::new();
                    while let Some(piece) = reader.next().await? {
                        pieces.push(Ok(piece.bytes));
                    }
                    Ok::<_, Error>(stream::iter(pieces))
                }
            })
            .buffered(self.transport.options().connections.get())
            .try_flatten()
            .boxed();
        Download {
            size,
            range,
            pieces,
        }
    }

    /// Reads parts of an object whose manifest is at hand, each piece as soon as it is verified
    /// and so in no order. Holds a few pieces for each span under way over HTTP; over OAP, where a
    /// slow reader must not hold up the calls beside it, up to the whole span. Nothing after an
    /// error is worth having.
    ///
    /// # Panics
    ///
    /// If a range ends behind the object.
    pub fn pieces(
        &self,
        manifest: Arc<VerifiedManifest>,
        ranges: Vec<Range<u64>>,
    ) -> BoxStream<'static, Result<Piece, Error>> {
        assert!(
            ranges.iter().all(|range| range.end <= manifest.size()),
            "the ranges lie inside the object"
        );
        let transport = self.transport.clone();
        stream::iter(ranges.into_iter().flat_map(spans))
            .map(move |span| {
                let reader = SpanReader::new(transport.clone(), Arc::clone(&manifest), span);
                stream::try_unfold(reader, async |mut reader| {
                    Ok(reader.next().await?.map(|piece| (piece, reader)))
                })
                .boxed()
            })
            .flatten_unordered(self.transport.options().connections.get())
            .boxed()
    }
}
