//! A disk that is full, and one that has room again.

use crate::start;
use crate::support::{Node, address, object, wait_until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A small file system of its own, unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, said loudly, where this may not be made.
    fn new(mebibytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        eprintln!("SKIPPED: a full disk is not tried, because this user may not mount a small one");
        None
    }

    fn node(&self) -> PathBuf {
        self.0.path().join("node")
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        let filler = self.0.path().join("filler");
        for piece in [1 << 20, 1 << 16, 4096] {
            let mut file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&filler)
                .unwrap();
            while std::io::Write::write_all(&mut file, &vec![1; piece]).is_ok() {}
        }
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn put(node: &Node, bytes: &[u8]) -> u16 {
    let path = format!("/o/{}", address(bytes));
    let put = node.request("PUT", &path, &[], bytes);
    if put.status == 503 {
        put.assert_problem("degraded");
    }
    put.status
}

#[track_caller]
fn assert_served(node: &Node, objects: &[Vec<u8>]) {
    for bytes in objects {
        let read = node.get(&format!("/o/{}", address(bytes)), &[]);
        assert_eq!((read.status, &read.body), (200, bytes));
    }
}

fn is_ready(node: &Node) -> bool {
    node.ask("GET", "/readyz").status == 200
}

fn kill_and_start(node: Node, dir: &Path) -> Node {
    drop(node);
    start(dir)
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_recovers() {
    let Some(disk) = SmallDisk::new(32) else {
        return;
    };
    let node = start(&disk.node());
    let mut objects: Vec<Vec<u8>> = Vec::new();
    let refused = (0..64).find_map(|n| {
        let bytes = object((1 << 20) + n);
        match put(&node, &bytes) {
            201 => {
                objects.push(bytes);
                None
            }
            status => Some((status, bytes)),
        }
    });
    let (status, unlucky) = refused.expect("32 MiB are full before 64 are stored");
    assert_eq!(status, 503);
    assert!(objects.len() > 15, "{}", objects.len());
    wait_until("readiness", || !is_ready(&node));
    let readiness = node.ask("GET", "/readyz").json();
    assert_eq!(readiness["missing"], serde_json::json!(["disk"]));
    let send = |node: &Node| node.request("POST", "/mbox/q/send", &[], b"m").status;
    assert_eq!(send(&node), 503);
    assert_served(&node, &objects);

    // Not even a page is left, and the node is killed.
    let filler = disk.fill();
    assert_eq!(put(&node, b"small"), 503);
    assert_served(&node, &objects);
    let node = kill_and_start(node, &disk.node());
    assert_served(&node, &objects);
    assert_eq!(put(&node, b"small"), 503);
    let lost = node.get(&format!("/o/{}", address(&unlucky)), &[]);
    assert!(matches!(lost.status, 200 | 404), "whole, or not there");

    // Deleting makes room.
    fs::remove_file(filler).unwrap();
    for bytes in objects.drain(..5) {
        let path = format!("/o/{}", address(&bytes));
        wait_until("a delete", || {
            matches!(node.request("DELETE", &path, &[], b"").status, 204 | 404)
        });
    }
    wait_until("readiness", || is_ready(&node));
    assert_eq!(put(&node, b"small"), 201);
    assert_eq!(send(&node), 201);
    let again = object((1 << 20) + 100);
    assert_eq!(put(&node, &again), 201);
    objects.push(again);
    std::thread::sleep(Duration::from_millis(50));
    let node = kill_and_start(node, &disk.node());
    assert_served(&node, &objects);
    assert!(is_ready(&node));
}

/// The index had the room that the messages had taken, and the disk did not: sends were refused
/// until the node was started anew.
#[test]
fn room_that_messages_took_is_there_again_when_they_are_gone() {
    let Some(disk) = SmallDisk::new(24) else {
        return;
    };
    let node = start(&disk.node());
    let body = object(20_000);
    let send = |node: &Node| node.request("POST", "/mbox/q/send", &[], &body).status;
    let sent = (0..2000).take_while(|_| send(&node) == 201).count();
    assert!((100..2000).contains(&sent), "{sent}");
    let purged = node.request("DELETE", "/mbox/q", &[], b"");
    assert_eq!(purged.status, 200, "{}", purged.text());
    wait_until("room", || send(&node) == 201);
    for number in 1..sent / 2 {
        assert_eq!(send(&node), 201, "message {number}");
    }
    wait_until("readiness", || is_ready(&node));
}
