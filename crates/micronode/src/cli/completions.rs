//! `micronode completions`: completion scripts for shells.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::Cli;
use crate::failure::{Exit, Failure};
use crate::output;

/// Print the completion script of a shell
#[derive(Args)]
#[command(after_help = "Examples:
  micronode completions bash > /etc/bash_completion.d/micronode
  micronode completions zsh > ~/.zfunc/_micronode")]
pub(super) struct Completions {
    /// The shell to complete for
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "micronode", &mut script);
        output::write(&script)?;
        Ok(Exit::Done)
    }
}
