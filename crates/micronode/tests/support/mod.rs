//! A real node as a child process, and clients of HTTP/1.1 and OAP/1 that show the bytes as they
//! are.
//!
//! The tests speak to the node as a stranger would: over loopback, with nothing of its code in
//! between that could hide a fault of the wire format.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test file is a crate of its own and uses a part of this one"
)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail loudly and look at the clock"
)]

pub mod bench;
mod coding;
mod connection;
mod node;
pub mod oap;
mod random;
mod response;
mod scanner;
pub mod tls;
pub mod workload;

pub use coding::encode;
pub use connection::{Connection, chunked};
pub use node::Node;
pub use oap::Oap;
pub use random::Random;
pub use response::{Response, assert_document, assert_problem};
pub use scanner::{Hit, Scanner};

use std::time::{Duration, Instant};

/// How long the node may take for what has no time of its own, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what will be true soon; fails after [`PATIENCE`] saying `what` did not come.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `size` bytes that do not compress and are different for every size.
pub fn object(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new()
        .update(&size.to_be_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// The address of `bytes`, from the hash function itself.
pub fn address(bytes: &[u8]) -> String {
    format!("b3:{}", blake3::hash(bytes).to_hex())
}

/// Lets this process open `count` sockets, or as many as it may; how many those are.
pub fn sockets(count: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // The test itself, its threads and its nodes need some.
    const OTHERS: u64 = 500;
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let wanted = (count + OTHERS).min(most);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised).unwrap();
    }
    wanted - OTHERS
}
