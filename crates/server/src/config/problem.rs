//! What is wrong with a configuration, where it came from, and all of it at once.

use std::fmt::{self, Write};
use std::io;
use std::path::PathBuf;

use micronode_protocol::capability::grant::InvalidIssuerKey;
use micronode_protocol::limits::{CAPABILITY_LOCATION_BYTES, QUEUE_NAME_BYTES};

use super::duration::DurationError;
use super::key::{KEYS, Key};
use super::memory::MemoryError;
use super::size::SizeError;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The node's defaults.
    Default,
    /// The configuration file, at a line counted from 1.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line of the value.
        line: usize,
    },
    /// An environment variable.
    Env(String),
    /// A flag of the command line, with its dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            // Escaped, so that a strange path cannot break out of a comment or a line.
            Self::File { path, line } => {
                write!(
                    f,
                    "file {}:{line}",
                    path.display().to_string().escape_debug()
                )
            }
            Self::Env(name) => write!(f, "env {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Why a value was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// No such key.
    #[error("unknown key; the nearest known one is {nearest}")]
    Unknown {
        /// In the spelling of the source: a path, or a variable's name.
        nearest: String,
    },
    /// A section was given a value.
    #[error("is a section, not a value")]
    Section,
    /// A TOML value of another type.
    #[error("expected {expected}, found {found}")]
    Type {
        /// The key's type with an example.
        expected: &'static str,
        /// The TOML type.
        found: &'static str,
    },
    /// Neither `true` nor `false`.
    #[error("{given:?}: expected true or false")]
    Flag {
        /// The text.
        given: String,
    },
    /// Not a whole number.
    #[error("{given:?}: expected a whole number")]
    Count {
        /// The text.
        given: String,
    },
    /// Not a duration.
    #[error("{given:?}: {error}")]
    Duration {
        /// The text.
        given: String,
        /// What is wrong with it.
        error: DurationError,
    },
    /// Not a size.
    #[error("{given:?}: {error}")]
    Size {
        /// The text.
        given: String,
        /// What is wrong with it.
        error: SizeError,
    },
    /// Not an IP address with a port.
    #[error("{given:?}: expected an IP address and a port, such as 127.0.0.1:8080")]
    Address {
        /// The text.
        given: String,
    },
    /// None of the words that the key takes.
    #[error("{given:?}: expected {}", .words.join(" or "))]
    Word {
        /// The text.
        given: String,
        /// The words.
        words: &'static [&'static str],
    },
    /// Not a name.
    #[error(
        "{given:?}: expected 1 to {CAPABILITY_LOCATION_BYTES} letters, digits, dots, underscores or hyphens"
    )]
    Name {
        /// The text.
        given: String,
    },
    /// Neither a grant nor an issuer.
    /// It is not repeated: it may be the grant itself, which is a secret until it is denied.
    #[error(
        "{length} characters: expected the 32 hex digits of a grant's nonce or the 64 of an \
         issuer's id; `micronode token inspect` tells the nonce of a grant"
    )]
    Denied {
        /// Of the text.
        length: usize,
    },
    /// Not a public key.
    #[error(transparent)]
    IssuerKey(#[from] InvalidIssuerKey),
    /// An issuer in one line, with other than its fields.
    #[error("expected NAME:ED25519:MLDSA65 for each issuer, the name may be empty")]
    Fields,
    /// An issuer without one of its keys.
    #[error("an issuer needs `{field}`; copy what `micronode issuer show` prints")]
    Missing {
        /// The key that is not there.
        field: &'static str,
    },
    /// An issuer that is there already.
    #[error("the same issuer a second time; remove one")]
    SameIssuer,
    /// Not what a name can begin with.
    #[error(
        "{given:?}: expected what names begin with: segments of a-z, 0-9, '.', '_' and '-', with \
         '/' between them"
    )]
    Prefix {
        /// The text.
        given: String,
    },
    /// Not a queue that may be sent to.
    #[error(
        "{given:?}: expected the name of a queue: 1 to {QUEUE_NAME_BYTES} of a-z, 0-9, '.', '_' \
         and '-', not ending in .dlq"
    )]
    Queue {
        /// The text.
        given: String,
    },
    /// A route in one line, with other than its fields.
    #[error("expected EVENT:PREFIX:QUEUE:NAME for each route, prefix and name may be empty")]
    RouteFields,
    /// A route that lacks what it needs.
    #[error("a route needs `{field}`")]
    RouteWithout {
        /// The key that is not there.
        field: &'static str,
    },
    /// A prefix for events that are about no name.
    #[error("`prefix` is of names, and {event} is about none: remove `prefix`")]
    PrefixWithoutNames {
        /// The event's type.
        event: &'static str,
    },
    /// A route of a name that another one has.
    #[error("a second route called {name:?}: give it a `name` of its own")]
    SameRoute {
        /// The name.
        name: String,
    },
    /// A cap that may only be tightened was loosened.
    #[error("{given} loosens a cap that may only be {}: the bound is {bound}",
            if *.lower { "lowered" } else { "raised" })]
    Loosened {
        /// The value.
        given: String,
        /// The loosest value allowed, which is the default.
        bound: String,
        /// Whether tighter means lower.
        lower: bool,
    },
    /// Less than makes sense.
    #[error("{given} is too small: at least {least}")]
    TooSmall {
        /// The value.
        given: String,
        /// The least value.
        least: String,
    },
    /// More than makes sense.
    #[error("{given} is too large: at most {most}")]
    TooLarge {
        /// The value.
        given: String,
        /// The largest value.
        most: String,
    },
    /// Two listeners on one address.
    #[error("{address} is the address of `{other}` too: give them different ports")]
    SameAddress {
        /// The address of both.
        address: std::net::SocketAddr,
        /// The key of the other listener.
        other: &'static str,
    },
    /// `auto` has no answer on this machine.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The file is not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The file is larger than `limits::CONFIG_BYTES`.
    #[error("larger than {most} bytes")]
    FileTooLarge {
        /// The cap in bytes.
        most: u64,
    },
}

impl Origin {
    /// The line of a file.
    pub(crate) fn line(&self) -> Option<usize> {
        match self {
            Self::File { line, .. } => Some(*line),
            Self::Default | Self::Env(_) | Self::Flag(_) => None,
        }
    }
}

impl Reason {
    /// What is wrong, without anything of what stands there: for the log of a node.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "there is no such key",
            Self::Section | Self::Type { .. } => "has a value of another type",
            Self::Loosened { .. } => "loosens a cap that may only be tightened",
            Self::TooSmall { .. } => "is too small",
            Self::TooLarge { .. } => "is too large",
            Self::SameAddress { .. } => "is the address of another listener",
            Self::SameIssuer | Self::SameRoute { .. } => "has the same twice",
            Self::Memory(_) => "cannot be worked out on this machine",
            Self::Syntax(_) => "the file is not TOML",
            Self::Unreadable(_) => "the file cannot be read",
            Self::FileTooLarge { .. } => "the file is too large",
            Self::Flag { .. }
            | Self::Count { .. }
            | Self::Duration { .. }
            | Self::Size { .. }
            | Self::Address { .. }
            | Self::Word { .. }
            | Self::Name { .. }
            | Self::Denied { .. }
            | Self::IssuerKey(_)
            | Self::Fields
            | Self::Missing { .. }
            | Self::Prefix { .. }
            | Self::Queue { .. }
            | Self::RouteFields
            | Self::RouteWithout { .. }
            | Self::PrefixWithoutNames { .. } => "has a value that it cannot have",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug)]
pub struct Problem {
    /// The key, variable or file at fault, as the operator wrote it.
    pub name: String,
    /// Where it was given.
    pub origin: Origin,
    /// What is wrong with it.
    pub reason: Reason,
}

impl Problem {
    /// The key at fault in the node's own spelling, if it is one.
    pub(crate) fn key(&self) -> Option<&'static str> {
        let is_named = |key: &&Key| {
            let field = self.name.strip_prefix(key.path);
            field.is_some_and(|field| field.is_empty() || field.starts_with('.'))
                || self.name == key.env()
        };
        KEYS.iter().find(is_named).map(|key| key.path)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = OneLine(&self.name);
        match &self.origin {
            // The name already says where it is.
            Origin::Default | Origin::Env(_) => write!(f, "{name}: {}", self.reason),
            origin => write!(f, "{name} ({origin}): {}", self.reason),
        }
    }
}

/// A text with its control characters escaped: the name of a variable or a file may have any.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| {
            if char.is_control() {
                write!(f, "{}", char.escape_debug())
            } else {
                f.write_char(char)
            }
        })
    }
}

/// Everything that is wrong with a configuration, one line each. Never empty.
#[derive(Debug, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError {
    /// In the order file, environment, flags, whole.
    pub problems: Vec<Problem>,
}
