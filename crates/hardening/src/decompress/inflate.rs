//! The bounds of one compressed body, without any I/O: compressed bytes in, checked pieces out.

use bytes::{Buf, Bytes};

use super::brotli::Brotli;
use super::gzip::Gzip;
use super::zstd::{self, Zstd};
use super::{Coding, DecompressLimits, PIECE_BYTES, malformed};
use crate::{Reason, Refusal};

/// Input given to a decoder at a time, in bytes: the bounds are checked at least this often,
/// however large the pieces are that the body arrives in.
const SLICE_BYTES: usize = 4 * 1024;

/// What a decoder did in one step.
pub(super) struct Step {
    pub(super) consumed: usize,
    pub(super) produced: usize,
    /// The body may end here: a member, frame or stream is complete and nothing is held back.
    pub(super) complete: bool,
}

enum Decoder {
    Gzip(Gzip),
    Zstd(Zstd),
    Brotli(Box<Brotli>),
}

/// What [`Inflate::run`] stopped for.
pub(super) enum Stop {
    /// A piece is full.
    Piece,
    /// All input is used up.
    Input,
    /// Enough was done for one turn of the executor.
    Turn,
}

pub(super) struct Inflate {
    decoder: Decoder,
    limits: DecompressLimits,
    /// Output that the declared length allows in all, in bytes.
    allowed: u64,
    input: Bytes,
    /// The decoder holds no output back: only more input can help it.
    drained: bool,
    piece: Box<[u8]>,
    filled: usize,
    consumed: u64,
    produced: u64,
    /// Input consumed since the last output.
    silent: u64,
    complete: bool,
    /// Bytes read and written in this turn.
    work: usize,
}

impl Inflate {
    pub(super) fn new(coding: Coding, limits: &DecompressLimits, declared: Option<u64>) -> Self {
        let decoder = match coding {
            Coding::Gzip => Decoder::Gzip(Gzip::new()),
            Coding::Zstd => Decoder::Zstd(Zstd::new(limits.zstd_window_log)),
            Coding::Brotli => Decoder::Brotli(Box::new(Brotli::new(limits.brotli_window_bits))),
        };
        let by_length = declared.map_or(u64::MAX, |length| length.saturating_mul(limits.ratio));
        Self {
            decoder,
            limits: *limits,
            allowed: by_length.min(limits.absolute),
            input: Bytes::new(),
            drained: true,
            piece: vec![0; PIECE_BYTES].into_boxed_slice(),
            filled: 0,
            consumed: 0,
            produced: 0,
            silent: 0,
            complete: false,
            work: 0,
        }
    }

    /// Hands in the next bytes; only when all earlier ones are used up.
    pub(super) fn feed(&mut self, input: Bytes) {
        debug_assert!(self.input.is_empty(), "the input before is not used up");
        self.input = input;
    }

    /// Decodes until something else has to happen.
    pub(super) fn run(&mut self) -> Result<Stop, Refusal> {
        while self.filled < PIECE_BYTES {
            if self.work >= PIECE_BYTES {
                self.work = 0;
                return Ok(Stop::Turn);
            }
            if self.input.is_empty() && self.drained {
                return Ok(Stop::Input);
            }
            let slice = &self.input[..self.input.len().min(SLICE_BYTES)];
            let output = &mut self.piece[self.filled..];
            let step = match &mut self.decoder {
                Decoder::Gzip(gzip) => gzip.step(slice, output),
                Decoder::Zstd(zstd) => zstd.step(slice, output),
                Decoder::Brotli(brotli) => brotli.step(slice, output),
            }?;
            if step.consumed == 0 && step.produced == 0 {
                if !slice.is_empty() {
                    // Input to read and room to write, but no progress: not well formed.
                    return Err(malformed());
                }
                self.drained = true;
                continue;
            }
            self.drained = false;
            self.input.advance(step.consumed);
            self.filled += step.produced;
            self.work += step.consumed + step.produced;
            self.check(&step)?;
        }
        Ok(Stop::Piece)
    }

    fn check(&mut self, step: &Step) -> Result<(), Refusal> {
        self.consumed += step.consumed as u64;
        self.produced += step.produced as u64;
        self.complete = step.complete;
        let running = self.by_ratio().saturating_add(self.limits.slack);
        if self.produced > running.min(self.allowed) {
            return Err(too_much());
        }
        if step.produced > 0 {
            self.silent = 0;
            return Ok(());
        }
        self.silent += step.consumed as u64;
        let within_block = matches!(self.decoder, Decoder::Zstd(_)) && !step.complete;
        let longest = if within_block {
            zstd::LONGEST_SILENCE
        } else {
            0
        };
        if self.silent > self.limits.silent_bytes.max(longest) {
            return Err(Refusal::new(
                Reason::BadEncoding,
                "too much of the compressed body yields nothing",
            ));
        }
        Ok(())
    }

    /// The body has ended: whether it was complete and within its ratio. One without any bytes is
    /// not: no coding has an empty stream.
    pub(super) fn finish(&self) -> Result<(), Refusal> {
        if !self.complete {
            return Err(Refusal::new(
                Reason::BadEncoding,
                "the compressed body is cut short",
            ));
        }
        if self.produced > self.by_ratio() {
            Err(too_much())
        } else {
            Ok(())
        }
    }

    /// What has been decoded and not yet taken; empty when there is nothing.
    pub(super) fn take_piece(&mut self) -> Bytes {
        // A copy, so that a short piece does not pin a whole buffer, and the buffer is used again.
        let piece = Bytes::copy_from_slice(&self.piece[..self.filled]);
        self.filled = 0;
        piece
    }

    fn by_ratio(&self) -> u64 {
        self.consumed.saturating_mul(self.limits.ratio)
    }
}

fn too_much() -> Refusal {
    Refusal::new(
        Reason::DecompressBound,
        "the compressed body inflates to too much",
    )
}
