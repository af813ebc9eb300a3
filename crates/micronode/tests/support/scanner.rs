//! Looking for bytes in all memory of a process that it can read itself.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// Pieces of what is looked for, in bytes: what is left of a copy may be a part of it.
const PIECE: usize = 32;
/// From the start of one piece to that of the next, or more in a text that is long: it is looked
/// for by so many pieces at most.
const STRIDE: usize = 128;
const PIECES: usize = 40;
/// Read at once.
const READ: usize = 1024 * 1024;

/// Where a piece was found.
#[derive(Clone, PartialEq, Eq)]
pub struct Hit {
    /// Which of the texts, and where in it.
    pub text: usize,
    pub offset: usize,
    pub address: u64,
    /// The line of `/proc/PID/maps`.
    pub mapping: String,
}

impl std::fmt::Debug for Hit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            text,
            offset,
            address,
            mapping,
        } = self;
        write!(f, "text {text} + {offset} at {address:x} of {mapping}")
    }
}

/// The memory of another process.
pub struct Scanner {
    pid: u32,
    memory: File,
}

impl Scanner {
    /// `None`, and said, if this process may not look there.
    pub fn of(pid: u32) -> Option<Self> {
        match File::open(format!("/proc/{pid}/mem")) {
            Ok(memory) => Some(Self { pid, memory }),
            Err(error) => {
                eprintln!("SKIPPED: the memory of the node cannot be read: {error}");
                None
            }
        }
    }

    /// Every place where a piece of one of `texts` is.
    pub fn hits(&self, texts: &[Vec<u8>]) -> Vec<Hit> {
        let pieces: Vec<_> = texts
            .iter()
            .enumerate()
            .flat_map(|(text, bytes)| {
                let last = bytes.len().saturating_sub(PIECE);
                let stride = STRIDE.max(last / PIECES);
                let offsets = (0..last).step_by(stride).chain([last]);
                offsets.map(move |offset| {
                    let piece = &bytes[offset..bytes.len().min(offset + PIECE)];
                    (text, offset, memchr::memmem::Finder::new(piece))
                })
            })
            .collect();
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid)).unwrap();
        let mut hits = Vec::new();
        let mut buffer = vec![0; READ];
        for mapping in maps.lines() {
            let mut fields = mapping.split(' ');
            let range = fields.next().unwrap().split_once('-').unwrap();
            let [mut at, end] = [range.0, range.1].map(|hex| u64::from_str_radix(hex, 16).unwrap());
            if !fields.next().unwrap().starts_with('r') {
                continue;
            }
            while at < end {
                let wanted = (end - at).min(READ as u64) as usize;
                let bytes = &mut buffer[..wanted];
                // What the kernel has put there, or has been taken away meanwhile.
                if self.memory.read_exact_at(bytes, at).is_ok() {
                    for (text, offset, finder) in &pieces {
                        hits.extend(finder.find_iter(bytes).map(|found| Hit {
                            text: *text,
                            offset: *offset,
                            address: at + found as u64,
                            mapping: mapping.to_owned(),
                        }));
                    }
                }
                if at + wanted as u64 == end {
                    break;
                }
                // A piece may lie across the end of what was read.
                at += (wanted - PIECE) as u64;
            }
        }
        hits
    }
}
