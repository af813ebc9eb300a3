//! Everything that a node says, sentence by sentence. Nothing else writes to the log, which a test
//! beside this module sees to, or to standard error, which lints of the crates do.
//!
//! What varies in a sentence is a number, or a text that was there when the node was compiled
//! (`&'static str`). An address, a name, a token or a body is neither, so that none can be printed
//! by accident. Errors of the system come as [`Cause`], without whatever was put into them.

use crate::amnesia::Shortcoming;
use crate::backend::BackendError;
use crate::config::{ConfigError, Problem};
use crate::tls::TlsError;
use std::fmt;
use std::io;
use std::panic::Location;

/// What the system said: a number, or a word of the library's own.
pub(crate) struct Cause(io::Error);

impl From<&io::Error> for Cause {
    fn from(error: &io::Error) -> Self {
        let plain = error
            .raw_os_error()
            .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
        Self(plain)
    }
}

impl From<rustix::io::Errno> for Cause {
    fn from(error: rustix::io::Errno) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A part of amnesia cannot be had here.
pub(crate) fn missing(shortcoming: Shortcoming) {
    tracing::warn!("not enforced: {}", shortcoming.as_str());
}

/// A panic, which ends a task. Its message stays unsaid: it may have anything in it.
pub(crate) fn panicked(place: Option<&Location<'_>>) {
    let (file, line) = place.map_or(("unknown", 0), |place| (place.file(), place.line()));
    tracing::error!(file, line, "panicked");
}

/// The supervisor restarts a task.
pub(crate) fn restarting(task: &'static str, cause: &'static str) {
    tracing::warn!(task, cause, "restarting a task");
}

/// A build and an environment for development.
#[cfg(feature = "tokio-console")]
pub(crate) fn console() {
    tracing::warn!("tokio-console sees the tasks of this node");
}

/// A worker moves between cores.
pub(crate) fn worker_not_pinned(core: usize, cause: impl Into<Cause>) {
    let error = cause.into();
    tracing::warn!(core, %error, "cannot keep a worker on its core");
}

/// Readiness got worse.
pub(crate) fn less_ready(to: &'static str, reason: &'static str) {
    tracing::warn!(to, reason, "readiness changed");
}

/// Readiness changed otherwise.
pub(crate) fn ready(to: &'static str, reason: &'static str) {
    tracing::info!(to, reason, "readiness changed");
}

/// The log itself.
pub(crate) fn level_stays() {
    tracing::warn!("the log level stays as it was");
}

/// The drain took too long.
pub(crate) fn drain_deadline(connections: usize) {
    tracing::warn!(connections, "drain deadline reached, ending what is left");
}

/// Whoever stops the node is impatient.
pub(crate) fn second_signal() {
    tracing::warn!("second signal, ending at once");
}

/// The service manager cannot be reached.
pub(crate) fn not_notified(cause: impl Into<Cause>) {
    let error = cause.into();
    tracing::warn!(%error, "cannot notify the service manager");
}

/// A listener could not be taken over by its task.
pub(crate) fn cannot_accept(cause: impl Into<Cause>) {
    let error = cause.into();
    tracing::error!(%error, "cannot accept");
}

/// A worker has more than it can take.
pub(crate) fn backlog_full() {
    tracing::debug!("a worker's backlog is full, closing a new connection");
}

/// A reload is done.
pub(crate) fn reloaded(changed: &[&'static str]) {
    tracing::warn!(?changed, "configuration reloaded");
}

/// A reload would change what only a restart can.
pub(crate) fn not_reloadable(keys: &[&'static str]) {
    tracing::error!(
        "configuration not reloaded: cannot change while the node runs: {}; restart the node or \
         restore what it began with",
        keys.join(", ")
    );
}

/// A configuration is wrong: where, and in which way. What stands there is not repeated.
pub(crate) fn bad_configuration(error: &ConfigError) {
    for problem in &error.problems {
        let Problem { origin, reason, .. } = problem;
        let (key, line, what) = (problem.key(), origin.line(), reason.class());
        tracing::error!(
            key,
            line,
            "configuration not reloaded: {what}; `micronode config check` says more"
        );
    }
}

/// TLS cannot be had as it is configured now.
pub(crate) fn bad_tls(error: &TlsError) {
    tracing::error!(
        "configuration not reloaded: {}: {}; `micronode config check` says more",
        error.key(),
        error.class()
    );
}

/// What was kept is in memory again.
pub(crate) fn taken_back(objects: u64, names: u64, messages: u64) {
    tracing::info!(objects, names, messages, "taken back from disk");
}

/// Some of what was kept is not what it was.
pub(crate) fn kept_and_damaged(objects: u64, names: u64) {
    tracing::error!(
        objects,
        names,
        "what was kept is damaged: objects, and the names that pointed at them, are gone"
    );
}

/// The disk does not take a change.
pub(crate) fn disk_fails(error: &BackendError) {
    match error {
        BackendError::Full(error) | BackendError::Io(error) => {
            let error = Cause::from(error);
            tracing::error!(%error, "cannot write to disk; trying again");
        }
        _ => tracing::error!("what is on the disk is damaged; trying again"),
    }
}

/// Nobody writes any more.
pub(crate) fn writer_panicked() {
    tracing::error!("the thread that writes to disk has panicked");
}

/// The node ends without a part of what it was to keep.
pub(crate) fn not_kept(changes: u64) {
    tracing::error!(changes, "the disk did not take the last changes");
}

/// Keys are where the system may put them.
pub(crate) fn keys_not_locked(cause: impl Into<Cause>) {
    let error = cause.into();
    tracing::warn!(%error, "the system does not lock memory: keys may be swapped out");
}

/// Objects whose bytes in memory are not what they were are not kept.
pub(crate) fn damaged_in_memory(objects: u64) {
    tracing::error!(
        objects,
        "damaged in memory before they were kept: objects are gone"
    );
}
