//! Memory that is not swapped out, for keys.
//!
//! A key is small, and the pages that it lies on are nobody else's, so locking a few of them is
//! within what every system lets a process lock. Where it is not, the node goes on without, and
//! says so. Copies that code makes while it works with a key are on stacks, and are not locked.
//!
//! # Safety
//!
//! Two calls for which there is no safe wrapper, `mlock` and `munlock`. They change no byte and no
//! address, only whether the system may put pages away. Both are given the range of one value that
//! this module has allocated, alone on its pages, and `munlock` once the value is gone.
#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::mm::{mlock, munlock};

use crate::log;

static LOCKED: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// How many pieces of key memory there are now, and how many the system ever refused to lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockedKeys {
    /// Locked at the moment.
    pub locked: u64,
    /// Refused since the start.
    pub refused: u64,
}

/// Whether keys are kept out of swap, as it is.
pub fn locked_keys() -> LockedKeys {
    LockedKeys {
        locked: LOCKED.load(Relaxed),
        refused: REFUSED.load(Relaxed),
    }
}

/// Alone on its pages, whatever their size on this architecture is.
#[cfg_attr(target_arch = "x86_64", repr(align(4096)))]
#[cfg_attr(not(target_arch = "x86_64"), repr(align(65536)))]
struct Pages<T>(Option<T>);

/// A value in locked memory.
pub(crate) struct Locked<T> {
    pages: Box<Pages<T>>,
    is_locked: bool,
}

impl<T> Locked<T> {
    pub(crate) fn new(value: T) -> Self {
        let mut pages = Box::new(Pages(None));
        let start = ptr::from_mut(&mut *pages);
        // SAFETY: see the module.
        let locked = unsafe { mlock(start.cast(), size_of::<Pages<T>>()) };
        match &locked {
            Ok(()) => {
                LOCKED.fetch_add(1, Relaxed);
            }
            Err(error) => {
                if REFUSED.fetch_add(1, Relaxed) == 0 {
                    log::keys_not_locked(*error);
                }
            }
        }
        pages.0 = Some(value);
        Self {
            pages,
            is_locked: locked.is_ok(),
        }
    }
}

impl<T> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.pages.0.as_ref().expect("there until it is dropped")
    }
}

impl<T> DerefMut for Locked<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.pages.0.as_mut().expect("there until it is dropped")
    }
}

impl<T> Drop for Locked<T> {
    fn drop(&mut self) {
        // Keys wipe themselves, while they are still locked.
        self.pages.0 = None;
        if self.is_locked {
            let start = ptr::from_mut(&mut *self.pages);
            // SAFETY: see the module. What stays locked in vain does no harm.
            let _ = unsafe { munlock(start.cast(), size_of::<Pages<T>>()) };
            LOCKED.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The `Locked:` line of the mapping that has this address.
    fn locked_kib(address: usize) -> u64 {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_it = false;
        for line in maps.lines() {
            if let Some((from, to)) = line.split_once(' ').unwrap().0.split_once('-') {
                let [from, to] = [from, to].map(|hex| usize::from_str_radix(hex, 16).unwrap());
                is_it = (from..to).contains(&address);
            } else if is_it && let Some(rest) = line.strip_prefix("Locked:") {
                return rest.trim().trim_end_matches(" kB").parse().unwrap();
            }
        }
        panic!("nothing is mapped there");
    }

    #[test]
    fn a_value_is_locked_for_as_long_as_it_is_there() {
        let key = Locked::new([7_u8; 32]);
        let address = ptr::from_ref(&*key).addr();
        if !key.is_locked {
            eprintln!("skipped: the system does not let this process lock memory");
            return;
        }
        assert!(locked_keys().locked >= 1);
        assert!(locked_kib(address) >= 4);
        assert_eq!(*key, [7; 32]);
        drop(key);
        assert_eq!(locked_kib(address), 0);
    }

    #[test]
    fn two_values_share_no_page() {
        let keys = [Locked::new(1_u8), Locked::new(2)];
        let pages = keys
            .each_ref()
            .map(|key| ptr::from_ref(&**key).addr() / 4096);
        assert_ne!(pages[0], pages[1]);
    }
}
