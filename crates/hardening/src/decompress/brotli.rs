//! brotli (RFC 7932): a single stream, whose first bits declare its window.

use brotli_decompressor::{
    Allocator, BrotliDecompressStream, BrotliResult, BrotliState, SliceWrapper, StandardAlloc,
};

use super::inflate::Step;
use super::{malformed, window_too_large};
use crate::{Reason, Refusal};

/// What the prefix codes of one stream may take, in bytes. The format allows three groups of 256
/// codes of up to 1080 entries of 4 bytes; encoders use a fraction of that.
const CODE_BYTES: usize = 3 * 1024 * 1024;

/// What all else may take: context maps, and what the ring buffer has beyond the window, in bytes.
const MAP_BYTES: usize = 128 * 1024;

/// An exact bound, because the decoder gets no more than this from its allocators.
pub(super) const fn memory(window_bits: u32) -> usize {
    (1 << window_bits) + CODE_BYTES + 2 * MAP_BYTES + size_of::<Brotli>()
}

type State = BrotliState<Capped, Capped, Capped>;

pub(super) struct Brotli {
    state: State,
    window_bits: u32,
    checked: bool,
    ended: bool,
}

impl Brotli {
    pub(super) fn new(window_bits: u32) -> Self {
        let mut state = State::new_strict(
            Capped::new((1 << window_bits) + MAP_BYTES),
            Capped::new(MAP_BYTES),
            Capped::new(CODE_BYTES),
        );
        // Never regrown, so that no old ring buffer is held beside a new one. It is zeroed memory,
        // which the system provides page by page as it is used.
        state.set_initial_ring_buffer_size(u32::MAX);
        Self {
            state,
            window_bits,
            checked: false,
            ended: false,
        }
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Refusal> {
        if self.ended {
            // The format has no second stream.
            return if input.is_empty() {
                Ok(Step {
                    consumed: 0,
                    produced: 0,
                    complete: true,
                })
            } else {
                Err(malformed())
            };
        }
        if !self.checked
            && let Some(&first) = input.first()
        {
            if window_bits(first).is_none_or(|bits| bits > self.window_bits) {
                return Err(window_too_large());
            }
            self.checked = true;
        }
        let (mut available_in, mut consumed) = (input.len(), 0);
        let (mut available_out, mut produced) = (output.len(), 0);
        let result = BrotliDecompressStream(
            &mut available_in,
            &mut consumed,
            input,
            &mut available_out,
            &mut produced,
            output,
            &mut 0,
            &mut self.state,
        );
        match result {
            BrotliResult::ResultFailure => return Err(self.failure()),
            BrotliResult::ResultSuccess => self.ended = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(Step {
            consumed,
            produced,
            complete: self.ended,
        })
    }

    fn failure(&self) -> Refusal {
        let state = &self.state;
        if state.alloc_u8.refused || state.alloc_u32.refused || state.alloc_hc.refused {
            Refusal::new(
                Reason::DecompressBound,
                "the compressed body asks for too much memory",
            )
        } else {
            malformed()
        }
    }
}

/// The window that a stream's first byte declares, log2 of bytes (RFC 7932, section 9.1); `None`
/// for the pattern that the format reserves and that large windows use.
fn window_bits(first: u8) -> Option<u32> {
    let first = u32::from(first);
    match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, ..) => Some(16),
        (_, 0, 0) => Some(17),
        (_, 0, 1) => None,
        (_, 0, high) => Some(8 + high),
        (_, low, _) => Some(17 + low),
    }
}

/// An allocator with an end: over it, the decoder gets an empty cell, which it reports as failure.
struct Capped {
    left: usize,
    refused: bool,
}

impl Capped {
    fn new(bytes: usize) -> Self {
        Self {
            left: bytes,
            refused: false,
        }
    }
}

impl<T: Clone + Default> Allocator<T> for Capped {
    type AllocatedMemory = <StandardAlloc as Allocator<T>>::AllocatedMemory;

    fn alloc_cell(&mut self, len: usize) -> Self::AllocatedMemory {
        match self.left.checked_sub(len.saturating_mul(size_of::<T>())) {
            Some(left) => {
                self.left = left;
                StandardAlloc::default().alloc_cell(len)
            }
            None => {
                self.refused = true;
                Self::AllocatedMemory::default()
            }
        }
    }

    fn free_cell(&mut self, cell: Self::AllocatedMemory) {
        self.left += size_of_val(cell.slice());
    }
}
