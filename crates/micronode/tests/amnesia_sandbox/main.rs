//! What the kernel holds a node to: no file is written, nobody is reached, no memory is read by
//! others. On the real binary, asked from inside and looked at from outside.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod attempts;
mod dumps;
mod proof;
mod strace;
#[path = "../support/mod.rs"]
mod support;
mod writes;
