//! `gwsmoke suite`: the standard scenarios, one after the other, as one JSON file, one report, and
//! one table of service levels.
//!
//! - [`catalogue`]: the scenarios, which are in this program.
//! - [`result`]: what the file holds.

pub mod catalogue;
pub mod result;
#[cfg(test)]
pub(crate) mod sample;
