//! Memory that is zeroed before it goes back to the allocator.
//!
//! Deleted means gone: the bytes of an object must not be found in the process after the object
//! was dropped. [`WipedBuffer`] is being written, [`WipedBytes`] is finished; neither is ever
//! reallocated in place, because that would leave an unwiped copy behind.

use std::hint::black_box;
use std::ops::Deref;

/// Zeroes `bytes` in a way that the optimiser keeps.
///
/// A plain fill of memory that is freed next is a dead store, which compilers remove. Handing the
/// slice to [`black_box`] afterwards makes the zeroes observable: the compiler must assume that
/// they are read. Compared with one volatile store per byte, the fill stays a `memset`, which
/// matters at 64 KiB. Not inlined, so that no caller's knowledge of the coming free reaches it.
#[inline(never)]
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    black_box(bytes);
}

/// Bytes in an allocation of exactly their length, wiped on drop.
pub struct WipedBytes(Box<[u8]>);

impl WipedBytes {
    /// A copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl Deref for WipedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for WipedBytes {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// A buffer of fixed capacity that is filled from the front, wiped on drop.
pub struct WipedBuffer {
    bytes: Vec<u8>,
    /// Kept apart from the vector's capacity, which may be larger than asked for.
    capacity: usize,
}

impl WipedBuffer {
    /// An empty buffer for `capacity` bytes, allocated now and never again.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
            capacity,
        }
    }

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        self.capacity - self.bytes.len()
    }

    /// The bytes written so far.
    pub fn filled(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends `bytes`.
    ///
    /// # Panics
    ///
    /// If they do not fit: growing in place would leave an unwiped copy.
    pub fn extend(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "a wiped buffer never grows");
        self.bytes.extend_from_slice(bytes);
    }

    /// The finished bytes. A full buffer keeps its allocation; otherwise they are copied to one of
    /// the right size and the buffer is wiped.
    pub fn freeze(mut self) -> WipedBytes {
        if self.bytes.capacity() == self.bytes.len() {
            WipedBytes(std::mem::take(&mut self.bytes).into_boxed_slice())
        } else {
            WipedBytes::copy_of(&self.bytes)
        }
    }
}

impl Drop for WipedBuffer {
    fn drop(&mut self) {
        // Bytes beyond the length were never written.
        wipe(&mut self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiping_zeroes_everything() {
        let mut bytes = vec![0xa5; 70_001];
        wipe(&mut bytes);
        assert!(bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_full_buffer_keeps_its_allocation() {
        let mut buffer = WipedBuffer::with_capacity(4096);
        buffer.extend(&[7; 4000]);
        assert_eq!(buffer.room(), 96);
        buffer.extend(&[8; 96]);
        let before = buffer.filled().as_ptr();
        let bytes = buffer.freeze();
        assert_eq!(bytes.as_ptr(), before);
        assert_eq!((bytes.len(), bytes[3999], bytes[4000]), (4096, 7, 8));
    }

    #[test]
    fn a_short_buffer_moves_to_an_exact_one() {
        let mut buffer = WipedBuffer::with_capacity(4096);
        buffer.extend(b"short");
        let before = buffer.filled().as_ptr();
        let bytes = buffer.freeze();
        assert_ne!(bytes.as_ptr(), before);
        assert_eq!(*bytes, *b"short");
    }

    #[test]
    #[should_panic(expected = "never grows")]
    fn growing_is_a_bug() {
        WipedBuffer::with_capacity(8).extend(&[0; 9]);
    }
}
