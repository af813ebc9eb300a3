//! `micronode man`: manual pages.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::Cli;
use crate::failure::{Exit, Failure};
use crate::output;

/// Print the manual page, or write the pages of all verbs
#[derive(Args)]
#[command(after_help = "Examples:
  micronode man | man -l -
  micronode man --out /usr/local/share/man/man1")]
pub(super) struct Man {
    /// Write one page per verb into this directory, which must exist
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.out {
            Some(directory) => clap_mangen::generate_to(Cli::command(), &directory)
                .map_err(|error| Failure::local(directory.display(), &error))?,
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(Cli::command())
                    .render(&mut page)
                    .expect("writing to memory does not fail");
                output::write(&page)?;
            }
        }
        Ok(Exit::Done)
    }
}
