//! Slow readers over TLS: what waits in a session does not hide whether they move.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::io::Write;
use std::time::{Duration, Instant};
use support::tls::Authority;
use support::{object, wait_until};

const MIB: usize = 1024 * 1024;

/// At 10 KiB/s a session takes six seconds to empty into its socket, longer than a stream may stand
/// still.
#[test]
fn a_reader_above_the_least_rate_is_served_and_one_that_stops_is_cut() {
    let authority = Authority::new();
    let node = authority.node(&[]);
    let bytes = object(16 * MIB);
    let path = format!("/o/{}", support::address(&bytes));
    let mut upload = authority.client().connect(node.http).unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
        node.http,
        bytes.len()
    );
    upload.stream.write_all(head.as_bytes()).unwrap();
    upload.stream.write_all(&bytes).unwrap();
    assert_eq!(upload.exactly(12).unwrap(), b"HTTP/1.1 201");

    let mut readers: Vec<_> = (0..2)
        .map(|_| authority.client().connect_narrowly(node.http).unwrap())
        .collect();
    for reader in &mut readers {
        assert_eq!(reader.get_head(&path).unwrap().status, 200);
    }
    let since = Instant::now();
    let mut read = 0;
    while since.elapsed() < Duration::from_secs(16) {
        let piece = readers[0].exactly(2048).unwrap();
        assert!(piece == bytes[read..read + 2048], "at {read}");
        read += 2048;
        std::thread::sleep(Duration::from_millis(200));
    }
    wait_until("the other being cut", || {
        node.rejected("body_timeout").0 == 1.0
    });
    assert!(readers[0].exactly(2048).is_ok());
    assert!(readers[1].exactly(bytes.len()).is_err());
}
