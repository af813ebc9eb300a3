//! The build that a night compares with: the last release, and before there is one, what stood a
//! day ago.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, cargo, io, root, show, succeed};

/// Without a release: the newest commit that is older than this, or else the one before.
const A_DAY_AGO: &str = "--before=1 day ago";

/// Builds `revision`, or what it is by default, in a tree of its own; the node's binary.
pub(super) fn build(revision: Option<&str>, target: &Path) -> Result<PathBuf, Failure> {
    let revision = match revision {
        Some(revision) => git(&["rev-parse", "--verify", &format!("{revision}^{{commit}}")])?,
        None => usual()?,
    };
    let place = target.join("base");
    let (tree, built) = (place.join("tree"), place.join("target"));
    fs::create_dir_all(&place).map_err(io(place.display()))?;
    // One that an earlier night has left, at whatever revision.
    if tree.exists() {
        git(&["worktree", "remove", "--force", &tree.to_string_lossy()])?;
    }
    git(&["worktree", "prune"])?;
    git(&[
        "worktree",
        "add",
        "--detach",
        &tree.to_string_lossy(),
        &revision,
    ])?;
    println!(
        "compared with {}",
        git(&["log", "-1", "--oneline", &revision])?
    );
    let mut build = cargo(&["build", "--locked", "--release", "--package", "micronode"]);
    build.arg("--target-dir").arg(&built).current_dir(&tree);
    succeed(build)?;
    git(&["worktree", "remove", "--force", &tree.to_string_lossy()])?;
    Ok(built.join("release/micronode"))
}

fn usual() -> Result<String, Failure> {
    // Fails where there is no tag.
    if let Ok(tag) = git(&["describe", "--tags", "--abbrev=0"]) {
        return git(&["rev-parse", "--verify", &format!("{tag}^{{commit}}")]);
    }
    let older = git(&["rev-list", "-1", A_DAY_AGO, "--first-parent", "HEAD"])?;
    if older.is_empty() {
        git(&["rev-parse", "--verify", "HEAD~1"])
    } else {
        Ok(older)
    }
}

/// What git says, without the end of its line.
fn git(words: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new("git");
    command.args(words).current_dir(root());
    let shown = show(&command);
    let output = command.output().map_err(io(&shown))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Failure::Wrong(format!("`{shown}`: {said}")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
