//! Records what the binary was built from, for `/version` and `micronode_info`.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=MICRONODE_REVISION");
    println!("cargo:rerun-if-changed=../../.git/HEAD");
    let revision = std::env::var("MICRONODE_REVISION")
        .ok()
        .or_else(|| first_line(Command::new("git").args(["rev-parse", "--short=12", "HEAD"])))
        .unwrap_or_else(|| "unknown".to_owned());
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let rustc =
        first_line(Command::new(rustc).arg("--version")).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=MICRONODE_REVISION={revision}");
    println!("cargo:rustc-env=MICRONODE_RUSTC={rustc}");
}

/// The first line that a command prints, if it succeeds and prints one.
fn first_line(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines()
        .next()
        .map(str::to_owned)
        .filter(|line| !line.is_empty())
}
