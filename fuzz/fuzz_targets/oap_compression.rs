//! Compressed payloads of OAP/1: whatever they are, they inflate within their bound or not at all,
//! to what zstd's own streaming decoder makes of them, and what both of its decoders take is taken;
//! and what was deflated inflates again.
//!
//! An input: a byte for the bounds (modulo 3: a node's, tight, the next two bytes as the ratio and
//! the two behind them as the most, little endian), a byte for how often the bytes are repeated
//! before they are deflated (modulo 64, and once more), and then the bytes, which are a payload
//! and what to make one of.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use micronode_protocol::compression::{InflateError, deflate, inflate, inflated_bound};
use micronode_protocol::limits::{DECOMPRESS_RATIO, OAP_FRAME_BYTES, ZSTD_WINDOW_LOG};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

/// Shorter than any frame: a decoder that is fed so much at once never sees one whole, and so never
/// takes the short cut on which it does not look at windows.
const PIECE_BYTES: usize = 7;

/// No window is smaller.
const WINDOW_BYTES_MIN: usize = 1024;

#[derive(Debug)]
struct Input<'a> {
    ratio: usize,
    most: usize,
    repeated: usize,
    bytes: &'a [u8],
}

impl<'a> Arbitrary<'a> for Input<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let (ratio, most) = match u.int_in_range(0..=2)? {
            0 => (DECOMPRESS_RATIO as usize, OAP_FRAME_BYTES),
            1 => (2, 1000),
            _ => (u.arbitrary::<u16>()?.into(), u.arbitrary::<u16>()?.into()),
        };
        Ok(Self {
            ratio,
            most,
            repeated: u.int_in_range(1..=64)?,
            bytes: u.bytes(u.len())?,
        })
    }
}

fuzz_target!(|input: Input<'_>| {
    inflate_anything(&input);
    let text = input.bytes.repeat(input.repeated);
    deflate_anything(&text, input.ratio);
});

fn inflate_anything(input: &Input<'_>) {
    let bound = inflated_bound(input.bytes, input.ratio, input.most);
    assert!(bound <= input.most && bound <= input.bytes.len().saturating_mul(input.ratio));
    let inflated = inflate(input.bytes, bound);
    if let Ok(output) = &inflated {
        assert!(output.len() <= bound);
        assert_eq!(inflate(input.bytes, output.len()).as_ref(), Ok(output));
        if let Some(less) = output.len().checked_sub(1) {
            assert_eq!(inflate(input.bytes, less), Err(InflateError::Bound));
        }
    }
    match (stream(input.bytes, bound), inflated) {
        (Some(streamed), Ok(output)) => {
            assert_eq!(streamed.len(), output.len());
            // Behind it a frame may refer to more than its window, of which one decoder has kept
            // more than the other.
            let alike = WINDOW_BYTES_MIN.min(output.len());
            assert!(streamed[..alike] == output[..alike], "other bytes");
        }
        (Some(_), Err(error)) => {
            // Streaming passes over an empty compressed block, which the format does not have.
            let whole = zstd::bulk::decompress(input.bytes, bound);
            assert!(whole.is_err(), "zstd takes it, and yet: {error}");
        }
        (None, _) => {}
    }
}

/// What zstd makes of a payload piece by piece, if all of it is frames that keep to the bounds.
fn stream(payload: &[u8], bound: usize) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new().expect("memory for a decoder");
    let window = DParameter::WindowLogMax(ZSTD_WINDOW_LOG);
    decoder.set_parameter(window).expect("a window it can have");
    let (mut output, mut buffer) = (Vec::new(), [0; 4096]);
    let mut missing = 1;
    for piece in payload.chunks(PIECE_BYTES) {
        let mut piece = InBuffer::around(piece);
        loop {
            let mut space = OutBuffer::around(&mut buffer[..]);
            missing = decoder.run(&mut piece, &mut space).ok()?;
            let filled = space.pos();
            output.extend_from_slice(&buffer[..filled]);
            if output.len() > bound {
                return None;
            }
            // At the end of a frame nothing is left in the decoder, and asking begins another.
            let is_flushed = filled < buffer.len() || missing == 0;
            if piece.pos() == piece.src.len() && is_flushed {
                break;
            }
        }
    }
    (missing == 0).then_some(output)
}

fn deflate_anything(text: &[u8], ratio: usize) {
    let Some(payload) = deflate(text, ratio) else {
        return;
    };
    assert!(payload.len() < text.len());
    let bound = inflated_bound(&payload, ratio, text.len());
    assert_eq!(bound, text.len(), "its receiver takes it");
    assert!(inflate(&payload, bound).as_deref() == Ok(text));
    assert!(stream(&payload, bound).as_deref() == Some(text));
}
