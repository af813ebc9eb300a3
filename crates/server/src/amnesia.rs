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

/// What is done about the memory that the node runs in, as whoever starts it says. Shown in
/// `/proof` as it stands here.
#[derive(Clone, Copy, Debug)]
pub struct MemoryProtection {
    /// Whether what is freed is wiped, and by what.
    pub wiping_allocator: &'static str,
    /// How memory of objects and messages is kept out of dumps and off the swap.
    pub object_memory: &'static str,
}

impl MemoryProtection {
    const NOT_REPORTED: &str = "not reported";
}

impl Default for MemoryProtection {
    fn default() -> Self {
        Self {
            wiping_allocator: Self::NOT_REPORTED,
            object_memory: Self::NOT_REPORTED,
        }
    }
}

/// What holds a node to its promise.
#[derive(Debug, Default)]
pub(crate) struct Amnesia {
    pub(crate) sandbox: Sandbox,
    pub(crate) memory: MemoryProtection,
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
