//! Objects: deleted, expired, evicted, replaced under their name.

use crate::canary::{Canary, node};
use crate::support::{Node, address, object, wait_until};
use serde_json::json;

fn put(node: &Node, fields: &[(&str, &str)], canary: &Canary) -> String {
    let put = node.request("POST", "/put", fields, &canary.bytes);
    assert_eq!(put.status, 201, "{}", put.text());
    format!("/o/{}", address(&canary.bytes))
}

#[test]
fn what_is_deleted_is_gone() {
    let node = node(&[]);
    // Of less than a group, of one, and of several.
    for size in [4096, 64 * 1024, 900_000] {
        let canary = Canary::of(size);
        let path = put(&node, &[], &canary);
        canary.check(&format!("{size} bytes deleted"), &node, || {
            assert_eq!(node.request("DELETE", &path, &[], b"").status, 204);
        });
    }
}

#[test]
fn what_expires_is_gone() {
    let node = node(&[]);
    let canary = Canary::new();
    let path = put(&node, &[("expires-in", "5s")], &canary);
    canary.check("expired", &node, || {
        wait_until("its end", || node.head(&path, &[]).status == 404);
    });
}

#[test]
fn what_makes_room_is_gone() {
    let node = node(&["--memory", "16MiB", "--eviction", "lru"]);
    let canary = Canary::new();
    let path = put(&node, &[], &canary);
    canary.check("evicted", &node, || {
        for more in 0..20 {
            node.store(&object(1024 * 1024 - more));
        }
        assert_eq!(node.head(&path, &[]).status, 404);
    });
}

#[test]
fn what_was_read_by_its_name_is_gone() {
    let node = node(&[]);
    let canary = Canary::new();
    let path = put(&node, &[("content-type", "text/plain")], &canary);
    let target = json!({ "address": path.strip_prefix("/o/").unwrap() }).to_string();
    let set = node.request("PUT", "/n/current", &[], target.as_bytes());
    assert_eq!(set.status, 201, "{}", set.text());
    assert!(node.get("/n/current", &[]).body == canary.bytes);
    canary.check("named", &node, || {
        assert_eq!(node.request("DELETE", "/n/current", &[], b"").status, 204);
        assert_eq!(node.request("DELETE", &path, &[], b"").status, 204);
    });
}
