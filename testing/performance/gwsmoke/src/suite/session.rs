//! What all parts of a suite need: the binary, how much to measure, and nodes of their own.

use std::path::PathBuf;

use super::catalogue;
use super::listener::Listener;
use super::result::Level;
use crate::failure::Failure;
use crate::load::{self, Prepared, sweep};
use crate::node::Node;
use crate::progress::Progress;
use crate::result::LoadResult;
use crate::spec::LoadSpec;

/// Scenarios that write while somebody listens to what happens: a bus overflows only for somebody.
const LISTENED: &[&str] = &["put_1k", "put_64k", "put_1m", "mixed"];

/// A suite under way.
pub(super) struct Session<'a> {
    pub(super) binary: PathBuf,
    pub(super) level: Level,
    pub(super) progress: &'a Progress,
}

impl Session<'_> {
    /// One of two numbers, by how much is measured.
    pub(super) fn either<T>(&self, quick: T, full: T) -> T {
        match self.level {
            Level::Quick => quick,
            Level::Full => full,
        }
    }

    /// A node of its own, with these flags. It ends with the value.
    pub(super) fn node(&self, flags: &[&str]) -> Result<Node, Failure> {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Node::start(&self.binary, &flags)
    }

    /// A node as a scenario wants it.
    pub(super) fn node_for(&self, spec: &LoadSpec) -> Result<Node, Failure> {
        let mut flags: Vec<&str> = spec.node_flags.iter().map(String::as_str).collect();
        if spec.tls {
            flags.push("--tls-self-signed");
        }
        self.node(&flags)
    }

    /// The scenario of this name, as long as it takes here.
    pub(super) fn spec(&self, name: &str) -> Result<LoadSpec, Failure> {
        catalogue::spec(name, self.level)
    }

    /// Runs a standard scenario on a node of its own.
    pub(super) fn scenario(&self, name: &str) -> Result<LoadResult, Failure> {
        let spec = self.spec(name)?;
        let node = self.node_for(&spec)?;
        if name == catalogue::SWEEP {
            return sweep::run(&spec, &node, self.progress);
        }
        let listener = LISTENED
            .contains(&name)
            .then(|| Listener::start(&node))
            .transpose()?;
        let result = load::run(&spec, &node, self.progress)?;
        if let Some(listener) = listener {
            listener.stop()?;
        }
        Ok(result)
    }

    /// A node that has what a scenario reads, to be measured more than once.
    pub(super) fn prepared(&self, spec: &LoadSpec) -> Result<(Node, Prepared), Failure> {
        let node = self.node_for(spec)?;
        let prepared = Prepared::new(spec, &node, self.progress)?;
        Ok((node, prepared))
    }
}
