//! The object verbs against a real node: what goes in comes out, and scripts see what happened.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::Stdio;
use support::bench::{Bench, assert_exit};
use support::{Node, address, object};

const GROUP: usize = 64 * 1024;
const MIB: usize = 1024 * 1024;

/// A local address on which nobody listens: reserved by being bound, so that nobody can.
fn nobody() -> (rustix::fd::OwnedFd, String) {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};
    let (family, flags) = (AddressFamily::INET, SocketFlags::CLOEXEC);
    let socket = socket_with(family, SocketType::STREAM, flags, None).unwrap();
    bind(&socket, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = std::net::SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
    (socket, format!("http://{address}"))
}

#[test]
fn files_of_every_size_come_back_as_they_were() {
    let it = Bench::new();
    for size in [0, 1, 200 * 1024, 5 * MIB] {
        let bytes = object(size);
        let address = address(&bytes);
        fs::write(it.path("file"), &bytes).unwrap();
        assert_eq!(it.done(&["put", "file"]), format!("{address}\n").as_bytes());
        it.done(&["has", &address]);
        assert!(it.done(&["get", &address]) == bytes, "{size} on stdout");
        assert_eq!(it.done(&["get", &address, "-o", "copy"]), b"");
        assert!(fs::read(it.path("copy")).unwrap() == bytes, "{size}");
        it.done(&["rm", &address]);
        for verb in ["has", "get", "rm"] {
            assert_eq!(it.run(&[verb, &address]).status.code(), Some(3), "{verb}");
        }
    }
    it.node.wait_until_empty();
}

#[test]
fn standard_input_of_any_size_is_stored() {
    let it = Bench::new();
    for size in [0, 1, MIB + 1, 5 * MIB] {
        let bytes = object(size);
        let mut child = it
            .command(&["put", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_exit(&output, 0);
        assert_eq!(output.stdout, format!("{}\n", address(&bytes)).as_bytes());
        let path = format!("/o/{}", address(&bytes));
        assert!(it.node.get(&path, &[]).body == bytes);
    }
}

#[test]
fn a_range_is_those_bytes_and_no_others() {
    let it = Bench::new();
    let bytes = object(3 * GROUP + 5);
    it.node.store(&bytes);
    let address = address(&bytes);
    for (range, expected) in [
        ("0-0", &bytes[..1]),
        ("65535-65536", &bytes[GROUP - 1..=GROUP]),
        ("196600-", &bytes[196_600..]),
        ("-7", &bytes[bytes.len() - 7..]),
        ("0-99999999", &bytes[..]),
    ] {
        assert!(it.done(&["get", &address, "--range", range]) == expected);
        it.done(&["get", &address, "--range", range, "-o", "part"]);
        assert!(fs::read(it.path("part")).unwrap() == expected, "{range}");
    }
    assert_exit(&it.run(&["get", &address, "--range", "999999-"]), 2);
}

#[test]
fn a_resumed_download_fetches_only_what_is_missing_or_spoilt() {
    let it = Bench::new();
    let bytes = object(5 * MIB);
    it.node.store(&bytes);
    let address = address(&bytes);
    // What a download left that was cut after 4 MiB, on a disk that changed a byte of it.
    let mut left = bytes[..4 * MIB + 100].to_vec();
    left[10 * GROUP] ^= 1;
    fs::write(it.path("file.part"), &left).unwrap();

    let sent = || it.node.metric("bytes_out_total{plane=\"data\"}").unwrap();
    let before = sent();
    it.done(&["get", &address, "-o", "file", "--resume"]);
    let fetched = sent() - before;
    assert!(fs::read(it.path("file")).unwrap() == bytes);
    assert!(!it.path("file.part").exists());
    let missing = (MIB + GROUP) as f64;
    assert!(
        (missing..missing + 16.0 * 1024.0).contains(&fetched),
        "{fetched} bytes for {missing} that were missing"
    );
}

#[test]
fn a_node_with_spoilt_bytes_is_exit_code_5_and_no_file() {
    let it = Bench::new();
    for spoilt in [0, 2 * GROUP + 1] {
        let bytes = object(4 * GROUP + spoilt);
        let path = it.node.store(&bytes);
        it.node.corrupt(&path, spoilt);
        let address = address(&bytes);
        let name = format!("file-{spoilt}");
        assert_exit(&it.run(&["get", &address, "-o", &name]), 5);
        assert!(!it.path(&name).exists());
        let output = it.run(&["get", &address]);
        assert_exit(&output, 5);
        assert!(bytes.starts_with(&output.stdout), "a wrong byte got out");
        // Putting it again heals the node, and the download goes on.
        fs::write(it.path("good"), &bytes).unwrap();
        it.done(&["put", "good"]);
        it.done(&["get", &address, "-o", &name, "--resume"]);
        assert!(fs::read(it.path(&name)).unwrap() == bytes);
    }
}

#[test]
fn every_kind_of_failure_has_its_exit_code() {
    let it = Bench::new();
    let absent = address(b"absent");
    let path = it.node.store(b"here");
    let here = path.strip_prefix("/o/").unwrap();

    assert_exit(&it.run(&["put", "no-such-file"]), 1);
    assert_exit(&it.run(&["get", here, "-o", "no/such/directory"]), 1);
    let (_held, url) = nobody();
    assert_exit(&it.run(&["has", here, "--url", &url]), 1);
    assert_exit(&it.run(&["get", "b3:123"]), 2);
    assert_exit(&it.run(&["frobnicate"]), 2);
    assert_exit(&it.run(&["get", &absent]), 3);
    assert_exit(&it.run(&["rm", &absent]), 3);
    let mut with_token = it.command(&["get", here]);
    with_token.env("MICRO_TOKEN", "of-another-node");
    assert_exit(&with_token.output().unwrap(), 4);
    for verb in [
        "put",
        "get",
        "has",
        "rm",
        "run",
        "config",
        "completions",
        "man",
    ] {
        let help = String::from_utf8(it.done(&[verb, "--help"])).unwrap();
        assert!(help.contains("Usage: micronode"), "{help}");
    }
}

#[test]
fn an_object_over_the_limit_is_exit_code_4() {
    let mut command = Node::command(&["--rps", "0"]);
    command.env("MICRO_LIMITS__MAX_OBJECT", "2MiB");
    let it = Bench::of(Node::spawn(command));
    fs::write(it.path("largest"), object(2 * MIB)).unwrap();
    fs::write(it.path("larger"), object(2 * MIB + 1)).unwrap();
    it.done(&["put", "largest"]);
    let output = it.run(&["put", "larger"]);
    assert_exit(&output, 4);
    assert!(String::from_utf8_lossy(&output.stderr).contains("max_object"));
}

#[test]
fn json_is_one_object_per_line() {
    let it = Bench::new();
    let bytes = object(100_000);
    let of = address(&bytes);
    fs::write(it.path("file"), &bytes).unwrap();
    let json = |arguments: &[&str]| -> Value {
        let line = it.done(arguments);
        assert!(line.ends_with(b"}\n"));
        serde_json::from_slice(&line).unwrap()
    };
    let put = json(&["put", "file", "--expires-in", "1h", "--json"]);
    assert_eq!(
        (&put["address"], &put["size"]),
        (&json!(of), &json!(bytes.len()))
    );
    assert_eq!(
        (&put["existed"], &put["name"]),
        (&json!(false), &json!("file"))
    );
    assert!(put["expires_at"].as_str().unwrap().ends_with('Z'), "{put}");
    assert_eq!(json(&["put", "file", "--json"])["existed"], true);
    let got = json(&["get", &of, "-o", "copy", "--json"]);
    assert_eq!(
        (&got["file"], &got["size"]),
        (&json!("copy"), &json!(bytes.len()))
    );
    assert!(fs::read(it.path("copy")).unwrap() == bytes);
    assert_eq!(
        json(&["has", &of, "--json"]),
        json!({"address": of, "present": true})
    );
    assert_eq!(
        json(&["rm", &of, "--json"]),
        json!({"address": of, "deleted": true})
    );
}
