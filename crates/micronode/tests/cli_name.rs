//! `name`, and `get` of a name, against a real node over both protocols.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::json;
use std::fs;
use std::io::Read;
use support::bench::{Bench, assert_exit};
use support::{address, object, wait_until};

/// Stores an object on the node of a bench; its address.
fn stored(it: &Bench, size: usize) -> String {
    let bytes = object(size);
    it.node.store(&bytes);
    address(&bytes)
}

#[test]
fn a_name_is_set_moved_read_and_removed() {
    for it in Bench::over_each_protocol() {
        let (first, second) = (stored(&it, 300_000), stored(&it, 5));
        assert_eq!(it.line(&["name", "set", "builds/latest", &first]), "1");
        assert_eq!(it.line(&["name", "get", "builds/latest"]), first);
        assert!(it.done(&["get", "builds/latest"]) == object(300_000));
        let set = it.json(&["name", "set", "builds/latest", &second]);
        let expected = json!({"name": "builds/latest", "address": second, "revision": 2});
        assert_eq!(set, expected);
        assert_eq!(it.json(&["name", "get", "builds/latest"]), expected);
        assert!(it.done(&["get", "builds/latest"]) == object(5));
        // What a name points at stays.
        assert_exit(&it.run(&["rm", &second]), 4);
        it.done(&["rm", &first]);
        let removed = it.line(&["name", "rm", "builds/latest"]);
        assert_eq!(removed, "builds/latest  deleted");
        for verb in [
            &["name", "get", "builds/latest"][..],
            &["name", "rm", "builds/latest"],
            &["get", "builds/latest"],
            &["name", "set", "n", &first],
        ] {
            assert_exit(&it.run(verb), 3);
        }
        it.done(&["rm", &second]);
    }
}

#[test]
fn a_condition_that_does_not_hold_changes_nothing() {
    for it in Bench::over_each_protocol() {
        let address = stored(&it, 5);
        let set = ["name", "set", "n", &address];
        let with = |more: &[&'static str]| [&set[..], more].concat();
        assert_eq!(it.line(&with(&["--if-absent"])), "1");
        for more in [&["--if-absent"][..], &["--if-revision", "7"]] {
            assert_exit(&it.run(&with(more)), 4);
        }
        assert_exit(&it.run(&["name", "rm", "n", "--if-revision", "7"]), 4);
        assert_eq!(it.json(&["name", "get", "n"])["revision"], 1);
        assert_eq!(it.line(&with(&["--if-revision", "1"])), "2");
        it.done(&["name", "rm", "n", "--if-revision", "2"]);
        assert_exit(&it.run(&with(&["--if-revision", "1", "--if-absent"])), 2);
        assert_exit(&it.run(&["name", "set", "No/Name", &address]), 2);
        assert_exit(&it.run(&["get", "No/Name"]), 2);
    }
}

#[test]
fn a_named_object_is_read_in_parts_and_into_files_like_any_other() {
    for it in Bench::over_each_protocol() {
        let address = stored(&it, 300_000);
        it.done(&["name", "set", "n", &address]);
        let bytes = object(300_000);
        let part = it.done(&["get", "n", "--range", "65530-65545"]);
        assert!(part == bytes[65_530..65_546]);
        let got = it.json(&["get", "n", "-o", "file"]);
        assert_eq!(got["address"], address);
        assert!(fs::read(it.path("file")).unwrap() == bytes);
        fs::write(it.path("file.part"), &bytes[..200_000]).unwrap();
        it.done(&["get", "n", "-o", "file", "--resume"]);
        assert!(fs::read(it.path("file")).unwrap() == bytes);
    }
}

#[test]
fn names_are_listed_in_order_over_pages() {
    for it in Bench::over_each_protocol() {
        let address = stored(&it, 5);
        let mut connection = it.node.connect();
        let body = json!({"address": address}).to_string();
        for number in 0..1100 {
            let path = format!("/n/p/{number:04}");
            let set = connection.request("PUT", &path, &[], body.as_bytes());
            assert_eq!(set.status, 201);
        }
        it.done(&["name", "set", "q", &address]);
        let listed = it.line(&["name", "ls", "p/"]);
        let expected = |number| format!("{address}  {}  p/{number:04}", number + 1);
        let all: Vec<_> = (0..1100).map(expected).collect();
        assert_eq!(listed.lines().collect::<Vec<_>>(), all);
        let first = it.line(&["name", "ls", "--limit", "2"]);
        assert_eq!(first.lines().collect::<Vec<_>>(), all[..2]);
        let last = it.json(&["name", "ls", "q"]);
        assert_eq!(
            last,
            json!({"name": "q", "address": address, "revision": 1101})
        );
        assert_eq!(it.done(&["name", "ls", "r"]), b"");
    }
}

#[test]
fn a_watch_prints_what_is_there_and_then_what_changes() {
    for it in Bench::over_each_protocol() {
        let address = stored(&it, 5);
        it.done(&["name", "set", "a/1", &address]);
        it.done(&["name", "set", "b", &address]);
        let text = it.start(&["name", "watch", "a/"]);
        let lines = it.start(&["name", "watch", "a/", "--json"]);
        assert_eq!(text.line(), format!("set  {address}  1  a/1"));
        assert_eq!(text.line(), "synced");
        let first = json!({"event": "set", "name": "a/1", "address": address, "revision": 1});
        assert_eq!(lines.line(), first.to_string());
        assert_eq!(lines.line(), json!({"event": "synced"}).to_string());
        it.done(&["name", "set", "c", &address]);
        it.done(&["name", "rm", "a/1"]);
        it.done(&["name", "set", "a/2", &address]);
        assert_eq!(text.line(), "deleted  -  4  a/1");
        assert_eq!(text.line(), format!("set  {address}  5  a/2"));
        let deleted = json!({"event": "deleted", "name": "a/1", "address": null, "revision": 4});
        assert_eq!(lines.line(), deleted.to_string());
    }
}

/// Exit code 1 and a message about a broken pipe used to be what came of `| head -1`.
#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    for it in Bench::over_each_protocol() {
        // More than a pipe holds.
        let address = stored(&it, 300_000);
        it.done(&["name", "set", "n", &address]);
        for arguments in [&["name", "watch"][..], &["get", "n"]] {
            let mut child = it.piped(arguments);
            let mut first = [0];
            let mut stdout = child.stdout.take().unwrap();
            stdout.read_exact(&mut first).unwrap();
            drop(stdout);
            wait_until("the command ending", || child.try_wait().unwrap().is_some());
            assert_exit(&child.wait_with_output().unwrap(), 0);
        }
    }
}

/// Over HTTP it was all that a status without a document tells.
#[test]
fn no_such_name_is_said_in_the_same_words_over_each_protocol() {
    for it in Bench::over_each_protocol() {
        let output = it.run(&["name", "get", "no/such"]);
        assert_exit(&output, 3);
        let error = String::from_utf8(output.stderr).unwrap();
        let says = "the node answered 404 not_found: no such name here";
        assert!(error.contains(says), "{error}");
    }
}

/// HTTP used to be asked again and again for an answer that it could not read, and then to report
/// that it has an invalid version.
#[test]
fn the_port_of_the_other_protocol_is_told_apart_at_once() {
    let it = Bench::new();
    for url in [
        format!("http://{}", it.node.oap()),
        format!("oap://{}", it.node.http),
    ] {
        let output = it.run(&["name", "ls", "--url", &url]);
        assert_exit(&output, 1);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("the port of another protocol?"), "{error}");
    }
}
