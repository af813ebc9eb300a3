//! What is kept on a disk comes back, whatever the disk does: against a plain map as the model, on
//! a disk in memory that fails on demand and forgets what was not synced.
#![allow(clippy::unwrap_used)]

mod damage;
mod directory;
mod engine;
mod failures;
mod full;
mod model;
mod packs;
mod properties;
mod random;
mod workload;
