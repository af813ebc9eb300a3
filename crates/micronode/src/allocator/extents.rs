//! What jemalloc maps from the system: none of it goes into a core dump, and with `memory.lock`
//! all of it stays in memory once it is touched, but for what decoders' windows are made of.
//!
//! jemalloc maps little at a time and keeps what it has mapped, so this costs a system call or two
//! for every few megabytes that a node grows by. Neighbouring mappings that are treated alike are
//! one to the kernel, which has a limit on their number.
//!
//! Locked memory cannot be given back with the call that jemalloc uses for it; it is given back
//! with the one that can, or where the kernel (before Linux 5.18) has none, unlocked meanwhile.
//!
//! # Safety
//!
//! Unsafe, because jemalloc calls back with addresses. It is sound because a hook does nothing but
//! ask the function that jemalloc itself would have called, and then the kernel about the very
//! range at hand, for things that change no byte that anybody has: whether it is dumped, whether
//! it is locked, and, where jemalloc asks for it, that it is empty from now on. Asking jemalloc to
//! purge changes no byte either that anybody has. The table of hooks
//! is written once, before jemalloc is told of it, and never again. Hooks allocate nothing.
#![allow(unsafe_code)]

use std::ffi::{c_uint, c_void};
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::mm::{Advice, MlockFlags, madvise, mlock_with, munlock};
use tikv_jemalloc_ctl::raw;
use tikv_jemalloc_sys::{extent_hooks_s, mallctl};

use super::mapping::Mapping;

/// What there is to know for a hook.
struct Hooks {
    /// jemalloc's own.
    own: extent_hooks_s,
    /// Ours.
    installed: extent_hooks_s,
    /// Bytes that may be locked; 0 for none.
    lockable: u64,
    /// The arena of allocations that are never locked.
    windows: c_uint,
}

static HOOKS: OnceLock<Hooks> = OnceLock::new();
/// Bytes of the mappings that were locked, and of those that should have been.
static LOCKED: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);
/// Bytes of the mappings that a dump would have.
static DUMPED: AtomicU64 = AtomicU64::new(0);

/// How it went until now, in bytes of mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) locked: u64,
    pub(super) not_locked: u64,
    pub(super) dumped: u64,
}

pub(super) fn tally() -> Tally {
    Tally {
        locked: LOCKED.load(Relaxed),
        not_locked: REFUSED.load(Relaxed),
        dumped: DUMPED.load(Relaxed),
    }
}

/// Takes charge of what is mapped from now on for the first `arenas` arenas and the windows, and
/// of what has been mapped already. Called once, before there are other threads.
pub(super) fn take_charge(arenas: usize, lockable: u64) -> io::Result<()> {
    let automatic = tikv_jemalloc_ctl::opt::narenas::read().map_err(refused)?;
    // SAFETY: the type is the one that jemalloc documents, and its own table lives for ever.
    let own = unsafe {
        let own: *mut extent_hooks_s = raw::read(b"arena.0.extent_hooks\0").map_err(refused)?;
        *own
    };
    let installed = extent_hooks_s {
        alloc: Some(map),
        purge_forced: Some(purge),
        ..own
    };
    let hooks = HOOKS.get_or_init(|| Hooks {
        own,
        installed,
        lockable,
        windows: automatic,
    });
    let table = ptr::from_ref(&hooks.installed).cast_mut();
    let first = (0..automatic).take(arenas);
    for arena in first.chain([automatic]) {
        let name = format!("arena.{arena}.extent_hooks\0");
        // SAFETY: the type is as above; the table is never written, whatever its type says.
        let written = unsafe { raw::write(name.as_bytes(), table) };
        match written {
            // There is no arena for windows where their size is not set.
            Err(_) if arena == automatic => {}
            other => other.map_err(refused)?,
        }
    }
    for mapping in Mapping::all_of_this_process()?.filter(Mapping::is_heap) {
        hooks.protect(mapping.start as *mut c_void, mapping.size, true);
    }
    Ok(())
}

/// In the place of an arena's number: all of them (`MALLCTL_ARENAS_ALL`).
const ALL_ARENAS: u32 = 4096;

/// Gives back every page that nothing is in.
pub(super) fn purge_all() -> io::Result<()> {
    let name = format!("arena.{ALL_ARENAS}.purge\0");
    let none = ptr::null_mut();
    // SAFETY: a name that ends with a zero, of an action without arguments and result. jemalloc knows
    // which pages are in use.
    let failed = unsafe { mallctl(name.as_ptr().cast(), none, ptr::null_mut(), none, 0) };
    match failed {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn refused(error: tikv_jemalloc_ctl::Error) -> io::Error {
    io::Error::other(error.to_string())
}

impl Hooks {
    fn protect(&self, start: *mut c_void, size: usize, may_lock: bool) {
        // SAFETY: a mapping of this process; no byte of it changes.
        if unsafe { madvise(start, size, Advice::LinuxDontDump) }.is_err() {
            DUMPED.fetch_add(size as u64, Relaxed);
        }
        if self.lockable > 0 && may_lock {
            self.lock(start, size);
        }
    }

    fn lock(&self, start: *mut c_void, size: usize) {
        let size_u64 = size as u64;
        let is_within = LOCKED.load(Relaxed) + size_u64 <= self.lockable;
        // SAFETY: as above.
        let locked = is_within && unsafe { mlock_with(start, size, MlockFlags::ONFAULT) }.is_ok();
        let count = if locked { &LOCKED } else { &REFUSED };
        count.fetch_add(size_u64, Relaxed);
    }
}

/// What only jemalloc calls, once it has been told of the table.
fn hooks() -> &'static Hooks {
    HOOKS.get().expect("jemalloc knows a hook from the table")
}

/// # Safety
///
/// Called by jemalloc, which keeps its own promises to its own function.
unsafe extern "C" fn map(
    table: *mut extent_hooks_s,
    address: *mut c_void,
    size: usize,
    alignment: usize,
    zero: *mut bool,
    commit: *mut bool,
    arena: c_uint,
) -> *mut c_void {
    let hooks = hooks();
    let own = hooks.own.alloc.expect("jemalloc maps memory");
    // SAFETY: the arguments are jemalloc's.
    let start = unsafe { own(table, address, size, alignment, zero, commit, arena) };
    if !start.is_null() {
        hooks.protect(start, size, arena != hooks.windows);
    }
    start
}

/// False if the pages are empty now, and the system has them.
///
/// # Safety
///
/// As for [`map`].
unsafe extern "C" fn purge(
    table: *mut extent_hooks_s,
    start: *mut c_void,
    size: usize,
    offset: usize,
    length: usize,
    arena: c_uint,
) -> bool {
    let hooks = hooks();
    if hooks.lockable == 0 || arena == hooks.windows {
        return match hooks.own.purge_forced {
            // SAFETY: the arguments are jemalloc's.
            Some(own) => unsafe { own(table, start, size, offset, length, arena) },
            None => true,
        };
    }
    // SAFETY: the range is of a mapping that jemalloc has, and it wants these pages emptied.
    let emptied = unsafe {
        let start = start.byte_add(offset);
        madvise(start, length, Advice::LinuxDontneedLocked).or_else(|_| {
            munlock(start, length)?;
            madvise(start, length, Advice::LinuxDontNeed)?;
            mlock_with(start, length, MlockFlags::ONFAULT)
        })
    };
    emptied.is_err()
}
