//! Which processor a thread runs on, and whatever it starts.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::failure::{Failure, io};

/// The processors that this thread may use. It may use them again when the value is gone.
#[derive(Debug)]
pub(super) struct Pinned {
    before: CpuSet,
    allowed: Vec<usize>,
}

impl Pinned {
    /// Looks at what is allowed.
    pub(super) fn new() -> Result<Self, Failure> {
        let before = sched_getaffinity(None)
            .map_err(|error| io("the processors of this process")(error.into()))?;
        let allowed = (0..CpuSet::MAX_CPU).filter(|number| before.is_set(*number));
        let allowed = allowed.collect();
        Ok(Self { before, allowed })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.allowed.len()
    }

    /// From now on this thread, and whatever it starts, is on the `index`th of them.
    ///
    /// # Errors
    ///
    /// If there are not so many.
    pub(super) fn to(&self, index: usize) -> Result<(), Failure> {
        let number = self.allowed.get(index).ok_or_else(|| {
            let count = self.count();
            Failure::usage(format!(
                "{} processors are needed, and there is {count}",
                index + 1
            ))
        })?;
        let mut only = CpuSet::new();
        only.set(*number);
        sched_setaffinity(None, &only)
            .map_err(|error| io(format!("processor {number}"))(error.into()))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // They were allowed before.
        let _restored = sched_setaffinity(None, &self.before);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_thread_and_what_it_starts_stay_where_they_are_put_until_it_is_over() {
        let before = sched_getaffinity(None).unwrap();
        let pinned = Pinned::new().unwrap();
        assert!(pinned.to(pinned.count()).is_err());
        pinned.to(pinned.count() - 1).unwrap();
        let inner = std::thread::spawn(|| sched_getaffinity(None).unwrap()).join();
        let inner = inner.unwrap();
        assert_eq!(inner.count(), 1);
        assert!(inner.is_set(*pinned.allowed.last().unwrap()));
        drop(pinned);
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}
