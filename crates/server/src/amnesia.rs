//! What the kernel holds this process to, so that a node which should forget cannot remember: no
//! file is written, no memory is dumped, nothing that a panic carries is printed.
//!
//! All of it is best effort, as kernels differ, and none of it in silence: what could not be had
//! is a [`Shortcoming`], told on stderr at start, in `/version` and in `/proof`. Not for the memory
//! itself: who wipes and locks it is told here ([`MemoryProtection`]) by whoever starts the node.

#[cfg(feature = "faults")]
pub(crate) mod attempts;
mod dumps;
pub(crate) mod proof;
mod readable;
mod sandbox;
mod shortcoming;
pub(crate) mod silence;

#[cfg(feature = "faults")]
pub(crate) use dumps::DUMPABLE_VARIABLE;
pub use dumps::forbid_dumps;
pub(crate) use readable::readable;
pub(crate) use sandbox::Sandbox;
pub(crate) use shortcoming::Shortcoming;

use serde_json::{Value, json};

use crate::config::{Config, LogLevel};

/// How the memory of the process is protected, as it is and not as it should be. Whoever starts the
/// node has the allocator, and says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryProtection {
    /// Whether what is freed is overwritten.
    pub wipes: bool,
    /// Whether a core dump of this process would have no memory in it at all.
    pub dump_filter_is_empty: bool,
    /// Bytes that the allocator has mapped without being able to keep them out of dumps.
    pub dumped: u64,
    /// Whether objects and buffers are to be locked once touched.
    pub locks: bool,
    /// Bytes of mappings that are.
    pub locked: u64,
    /// Bytes of mappings that are not, because the system or its limit refused.
    pub not_locked: u64,
}

/// What holds a node to its promise.
#[derive(Debug, Default)]
pub(crate) struct Amnesia {
    pub(crate) sandbox: Sandbox,
    /// `None` for a node whose memory is somebody else's.
    pub(crate) memory: Option<fn() -> MemoryProtection>,
}

impl Amnesia {
    /// Whether nothing may be kept.
    pub(crate) fn is_on(&self) -> bool {
        self.sandbox.writable().is_none()
    }

    /// All that could not be had, as it is now.
    pub(crate) fn shortcomings(&self) -> Vec<Shortcoming> {
        let sandbox = self.sandbox.shortcomings().iter().copied();
        sandbox.chain(dumps::shortcomings()).collect()
    }

    /// For `/version`.
    pub(crate) fn summary(&self, config: &Config) -> Value {
        let missing = self.shortcomings();
        let missing: Vec<&str> = missing.iter().map(|short| short.as_str()).collect();
        let mut summary = json!({
            "ram_only": self.is_on(),
            "wiped_on_delete": true,
            "landlock": self.sandbox.abi(),
            "missing": missing,
        });
        if matches!(config.log.level, LogLevel::Debug | LogLevel::Trace) {
            summary["log_level"] = config.log.level.as_str().into();
        }
        summary
    }
}
