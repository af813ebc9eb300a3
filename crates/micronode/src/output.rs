//! Data on stdout. Unlike `println!`, a reader that went away is an error and not a panic.

use std::fmt::Write as _;
use std::future;
use std::io::{self, Write};
use std::os::fd::AsFd;

use humantime::Rfc3339Timestamp;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;
use tokio::task::spawn_blocking;

use crate::failure::Failure;

/// Writes `bytes` and flushes, so that each result is seen when it is known.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::local("stdout", &error))
}

/// The same without holding up the caller, who need not wait for a reader that does not read.
pub(crate) async fn write_aside(bytes: Vec<u8>) -> Result<(), Failure> {
    let written = spawn_blocking(move || write(&bytes)).await;
    written.expect("it does not panic, and is not aborted before the process ends")
}

/// Waits until nobody reads stdout any more. For ever where that cannot be seen, as with a file.
pub(crate) async fn reader_gone() {
    // Not to write to: so it need not be a pipe, nor be non-blocking, which would hold for others too.
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    if let Ok(stdout) = stdout.and_then(Sender::from_owned_fd_unchecked)
        && stdout.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    future::pending::<()>().await;
}

/// Writes a line: `text`, or `json` where that was asked for.
pub(crate) fn line(
    as_json: bool,
    text: impl FnOnce() -> String,
    json: impl FnOnce() -> serde_json::Value,
) -> Result<(), Failure> {
    let mut line = if as_json { json().to_string() } else { text() };
    line.push('\n');
    write(line.as_bytes())
}

/// Bytes in lowercase digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A date in RFC 3339; `None` behind the year 9999, where it has no form.
pub(crate) fn rfc3339(date: &Rfc3339Timestamp) -> Option<String> {
    let mut text = String::new();
    write!(text, "{date}").ok()?;
    Some(text)
}
