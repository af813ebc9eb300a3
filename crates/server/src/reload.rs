//! Taking over a new configuration while the node runs: on SIGHUP, or when its file has changed.

use crate::config::{ConfigError, Loaded};
use crate::log::LogControl;
use crate::node::Node;
use crate::tls::Tls;
use crate::{clock, log};
use parking_lot::Mutex;
use std::future::poll_fn;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::Signal;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// How often the configuration file is looked at.
const FILE_CHECK: Duration = Duration::from_secs(1);

/// Takes over a new configuration on SIGHUP or when the file has changed. A reload that panics
/// ends one life of the task; this outlives it.
pub(crate) struct Reloader {
    pub(crate) node: Arc<Node>,
    pub(crate) load: Box<dyn FnMut() -> Result<Loaded, ConfigError> + Send>,
    pub(crate) log: LogControl,
    pub(crate) file: Option<WatchedFile>,
    /// Installed before the node is announced: until then, SIGHUP ends the process.
    pub(crate) hangup: Signal,
}

pub(crate) fn watch_configuration(reloader: Reloader) -> AbortHandle {
    let supervisor = Arc::clone(&reloader.node.supervisor);
    let reloader = Arc::new(Mutex::new(reloader));
    supervisor.spawn("reloader", move || {
        let reloader = Arc::clone(&reloader);
        async move {
            loop {
                let hangup = poll_fn(|cx| reloader.lock().hangup.poll_recv(cx));
                let asked = timeout(FILE_CHECK, hangup).await.is_ok();
                reloader.lock().look(asked);
            }
        }
    })
}

impl Reloader {
    fn look(&mut self, asked: bool) {
        if asked || self.file.as_mut().is_some_and(WatchedFile::has_changed) {
            self.reload();
        }
    }

    /// All or nothing: on any error the node goes on as it was.
    fn reload(&mut self) {
        let loaded = match (self.load)() {
            Ok(loaded) => loaded,
            Err(error) => return log::bad_configuration(&error),
        };
        let mut changed = match self.node.config.load().reload(&loaded.config) {
            Ok(changed) => changed,
            Err(error) => return log::not_reloadable(&error.keys),
        };
        let now_ms = clock::now().mono_ms;
        let tls = match Tls::reload(self.node.tls.as_ref(), &loaded.config.tls, now_ms) {
            Ok(tls) => tls,
            Err(error) => return log::bad_tls(&error),
        };
        self.log.set_level(loaded.config.log.level);
        if let (Some(tls), Some(material)) = (&self.node.tls, tls) {
            for key in tls.apply(material) {
                if !changed.contains(&key) {
                    changed.push(key);
                }
            }
        }
        self.node.apply(loaded.config);
        log::reloaded(&changed);
    }
}

pub(crate) struct WatchedFile {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
}

impl WatchedFile {
    /// Looks at the file as it is now.
    pub(crate) fn new(path: PathBuf) -> Self {
        let mut file = Self { path, seen: None };
        file.has_changed();
        file
    }

    /// Whether its time or size differ from the last look. A file that is gone has not changed:
    /// editors replace files by removing them first.
    fn has_changed(&mut self) -> bool {
        let Ok(metadata) = std::fs::metadata(&self.path) else {
            return false;
        };
        let Ok(modified) = metadata.modified() else {
            return false;
        };
        let now = Some((modified, metadata.len()));
        mem::replace(&mut self.seen, now) != now
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{Sources, load};
    use crate::console::Console;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use tokio::signal::unix::{SignalKind, signal};
    use tokio::time::sleep;

    /// The task used to be spawned without a supervisor: after a panic, the node ignored SIGHUP
    /// and its file for the rest of its life.
    #[tokio::test(start_paused = true)]
    async fn a_reload_that_panics_is_not_the_last() {
        let loaded = load(Sources {
            file: None,
            env: [],
            flags: Vec::new(),
        })
        .unwrap();
        let node = Arc::new(Node::new(&loaded, None));
        let supervisor = Arc::clone(&node.supervisor);
        let reloads = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&reloads);
        let mut console = Console::open(&loaded.config).unwrap();
        let log = LogControl::start(&loaded.config.log, console.base());
        let file = tempfile::NamedTempFile::new().unwrap();
        let task = watch_configuration(Reloader {
            node,
            load: Box::new(move || {
                assert_ne!(counted.fetch_add(1, Relaxed), 0, "the first one panics");
                Ok(loaded.clone())
            }),
            log,
            file: Some(WatchedFile::new(file.path().to_owned())),
            hangup: signal(SignalKind::hangup()).unwrap(),
        });
        for life in [1, 2] {
            std::fs::write(file.path(), "#".repeat(life as usize)).unwrap();
            sleep(10 * FILE_CHECK).await;
            assert_eq!(reloads.load(Relaxed), life);
            assert_eq!(supervisor.restarts()["reloader"], 1);
        }
        task.abort();
    }
}
