//! `gwsmoke suite`: the standard scenarios, one after the other, as one JSON file, one report, and
//! one table of service levels.
//!
//! - [`result`]: what the file holds.

pub mod result;
