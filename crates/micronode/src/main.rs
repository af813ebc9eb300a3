//! The `micronode` binary: parses the command line, does what one verb says, and reports.

mod allocator;
mod cli;
mod failure;
mod operator_token;
mod output;
mod part_file;
mod progress;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let exit = cli::Cli::parse().run().unwrap_or_else(|failure| {
        failure.report();
        failure.exit
    });
    ExitCode::from(exit as u8)
}
