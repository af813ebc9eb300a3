//! Laying frames out for a vectored write.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use crate::frame::{HEADER_BYTES, Header};
use crate::limits::{OAP_INLINE_BYTES, OAP_WRITE_AHEAD_BYTES};

/// Memory for headers and short bodies that is kept for what is queued next.
const TAIL_BYTES: usize = OAP_WRITE_AHEAD_BYTES;

/// Frames on their way out, in order. Headers, fields and short bodies are written one behind the
/// other into one buffer, so that many small frames make one slice; a long body stays where it is.
#[derive(Debug, Default)]
pub struct Encoder {
    /// Before the tail.
    slices: VecDeque<Bytes>,
    tail: BytesMut,
    /// Bytes queued and not yet written.
    queued: usize,
    /// Bytes written, of all that ever was queued.
    written: u64,
}

impl Encoder {
    /// Nothing queued, no memory held.
    pub fn new() -> Self {
        Self::default()
    }

    /// Queues a frame: `header`, whose lengths are set here, then `cap`, `fields` and `body`.
    ///
    /// # Panics
    ///
    /// If the capability or the frame is longer than its length can say. Both are far beyond
    /// their caps.
    pub fn push(&mut self, header: &Header, cap: &[u8], fields: &[u8], body: Bytes) {
        let len = HEADER_BYTES + cap.len() + fields.len() + body.len();
        let header = Header {
            len: u32::try_from(len).expect("a frame is far shorter"),
            cap_len: u16::try_from(cap.len()).expect("a capability is far shorter"),
            ..*header
        };
        self.queued += len;
        let inline = body.len() <= OAP_INLINE_BYTES;
        self.tail
            .reserve(if inline { len } else { len - body.len() });
        self.tail.extend_from_slice(&header.encode());
        self.tail.extend_from_slice(cap);
        self.tail.extend_from_slice(fields);
        if inline {
            self.tail.extend_from_slice(&body);
        } else {
            self.slices.push_back(self.tail.split().freeze());
            self.slices.push_back(body);
        }
    }

    /// Bytes queued and not yet written.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes written, of all that ever was queued.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Where the last byte queued will end, on the scale of [`written`](Self::written).
    pub fn end(&self) -> u64 {
        self.written + self.queued as u64
    }

    /// The queued bytes, as many slices of them as there is room for. Returns how many were set.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
        let queued = self.slices.iter().map(|slice| &slice[..]).chain(tail);
        let mut count = 0;
        for (place, bytes) in slices.iter_mut().zip(queued) {
            *place = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// Takes note that `count` more bytes have been written.
    ///
    /// # Panics
    ///
    /// If fewer were queued.
    pub fn advance(&mut self, mut count: usize) {
        self.queued -= count;
        self.written += count as u64;
        while let Some(slice) = self.slices.front_mut() {
            if count < slice.len() {
                slice.advance(count);
                return;
            }
            count -= slice.len();
            self.slices.pop_front();
        }
        if count < self.tail.len() {
            self.tail.advance(count);
        } else if self.tail.capacity() > TAIL_BYTES {
            self.tail = BytesMut::new();
        } else {
            self.tail.clear();
        }
    }

    /// Bytes of memory for headers and short bodies.
    pub fn capacity(&self) -> usize {
        self.tail.capacity()
    }

    /// Gives memory back that nothing is queued in.
    pub fn release(&mut self) {
        if self.queued == 0 {
            self.tail = BytesMut::new();
            self.slices.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::Flags;

    #[test]
    fn small_frames_make_one_slice_and_a_long_body_stays_where_it_is() {
        let mut encoder = Encoder::new();
        let header = Header {
            flags: Flags::RESP,
            ..Header::default()
        };
        let long = Bytes::from(vec![7; OAP_INLINE_BYTES + 1]);
        for body in [
            Bytes::from_static(b"a"),
            Bytes::from_static(b"b"),
            long.clone(),
        ] {
            encoder.push(&header, b"", b"field", body);
        }
        encoder.push(&header, b"", b"", Bytes::new());
        let mut slices = [IoSlice::new(b""); 8];
        assert_eq!(encoder.slices(&mut slices), 3);
        assert_eq!(slices[0].len(), 3 * (HEADER_BYTES + 5) + 2);
        assert_eq!(slices[1].as_ptr(), long.as_ptr());
        assert_eq!(slices[2].len(), HEADER_BYTES);
        let mut few = [IoSlice::new(b""); 2];
        assert_eq!(encoder.slices(&mut few), 2);
    }

    proptest! {
        #[test]
        fn however_little_is_written_at_once_the_bytes_are_the_same(
            bodies in prop::collection::vec(0..OAP_INLINE_BYTES * 2, 1..10),
            steps in prop::collection::vec(1..5000_usize, 1..10),
        ) {
            let (mut encoder, mut expected, mut out) = (Encoder::new(), Vec::new(), Vec::new());
            let mut steps = steps.iter().cycle();
            for (index, length) in bodies.iter().enumerate() {
                let body = Bytes::from(vec![index as u8; *length]);
                let header = Header {
                    flags: Flags::REQ.with(Flags::START),
                    corr_id: index as u64,
                    len: (HEADER_BYTES + 5 + length) as u32,
                    cap_len: 3,
                    ..Header::default()
                };
                expected.extend_from_slice(&header.encode());
                expected.extend_from_slice(b"caphi");
                expected.extend_from_slice(&body);
                encoder.push(&header, b"cap", b"hi", body);
                prop_assert_eq!(encoder.end() as usize, expected.len());
                // A write that takes some of it, between two frames.
                write(&mut encoder, &mut out, *steps.next().expect("cycles"));
            }
            while encoder.queued() > 0 {
                write(&mut encoder, &mut out, *steps.next().expect("cycles"));
            }
            prop_assert_eq!(out.len() as u64, encoder.written());
            prop_assert_eq!(out, expected);
        }
    }

    fn write(encoder: &mut Encoder, out: &mut Vec<u8>, most: usize) {
        let mut slices = [IoSlice::new(b""); 3];
        let count = encoder.slices(&mut slices);
        let there: Vec<u8> = slices[..count]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect();
        let taken = most.min(there.len());
        out.extend_from_slice(&there[..taken]);
        encoder.advance(taken);
    }
}
