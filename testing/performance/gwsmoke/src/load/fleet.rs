//! All threads of a run, and what is looked at meanwhile: the node's process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::content::Content;
use super::plan::Plan;
use super::schedule::Schedule;
use super::source::Loop;
use super::thread::{self, Done, Part, Times};
use crate::clock;
use crate::drive::Endpoint;
use crate::failure::{Failure, io};
use crate::progress::Progress;
use crate::record::{Recorder, Window};
use crate::sample::{Sample, Watched};

/// Between saying when it begins and the beginning.
const HEAD_START: Duration = Duration::from_millis(5);
/// How long answers are waited for when nothing more is due.
const DRAIN: Duration = Duration::from_secs(5);

/// What is asked of a node, how often and for how long.
pub(super) struct Order {
    pub(super) endpoint: Endpoint,
    pub(super) content: Arc<Content>,
    /// One for each thread.
    pub(super) plans: Vec<Plan>,
    /// Over all threads; at least one for each.
    pub(super) connections: usize,
    /// Requests per second, or a closed loop.
    pub(super) rate: Option<f64>,
    pub(super) warm_up: Duration,
    pub(super) time: Duration,
    pub(super) verify_every: u64,
    /// The node.
    pub(super) watched: Watched,
}

/// What came of it.
pub(super) struct Measured {
    pub(super) window: Window,
    pub(super) record: Recorder,
    pub(super) unsent: u64,
    pub(super) opened: u64,
    /// Time of the processor that this tool took.
    pub(super) cpu: Duration,
    pub(super) late: Histogram<u64>,
    pub(super) plans: Vec<Plan>,
    /// The node's process at the beginning, and at the end of each stretch of time.
    pub(super) samples: Vec<(Instant, Sample)>,
}

/// Length of a stretch: a second, where that makes neither too few nor too many.
fn stretch(time: Duration) -> Duration {
    if time < Duration::from_secs(5) {
        return Duration::from_millis(100);
    }
    Duration::from_secs(1).max(time / 600)
}

/// Descriptors that a thread needs beside its connections: its runtime, its timer.
const THREAD_FDS: u64 = 8;
/// Those that are open anyway.
const OWN_FDS: u64 = 64;

/// Raises the soft limit of descriptors to what is needed, as far as it may be. A node that was
/// started before keeps its own.
fn make_room(connections: usize, threads: usize) {
    let needed = connections as u64 + threads as u64 * THREAD_FDS + OWN_FDS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let current = limit.maximum.map_or(needed, |most| most.min(needed));
        // What could not be raised shows when connections are opened.
        let _refused = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(current),
                ..limit
            },
        );
    }
}

/// Does it; with nobody looking on where there is no `progress`.
pub(super) fn run(order: Order, progress: Option<&Progress>) -> Result<Measured, Failure> {
    let threads = u32::try_from(order.plans.len()).unwrap_or(u32::MAX);
    let ended: Vec<_> = order
        .plans
        .iter()
        .map(|_| Arc::new(AtomicU64::new(0)))
        .collect();
    make_room(order.connections, order.plans.len());
    let (ready, is_ready) = sync_channel(order.plans.len());
    let mut running = Vec::new();
    for (number, plan) in order.plans.into_iter().enumerate() {
        // The first ones have what cannot be shared evenly.
        let more = usize::from(number < order.connections % threads as usize);
        let part = Part {
            endpoint: order.endpoint.clone(),
            connections: order.connections / threads as usize + more,
            content: Arc::clone(&order.content),
            plan,
            verify_every: order.verify_every,
            ended: Arc::clone(&ended[number]),
        };
        let ready = ready.clone();
        let (begin, begins) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name(format!("load-{number}"))
            .spawn(move || thread::run(part, &ready, &begins))
            .map_err(io("starting a thread"))?;
        running.push((thread, begin));
    }
    drop(ready);
    // The channel closes when a thread ends without a word.
    for _ in &running {
        let said = is_ready.recv();
        said.map_err(|_| Failure::wrong("a thread has ended"))?
            .map_err(io(format!(
                "connecting to {}",
                order.endpoint.target.address
            )))?;
    }

    let begins = clock::now() + HEAD_START;
    let start = begins + order.warm_up;
    let window = Window {
        start,
        end: start + order.time,
        stretch: stretch(order.time),
    };
    for (number, (_, begin)) in (0..).zip(&running) {
        let from = match order.rate {
            Some(rate) => {
                let time = order.warm_up + order.time;
                Loop::Open(Schedule::new(begins, rate, time, number, threads))
            }
            None => Loop::Closed { end: window.end },
        };
        let times = Times {
            begins,
            from,
            window,
            until: window.end + DRAIN,
        };
        // A thread that is gone is missed below.
        let _gone = begin.send(times);
    }
    let samples = progress.map(|progress| watch(window, order.watched, &ended, progress));

    let mut sum: Option<Measured> = None;
    for (thread, _) in running {
        let done = thread.join().ok().flatten();
        let done = done.ok_or_else(|| Failure::wrong("a thread of the load has failed"))?;
        match &mut sum {
            Some(sum) => sum.add(done),
            None => sum = Some(Measured::first(window, done)),
        }
    }
    let mut sum = sum.ok_or_else(|| Failure::usage("threads: at least 1"))?;
    sum.samples = samples.unwrap_or_default();
    Ok(sum)
}

impl Measured {
    fn first(window: Window, done: Done) -> Self {
        Self {
            window,
            record: done.record,
            unsent: done.unsent,
            opened: done.opened,
            cpu: done.cpu,
            late: done.late,
            plans: vec![done.plan],
            samples: Vec::new(),
        }
    }

    fn add(&mut self, done: Done) {
        self.record.add(done.record);
        self.unsent += done.unsent;
        self.opened += done.opened;
        self.cpu += done.cpu;
        self.late
            .add(&done.late)
            .expect("all of them have the same bounds");
        self.plans.push(done.plan);
    }
}

/// Looks at the node while it is measured, and says how it goes on.
fn watch(
    window: Window,
    watched: Watched,
    ended: &[Arc<AtomicU64>],
    progress: &Progress,
) -> Vec<(Instant, Sample)> {
    let steps = (window.end - window.start).div_duration_f64(window.stretch);
    progress.begin("measuring", steps.ceil() as u64);
    let mut samples = Vec::new();
    let mut before = 0;
    let mut at = window.start;
    for step in 0.. {
        std::thread::sleep(at.saturating_duration_since(clock::now()));
        let (is_last, now) = (at >= window.end, clock::now());
        let look = match is_last {
            true => watched.last_look(),
            false => watched.look(),
        };
        if let Some(sample) = look {
            samples.push((now, sample));
        }
        let all: u64 = ended.iter().map(|one| one.load(Ordering::Relaxed)).sum();
        progress.at(step);
        if step > 0 {
            let rate = (all - before) as f64 / window.stretch.as_secs_f64();
            progress.say(format!("{rate:.0} requests/s"));
        }
        before = all;
        if is_last {
            break;
        }
        at = (at + window.stretch).min(window.end);
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_has_neither_too_few_stretches_nor_too_many() {
        for seconds in [0.5, 1.0, 4.9, 5.0, 10.0, 600.0, 3600.0, 86_400.0] {
            let time = Duration::from_secs_f64(seconds);
            let count = time.div_duration_f64(stretch(time));
            assert!((5.0..=600.0).contains(&count), "{seconds}: {count}");
        }
        assert_eq!(stretch(Duration::from_secs(10)), Duration::from_secs(1));
    }
}
