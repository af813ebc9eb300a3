//! Nothing is left behind when this program is told to end: a signal runs no destructors. That is
//! nodes, programs that they are compared with, and folders in memory.
//!
//! A kill can be caught by nobody.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a program that a signal has ended, before the signal's number.
const SIGNALLED: i32 = 128;

/// How often a folder is tried to be removed, and after which pauses.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// Programs that were started and have not been waited for.
static STARTED: Mutex<Vec<u32>> = Mutex::new(Vec::new());
/// Folders that were made and have not been removed.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Starts a program that ends with this one.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    watch()?;
    // Nobody is told to end between the start of a program and its being known.
    let mut started = STARTED.lock();
    let child = command.spawn()?;
    started.push(child.id());
    Ok(child)
}

/// This folder is removed with this program.
pub(crate) fn remove_at_end(folder: &Path) -> io::Result<()> {
    watch()?;
    FOLDERS.lock().push(folder.to_owned());
    Ok(())
}

/// This folder has been removed.
pub(crate) fn removed(folder: &Path) {
    FOLDERS.lock().retain(|known| known != folder);
}

/// From now on, a signal ends all of it with this program.
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
    let mut interrupt = signal(SignalKind::interrupt())?;
    drop(entered);
    let watch = move || {
        let kind = runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => SignalKind::terminate(),
                _ = hangup.recv() => SignalKind::hangup(),
                _ = interrupt.recv() => SignalKind::interrupt(),
            }
        });
        STARTED.lock().drain(..).for_each(end);
        FOLDERS.lock().drain(..).for_each(|folder| remove(&folder));
        std::process::exit(SIGNALLED + kind.as_raw_value());
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .map(|_| ())
}

fn end(process: u32) {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    // One that has ended is fine.
    let _ended = pid.map(|pid| kill_process(pid, Signal::KILL));
}

/// Removes a folder that who has just been killed may still write to.
fn remove(folder: &Path) {
    for _ in 0..ATTEMPTS {
        if std::fs::remove_dir_all(folder).is_ok() || !folder.exists() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// This one is about to be waited for: its number may soon be another's.
pub(crate) fn forget(process: u32) {
    STARTED.lock().retain(|known| *known != process);
}
