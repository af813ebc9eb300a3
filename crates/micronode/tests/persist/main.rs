//! A node that keeps what it holds: whatever befalls it, what it has acknowledged is there when it
//! is back, whole, and what it has not is not half there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../support/mod.rs"]
mod support;

mod bulk;
mod full;
mod holder;
mod kills;
mod restarts;

use std::path::Path;
use std::process::Command;
use support::Node;

/// The command of a node that keeps things in `dir`, without a request rate.
fn command(dir: &Path, flags: &[&str]) -> Command {
    let dir = dir.to_str().unwrap();
    let mut command = Node::command(&[&["--rps", "0", "--persist", dir], flags].concat());
    // Messages that nobody acknowledges come back with every start.
    command.env("MICRO_LIMITS__MAILBOX__MAX_DELIVERIES", "100");
    command
}

fn start(dir: &Path) -> Node {
    Node::spawn(command(dir, &[]))
}
