//! The command index of the workspace: `cargo xtask` lists what there is.
//!
//! Plain processes and the standard library, so that it builds in seconds and needs nothing
//! installed. Not for anything that the node itself should do.

mod check;
mod flamegraph;
mod measure;
mod nightly;
mod rules;
mod rust_version;
mod scan;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "\
usage: cargo xtask <command>

commands:
  check                      formatting, lints, supply chain, rust-version, docs: what CI runs
  measure start [--runs N]   time from exec to ready, and idle memory, of the release binary
  measure oap [--runs N]     1 KiB reads over one OAP connection beside one of HTTP/1.1
  measure tls [--runs N]     the node's CPU time per connection: classical, hybrid, resumed
  measure mailbox [--runs N] messages per second over one OAP connection: send, take and ack
  measure waiting [--runs N] 10 000 parked receivers: the node's CPU time, and how soon one is woken
  measure memory [--runs N]  10 000 objects of 64 KiB: memory and CPU time, and what deleting gives back
  measure persist [--runs N] kept on disk: small objects per second, and a killed node's way back
  flamegraph SCENARIO [--out DIR]
                             where the node's time goes under a load of testing/performance/scenarios
  nightly [--quick] [--base REVISION] [--out DIR]
                             suite, comparison with the last release, gates, profiles: all in one folder
  rules                      what promtool says of ops/: rules, their tests, the dashboard's queries
  scan PID FILE              where in a process's memory the bytes of a file are, or pieces of them
";

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line makes no sense.
    #[error("{0}\n\n{USAGE}")]
    Usage(String),
    /// A program could not be started, or an operation on the system failed.
    #[error("{what}: {error}")]
    Io {
        /// What was attempted.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// A program ran and failed; it has said why.
    #[error("`{0}` failed")]
    Program(String),
    /// Something is not as it should be.
    #[error("{0}")]
    Wrong(String),
}

/// Adds what was attempted to an I/O error.
pub(crate) fn io(what: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| Failure::Io {
        what: what.to_string(),
        error,
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        ["check"] => check::run(),
        ["measure", "start", options @ ..] => measure::start(options),
        ["measure", "oap", options @ ..] => measure::oap::run(options),
        ["measure", "tls", options @ ..] => measure::tls::run(options),
        ["measure", "mailbox", options @ ..] => measure::mailbox::run(options),
        ["measure", "waiting", options @ ..] => measure::waiting::run(options),
        ["measure", "memory", options @ ..] => measure::memory::run(options),
        ["measure", "persist", options @ ..] => measure::persist::run(options),
        ["flamegraph", words @ ..] => flamegraph::run(words),
        ["nightly", words @ ..] => nightly::run(words),
        ["rules"] => rules::run(),
        ["scan", pid, file] => scan::run(pid, file),
        _ => Err(Failure::Usage(format!(
            "no such command: {}",
            words.join(" ")
        ))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::from(if matches!(failure, Failure::Usage(_)) {
                2
            } else {
                1
            })
        }
    }
}

/// The workspace's root, which every program is run in.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask
        .parent()
        .expect("the manifest stands in xtask/, below the root")
        .to_owned()
}

/// A cargo command in the workspace, by the cargo that runs us.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Runs to the end with our own output, and fails unless the program succeeds.
pub(crate) fn succeed(mut command: Command) -> Result<(), Failure> {
    let shown = show(&command);
    let status = command.status().map_err(io(&shown))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Program(shown))
    }
}

/// The command as a person would type it.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
