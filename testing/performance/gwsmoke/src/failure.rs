//! How a verb ends: with an exit code that a script can rely on, or with a failure that is told.

use std::fmt;
use std::io;

/// Exit codes of the process. Their numbers are a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, and all of it is as it should be.
    Done = 0,
    /// Something could not be done, or what was measured is not as it should be.
    Failed = 1,
    /// Wrong usage: flags or files that make no sense.
    Usage = 2,
    /// Nothing can be said: what was to be compared cannot be, or the rounds spread too much.
    Undecided = 3,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a verb ended early.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Flags or files that make no sense.
    #[error("{0}")]
    Usage(String),
    /// An operation on the system failed.
    #[error("{what}: {error}")]
    Io {
        /// What was attempted, or on what.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// Something is not as it should be.
    #[error("{0}")]
    Wrong(String),
    /// What was to be compared cannot be.
    #[error("{0}")]
    Undecided(String),
}

impl Failure {
    /// Flags or files that make no sense.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::Usage(what.into())
    }

    /// Something is not as it should be.
    pub fn wrong(what: impl Into<String>) -> Self {
        Self::Wrong(what.into())
    }

    /// The exit code that a script sees.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Undecided(_) => Exit::Undecided,
            Self::Io { .. } | Self::Wrong(_) => Exit::Failed,
        }
    }
}

/// Adds what was attempted to an I/O error.
pub fn io(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::Io {
        what: what.to_string(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_and_failure_have_exit_codes_of_their_own() {
        assert_eq!(Failure::usage("x").exit() as u8, 2);
        assert_eq!(Failure::wrong("x").exit() as u8, 1);
        let failure = io("a file")(io::Error::other("is gone"));
        assert_eq!(failure.exit() as u8, 1);
        assert_eq!(failure.to_string(), "a file: is gone");
    }
}
