//! Cores for a node, and others for what loads it, so that neither slows the other down and both
//! stay where their caches are.
//!
//! A process is started on the cores of the thread that starts it, and so are threads. So a thread
//! that starts nodes and loads changes its own, and gives them back when it is done.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores of this thread, in two halves.
#[derive(Debug)]
pub(super) struct Cores {
    all: CpuSet,
    /// `None` where there is one core alone, or the system does not tell.
    halves: Option<(CpuSet, CpuSet)>,
}

impl Cores {
    /// Splits those that this thread may run on.
    pub(super) fn split() -> Self {
        let all = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|core| all.is_set(*core))
            .collect();
        let (node, load) = allowed.split_at(allowed.len() / 2);
        let set = |cores: &[usize]| {
            let mut set = CpuSet::new();
            cores.iter().for_each(|core| set.set(*core));
            set
        };
        let halves = (!node.is_empty()).then(|| (set(node), set(load)));
        Self { all, halves }
    }

    /// What is started from here on is a node.
    pub(super) fn of_node(&self) {
        self.take(self.halves.map(|(node, _)| node));
    }

    /// What is started from here on is a load.
    pub(super) fn of_load(&self) {
        self.take(self.halves.map(|(_, load)| load));
    }

    fn take(&self, cores: Option<CpuSet>) {
        if let Some(cores) = cores {
            // A system that refuses leaves both builds to its scheduler alike.
            let _refused = sched_setaffinity(None, &cores);
        }
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        if self.halves.is_some() {
            self.take(Some(self.all));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> usize {
        let set = sched_getaffinity(None).expect("an affinity");
        set.count() as usize
    }

    #[test]
    fn a_node_and_its_load_share_no_core_and_all_come_back() {
        // A thread of its own: affinity is the thread's.
        let thread = std::thread::spawn(|| {
            let all = own();
            let cores = Cores::split();
            cores.of_node();
            let node = own();
            cores.of_load();
            let load = own();
            drop(cores);
            assert_eq!(own(), all);
            if all > 1 {
                assert_eq!(node + load, all);
                assert!(node >= 1 && load >= node);
            } else {
                assert_eq!((node, load), (1, 1));
            }
        });
        thread.join().expect("the thread ends");
    }
}
