//! The command line of the load tool.

fn main() -> std::process::ExitCode {
    eprintln!("gwsmoke: no verb is built yet");
    std::process::ExitCode::from(2)
}
