//! Bounds on what a peer can make an HTTP service hold, wait for or compute.

mod refusal;

pub use refusal::{BodyError, Counters, Reason, Refusal};
