//! What was freed is looked for where it was, through `/proc/self/mem`: the memory is not this
//! process's to read any more.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Bytes that stand nowhere else, other ones for each `seed`.
fn fill(bytes: &mut [u8], seed: u64) {
    blake3::Hasher::new()
        .update(b"stale copies")
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(bytes);
}

/// A place in memory, and what must not be found there.
struct Place {
    address: usize,
    expected: Vec<u8>,
    found: Vec<u8>,
    memory: File,
}

impl Place {
    /// Of `bytes`, which are still there. All that looking needs is allocated now, so that nothing
    /// of it can come to lie at the place.
    fn of(bytes: &[u8]) -> Self {
        let mut place = Self {
            address: bytes.as_ptr().addr(),
            expected: bytes.to_vec(),
            found: vec![0; bytes.len()],
            memory: File::open("/proc/self/mem").unwrap(),
        };
        assert_eq!(place.stale(), bytes.len() / 16, "the bytes are there");
        place
    }

    /// How many pieces of 16 bytes are still there. Whoever has the memory now may have written
    /// something else.
    fn stale(&mut self) -> usize {
        let address = self.address as u64;
        if self.memory.read_exact_at(&mut self.found, address).is_err() {
            // Given back to the system.
            return 0;
        }
        let pieces = self
            .found
            .chunks_exact(16)
            .zip(self.expected.chunks_exact(16));
        pieces.filter(|(found, expected)| found == expected).count()
    }

    #[track_caller]
    fn assert_wiped(&mut self, what: &str) {
        assert_eq!(
            self.stale(),
            0,
            "{what}: 16 bytes were found, so many times"
        );
    }
}

/// Of every kind that jemalloc tells apart: small, large, huge, and those that share an arena.
const SIZES: [usize; 9] = [
    64,
    1000,
    14 * 1024,
    16 * 1024,
    64 * 1024,
    300_000,
    1024 * 1024 + 5,
    4 * 1024 * 1024,
    9_000_001,
];

fn filled(size: usize, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    bytes.resize(size, 0);
    fill(&mut bytes, size as u64);
    bytes
}

#[test]
fn what_is_freed_is_wiped() {
    for size in SIZES {
        let bytes = filled(size, size);
        let mut place = Place::of(&bytes);
        drop(bytes);
        place.assert_wiped(&format!("{size} bytes freed"));
    }
}

#[test]
fn an_allocation_that_moves_leaves_nothing_behind() {
    for size in SIZES {
        let mut bytes = filled(size, size);
        let mut place = Place::of(&bytes);
        let mut expected = bytes.clone();
        bytes.reserve_exact(5 * size);
        assert!(bytes == expected, "all of it has moved along");
        assert_ne!(bytes.as_ptr().addr(), place.address);
        place.assert_wiped(&format!("{size} bytes moved"));

        let mut place = Place::of(&bytes);
        bytes.truncate(size / 4);
        bytes.shrink_to_fit();
        expected.truncate(size / 4);
        assert!(bytes == expected);
        assert_ne!(bytes.as_ptr().addr(), place.address);
        place.assert_wiped(&format!("{size} bytes made fewer"));
    }
}

/// Both sizes take the same room: nothing moves.
#[test]
fn an_allocation_that_shrinks_where_it_is_keeps_nothing_beyond_its_end() {
    for (size, less) in [
        (112, 100_usize),
        (64 * 1024, 63 * 1024),
        (1_310_720, 1_308_000),
    ] {
        let mut bytes = filled(size, size);
        let mut place = Place::of(&bytes[less.next_multiple_of(16)..]);
        let before = bytes.as_ptr();
        bytes.truncate(less);
        bytes.shrink_to_fit();
        assert_eq!((bytes.as_ptr(), bytes.capacity()), (before, less));
        place.assert_wiped(&format!("{size} bytes, now {less}"));
        bytes.reserve_exact(size - less);
        assert_eq!(bytes.as_ptr(), before, "it grows where it is, too");
        let mut place = Place::of(&bytes);
        drop(bytes);
        place.assert_wiped(&format!("{less} bytes that were {size}"));
    }
}

#[test]
fn what_is_aligned_is_wiped_too() {
    #[repr(align(4096))]
    struct Page([u8; 4096]);
    let mut page = Box::new(Page([0; 4096]));
    fill(&mut page.0, 1);
    let mut place = Place::of(&page.0);
    drop(page);
    place.assert_wiped("a page");
}

/// A decoder's window of which little is used: neither is the rest of it made resident.
#[test]
fn of_a_large_allocation_the_pages_that_were_touched_are_wiped() {
    const SIZE: usize = 64 * 1024 * 1024;
    const FAR: usize = 33 * 1024 * 1024 + 4000;
    let mut bytes = vec![0; SIZE];
    for at in [0, FAR, SIZE - 4096] {
        fill(&mut bytes[at..at + 4096], at as u64);
    }
    let mut places = [0, FAR, SIZE - 4096].map(|at| Place::of(&bytes[at..at + 4096]));
    drop(bytes);
    for place in &mut places {
        place.assert_wiped("a page of many");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: usize = peak
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    assert!(kib * 1024 < SIZE, "{kib} KiB were resident");
}

/// zstd is C, and asks this allocator for its memory.
#[test]
fn the_memory_of_zstd_is_wiped() {
    use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer};
    let mut plain = vec![0; 300_000];
    fill(&mut plain, 2);
    let compressed = zstd::bulk::compress(&plain, 1).unwrap();
    let mut decoder = DCtx::create();
    let mut output = vec![0; 64 * 1024];
    let mut input = InBuffer::around(&compressed);
    while input.pos() < compressed.len() {
        let mut out = OutBuffer::around(&mut output[..]);
        decoder.decompress_stream(&mut out, &mut input).unwrap();
    }
    drop(output);
    let needle = &plain[200_000..200_032];
    let before = hits(needle);
    drop(decoder);
    // What is left are the texts of this test: plain and compressed, random bytes do not shrink.
    assert!(before > 2, "the window has it as well: {before}");
    assert_eq!(hits(needle), 2);
}

/// How often `needle` is in the writable memory of this process.
fn hits(needle: &[u8]) -> usize {
    let memory = File::open("/proc/self/mem").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut piece = vec![0; 1024 * 1024];
    let finder = memchr::memmem::Finder::new(needle);
    let mut hits = 0;
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [mut at, to] = [from, to].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        while at < to {
            let size = (to - at).min(piece.len() as u64) as usize;
            let own = piece.as_ptr().addr() as u64;
            let is_own = at < own + piece.len() as u64 && own < at + size as u64;
            if !is_own && memory.read_exact_at(&mut piece[..size], at).is_ok() {
                hits += finder.find_iter(&piece[..size]).count();
            }
            piece.fill(0);
            at += size as u64;
        }
    }
    hits
}

#[test]
fn jemalloc_gives_back_when_it_is_asked_to() {
    super::extents::purge_all().unwrap();
}
