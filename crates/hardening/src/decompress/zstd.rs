//! zstd (RFC 8878): frames one after another, each of which declares the window it needs.

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{self, DCtx, DParameter, InBuffer, OutBuffer};

use super::inflate::Step;
use super::{malformed, window_too_large};
use crate::Refusal;

/// Largest block of the format (RFC 8878, section 3.1.1.2.4), in bytes.
const BLOCK_BYTES: usize = 128 * 1024;

/// A compressed block yields nothing until it is complete. With its header of 3 bytes, a frame
/// header of at most 18 before it, and the checksum of 4 before that, a well-formed body is silent
/// for this many bytes at most.
pub(super) const LONGEST_SILENCE: u64 = BLOCK_BYTES as u64 + 3 + 18 + 4;

/// Magic number, frame header descriptor and window descriptor (RFC 8878, 3.1.1.1).
const START_BYTES: usize = 6;
const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
const SINGLE_SEGMENT: u8 = 1 << 5;

/// The window, one block of input, two of output, and the tables, in bytes, rounded up.
pub(super) const fn memory(window_log: u32) -> usize {
    (1 << window_log) + 3 * BLOCK_BYTES + 256 * 1024
}

pub(super) struct Zstd {
    decoder: DCtx<'static>,
    window_log: u32,
    /// The first bytes of the frame at hand, as far as they have come.
    start: [u8; START_BYTES],
    started: usize,
}

impl Zstd {
    pub(super) fn new(window_log: u32) -> Self {
        // Small: the window is allocated with the first frame, once its size is known and allowed.
        let mut decoder = DCtx::create();
        decoder
            .set_parameter(DParameter::WindowLogMax(window_log))
            .expect("window_log is from 10 to 31");
        Self {
            decoder,
            window_log,
            start: [0; START_BYTES],
            started: 0,
        }
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Refusal> {
        self.check_window(input)?;
        let mut source = InBuffer::around(input);
        let mut target = OutBuffer::around(output);
        let hint = self
            .decoder
            .decompress_stream(&mut target, &mut source)
            .map_err(|code| {
                if zstd_safe::is_error_kind(
                    code,
                    ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge,
                ) {
                    window_too_large()
                } else {
                    malformed()
                }
            })?;
        let complete = hint == 0;
        if complete {
            self.started = 0;
        }
        Ok(Step {
            consumed: source.pos(),
            produced: target.pos(),
            complete,
        })
    }

    /// Refuses a frame whose window is too large. The decoder does so too, except for a frame that
    /// it can decode at once without a window: whether that happens depends on how the input was
    /// split, and no answer should.
    fn check_window(&mut self, input: &[u8]) -> Result<(), Refusal> {
        let missing = &mut self.start[self.started..];
        if missing.is_empty() {
            return Ok(());
        }
        let more = missing.len().min(input.len());
        missing[..more].copy_from_slice(&input[..more]);
        self.started += more;
        let [magic @ .., descriptor, window] = self.start;
        // A single segment has no window of its own: its content's size stands for it, which the
        // decoder checks.
        if self.started < START_BYTES || magic != MAGIC || descriptor & SINGLE_SEGMENT != 0 {
            return Ok(());
        }
        let base = 1u64 << (10 + (window >> 3));
        let size = base + base / 8 * u64::from(window & 7);
        if size > 1 << self.window_log {
            Err(window_too_large())
        } else {
            Ok(())
        }
    }
}
