//! Where the operator's token goes: into the start line, or to a descriptor of its own.
//!
//! Whoever has it may do everything, so it is not left where things are kept: a file or the
//! journal.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, RawFd};
use std::os::unix::fs::MetadataExt;

use crate::failure::Failure;

/// The last descriptor that is everybody's: standard error.
const STDERR: RawFd = 2;

/// Where the operator's token is told.
pub(crate) enum Destination {
    /// In the start line.
    StartLine,
    /// Nowhere: nothing needs it.
    Nowhere,
    /// On a descriptor that was handed over for it.
    Descriptor(File),
}

impl Destination {
    /// Decides before anything is started. In development mode nobody needs the token, so where
    /// the start line is kept, it is left out.
    pub(crate) fn choose(token_fd: Option<RawFd>, dev: bool) -> Result<Self, Failure> {
        match token_fd {
            Some(fd) => take(fd).map(Self::Descriptor).map_err(|error| {
                Failure::usage(format!("--token-fd {fd}: cannot write there: {error}"))
            }),
            None if !is_kept(&io::stdout()).unwrap_or(false) => Ok(Self::StartLine),
            None if dev => Ok(Self::Nowhere),
            None => Err(Failure::usage(
                "stdout is a file or the journal, which would keep the operator's token",
            )
            .or_hint("add --token-fd N and open descriptor N for whoever shall have it, as in: micronode run --token-fd 3 3>&1 >log | …")),
        }
    }

    /// Tells the token, if this is where it is told; whether the start line is to have it.
    pub(crate) fn tell(self, token: &str) -> io::Result<bool> {
        match self {
            Self::StartLine => Ok(true),
            Self::Nowhere => Ok(false),
            Self::Descriptor(mut file) => {
                file.write_all(token.as_bytes())?;
                file.write_all(b"\n")?;
                Ok(false)
            }
        }
    }
}

/// Opens what a descriptor leads to, and closes the descriptor: a reader waits for its end.
fn take(fd: RawFd) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .open(format!("/proc/self/fd/{fd}"))?;
    if fd > STDERR {
        nix::unistd::close(fd)?;
    }
    Ok(file)
}

/// Whether what is written there is kept: in a file, or by the journal, which says which of its
/// sockets a service has (`JOURNAL_STREAM`, see systemd.exec(5)).
fn is_kept(stdout: &impl AsFd) -> io::Result<bool> {
    let stdout = File::from(stdout.as_fd().try_clone_to_owned()?).metadata()?;
    let own = format!("{}:{}", stdout.dev(), stdout.ino());
    Ok(stdout.file_type().is_file() || env::var("JOURNAL_STREAM").is_ok_and(|it| it == own))
}
