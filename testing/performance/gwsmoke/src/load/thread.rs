//! One thread: a runtime of its own, its connections as tasks, and a pacer.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep_until, timeout_at};

use super::content::Content;
use super::plan::Plan;
use super::source::{Loop, Source};
use super::timer::Timer;
use super::worker::Worker;
use crate::clock;
use crate::drive::{Driver, Endpoint};
use crate::record::{Recorder, Window, histogram};
use crate::sample;

/// Shortest sleep of the pacer: at rates of more than one request in that time, several become due
/// at once, none of them late by more.
const NAP: Duration = Duration::from_micros(50);

/// What a thread does.
pub(super) struct Part {
    pub(super) endpoint: Endpoint,
    pub(super) connections: usize,
    pub(super) content: Arc<Content>,
    pub(super) plan: Plan,
    pub(super) verify_every: u64,
    pub(super) ended: Arc<AtomicU64>,
}

/// When it does it.
pub(super) struct Times {
    /// Nothing is asked before.
    pub(super) begins: Instant,
    pub(super) from: Loop,
    pub(super) window: Window,
    /// What has no answer by then has none.
    pub(super) until: Instant,
}

/// What came of it.
pub(super) struct Done {
    pub(super) record: Recorder,
    /// Requests that were due in the window and never sent.
    pub(super) unsent: u64,
    pub(super) plan: Plan,
    /// Connections opened.
    pub(super) opened: u64,
    /// Time of the processor within the window.
    pub(super) cpu: Duration,
    /// By how many ns the pacer was late.
    pub(super) late: Histogram<u64>,
}

/// Opens the connections, says so, and does its part once it is told the times; `None` when it is
/// told none, or could not connect.
pub(super) fn run(
    part: Part,
    ready: &SyncSender<io::Result<()>>,
    times: &Receiver<Times>,
) -> Option<Done> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let local = LocalSet::new();
    let opened = runtime.and_then(|runtime| {
        let drivers = local.block_on(&runtime, open(&part))?;
        Ok((runtime, drivers))
    });
    let (runtime, drivers) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            // Whoever asked has gone when another thread has failed too.
            let _unheard = ready.send(Err(error));
            return None;
        }
    };
    let _unheard = ready.send(Ok(()));
    let times = times.recv().ok()?;
    let window = times.window;
    let worker = Rc::new(Worker {
        content: part.content,
        source: Source::new(times.from, drivers.len() * part.endpoint.tasks()),
        plan: RefCell::new(part.plan),
        record: RefCell::new(Recorder::new(window)),
        verify_every: part.verify_every,
        taken: Cell::new(0),
        opened: Cell::new(drivers.len() as u64),
        ended: part.ended,
    });
    let mut late = histogram();
    let tasks = part.endpoint.tasks();
    let numbers = (0..).step_by(tasks).zip(drivers);
    let cpu = local.block_on(&runtime, work(&worker, numbers, &times, &mut late));
    // Drops what was still under way.
    drop(local);
    let worker = Rc::into_inner(worker)?;
    let mut record = worker.record.into_inner();
    record.give_up();
    Some(Done {
        record,
        unsent: worker.source.untaken(|due| window.has(due)),
        plan: worker.plan.into_inner(),
        opened: worker.opened.get(),
        cpu,
        late,
    })
}

async fn open(part: &Part) -> io::Result<Vec<Driver>> {
    let mut drivers = Vec::with_capacity(part.connections);
    for _ in 0..part.connections {
        drivers.push(Driver::open(&part.endpoint).await?);
    }
    Ok(drivers)
}

async fn work(
    worker: &Rc<Worker>,
    drivers: impl Iterator<Item = (usize, Driver)>,
    times: &Times,
    late: &mut Histogram<u64>,
) -> Duration {
    let Times {
        begins,
        window,
        until,
        ..
    } = *times;
    // A request of a closed loop is due whenever it is asked for.
    if let Ok(mut timer) = Timer::new() {
        let _slept = timer.until(begins).await;
    }
    let mut connections = JoinSet::new();
    for (number, driver) in drivers {
        connections.spawn_local(driver.run(Rc::clone(worker), number));
    }
    let all = async {
        tokio::join!(pace(worker, late), async {
            while connections.join_next().await.is_some() {}
        })
    };
    let clock = tokio::task::spawn_local(async move {
        sleep_until(window.start.into()).await;
        let before = sample::own_thread_cpu();
        sleep_until(window.end.into()).await;
        sample::own_thread_cpu() - before
    });
    // What has not ended by then does so with the runtime.
    let _late = timeout_at(until.into(), all).await;
    if worker.plan.borrow().is_over() {
        return Duration::ZERO;
    }
    clock.await.unwrap_or_default()
}

/// Releases requests when they are due.
async fn pace(worker: &Worker, late: &mut Histogram<u64>) {
    let Ok(mut timer) = Timer::new() else {
        return;
    };
    let mut now = clock::now();
    while let Some(due) = worker.source.release(now) {
        let wake = due.max(now + NAP);
        if timer.until(wake).await.is_err() {
            return;
        }
        now = clock::now();
        let by = now.saturating_duration_since(due).as_nanos();
        late.saturating_record(u64::try_from(by).unwrap_or(u64::MAX));
    }
}
