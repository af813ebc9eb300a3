//! Measures a micronode, so that what it promises can be checked on any machine.
//!
//! - [`result`]: what a measurement looks like as JSON; the versioned schema that every verb reads
//!   and writes.
//! - [`machine`]: whether two results may be compared.
//! - [`spec`]: what to run: the fields of a scenario file, which flags of `load` override.
//!
//! Each verb of the command line is a module of its own.

pub mod machine;
pub mod result;
pub mod spec;
