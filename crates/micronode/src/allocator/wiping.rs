//! Jemalloc, with all that is freed overwritten before it goes back to it.
//!
//! What a node was told to forget was not only in the store: connections, TLS and decoders have
//! held it too, in buffers of libraries that know nothing of wiping. All of them free what they
//! have through here. So do reallocations: an allocation that moves is copied and freed like any
//! other, and one that shrinks in its place is wiped beyond its new end.
//!
//! What C allocates by itself does not pass here: aws-lc, which cleanses what it frees, and libc.
//! zstd is told to allocate from here.
//!
//! # Large allocations
//!
//! A decoder's window is megabytes of which a short body touches a page. Overwriting all of it
//! would have the system provide every page, only to be wiped. So of large allocations those pages
//! are overwritten that are resident, and of the others the system is told that they hold nothing:
//! they were never touched, or lie in swap, where their place is given up.
//!
//! # Safety
//!
//! Unsafe, because an allocator is. It is sound because every call goes to jemalloc with the
//! layout that it came with, but for `realloc`, which puts together what the contract of
//! `GlobalAlloc` says it is: an allocation of the new size, a copy of the bytes that both have
//! room for, and a deallocation. The one short cut is an allocation that stays where it is:
//! `nallocx` says that jemalloc has one size for both layouts, and it finds an allocation's size by
//! exactly that function when it is freed. What is overwritten is an allocation of its caller's,
//! within its size, at a moment from which on nobody may read it; `mincore` writes one byte per
//! page to an array that has as many; `madvise` is asked for whole pages of the same allocation.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::mm::{Advice, madvise};
use tikv_jemalloc_sys::nallocx;
use tikv_jemallocator::Jemalloc;

/// From this size on, an allocation may have pages that were never touched.
const LARGE: usize = 1024 * 1024;

/// Pages that are asked about at once.
const PAGES_AT_ONCE: usize = 1024;

/// What jemalloc aligns to unasked, for allocations that are as large.
const ALIGNED_UNASKED: usize = 16;

static IS_ON: AtomicBool = AtomicBool::new(true);

/// Whether what is freed is overwritten.
pub(super) fn is_on() -> bool {
    IS_ON.load(Relaxed)
}

/// Leaves what is freed as it is, from now on: for measuring what wiping costs.
pub(super) fn turn_off() {
    IS_ON.store(false, Relaxed);
}

/// See the [module](self).
pub(super) struct Wiping;

// SAFETY: see the module.
unsafe impl GlobalAlloc for Wiping {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { Jemalloc.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { Jemalloc.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the allocation is the caller's, and has this layout.
        unsafe {
            if is_on() {
                wipe(start, layout.size());
            }
            Jemalloc.dealloc(start, layout);
        }
    }

    #[inline]
    unsafe fn realloc(&self, start: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !is_on() {
            // SAFETY: the caller's promises are those that are asked for.
            return unsafe { Jemalloc.realloc(start, layout, new_size) };
        }
        // SAFETY: the caller promises that the new layout is one. All else: see the module.
        unsafe {
            let new_layout = Layout::from_size_align_unchecked(new_size, layout.align());
            let kept = layout.size().min(new_size);
            if stays(layout, new_layout) {
                wipe(start.add(kept), layout.size() - kept);
                return start;
            }
            let new = self.alloc(new_layout);
            if !new.is_null() {
                ptr::copy_nonoverlapping(start, new, kept);
                self.dealloc(start, layout);
            }
            new
        }
    }
}

/// Whether an allocation of one layout is as good as one of the other.
fn stays(old: Layout, new: Layout) -> bool {
    let is_plain =
        |layout: Layout| layout.align() <= ALIGNED_UNASKED && layout.align() <= layout.size();
    // SAFETY: no memory is involved, and no size of a layout is 0 here or overflows.
    is_plain(old) && is_plain(new) && unsafe { nallocx(old.size(), 0) == nallocx(new.size(), 0) }
}

/// Overwrites `size` bytes.
///
/// # Safety
///
/// They are writable, the caller's alone, and of no use any more.
#[inline]
unsafe fn wipe(start: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if size < LARGE {
            overwrite(start, size);
        } else {
            wipe_large(start, size);
        }
    }
}

/// A plain fill that the optimiser keeps, although the memory is freed next: it has to assume that
/// somebody looks at it.
///
/// # Safety
///
/// As for [`wipe`].
#[inline]
unsafe fn overwrite(start: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { ptr::write_bytes(start, 0, size) };
    black_box(start);
}

/// # Safety
///
/// As for [`wipe`].
#[cold]
unsafe fn wipe_large(start: *mut u8, size: usize) {
    let page = rustix::param::page_size();
    let head = start.align_offset(page).min(size);
    let pages = (size - head) / page;
    let tail = head + pages * page;
    // SAFETY: all of it is within the bytes that the caller promises.
    unsafe {
        overwrite(start, head);
        overwrite(start.add(tail), size - tail);
        let mut done = 0;
        while done < pages {
            let count = (pages - done).min(PAGES_AT_ONCE);
            wipe_pages(start.add(head + done * page), count, page);
            done += count;
        }
    }
}

/// Wipes `count` whole pages of `page` bytes, at most [`PAGES_AT_ONCE`].
///
/// # Safety
///
/// As for [`wipe`].
unsafe fn wipe_pages(start: *mut u8, count: usize, page: usize) {
    let mut resident = [0; PAGES_AT_ONCE];
    let resident = &mut resident[..count];
    // SAFETY: whole pages that are mapped, and a byte for each.
    let told = unsafe { libc::mincore(start.cast(), count * page, resident.as_mut_ptr()) };
    if told != 0 {
        resident.fill(1);
    }
    let mut at = 0;
    for run in resident.chunk_by(|one, next| one & 1 == next & 1) {
        let size = run.len() * page;
        // SAFETY: within the pages.
        unsafe {
            let run_start = start.add(at);
            if run[0] & 1 == 1 {
                overwrite(run_start, size);
            } else {
                // Refused only of locked memory, which is never in swap.
                let _ = madvise(run_start.cast::<c_void>(), size, Advice::LinuxDontNeed);
            }
        }
        at += size;
    }
}
