//! Redis that keeps nothing on a disk.

use std::path::Path;
use std::process::Command;

use super::program::{REDIS, Running};
use crate::failure::Failure;

/// Starts it in `folder`.
///
/// # Errors
///
/// If it is not installed, or does not start.
pub(super) fn start(folder: &Path) -> Result<Running, Failure> {
    Running::start(REDIS, folder, |path, port| {
        let mut command = Command::new(path);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.arg("--dir").arg(folder);
        Ok(command)
    })
}
