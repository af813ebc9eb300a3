//! `gwsmoke smoke`: walks the whole path of a node once, over HTTP and OAP, and says where it is
//! broken.
//!
//! Gateway, index, storage, mailbox and the admin plane, in the order in which a caller would meet
//! them. Each step says what it expected and what came instead. OAP is asked through the SDK, whose
//! users care for what it gives them; HTTP through a client of a few lines, as what the SDK hides
//! (statuses, fields, the wire) is what has to be seen here.
//!
//! - [`mod@walk`]: running steps, timing them, and telling of them.
//! - `world`: what the steps share.
//! - `admin`, `http_path`, `oap_path`: the steps.
//! - `expect`: what is expected of an answer.

mod admin;
mod expect;
mod http_path;
mod oap_path;
pub mod walk;
mod world;

use std::path::PathBuf;

use clap::Args;

use crate::failure::{Exit, Failure, io};
use crate::node::{Node, NodeArgs};
use crate::progress::Progress;
use walk::{Report, Walk};
use world::World;

/// Walk the whole path of a node once, over HTTP and OAP, and say where it is broken
///
/// Stores, reads, names, sends and receives, through every surface; takes less than ten seconds, and
/// leaves nothing behind. Exit code 1 if a step is broken.
#[derive(Args, Clone, Debug)]
pub struct Smoke {
    #[command(flatten)]
    node: NodeArgs,
    /// Write the steps as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Smoke {
    /// Walks, and prints each step.
    ///
    /// # Errors
    ///
    /// If there is no node to walk through, or a step is broken: in one line.
    pub fn run(self, progress: &Progress) -> Result<Exit, Failure> {
        let is_started = self.node.url.is_empty();
        let node = self.node.open(&[])?;
        progress.say("walking");
        let report = walk(&node, is_started, &mut |line| println!("{line}"))?;
        if let Some(path) = &self.json {
            let mut text = serde_json::to_string_pretty(&report)
                .map_err(|error| io(path.display())(error.into()))?;
            text.push('\n');
            std::fs::write(path, text).map_err(io(path.display()))?;
        }
        if let Some(step) = report.broken() {
            return Err(Failure::wrong(step.complaint()));
        }
        node.stop()?;
        Ok(Exit::Done)
    }
}

/// Walks through a node, telling each line. Of a node that `is_started` for this, every surface has
/// to be there; of another, those that it was not said where to find are skipped.
///
/// # Errors
///
/// If the node is one that cannot be walked through: over TLS alone, or without HTTP.
pub fn walk(node: &Node, is_started: bool, tell: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    let mut world = World::new(node)?;
    let mut walk = Walk::new(tell);
    let admin_is_asked = is_started || node.admin.is_some();
    let oap_is_asked = is_started || node.oap.is_some();
    walk.part(admin_is_asked, "without --admin", admin::BEFORE, &mut world);
    walk.part(true, "", http_path::STEPS, &mut world);
    walk.part(
        oap_is_asked,
        "without --url oap://",
        oap_path::STEPS,
        &mut world,
    );
    let after = if oap_is_asked {
        admin::AFTER_BOTH
    } else {
        admin::AFTER_HTTP
    };
    walk.part(admin_is_asked, "without --admin", after, &mut world);
    if walk.is_broken() {
        world.clean_up();
    }
    Ok(walk.end())
}
