//! Connections served end to end, spoken to in raw bytes.
//!
//! Times are checked on a paused clock over an in-memory stream, to the second and without
//! waiting for it; what only a kernel does (resets, backlogs, full buffers) is checked over
//! loopback.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod drain;
mod floods;
mod frames;
mod giving_way;
mod harness;
mod http1;
mod http2;
mod leases;
mod newcomers;
mod readers;
