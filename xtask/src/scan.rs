//! `cargo xtask scan PID FILE`: where in all memory of a process the bytes of a file are, or
//! pieces of them. For whoever wants to see for themselves that a node has forgotten what it was
//! told to forget.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::{Failure, io};

/// What is looked for are pieces of so many bytes, from every so many on.
const PIECE: usize = 32;
const STRIDE: usize = 64;
/// Read at once.
const READ: usize = 1 << 20;
/// Places that are printed.
const SHOWN: usize = 20;

/// Prints where pieces are, and fails if there are any.
pub(crate) fn run(pid: &str, file: &str) -> Result<(), Failure> {
    let pattern = fs::read(file).map_err(io(file))?;
    let pieces = Pieces::of(&pattern)?;
    let proc = format!("/proc/{pid}");
    let maps = fs::read_to_string(format!("{proc}/maps")).map_err(io(format!("{proc}/maps")))?;
    let memory = File::open(format!("{proc}/mem")).map_err(io(format!("{proc}/mem")))?;
    let (mut scanned, mut found) = (0, 0);
    let mut buffer = vec![0; READ];
    for mapping in maps.lines() {
        let Some((mut at, end)) = readable(mapping) else {
            continue;
        };
        while at < end {
            let size = usize::try_from(end - at).unwrap_or(READ).min(READ);
            // Some of the kernel's own mappings cannot be read.
            if memory.read_exact_at(&mut buffer[..size], at).is_ok() {
                scanned += size;
                for (place, offset) in pieces.find(&buffer[..size]) {
                    found += 1;
                    if found <= SHOWN {
                        println!("byte {offset} at {:#x} in {mapping}", at + place as u64);
                    }
                }
            }
            // A piece may lie across the end of what was read.
            let step = if at + size as u64 == end {
                size
            } else {
                size - PIECE
            };
            at += step as u64;
        }
    }
    println!("{found} pieces found in {} MiB", scanned >> 20);
    if found == 0 {
        Ok(())
    } else {
        Err(Failure::Wrong(format!("{file} is in the memory of {pid}")))
    }
}

/// The range of a line of `/proc/PID/maps`, if it may be read.
fn readable(mapping: &str) -> Option<(u64, u64)> {
    let (range, rest) = mapping.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let address = |hex| u64::from_str_radix(hex, 16).ok();
    rest.starts_with('r')
        .then_some((address(start)?, address(end)?))
}

/// Pieces by how they begin, so that memory is gone through once.
struct Pieces<'a> {
    by_start: HashMap<[u8; 4], Vec<(usize, &'a [u8])>>,
    /// Whether one begins with these two bytes.
    begins: Vec<bool>,
}

impl<'a> Pieces<'a> {
    fn of(pattern: &'a [u8]) -> Result<Self, Failure> {
        let mut by_start: HashMap<_, Vec<_>> = HashMap::new();
        let mut begins = vec![false; 1 << 16];
        for (offset, piece) in pattern.windows(PIECE).enumerate().step_by(STRIDE) {
            let start = [piece[0], piece[1], piece[2], piece[3]];
            begins[usize::from(u16::from_le_bytes([start[0], start[1]]))] = true;
            by_start.entry(start).or_default().push((offset, piece));
        }
        if by_start.is_empty() {
            return Err(Failure::Wrong(format!("fewer than {PIECE} bytes")));
        }
        Ok(Self { by_start, begins })
    }

    /// Places in `bytes`, and what of the pattern is there.
    fn find<'b>(&'b self, bytes: &'b [u8]) -> impl Iterator<Item = (usize, usize)> + 'b {
        let places = bytes.windows(PIECE).enumerate();
        let likely =
            places.filter(|(_, at)| self.begins[usize::from(u16::from_le_bytes([at[0], at[1]]))]);
        likely.flat_map(|(place, at)| {
            let pieces = self.by_start.get(&at[..4]).into_iter().flatten();
            let here = pieces.filter(move |(_, piece)| at == *piece);
            here.map(move |(offset, _)| (place, *offset))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn pieces_are_found_wherever_they_are() {
        let pattern: Vec<u8> = (0..200).collect();
        let pieces = Pieces::of(&pattern).unwrap();
        let memory = [&[0; 77][..], &pattern[60..], &pattern[..96], &[0; 9]].concat();
        let found: Vec<_> = pieces.find(&memory).collect();
        assert_eq!(
            found,
            [(77 + 4, 64), (77 + 68, 128), (77 + 140, 0), (77 + 204, 64)]
        );
        assert!(Pieces::of(&pattern[..31]).is_err());
    }

    #[test]
    fn what_may_not_be_read_is_left_out() {
        assert_eq!(readable("1000-2000 r--p 0 0:0 0"), Some((0x1000, 0x2000)));
        assert_eq!(readable("1000-2000 ---p 0 0:0 0"), None);
    }
}
