//! Measures a micronode, so that what it promises can be checked on any machine.
//!
//! - [`result`]: what a measurement looks like as JSON; the versioned schema that every verb reads
//!   and writes.
//! - [`machine`]: whether two results may be compared.
//! - [`spec`]: what to run: the fields of a scenario file, which flags of `load` override.
//!
//! - [`smoke`]: the whole path of a node, once.
//! - [`suite`]: the standard scenarios in one go; [`slo`]: service levels as data, and what was
//!   measured beside them; [`report`]: all of it as one page of HTML.
//! - [`node`]: the node that is measured, started or pointed at.
//! - [`load`]: requests at a rate, or one upon the other: threads, pacing, what is asked.
//! - `drive`: speaking to a node, a module for each protocol.
//! - `ask`, [`fetch`]: one request and its answer, beside a load.
//! - `record`: what is kept of a run; [`sample`]: what the node's process takes.
//! - [`proxy`]: a longer way to the node.
//! - [`scenario`]: files that say what to run.
//! - [`peers`]: the node beside other programs; [`cross_check`]: this tool beside others.
//! - [`ab`]: two builds in turn; [`stats`]: how much they differ, and how sure that is.
//! - [`gate`]: whether a result is worse than it may be; [`waivers`]: what is let pass, until when.
//! - [`cli`], [`failure`]: the command line, and how a verb ends.
//!
//! Each verb of the command line is a module of its own.

pub mod ab;
mod ask;
pub mod cli;
mod clock;
pub mod cross_check;
pub mod date;
mod drive;
pub mod failure;
pub mod fetch;
pub mod gate;
mod line;
pub mod load;
pub mod machine;
pub mod node;
pub mod peers;
pub mod progress;
pub mod proxy;
mod record;
pub mod report;
pub mod result;
pub mod sample;
pub mod scenario;
pub mod slo;
pub mod smoke;
pub mod spec;
pub mod stats;
pub mod suite;
pub mod waivers;
