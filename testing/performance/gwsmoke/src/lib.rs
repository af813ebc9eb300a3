//! Measures a micronode, so that what it promises can be checked on any machine.
//!
//! - [`report`]: a suite as one page of HTML.
//! - [`result`]: what a measurement looks like as JSON; the versioned schema that every verb reads
//!   and writes.
//! - [`slo`]: service levels as data, and what was measured beside them.
//! - [`spec`]: what to run: the fields of a scenario file, which flags of `load` override.
//! - [`suite`]: the standard scenarios in one go.
//!
//! Each verb of the command line is a module of its own.

pub mod report;
pub mod result;
pub mod slo;
pub mod spec;
pub mod suite;
