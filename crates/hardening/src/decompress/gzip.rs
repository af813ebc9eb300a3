//! gzip (RFC 1952): members one after another, each with its header, checksum and length.

use flate2::{Decompress, FlushDecompress, Status};

use super::inflate::Step;
use super::malformed;
use crate::Refusal;

/// The fixed window of 32 KiB and the tables of one decoder, in bytes, rounded up.
pub(super) const MEMORY: usize = 64 * 1024;

/// log2 of the largest window that the format knows.
const WINDOW_BITS: u8 = 15;

pub(super) struct Gzip {
    decoder: Decompress,
    member_ended: bool,
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self {
            decoder: Decompress::new_gzip(WINDOW_BITS),
            member_ended: false,
        }
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Refusal> {
        if self.member_ended {
            if input.is_empty() {
                return Ok(Step {
                    consumed: 0,
                    produced: 0,
                    complete: true,
                });
            }
            self.decoder.reset(true);
            self.member_ended = false;
        }
        let (total_in, total_out) = (self.decoder.total_in(), self.decoder.total_out());
        let status = self
            .decoder
            .decompress(input, output, FlushDecompress::None)
            .map_err(|_| malformed())?;
        self.member_ended = status == Status::StreamEnd;
        Ok(Step {
            consumed: (self.decoder.total_in() - total_in) as usize,
            produced: (self.decoder.total_out() - total_out) as usize,
            complete: self.member_ended,
        })
    }
}
