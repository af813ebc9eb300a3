//! Every operation of the disk fails once, in every way that there is, and what was committed is
//! there afterwards.
//!
//! A run goes through one workload, with restarts in between, until the operation fails. If that
//! was a crash, the disk is then what a killed process, or a power cut, leaves of it. By default
//! one of ten operations has its turn in one of the ways, other ones on other days; with
//! `MICRONODE_ALL_FAULTS=1` each of the first ten thousand crashes, is torn, and fails alone.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::UNIX_EPOCH;

use micronode_engine::Change;
use micronode_server::backend::disk::{Fault, FaultKind, Loss, MemoryDisk};
use micronode_server::backend::{Backend, LocalBackend};

use crate::model::{Model, load};
use crate::random::Random;
use crate::workload::{KEY, Workload, keep, open, stage};

/// Operations that are to fail at least. Some more are tried: how many there are at the end of a
/// course depends on how its threads meet, and the last ones may not come.
const OPERATIONS: u64 = 10_000;
const TRIED: u64 = OPERATIONS + OPERATIONS / 50;
const BATCHES: usize = 24;

/// How the operation with this number fails, and what is lost then.
fn ways(number: u64) -> [(FaultKind, Loss); 3] {
    let losses = [Loss::None, Loss::Some, Loss::All];
    let loss = |turn: u64| losses[usize::try_from((number / 2 + turn) % 3).unwrap()];
    let alone = [FaultKind::Device, FaultKind::Full][usize::try_from(number % 2).unwrap()];
    [
        (FaultKind::Crash, loss(0)),
        (FaultKind::Torn, loss(1)),
        (alone, Loss::Some),
    ]
}

/// A workload and all states that it goes through: before the first batch and after each.
struct Course {
    seed: u64,
    batches: Vec<Vec<Change>>,
    states: Vec<Model>,
}

impl Course {
    fn new(seed: u64) -> Self {
        let mut workload = Workload::new(seed);
        let mut states = vec![Model::default()];
        let mut batches = Vec::new();
        for _ in 0..BATCHES {
            batches.push(workload.batch());
            states.push(workload.model.clone());
        }
        Self {
            seed,
            batches,
            states,
        }
    }

    /// Whether the node is started anew before this batch.
    fn restarts_before(&self, batch: usize) -> bool {
        (self.seed + batch as u64).is_multiple_of(7)
    }

    fn operations(&self) -> u64 {
        let disk = MemoryDisk::new();
        disk.fail(None);
        let mut run = Run::new(self, disk.clone(), None);
        run.go().unwrap();
        drop(run);
        disk.operations()
    }
}

type Ended = Result<(), Box<dyn Error>>;

/// A node's life on a disk that may fail.
struct Run<'a> {
    course: &'a Course,
    disk: MemoryDisk,
    /// Whether what has failed is tried again.
    is_patient: bool,
    /// Whether it fails for want of room.
    is_full: bool,
    backend: Option<LocalBackend>,
    /// Batches that were committed.
    committed: usize,
    /// Whether the next one may have been.
    in_doubt: bool,
}

impl<'a> Run<'a> {
    fn new(course: &'a Course, disk: MemoryDisk, fault: Option<FaultKind>) -> Self {
        Self {
            course,
            disk,
            is_patient: matches!(fault, Some(FaultKind::Device | FaultKind::Full)),
            is_full: fault == Some(FaultKind::Full),
            backend: None,
            committed: 0,
            in_doubt: false,
        }
    }

    fn go(&mut self) -> Ended {
        for number in self.committed..self.course.batches.len() {
            if self.backend.is_none() || self.course.restarts_before(number) {
                self.start()?;
            }
            self.keep(number)?;
        }
        self.start()
    }

    /// Tries once more, if there is patience. The disk fails no more then.
    fn again<T, E: Error>(&self, mut work: impl FnMut() -> Result<T, E>) -> Result<T, E> {
        work().or_else(|error| {
            if !self.is_patient {
                return Err(error);
            }
            let error = error.to_string();
            let says_full = error.contains("No space left on device");
            // The index may have hidden that it failed, and say so the next time.
            let is_late = error.contains("it has failed before");
            assert!(says_full == self.is_full || is_late, "{error}");
            work()
        })
    }

    fn start(&mut self) -> Ended {
        self.backend = None;
        let mut backend = self.again(|| open(&self.disk))?;
        assert_eq!(backend.mailbox_key(), KEY);
        let loaded = self.again(|| load(&mut backend))?;
        let (model, loaded) = loaded;
        assert_eq!(model, self.course.states[self.committed]);
        assert_eq!((loaded.damaged, loaded.dropped_names), (0, 0));
        self.backend = Some(backend);
        Ok(())
    }

    fn keep(&mut self, number: usize) -> Ended {
        let mut backend = self.backend.take().unwrap();
        let batch = &self.course.batches[number];
        let staged = self.again(|| stage(&backend, batch));
        let staged = staged?;
        self.in_doubt = true;
        self.again(|| backend.commit(&staged))?;
        self.in_doubt = false;
        self.committed += 1;
        self.backend = Some(backend);
        Ok(())
    }
}

/// A run that is cut off, and what is found then. False if the operation did not come.
fn crash(course: &Course, fault: Fault, loss: Loss) -> bool {
    let seed = course.seed ^ (fault.after << 8);
    let disk = MemoryDisk::new();
    disk.fail(Some(fault));
    let mut run = Run::new(course, disk.clone(), Some(fault.kind));
    // It may be that nobody minds: the last operations are those of closing.
    let _ = run.go();
    let (committed, in_doubt) = (run.committed, run.in_doubt);
    drop(run);
    if !disk.has_failed() {
        return false;
    }

    let mut disk = disk.restart(loss, seed);
    if Random::new(seed).below(4) == 0 {
        // The next start is cut off too.
        let after = Random::new(seed).below(60);
        disk.fail(Some(Fault { after, ..fault }));
        if let Ok(mut backend) = open(&disk) {
            let _ = load(&mut backend);
        }
        disk = disk.restart(loss, seed);
    }

    let mut backend = open(&disk).unwrap();
    assert_eq!(backend.mailbox_key(), KEY);
    let (model, loaded) = load(&mut backend).unwrap();
    let is_next = in_doubt && model == course.states[committed + 1];
    if !is_next {
        assert_eq!(model, course.states[committed]);
    }
    assert_eq!((loaded.damaged, loaded.dropped_names), (0, 0));

    // What was in doubt is committed again, and life goes on.
    let next = committed.min(BATCHES - 1);
    if committed < BATCHES {
        keep(&mut backend, &course.batches[next]).unwrap();
    }
    drop(backend);
    let disk = disk.restart(Loss::All, seed);
    let mut backend = open(&disk).unwrap();
    let (model, _) = load(&mut backend).unwrap();
    assert_eq!(model, course.states[next + 1]);
    true
}

/// A run in which one operation fails, and all that was refused is tried again; then the power
/// is cut. False if the operation did not come.
fn stumble(course: &Course, fault: Fault, loss: Loss) -> bool {
    let disk = MemoryDisk::new();
    disk.fail(Some(fault));
    let mut run = Run::new(course, disk.clone(), Some(fault.kind));
    run.go().unwrap();
    assert_eq!(run.committed, BATCHES);
    // The last operations are those of closing.
    drop(run);
    let has_failed = disk.has_failed();
    let disk = disk.restart(loss, course.seed ^ fault.after);
    let mut backend = open(&disk).unwrap();
    let (model, loaded) = load(&mut backend).unwrap();
    assert_eq!(model, course.states[BATCHES]);
    assert_eq!((loaded.damaged, loaded.dropped_names), (0, 0));
    has_failed
}

fn fail(course: &Course, after: u64, (kind, loss): (FaultKind, Loss)) -> bool {
    let fault = Fault { after, kind };
    match kind {
        FaultKind::Crash | FaultKind::Torn => crash(course, fault, loss),
        FaultKind::Device | FaultKind::Full => stumble(course, fault, loss),
    }
}

/// The operations that fail: of which course, and which of it.
fn operations(courses: &[Course]) -> Vec<(&Course, u64)> {
    let all = courses
        .iter()
        .flat_map(|course| (0..course.operations()).map(move |after| (course, after)));
    all.take(usize::try_from(TRIED).unwrap()).collect()
}

#[test]
fn whichever_operation_fails_what_was_committed_is_there() {
    let courses: Vec<_> = (0..32).map(Course::new).collect();
    let operations = operations(&courses);
    assert_eq!(operations.len() as u64, TRIED, "more courses needed");

    let is_full = std::env::var_os("MICRONODE_ALL_FAULTS").is_some();
    let today = UNIX_EPOCH.elapsed().unwrap().as_secs() / (24 * 60 * 60);
    let next = AtomicU64::new(0);
    let (failed, runs) = (AtomicU64::new(0), AtomicU64::new(0));
    let one_after_another = || {
        loop {
            let number = next.fetch_add(1, Relaxed);
            let Some((course, after)) = operations.get(usize::try_from(number).unwrap()) else {
                return;
            };
            let mut ways = ways(number).to_vec();
            if !is_full {
                if !(number + today).is_multiple_of(10) {
                    continue;
                }
                let turn = (number / 10 + today) % 3;
                ways = vec![ways[usize::try_from(turn).unwrap()]];
            }
            let mut has_failed = true;
            for way in ways {
                let told = Told(course.seed, *after, way);
                has_failed &= fail(course, *after, way);
                std::mem::forget(told);
                runs.fetch_add(1, Relaxed);
            }
            failed.fetch_add(u64::from(has_failed), Relaxed);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(one_after_another);
        scope.spawn(one_after_another);
    });
    let (failed, runs) = (failed.into_inner(), runs.into_inner());
    println!("{failed} operations failed, in {runs} runs");
    assert!(failed >= if is_full { OPERATIONS } else { OPERATIONS / 10 });
}

/// Says which run it was that has panicked.
struct Told(u64, u64, (FaultKind, Loss));

impl Drop for Told {
    fn drop(&mut self) {
        let Self(seed, after, way) = self;
        eprintln!("course {seed}, operation {after}, {way:?}");
    }
}
