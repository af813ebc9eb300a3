//! The flags of `peers`.

use std::path::PathBuf;

use clap::Args;

use super::{Options, run, table};
use crate::failure::{Exit, Failure, io};
use crate::node::find_binary;
use crate::progress::Progress;

/// The node beside other programs, in one run: nginx, Redis, NATS JetStream, beanstalkd
///
/// Installs nothing: what is missing is told, with how to get it, and left out.
#[derive(Args, Clone, Debug)]
pub struct Peers {
    /// The binary of the node [default: micronode of the same target directory]
    #[arg(long, value_name = "BIN")]
    node: Option<PathBuf>,
    /// Under a minute, small objects, figures that spread more
    #[arg(long)]
    quick: bool,
    /// Rounds of each comparison [default: 5, quick: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Write the comparisons as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Peers {
    /// Does it, and prints what came of it.
    ///
    /// # Errors
    ///
    /// What kept it from being measured.
    pub fn run(self, progress: &Progress) -> Result<Exit, Failure> {
        let binary = match self.node {
            Some(binary) => binary,
            None => find_binary()?,
        };
        let mut options = match self.quick {
            true => Options::quick(binary),
            false => Options::full(binary),
        };
        if let Some(rounds) = self.rounds {
            options.rounds = rounds as usize;
        }
        let found = run(&options, progress)?;
        if let Some(path) = &self.json {
            let text =
                serde_json::to_string_pretty(&found).map_err(|error| io("JSON")(error.into()))?;
            std::fs::write(path, text + "\n").map_err(io(path.display()))?;
        }
        print!("{}", table::of(&found));
        // Nothing to compare with is no comparison.
        Ok(match found.comparisons.is_empty() {
            true => Exit::Failed,
            false => Exit::Done,
        })
    }
}
