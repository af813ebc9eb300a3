//! What objects cost the system beside their bytes, and that it gets all of it back.
//!
//! `cargo xtask measure memory` does the same with five times as much on the release binary.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::{Duration, Instant};
use support::Node;

const OBJECTS: u64 = 2_000;
const OBJECT_BYTES: usize = 64 * 1024;
const MIB: u64 = 1024 * 1024;
/// In a build that is not optimised a node is larger by itself.
const BASE: u64 = 40 * MIB;

#[test]
fn objects_cost_little_beside_their_bytes_and_leave_nothing() {
    let node = Node::with(&["--rps", "0", "--memory", "512MiB"]);
    let mut client = node.connect();
    let mut paths = Vec::new();
    for number in 0..OBJECTS {
        let mut bytes = support::object(OBJECT_BYTES);
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        let put = client.request("POST", "/put", &[], &bytes);
        assert_eq!(put.status, 201);
        paths.push(put.field("location").unwrap().to_owned());
    }
    let bytes = OBJECTS * OBJECT_BYTES as u64;
    let counted = node.memory_of("objects");
    assert!(
        (bytes..bytes + OBJECTS * 400).contains(&counted),
        "{counted}"
    );
    let resident = node.resident();
    let most = bytes + bytes / 20 + OBJECTS * 300 + BASE;
    assert!((bytes..most).contains(&resident), "{resident} of {most}");

    for path in &paths {
        assert_eq!(client.request("DELETE", path, &[], b"").status, 204);
    }
    let deleted = Instant::now();
    while node.resident() >= 64 * MIB {
        let resident = node.resident();
        assert!(
            deleted.elapsed() < Duration::from_secs(10),
            "{resident} left"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
