//! `cargo xtask check`: every rule that a machine can keep, the quickest first.

use std::process::Stdio;

use crate::measure::timed;
use crate::{Failure, cargo, rust_version, show, succeed};

/// Where `cargo-deny` comes from when it is missing. CI installs the same version.
const INSTALL_DENY: &str = "cargo install --locked cargo-deny@0.20.2";

type Step = (&'static str, fn() -> Result<(), Failure>);

const STEPS: [Step; 6] = [
    ("formatting", formatting),
    ("rust-version", rust_version::check),
    ("supply chain", supply_chain),
    ("lints", lints),
    ("docs", docs),
    ("fuzz targets", fuzz_targets),
];

/// Runs all steps, also after one has failed, so that one run shows everything.
pub(crate) fn run() -> Result<(), Failure> {
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        println!("== {name}");
        let (took, result) = timed(step);
        if let Err(failure) = result {
            eprintln!("xtask: {failure}");
            failed.push(name);
        }
        println!("== {name}: {:.1} s", took.as_secs_f64());
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Wrong(format!("not clean: {}", failed.join(", "))))
    }
}

fn formatting() -> Result<(), Failure> {
    succeed(cargo(&["fmt", "--all", "--check"]))
}

fn lints() -> Result<(), Failure> {
    let words = [
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    succeed(cargo(&words))
}

fn supply_chain() -> Result<(), Failure> {
    let mut present = cargo(&["deny", "--version"]);
    let status = present.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !status.is_ok_and(|status| status.success()) {
        let present = show(&present);
        return Err(Failure::Wrong(format!(
            "`{present}` does not run; install it with `{INSTALL_DENY}`"
        )));
    }
    succeed(cargo(&[
        "deny", "--locked", "check", "bans", "licenses", "sources",
    ]))
}

fn docs() -> Result<(), Failure> {
    let mut command = cargo(&["doc", "--locked", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    succeed(command)
}

/// They are a workspace of their own, which nothing else builds: without this, they go stale.
fn fuzz_targets() -> Result<(), Failure> {
    let of = ["--manifest-path", "fuzz/Cargo.toml"];
    succeed(cargo(&[&["fmt", "--check"], &of[..]].concat()))?;
    // What both have in common is not built twice.
    let words = [&["check", "--locked", "--target-dir", "target"], &of[..]].concat();
    succeed(cargo(&words))
}
