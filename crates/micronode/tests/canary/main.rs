//! Deleted means gone: a text that stands nowhere else is put into a node in every way there is,
//! and taken out again in every way there is; then all memory that the process can read is scanned
//! for pieces of it.
//!
//! Every scan is done twice: before the text goes it has to be found, or nothing is shown.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../support/mod.rs"]
mod support;

mod canary;
mod messages;
mod objects;
mod reads;
mod texts;
mod uploads;
