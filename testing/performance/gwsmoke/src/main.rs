//! The command line of the load tool.

fn main() -> std::process::ExitCode {
    gwsmoke::cli::main().into()
}
