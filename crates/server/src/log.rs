//! The log, on stderr. There is no request log, and nothing that is logged names an address, a
//! name, a token or a body: all that can be said is in [`sentences`].
//!
//! Only our own crates are heard: what a library writes about a request it refuses may repeat it.

mod sentences;

pub(crate) use sentences::*;

use crate::config::{Log, LogFormat, LogLevel};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

/// Changes the level of a running log.
pub(crate) struct LogControl(reload::Handle<Targets, Registry>);

impl LogControl {
    /// Starts the process's log. A second one in the same process keeps the first.
    pub(crate) fn start(log: &Log) -> Self {
        let (filter, handle) = reload::Layer::new(ours(log.level));
        let registry = tracing_subscriber::registry().with(filter);
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false);
        // Only a second start in one process fails here, and then the first one's log stands.
        let _ = match log.format {
            LogFormat::Text => registry.with(lines.with_ansi(false)).try_init(),
            LogFormat::Json => registry.with(lines.json()).try_init(),
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
