//! Only in builds with faults: a node that is worse than it has to be, by a stated part of what it
//! takes. What compares two builds is shown by it that it sees a difference, while nothing else
//! differs: both run the same binary.

use crate::clock;
use std::cell::{Cell, RefCell};
use std::sync::LazyLock;
use std::time::Duration;

/// Each request takes so much more of a worker's CPU time, in percent of what it takes anyway,
/// the kernel's part for its sockets included.
pub(crate) const SLOWER_VARIABLE: &str = "MICRO_FAULT_SLOWER_PERCENT";
/// The process has so much more resident memory, in percent of what it has anyway.
pub(crate) const FATTER_VARIABLE: &str = "MICRO_FAULT_FATTER_PERCENT";

/// More would be another experiment.
const PERCENT_MAX: u32 = 1000;

static SLOWER: LazyLock<u32> = LazyLock::new(|| percent(SLOWER_VARIABLE));
static FATTER: LazyLock<u32> = LazyLock::new(|| percent(FATTER_VARIABLE));

thread_local! {
    /// CPU time of this thread when it was last done with wasting some.
    static WASTED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// Memory that is for nothing; of the control thread.
    static BALLAST: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn percent(variable: &str) -> u32 {
    let value = std::env::var(variable).unwrap_or_default();
    value.parse().unwrap_or(0).min(PERCENT_MAX)
}

/// Called when a request begins: wastes a part of the CPU time that this thread has taken since it
/// was last called.
pub(crate) fn slow_down() {
    if *SLOWER > 0 {
        waste(*SLOWER);
    }
}

fn waste(percent: u32) {
    let now = clock::thread_cpu();
    let taken = now.saturating_sub(WASTED.get());
    let until = now + taken * percent / 100;
    let mut reached = now;
    while reached < until {
        std::hint::spin_loop();
        reached = clock::thread_cpu();
    }
    WASTED.set(reached);
}

/// Called now and then by one thread: holds a part of what the process has besides, and gives none
/// of it back.
pub(crate) fn grow() {
    let percent = u64::from(*FATTER);
    if percent == 0 {
        return;
    }
    let Ok(resident) = procfs::process::Process::myself().and_then(|process| process.stat()) else {
        return;
    };
    let resident = resident.rss * procfs::page_size();
    BALLAST.with_borrow_mut(|ballast| {
        let held: u64 = ballast.iter().map(|piece| piece.len() as u64).sum();
        let wanted = resident.saturating_sub(held) * percent / 100;
        let missing = usize::try_from(wanted.saturating_sub(held)).unwrap_or(0);
        if missing > 0 {
            // Zeroes would be pages that nobody has touched.
            ballast.push(vec![1; missing]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CPU time of a thread, so that what else the machine does is not in it.
    #[test]
    fn a_part_of_what_was_taken_is_wasted() {
        let work = || {
            let until = clock::thread_cpu() + Duration::from_millis(40);
            while clock::thread_cpu() < until {
                std::hint::spin_loop();
            }
        };
        let wasting = std::thread::spawn(move || {
            waste(0);
            let before = clock::thread_cpu();
            for _ in 0..4 {
                work();
                waste(50);
            }
            clock::thread_cpu() - before
        });
        let took = wasting.join().expect("the thread ends");
        // What an unlucky thread loses between two looks at its clock is not wasted on purpose.
        let expected = Duration::from_millis(4 * 60);
        assert!(
            took >= expected && took < expected * 5 / 4,
            "{took:?} for {expected:?}"
        );
    }
}
