//! What is wrong with the TLS that a configuration asks for, and what to do about it.

use crate::config;
use micronode_protocol::limits::TLS_FILE_BYTES;
use std::io;
use std::path::{Path, PathBuf};

/// TLS cannot be had as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Values that make no sense together.
    #[error("{0}")]
    Combination(&'static str),
    /// A file cannot be read.
    #[error("{key} = {}: cannot be read: {source}", .path.display())]
    Unreadable {
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is larger than any that makes sense.
    #[error("{key} = {}: larger than {TLS_FILE_BYTES} bytes", .path.display())]
    TooLarge {
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A file does not hold what its key promises.
    #[error("{key} = {}: {what}", .path.display())]
    Content {
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a self-signed certificate: {0}")]
    SelfSigned(String),
}

impl TlsError {
    /// The key at fault.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Unreadable { key, .. }
            | Self::TooLarge { key, .. }
            | Self::Content { key, .. } => key,
            Self::Combination(_) | Self::SelfSigned(_) => "tls",
        }
    }

    /// What is wrong, without anything of what stands there.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Combination(what) => what,
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "may not be read; a node that runs reads the directories that its files were in at \
                 the start, and no others"
            }
            Self::Unreadable { .. } => "cannot be read",
            Self::TooLarge { .. } => "is too large",
            Self::Content { .. } => "does not hold what it should",
            Self::SelfSigned(_) => "no certificate could be made",
        }
    }

    /// A file whose content is not accepted.
    pub(super) fn wrong(key: &'static str, path: &Path, what: impl Into<String>) -> Self {
        Self::Content {
            key,
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

/// Refuses values that say nothing together, or something else than whoever gave them may think.
pub(super) fn check_combination(config: &config::Tls) -> Result<(), TlsError> {
    let wrong = match (&config.cert, &config.key) {
        (Some(_), None) => "tls.cert is given without tls.key: name the file of its private key",
        (None, Some(_)) => "tls.key is given without tls.cert: name the file of its certificate",
        (Some(_), Some(_)) if config.self_signed => {
            "tls.self_signed makes a certificate of its own: leave it out, or tls.cert and tls.key"
        }
        _ if config.is_on() => return Ok(()),
        _ if config.client_ca.is_some() => {
            "tls.client_ca needs TLS: give tls.cert and tls.key, or tls.self_signed"
        }
        _ if config.pq == config::Pq::Require => {
            "tls.pq = require needs TLS: give tls.cert and tls.key, or tls.self_signed"
        }
        _ => return Ok(()),
    };
    Err(TlsError::Combination(wrong))
}
