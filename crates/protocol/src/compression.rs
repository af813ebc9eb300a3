//! COMP: one frame's payload as zstd (RFC 8878), inflated within bounds.
//!
//! A frame is small and there at once, so its bounds are too: the output's length is known to be
//! bounded before it is allocated, and windows are looked up in the frame headers before anything
//! is decoded. Not for bodies that come in pieces: those are the hardening layer's.

use thiserror::Error;
use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{self, CCtx, CompressionLevel, DCtx};

use crate::ErrorCode;
use crate::limits::ZSTD_WINDOW_LOG;

/// Memory of one decoder beside its output, in bytes, rounded up: tables, and literals of a block.
pub const DECODER_BYTES: usize = 256 * 1024;

/// Fast beats small on a link that is worth a binary protocol.
const LEVEL: CompressionLevel = 1;

/// Shorter payloads are not worth an encoder.
const DEFLATE_BYTES_MIN: usize = 512;

const MAGIC: u32 = 0xFD2F_B528;
/// Frames of this magic and the 15 after it are skipped (RFC 8878, 3.1.2).
const MAGIC_SKIPPABLE: u32 = 0x184D_2A50;

/// Why a payload is not inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InflateError {
    /// More output, or a larger window, than is allowed.
    #[error("the compressed payload asks for too much")]
    Bound,
    /// Not zstd, or not all of it.
    #[error("the payload is not zstd")]
    Malformed,
}

impl InflateError {
    /// The public code.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Bound => ErrorCode::DecompressBound,
            Self::Malformed => ErrorCode::BadEncoding,
        }
    }
}

/// Most bytes that `payload` may inflate to, at `ratio` output bytes to one of input and at most
/// `most` in all. What to pay for before [`inflate`] is called.
pub fn inflated_bound(payload: &[u8], ratio: usize, most: usize) -> usize {
    payload.len().saturating_mul(ratio).min(most)
}

/// Inflates a payload of one or more frames to at most `bound` bytes, which are allocated at once.
///
/// # Errors
///
/// If it is not zstd, has a larger window than 2 MiB, or inflates to more than `bound`.
pub fn inflate(payload: &[u8], bound: usize) -> Result<Vec<u8>, InflateError> {
    check_windows(payload)?;
    let mut output = Vec::with_capacity(bound);
    let mut decoder = DCtx::try_create().ok_or(InflateError::Bound)?;
    match decoder.decompress(&mut output, payload) {
        Ok(_) if output.len() <= bound => Ok(output),
        // The vector may have more memory than was asked for.
        Ok(_) => Err(InflateError::Bound),
        Err(code)
            if zstd_safe::is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) =>
        {
            Err(InflateError::Bound)
        }
        Err(_) => Err(InflateError::Malformed),
    }
}

/// Looks at the header of every frame: a window is memory of the decoder, and whether it would be
/// allocated depends on how it is called.
fn check_windows(mut payload: &[u8]) -> Result<(), InflateError> {
    if payload.is_empty() {
        return Err(InflateError::Malformed);
    }
    while !payload.is_empty() {
        if window(payload)? > 1 << ZSTD_WINDOW_LOG {
            return Err(InflateError::Bound);
        }
        let length = zstd_safe::find_frame_compressed_size(payload)
            .ok()
            .filter(|length| (1..=payload.len()).contains(length))
            .ok_or(InflateError::Malformed)?;
        payload = &payload[length..];
    }
    Ok(())
}

/// The window of the frame that `payload` begins with (RFC 8878, 3.1.1.1). 0 for one to skip.
fn window(payload: &[u8]) -> Result<u64, InflateError> {
    let malformed = InflateError::Malformed;
    let (magic, rest) = payload.split_first_chunk::<4>().ok_or(malformed)?;
    let magic = u32::from_le_bytes(*magic);
    if magic & !0xf == MAGIC_SKIPPABLE {
        return Ok(0);
    }
    if magic != MAGIC {
        return Err(malformed);
    }
    let (descriptor, rest) = rest.split_first().ok_or(malformed)?;
    let single_segment = descriptor & 1 << 5 != 0;
    if !single_segment {
        let window = rest.first().ok_or(malformed)?;
        let base = 1u64 << (10 + (window >> 3));
        return Ok(base + base / 8 * u64::from(window & 7));
    }
    // A single segment's window is its content, whose size follows the dictionary's id.
    let rest = rest
        .get([0, 1, 2, 4][usize::from(descriptor & 3)]..)
        .ok_or(malformed)?;
    let width = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let field = rest.get(..width).ok_or(malformed)?;
    let mut size = [0; 8];
    size[..width].copy_from_slice(field);
    // Two bytes count from 256 on.
    Ok(u64::from_le_bytes(size) + if width == 2 { 256 } else { 0 })
}

/// Compresses a payload, if that makes it smaller by an eighth and the receiver, which is held to
/// the same `ratio`, would take it.
pub fn deflate(payload: &[u8], ratio: usize) -> Option<Vec<u8>> {
    if payload.len() < DEFLATE_BYTES_MIN {
        return None;
    }
    let most = payload.len() - payload.len() / 8;
    let mut output = Vec::with_capacity(most);
    let mut encoder = CCtx::try_create()?;
    // Fails when the output does not fit, which is the point.
    encoder.compress(&mut output, payload, LEVEL).ok()?;
    let inflates = output.len() < most && output.len().saturating_mul(ratio) >= payload.len();
    // What is queued is bounded by its length, so it must not hold ten times as much.
    output.shrink_to_fit();
    inflates.then_some(output)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::limits::DECOMPRESS_RATIO;

    const RATIO: usize = DECOMPRESS_RATIO as usize;

    fn compress(bytes: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(bytes, 3).unwrap()
    }

    fn bound(payload: &[u8]) -> usize {
        inflated_bound(payload, RATIO, 1 << 20)
    }

    #[test]
    fn exactly_the_bound_passes_and_one_less_does_not() {
        let bytes: Vec<u8> = (0..40_000_u32)
            .flat_map(|n| (n * n).to_le_bytes())
            .collect();
        let payload = compress(&bytes);
        assert_eq!(inflate(&payload, bytes.len()), Ok(bytes.clone()));
        assert_eq!(inflate(&payload, bytes.len() - 1), Err(InflateError::Bound));
    }

    #[test]
    fn a_bomb_is_stopped_at_ten_times_its_length() {
        let payload = compress(&vec![0; 1 << 20]);
        assert!(payload.len() < 1000);
        assert_eq!(inflate(&payload, bound(&payload)), Err(InflateError::Bound));
        let over = compress(&vec![7; (1 << 20) + 1]);
        assert_eq!(inflate(&over, 1 << 20), Err(InflateError::Bound));
    }

    #[test]
    fn a_window_is_refused_before_it_is_decoded() {
        // Magic, descriptor without a content size, window descriptor, and no block at all.
        let frame = |window: u8| [&MAGIC.to_le_bytes()[..], &[0, window]].concat();
        let descriptor = |log: u8| (log - 10) << 3;
        assert_eq!(
            inflate(&frame(descriptor(22)), 10),
            Err(InflateError::Bound)
        );
        assert_eq!(
            inflate(&frame(descriptor(21) | 1), 10),
            Err(InflateError::Bound)
        );
        assert_eq!(
            inflate(&frame(descriptor(21)), 10),
            Err(InflateError::Malformed)
        );
        assert_eq!(inflate(&frame(255), 10), Err(InflateError::Bound));
        // A single segment of 2 GiB, by its four-byte size.
        let single = [
            &MAGIC.to_le_bytes()[..],
            &[0b1010_0000],
            &(1u32 << 31).to_le_bytes(),
        ];
        assert_eq!(inflate(&single.concat(), 10), Err(InflateError::Bound));
    }

    #[test]
    fn the_second_frame_is_looked_at_too() {
        let first = compress(b"first");
        let two = [first.clone(), compress(b"second")].concat();
        assert_eq!(inflate(&two, 100).unwrap(), b"firstsecond");
        let wide = [&first[..], &MAGIC.to_le_bytes(), &[0, 12 << 3, 1, 0, 0]].concat();
        assert_eq!(inflate(&wide, 100), Err(InflateError::Bound));
    }

    #[test]
    fn nothing_and_garbage_are_malformed() {
        for payload in [
            &b""[..],
            b"x",
            b"plain text, not zstd",
            &MAGIC.to_le_bytes(),
        ] {
            assert_eq!(inflate(payload, 100), Err(InflateError::Malformed));
        }
        let whole = compress(&[3; 1000]);
        let cut = inflate(&whole[..whole.len() - 1], 1000);
        assert_eq!(cut, Err(InflateError::Malformed));
        assert_eq!(inflate(&compress(b""), 0), Ok(Vec::new()));
    }

    #[test]
    fn only_what_the_receiver_takes_is_compressed() {
        let text: Vec<u8> = (0..5000_u32)
            .flat_map(|n| n.to_string().into_bytes())
            .collect();
        let payload = deflate(&text, RATIO).unwrap();
        assert_eq!(payload.capacity(), payload.len());
        assert_eq!(inflate(&payload, bound(&payload)), Ok(text));
        assert_eq!(
            deflate(&vec![0; 1 << 16], RATIO),
            None,
            "too good to be taken"
        );
        assert_eq!(deflate(b"", RATIO), None);
        let mut noise = vec![0; 4096];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert_eq!(deflate(&noise, RATIO), None);
    }

    proptest! {
        #[test]
        fn any_payload_inflates_within_its_bound_or_not_at_all(
            payload in prop::collection::vec(any::<u8>(), 0..300),
            flips in prop::collection::vec((0..300_usize, any::<u8>()), 0..4),
            bytes in prop::collection::vec(0..4_u8, 0..2000),
        ) {
            let mut compressed = compress(&bytes);
            for (at, change) in flips {
                let at = at % compressed.len();
                compressed[at] ^= change;
            }
            for payload in [payload, compressed] {
                if let Ok(output) = inflate(&payload, bound(&payload)) {
                    prop_assert!(output.len() <= bound(&payload));
                }
            }
        }
    }
}
