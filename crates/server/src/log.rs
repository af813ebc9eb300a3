//! The log, on stderr. There is no request log, and nothing that is logged names an address, a
//! name, a token or a body: all that can be said is in [`sentences`].
//!
//! Only our own crates are heard: what a library writes about a request it refuses may repeat it.

mod sentences;

pub(crate) use sentences::*;

use crate::config::{Log, LogFormat, LogLevel};
use crate::console;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use tracing_subscriber::reload;

/// Changes the level of a running log.
pub(crate) struct LogControl(reload::Handle<Targets, console::Base>);

impl LogControl {
    /// Starts the process's log on `base`. A second one in the same process keeps the first.
    pub(crate) fn start(log: &Log, base: console::Base) -> Self {
        let (filter, handle) = reload::Layer::new(ours(log.level));
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false);
        // Only a second start in one process fails here, and then the first one's log stands.
        let _ = match log.format {
            LogFormat::Text => base
                .with(lines.with_ansi(false).with_filter(filter))
                .try_init(),
            LogFormat::Json => base.with(lines.json().with_filter(filter)).try_init(),
        };
        Self(handle)
    }

    pub(crate) fn set_level(&self, wanted: LogLevel) {
        if self.0.reload(ours(wanted)).is_err() {
            level_stays();
        }
    }
}

/// Everything at this level or above from crates whose names begin like ours.
fn ours(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_target("micronode", level)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::path::{Path, PathBuf};

    /// What writes to the log, and how often it does.
    fn speakers(directory: &Path, found: &mut Vec<(PathBuf, usize)>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                speakers(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                // In two parts, as this file is one of them.
                let times = fs::read_to_string(&path).unwrap();
                let times = times.matches(concat!("tracing", "::")).count();
                if times > 0 {
                    found.push((path, times));
                }
            }
        }
    }

    /// A sentence that is made elsewhere could have anything in it.
    #[test]
    fn all_that_is_said_is_in_one_place() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found = Vec::new();
        for name in ["protocol", "engine", "hardening", "server"] {
            speakers(&crates.join(name).join("src"), &mut found);
        }
        found.sort();
        let found: Vec<(&str, bool)> = found
            .iter()
            .map(|(path, times)| {
                let path = path.strip_prefix(crates).unwrap();
                (path.to_str().unwrap(), *times == 1)
            })
            .collect();
        let expected = [
            // One, with numbers and words of the system, in a crate that knows nobody.
            ("hardening/src/accept.rs", true),
            ("server/src/log/sentences.rs", false),
        ];
        assert_eq!(found, expected);
    }
}
