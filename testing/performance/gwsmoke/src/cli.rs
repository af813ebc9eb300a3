//! The command line: the list of verbs. What a verb takes is in the verb's own module.

use clap::{Parser, Subcommand};

use crate::failure::{Exit, Failure};
use crate::progress::Progress;
use crate::{ab, cross_check, gate, load, peers, report, smoke, suite};

const EXIT_CODES: &str = "Exit codes: 0 done and as it should be, 1 something failed or was measured \
and is not as it should be, 2 wrong usage, 3 nothing can be said: what was to be compared cannot be.";

/// Measures a micronode: load, the standard scenarios, comparisons of builds, and gates.
#[derive(Debug, Parser)]
#[command(name = "gwsmoke", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Load(Box<load::Load>),
    CrossCheck(cross_check::CrossCheck),
    Peers(peers::Peers),
    Report(report::Report),
    Smoke(smoke::Smoke),
    Suite(suite::Suite),
    Ab(ab::Ab),
    Gate(gate::Gate),
}

impl Cli {
    /// Does what the verb says.
    ///
    /// # Errors
    ///
    /// What kept it from being done.
    pub fn run(self) -> Result<Exit, Failure> {
        let progress = Progress::new();
        match self.verb {
            Verb::Load(load) => load.run(&progress),
            Verb::CrossCheck(check) => check.run(&progress),
            Verb::Peers(peers) => peers.run(&progress),
            Verb::Report(report) => report.run(&progress),
            Verb::Smoke(smoke) => smoke.run(&progress),
            Verb::Suite(suite) => suite.run(&progress),
            Verb::Ab(ab) => ab.run(&progress),
            Verb::Gate(gate) => gate.run(&progress),
        }
    }
}

/// Reads the command line, does what it says, and tells what went wrong.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let is_wrong = error.use_stderr();
            // Nobody is left to be told.
            let _gone = error.print();
            return if is_wrong { Exit::Usage } else { Exit::Done };
        }
    };
    match cli.run() {
        Ok(exit) => exit,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_argument_of_every_verb_says_what_it_is() {
        for verb in Cli::command().get_subcommands() {
            for argument in verb.get_arguments() {
                let (verb, argument_id) = (verb.get_name(), argument.get_id());
                assert!(argument.get_help().is_some(), "{verb}: {argument_id}");
            }
        }
    }
}
