//! One span of a download: a request for whole groups, verified as they arrive.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use micronode_protocol::group::{GroupSlices, group_len};
use micronode_protocol::limits::GROUP_BYTES;
use micronode_protocol::manifest::VerifiedManifest;

use crate::retry::Attempts;
use crate::transport::{Body, Transport};
use crate::{Error, Integrity, Piece, TransportError};

/// Most bytes asked for in one request. A download has a few spans under way at once.
pub const SPAN_BYTES: u64 = 4 * 1024 * 1024;

const GROUP: u64 = GROUP_BYTES as u64;
const _: () = assert!(
    SPAN_BYTES.is_multiple_of(GROUP),
    "a span consists of whole groups"
);

/// Cuts a byte range into spans at multiples of [`SPAN_BYTES`].
pub(crate) fn spans(range: Range<u64>) -> impl Iterator<Item = Range<u64>> + Send {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let end = (start / SPAN_BYTES + 1)
            .saturating_mul(SPAN_BYTES)
            .min(range.end);
        let span = start..end;
        start = end;
        (!span.is_empty()).then_some(span)
    })
}

/// Reads a part of an object group by group. After an interruption it goes on with the first
/// group that has not been verified.
pub(crate) struct SpanReader {
    transport: Transport,
    manifest: Arc<VerifiedManifest>,
    /// What has not been given out, in bytes of the object.
    rest: Range<u64>,
    /// The answer being read, positioned behind `arrived`.
    body: Option<Body>,
    /// Bytes of the group at `rest.start` and what came with them: less than a group and one read
    /// of the connection.
    arrived: BytesMut,
    attempts: Attempts,
}

impl SpanReader {
    pub(crate) fn new(
        transport: Transport,
        manifest: Arc<VerifiedManifest>,
        range: Range<u64>,
    ) -> Self {
        let attempts = Attempts::new(transport.options().retry);
        SpanReader {
            transport,
            manifest,
            rest: range,
            body: None,
            arrived: BytesMut::new(),
            attempts,
        }
    }

    /// The next verified piece of the span, `None` at its end.
    pub(crate) async fn next(&mut self) -> Result<Option<Piece>, Error> {
        let Some(slice) = GroupSlices::new(self.rest.clone()).next() else {
            return Ok(None);
        };
        let group = loop {
            match self.group(slice.index).await {
                Ok(group) => break group,
                Err(error) => {
                    self.body = None;
                    self.arrived.clear();
                    self.attempts.pause_after(error).await?;
                }
            }
        };
        self.attempts.progressed();
        let piece = Piece {
            offset: self.rest.start,
            bytes: group.slice(slice.within),
        };
        self.rest.start += piece.bytes.len() as u64;
        Ok(Some(piece))
    }

    /// Receives and verifies group `index`, which is the next one of the answer being read.
    async fn group(&mut self, index: u64) -> Result<Bytes, Error> {
        if self.body.is_none() {
            self.body = Some(self.open(index * GROUP).await?);
        }
        let body = self.body.as_mut().expect("opened above");
        let length = group_len(self.manifest.size(), index);
        while self.arrived.len() < length {
            let piece = body.next().await?.ok_or(TransportError::Truncated)?;
            self.arrived.extend_from_slice(&piece);
        }
        let group = self.arrived.split_to(length).freeze();
        match self.manifest.verify_group(index, &group) {
            Ok(()) => Ok(group),
            Err(_) => Err(Integrity::Group {
                address: *self.manifest.address(),
                offset: index * GROUP,
            }
            .into()),
        }
    }

    /// Asks for the groups from offset `start` to the end of the span.
    async fn open(&self, start: u64) -> Result<Body, Error> {
        let size = self.manifest.size();
        let end = self.rest.end.next_multiple_of(GROUP).min(size);
        self.transport
            .read(self.manifest.address(), start..end, size)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spans_tile_the_range_and_touch_each_group_once(start in 0..3 * SPAN_BYTES, len in 0..3 * SPAN_BYTES) {
            let mut at = start;
            for span in spans(start..start + len) {
                prop_assert_eq!(span.start, at);
                prop_assert!(!span.is_empty() && span.end - span.start <= SPAN_BYTES);
                prop_assert!(span.end == start + len || span.end % SPAN_BYTES == 0);
                at = span.end;
            }
            prop_assert_eq!(at, start + len);
        }
    }

    #[test]
    fn the_last_span_of_the_largest_range_ends() {
        assert_eq!(spans(u64::MAX - 1..u64::MAX).count(), 1);
    }
}
