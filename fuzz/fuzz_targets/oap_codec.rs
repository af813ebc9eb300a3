//! OAP/1 frames: whatever bytes come, however they are cut and whatever is decided about long
//! frames, the decoder gives what a plain reading of the whole gives, in bounded memory, and what
//! it gave is encoded to the bytes that came.
//!
//! An input: a byte for the largest frame (odd: 1 MiB, even: the least that a node may have), one
//! for decisions (bit n modulo 8: the nth long frame is granted its memory, otherwise it is
//! skipped), one for whether frames are kept while others are read (odd: they are), one for how
//! much of a payload is encoded as fields (of 255), the [`Cuts`], and then what comes, piece by
//! piece (see [`Coming`]).
#![no_main]

use std::collections::VecDeque;
use std::io::IoSlice;

use arbitrary::{Arbitrary, Unstructured};
use bytes::{BufMut, Bytes};
use libfuzzer_sys::fuzz_target;
use micronode_fuzz::{Cuts, Piece};
use micronode_protocol::codec::{Decoded, Decoder, Encoder, Frame, Malformed};
use micronode_protocol::frame::{Flags, FrameError, HEADER_BYTES, Header};
use micronode_protocol::limits::{OAP_FRAME_BYTES, OAP_FRAME_BYTES_MIN, OAP_READ_BYTES};

/// Bytes that come; what would come behind them does not.
const STREAM_BYTES: usize = 5 * OAP_FRAME_BYTES / 2;

#[derive(Debug)]
struct Input {
    max_frame: usize,
    decisions: u8,
    keeps: bool,
    fields: u8,
    cuts: Cuts,
    stream: Bytes,
}

/// A byte says which (modulo 3), the operands are little endian.
#[derive(Clone, Copy)]
enum Coming {
    /// Bytes as they are, after a byte for their number.
    Raw,
    /// A frame: a byte each for its flags, its capability's length and its stream, and two for its
    /// payload's length.
    Frame,
    /// The same, with four bytes for the payload's length, up to what is just too long.
    Long,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let max_frame = if u.arbitrary()? {
            OAP_FRAME_BYTES
        } else {
            OAP_FRAME_BYTES_MIN
        };
        let (decisions, keeps, fields) = u.arbitrary()?;
        let cuts = u.arbitrary()?;
        let mut stream = Vec::new();
        while !u.is_empty() && stream.len() < STREAM_BYTES {
            come(u, max_frame, &mut stream)?;
        }
        stream.truncate(STREAM_BYTES);
        Ok(Self {
            max_frame,
            decisions,
            keeps,
            fields,
            cuts,
            stream: stream.into(),
        })
    }
}

fn come(u: &mut Unstructured<'_>, max_frame: usize, stream: &mut Vec<u8>) -> arbitrary::Result<()> {
    let coming = *u.choose(&[Coming::Raw, Coming::Frame, Coming::Long])?;
    if let Coming::Raw = coming {
        let length = usize::from(u.arbitrary::<u8>()?).min(u.len());
        stream.extend_from_slice(u.bytes(length)?);
        return Ok(());
    }
    let (flags, cap_len, corr_id): (u8, u8, u8) = u.arbitrary()?;
    let payload = match coming {
        Coming::Long => u.arbitrary::<u32>()? as usize % (max_frame + 2),
        _ => u.arbitrary::<u16>()?.into(),
    };
    let header = Header {
        len: (HEADER_BYTES + usize::from(cap_len) + payload) as u32,
        flags: Flags::from_bits(flags.into()),
        code: 0x0102,
        app: 0x0304,
        tenant: 0x0506,
        cap_len: cap_len.into(),
        corr_id: corr_id.into(),
    };
    stream.extend_from_slice(&header.encode());
    // Bytes that differ from those around them.
    let rest = (0..usize::from(cap_len) + payload).map(|index| (index % 251) as u8);
    stream.extend(rest);
    Ok(())
}

/// What a stream of bytes comes to.
#[derive(Default, PartialEq)]
struct Outcome {
    frames: Vec<Decoded>,
    fault: Option<Malformed>,
    /// It ends in the middle of a frame.
    is_open: bool,
}

fuzz_target!(|input: Input| {
    let plain = read_plainly(&input);
    let at_once = Piece {
        bytes: input.stream.clone(),
        pause: 0,
    };
    for pieces in [vec![at_once], input.cuts.cut(input.stream.clone())] {
        let outcome = decode(&input, &pieces);
        assert_eq!(outcome.fault, plain.fault);
        assert_eq!(outcome.frames.len(), plain.frames.len());
        assert!(outcome == plain, "other frames, or another end");
    }
    encode(&input, &plain.frames);
});

/// The protocol as its page has it, with all the bytes at hand.
fn read_plainly(input: &Input) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut rest, mut long_frames) = (input.stream.clone(), 0);
    while rest.len() >= HEADER_BYTES {
        let number = |at: usize, width: usize| {
            let bytes = &rest[at..at + width];
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | u128::from(*byte))
        };
        let (len, flags) = (number(0, 4) as usize, number(6, 2) as u16);
        let (cap_len, corr_id) = (number(28, 2) as usize, number(30, 8) as u64);
        let told = |error| Some(Malformed { corr_id, error });
        let knows_flags = flags < 256 && flags & 192 != 192;
        outcome.fault = if !knows_flags || ![1, 2, 4].contains(&(flags & 7)) {
            told(FrameError::BadFlags)
        } else if number(4, 2) != 1 {
            told(FrameError::BadVersion)
        } else if len > input.max_frame {
            told(FrameError::Oversize)
        } else if len < 38 {
            told(FrameError::Truncated)
        } else if cap_len > 0 && flags & 8 == 0 {
            told(FrameError::CapOnNonStart)
        } else if len <= rest.len() && cap_len > len - 38 {
            told(FrameError::CapOutOfBounds)
        } else {
            None
        };
        if outcome.fault.is_some() {
            return outcome;
        }
        if len > rest.len() {
            break;
        }
        let header = Header {
            len: len as u32,
            flags: Flags::from_bits(flags),
            code: number(8, 2) as u16,
            app: number(10, 2) as u16,
            tenant: number(12, 16),
            cap_len: cap_len as u16,
            corr_id,
        };
        let frame = rest.split_to(len);
        let is_long = len > OAP_READ_BYTES;
        let decoded = if is_long && !input.is_granted(long_frames) {
            Decoded::Skipped(header)
        } else {
            Decoded::Frame(Frame {
                header,
                cap: frame.slice(38..38 + cap_len),
                payload: frame.slice(38 + cap_len..),
            })
        };
        long_frames += u32::from(is_long);
        outcome.frames.push(decoded);
    }
    outcome.is_open = !rest.is_empty();
    outcome
}

impl Input {
    fn is_granted(&self, long_frame: u32) -> bool {
        self.decisions >> (long_frame % 8) & 1 == 1
    }
}

fn decode(input: &Input, pieces: &[Piece]) -> Outcome {
    let mut decoder = Decoder::new(input.max_frame);
    let mut outcome = Outcome::default();
    // Frames that were let go of, so that their buffer may be used again.
    let mut copies = Vec::new();
    let (mut long_frames, mut granted) = (0, None);
    assert_eq!(decoder.capacity(), 0, "nothing has come");
    for piece in pieces {
        let mut bytes = &piece.bytes[..];
        while !bytes.is_empty() {
            let mut spare = decoder.spare();
            let count = spare.remaining_mut().min(bytes.len());
            assert!(count > 0, "no room for what is to come");
            spare.put_slice(&bytes[..count]);
            bytes = &bytes[count..];
            assert!(decoder.capacity() <= granted.unwrap_or(OAP_READ_BYTES));
            loop {
                match decoder.next() {
                    Ok(Some(decoded)) => {
                        granted = None;
                        if input.keeps {
                            outcome.frames.push(decoded);
                        } else {
                            copies.push(copy(&decoded));
                        }
                    }
                    Ok(None) => break,
                    Err(fault) => {
                        assert_eq!(decoder.next(), Err(fault), "it stays a fault");
                        assert_eq!(decoder.spare().remaining_mut(), 0);
                        assert_eq!(decoder.capacity(), 0);
                        outcome.frames.extend(copies);
                        outcome.fault = Some(fault);
                        return outcome;
                    }
                }
            }
            if let Some((header, _)) = decoder.long_frame() {
                let len = header.len as usize;
                assert!(len > OAP_READ_BYTES && decoder.capacity() <= OAP_READ_BYTES);
                if input.is_granted(long_frames) {
                    granted = Some(len);
                    decoder.grant();
                } else {
                    decoder.skip();
                }
                long_frames += 1;
            }
        }
    }
    outcome.frames.extend(copies);
    outcome.is_open = decoder.is_frame_open();
    decoder.release();
    assert!(outcome.is_open || decoder.capacity() == 0);
    outcome
}

fn copy(decoded: &Decoded) -> Decoded {
    match decoded {
        Decoded::Frame(frame) => Decoded::Frame(Frame {
            header: frame.header,
            cap: Bytes::copy_from_slice(&frame.cap),
            payload: Bytes::copy_from_slice(&frame.payload),
        }),
        Decoded::Skipped(header) => Decoded::Skipped(*header),
    }
}

/// Encodes what was decoded, in writes as long as the cuts, and compares.
fn encode(input: &Input, frames: &[Decoded]) {
    let mut encoder = Encoder::new();
    let (mut expected, mut left) = (VecDeque::new(), input.stream.clone());
    let lengths = input.cuts.lengths().filter(|length| *length > 0);
    let mut writes = lengths.chain([usize::MAX]).cycle();
    let mut write = |encoder: &mut Encoder, expected: &mut VecDeque<Bytes>| {
        let most = writes.next().expect("they take turns");
        let mut slices = [IoSlice::new(&[]); 3];
        let count = encoder.slices(&mut slices);
        let mut written = 0;
        for slice in &slices[..count] {
            let slice = &slice[..slice.len().min(most - written)];
            check_written(slice, expected);
            written += slice.len();
        }
        encoder.advance(written);
    };
    for decoded in frames {
        let (Decoded::Frame(Frame { header, .. }) | Decoded::Skipped(header)) = decoded;
        let bytes = left.split_to(header.len as usize);
        let Decoded::Frame(frame) = decoded else {
            continue;
        };
        expected.push_back(bytes);
        let at = frame.payload.len() * usize::from(input.fields) / 255;
        let (fields, body) = (&frame.payload[..at], frame.payload.slice(at..));
        // The lengths are the encoder's to say.
        let unmeasured = Header {
            len: 0,
            cap_len: 0,
            ..*header
        };
        let end = encoder.end();
        encoder.push(&unmeasured, &frame.cap, fields, body);
        assert_eq!(encoder.end(), end + u64::from(header.len));
        write(&mut encoder, &mut expected);
    }
    while encoder.queued() > 0 {
        write(&mut encoder, &mut expected);
    }
    assert!(expected.is_empty() && encoder.written() == encoder.end());
}

fn check_written(mut written: &[u8], expected: &mut VecDeque<Bytes>) {
    while !written.is_empty() {
        let next = expected.front_mut().expect("no more than was pushed");
        let count = next.len().min(written.len());
        assert!(next.split_to(count) == written[..count], "other bytes");
        written = &written[count..];
        if next.is_empty() {
            expected.pop_front();
        }
    }
}
