//! The node that tests start.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file is a crate of its own and uses a part of this one"
)]

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The node of this build. One that is missing is built: a test of this package alone does not.
pub fn node_binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let own = PathBuf::from(env!("CARGO_BIN_EXE_gwsmoke"));
        let binary = own.with_file_name("micronode");
        if !binary.is_file() {
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--locked", "-p", "micronode"]);
            // Where this test was built, whatever that is.
            let target = own.ancestors().nth(2).expect("a target directory");
            build.arg("--target-dir").arg(target);
            assert!(build.status().is_ok_and(|status| status.success()));
        }
        binary
    })
}

/// This program.
pub fn gwsmoke(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gwsmoke"));
    command.args(arguments).env_clear();
    command
}
