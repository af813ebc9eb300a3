//! What this process has mapped, from `/proc/self/maps`.

use std::fs;
use std::io;

/// A range of addresses with one purpose.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) start: usize,
    /// Bytes of it.
    pub(super) size: usize,
    /// `rw-p` where it may be read and written, and is this process's alone.
    permissions: String,
    /// A file, `[heap]`, `[stack]`; empty where it is memory for whatever.
    name: String,
}

impl Mapping {
    pub(super) fn all_of_this_process() -> io::Result<impl Iterator<Item = Self>> {
        let maps = fs::read_to_string("/proc/self/maps")?;
        let mappings: Vec<Self> = maps.lines().filter_map(Self::parse).collect();
        Ok(mappings.into_iter())
    }

    /// A line such as `7f0a-7f0b rw-p 00000000 00:00 0    [heap]`.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (range, permissions) = (fields.next()?, fields.next()?);
        let (start, end) = range.split_once('-')?;
        let [start, end] = [start, end].map(|hex| usize::from_str_radix(hex, 16));
        let start = start.ok()?;
        Some(Self {
            start,
            size: end.ok()?.checked_sub(start)?,
            permissions: permissions.to_owned(),
            // Behind offset, device and inode.
            name: fields.nth(3).unwrap_or_default().to_owned(),
        })
    }

    /// Whether an allocator has it, or could have.
    pub(super) fn is_heap(&self) -> bool {
        let is_anonymous = self.name.is_empty() || self.name.starts_with("[anon");
        self.permissions == "rw-p" && (is_anonymous || self.name == "[heap]")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn heaps_are_told_from_files_and_stacks() {
        for (line, is_heap) in [
            ("55d0-55f1 rw-p 00000000 00:00 0      [heap]", true),
            ("7f00-7f80 rw-p 00000000 00:00 0 ", true),
            ("7f00-7f80 rw-p 00000000 00:00 0   [anon:stack]", true),
            ("7f00-7f80 r--p 00000000 00:00 0 ", false),
            ("7f00-7f80 ---p 00000000 00:00 0 ", false),
            ("7ffc-7ffd rw-p 00000000 00:00 0   [stack]", false),
            (
                "7f00-7f80 rw-p 00001000 fe:00 42   /usr/lib/libc.so.6",
                false,
            ),
        ] {
            let mapping = Mapping::parse(line).unwrap();
            assert_eq!(mapping.is_heap(), is_heap, "{line}");
        }
        assert_eq!(
            Mapping::parse("55d0-55f1 rw-p 0 0:0 0 [heap]")
                .unwrap()
                .size,
            0x21
        );
        for line in ["", "55d0", "55d0-x rw-p", "55f1-55d0 rw-p 0 0:0 0"] {
            assert_eq!(Mapping::parse(line), None, "{line}");
        }
    }

    #[test]
    fn this_process_has_a_heap() {
        let mut mappings = Mapping::all_of_this_process().unwrap();
        assert!(mappings.any(|mapping| mapping.is_heap()));
    }
}
