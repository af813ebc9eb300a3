//! `micronode run`: the node itself.

use std::io::{self, IsTerminal};
use std::process;

use clap::Args;
use micronode_server::{Bound, RunError, Start};
use serde_json::json;

use super::config::ConfigArgs;
use crate::failure::{Exit, Failure};
use crate::{allocator, output};

/// Run a node
///
/// Once it is ready, one line of JSON on stdout says where it listens; on a terminal, a few
/// commands to try. SIGHUP, or a change of the file, reloads the configuration.
#[derive(Args)]
#[command(after_help = "Examples:
  micronode run --dev
  micronode run --dev --config node.toml --memory 2GiB
  micronode run --dev --tls-cert node.pem --tls-key node.key --pq require
  MICRO_LIMITS__RPS=0 micronode run --dev --bind 127.0.0.1:0")]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
}

impl Run {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let start = Start {
            loaded: self.config.load()?,
            file: self.config.file().map(ToOwned::to_owned),
            reload: Box::new(move || self.config.load()),
            announce: Box::new(announce),
        };
        allocator::return_memory_when_idle();
        micronode_server::run(start)?;
        Ok(Exit::Done)
    }
}

/// A node whose stdout is gone goes on: it is ready all the same.
fn announce(bound: &Bound) {
    let Bound {
        http,
        admin,
        oap,
        tls,
        pin,
    } = bound;
    let text = if io::stdout().is_terminal() {
        let s = if *tls { "s" } else { "" };
        let oap = oap.map_or_else(String::new, |oap| format!(" and oap{s}://{oap}"));
        let (pinned, trusted) = match pin {
            Some(pin) => (format!(" --pin {pin}"), format!(" -k --pinnedpubkey {pin}")),
            None => Default::default(),
        };
        format!(
            "micronode is ready: data on http{s}://{http}{oap}, admin on http://{admin}

  echo hello | micronode --url http{s}://{http}{pinned} put -
  curl{trusted} --data-binary @FILE http{s}://{http}/put
  curl http://{admin}/readyz

Everything is held in memory and forgotten at the end (Ctrl-C).
"
        )
    } else {
        let mut line =
            json!({"http": http.to_string(), "admin": admin.to_string(), "pid": process::id()});
        if let Some(oap) = oap {
            line["oap"] = oap.to_string().into();
        }
        if let Some(pin) = pin {
            line["pin"] = pin.as_str().into();
        }
        format!("{line}\n")
    };
    if let Err(failure) = output::write(text.as_bytes()) {
        failure.report();
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let exit = match error {
            RunError::Unsafe(_) | RunError::Tls(_) => Exit::Usage,
            RunError::Listen(_) | RunError::System(_) => Exit::Failed,
        };
        Failure::new(exit, error.to_string())
    }
}
