//! The mailbox seen from outside, by topic.
#![allow(clippy::unwrap_used)]

mod laws;
mod model;
