//! Measures a micronode, so that what it promises can be checked on any machine.
//!
//! - [`result`]: what a measurement looks like as JSON; the versioned schema that every verb reads
//!   and writes.
//! - [`slo`]: service levels as data, and what was measured beside them.
//! - [`spec`]: what to run: the fields of a scenario file, which flags of `load` override.
//! - [`suite`]: the standard scenarios in one go; [`report`]: what it found as one page of HTML.
//!
//! - [`node`]: the node that is measured, started or pointed at.
//! - [`load`]: requests at a rate, or one upon the other: threads, pacing, what is asked.
//! - [`drive`]: speaking to a node, a module for each protocol.
//! - [`record`]: what is kept of a run; [`sample`]: what the node's process takes.
//! - [`scenario`]: files that say what to run.
//! - [`peers`]: the node beside other programs.
//! - [`cli`], [`failure`]: the command line, and how a verb ends.
//!
//! Each verb of the command line is a module of its own.

pub mod cli;
mod clock;
mod drive;
pub mod failure;
pub mod fetch;
pub mod load;
pub mod node;
pub mod peers;
pub mod progress;
mod record;
pub mod report;
pub mod result;
pub mod sample;
pub mod scenario;
pub mod slo;
pub mod spec;
pub mod suite;
