//! Data on stdout. Unlike `println!`, a reader that went away is an error and not a panic.

use std::io::{self, Write};

use crate::failure::Failure;

/// Writes `bytes` and flushes, so that each result is seen when it is known.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::local("stdout", &error))
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
