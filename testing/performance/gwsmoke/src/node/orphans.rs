//! No node is left behind when this program is told to end: a signal runs no destructors.
//!
//! An interrupt from a terminal reaches the node by itself, and a kill can be caught by nobody.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a program that a signal has ended, before the signal's number.
const SIGNALLED: i32 = 128;

/// Nodes that were started and have not been waited for.
static NODES: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Starts a node that ends with this program.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    watch()?;
    // Nobody is told to end between the start of a node and its being known.
    let mut nodes = NODES.lock();
    let child = command.spawn()?;
    nodes.push(child.id());
    Ok(child)
}

/// From now on, a signal ends all nodes with this program.
fn watch() -> io::Result<()> {
    static WATCHED: OnceLock<()> = OnceLock::new();
    if WATCHED.set(()).is_err() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let entered = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(entered);
    let watch = move || {
        let kind = runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => SignalKind::terminate(),
                _ = hangup.recv() => SignalKind::hangup(),
            }
        });
        NODES.lock().drain(..).for_each(end);
        std::process::exit(SIGNALLED + kind.as_raw_value());
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .map(|_| ())
}

fn end(node: u32) {
    let pid = i32::try_from(node).ok().and_then(Pid::from_raw);
    // One that has ended is fine.
    let _ended = pid.map(|pid| kill_process(pid, Signal::KILL));
}

/// This one is about to be waited for: its number may soon be another's.
pub(super) fn forget(node: u32) {
    NODES.lock().retain(|known| *known != node);
}
