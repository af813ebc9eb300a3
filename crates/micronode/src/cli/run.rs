//! `micronode run`: the node itself.

use std::io::{self, IsTerminal};
use std::os::fd::RawFd;
use std::process;

use clap::Args;
use micronode_protocol::limits::LOAD_THREADS;
use micronode_server::config::Loaded;
use micronode_server::{Bound, RunError, Start};
use serde_json::json;
use zeroize::Zeroizing;

use super::config::ConfigArgs;
use crate::failure::{Exit, Failure};
use crate::operator_token::Destination;
use crate::{allocator, output};

/// Run a node
///
/// Once it is ready, one line of JSON on stdout says where it listens and gives the operator's
/// token, with which everything may be done as long as the node runs; on a terminal, a few
/// commands to try. SIGHUP, or a change of the file, reloads the configuration.
#[derive(Args)]
#[command(after_help = "Examples:
  micronode run
  micronode run --dev
  micronode run --config node.toml --memory 2GiB --token-fd 3 3>token >start.json
  micronode run --tls-cert node.pem --tls-key node.key --pq require
  MICRO_LIMITS__RPS=0 micronode run --dev --bind 127.0.0.1:0")]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
    /// Write the operator's token to this open descriptor instead of stdout, and close it
    #[arg(long, value_name = "N")]
    token_fd: Option<RawFd>,
}

impl Run {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        allocator::measure_without_wiping();
        let loaded = self.config.load()?;
        // First of all: what is protected is what comes after.
        allocator::protect(
            loaded.config.memory.lock,
            threads(&loaded),
            loaded.memory_bytes,
        );
        // Behind it, as what it writes is for dumps too; what follows reads keys.
        micronode_server::forbid_dumps();
        micronode_server::check(&loaded)?;
        let destination = Destination::choose(self.token_fd, loaded.config.dev)?;
        let start = Start {
            loaded,
            file: self.config.file().map(ToOwned::to_owned),
            reload: Box::new(move || self.config.load()),
            memory: allocator::protection,
            restricted: Box::new(allocator::return_memory_when_idle),
            announce: Box::new(|bound| announce(bound, destination)),
            settled: Box::new(allocator::return_memory_now),
        };
        micronode_server::run(start)?;
        Ok(Exit::Done)
    }
}

/// Threads that will hold objects: those that serve the data plane, and those that take back what
/// was kept.
fn threads(loaded: &Loaded) -> usize {
    let workers = match loaded.config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let loaders = loaded
        .config
        .persist
        .dir
        .as_ref()
        .map_or(0, |_| LOAD_THREADS + 1);
    workers + loaders
}

/// A node whose stdout is gone goes on: it is ready all the same.
fn announce(bound: &Bound, destination: Destination) {
    let told = destination
        .tell(bound.token.text())
        .unwrap_or_else(|error| {
            Failure::local("cannot write the operator's token", &error).report();
            false
        });
    let token = told.then(|| bound.token.text());
    let text = if io::stdout().is_terminal() {
        banner(bound, token)
    } else {
        start_line(bound, token)
    };
    if let Err(failure) = output::write(text.as_bytes()) {
        failure.report();
    }
}

fn banner(bound: &Bound, token: Option<&str>) -> Zeroizing<String> {
    let Bound {
        http, admin, oap, ..
    } = bound;
    let s = if bound.tls { "s" } else { "" };
    let oap = oap.map_or_else(String::new, |oap| format!(" and oap{s}://{oap}"));
    let export = token.map_or_else(String::new, |token| {
        format!("  export MICRO_TOKEN={token}\n")
    });
    let (pinned, trusted) = match &bound.pin {
        Some(pin) => (format!(" --pin {pin}"), format!(" -k --pinnedpubkey {pin}")),
        None => Default::default(),
    };
    Zeroizing::new(format!(
        "micronode is ready: data on http{s}://{http}{oap}, admin on http://{admin}

{export}  echo hello | micronode --url http{s}://{http}{pinned} put -
  curl{trusted} -H \"Authorization: Bearer $MICRO_TOKEN\" --data-binary @FILE http{s}://{http}/put
  curl http://{admin}/readyz

Everything is held in memory and forgotten at the end (Ctrl-C).
"
    ))
}

fn start_line(bound: &Bound, token: Option<&str>) -> Zeroizing<String> {
    let Bound {
        http, admin, oap, ..
    } = bound;
    let mut line =
        json!({"http": http.to_string(), "admin": admin.to_string(), "pid": process::id()});
    if let Some(oap) = oap {
        line["oap"] = oap.to_string().into();
    }
    if let Some(console) = bound.console {
        line["console"] = console.to_string().into();
    }
    if let Some(pin) = &bound.pin {
        line["pin"] = pin.as_str().into();
    }
    if let Some(token) = token {
        line["token"] = token.into();
    }
    Zeroizing::new(format!("{line}\n"))
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let exit = match error {
            RunError::Unsafe(_) | RunError::Tls(_) => Exit::Usage,
            RunError::Listen(_) | RunError::Persist(_) | RunError::System(_) => Exit::Failed,
        };
        Failure::new(exit, error.to_string())
    }
}
