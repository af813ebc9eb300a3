//! Data on stdout. Unlike `println!`, a reader that went away is an error and not a panic.

use std::fmt::Write as _;
use std::io::{self, Write};

use humantime::Rfc3339Timestamp;

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
