//! A running node takes over what may change, all of it or nothing.
#![allow(clippy::unwrap_used)]

mod support;

use rustix::process::Signal;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use support::{Node, object, wait_until};
use tempfile::TempDir;

/// A node with a configuration file, whose log goes to another file.
struct Configured {
    node: Node,
    file: PathBuf,
    log: PathBuf,
    written: SystemTime,
    _directory: TempDir,
}

impl Configured {
    fn start(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("node.toml");
        let log = directory.path().join("log");
        std::fs::write(&file, text).unwrap();
        let written = std::fs::metadata(&file).unwrap().modified().unwrap();
        let mut command = Node::command(&["--config", file.to_str().unwrap()]);
        command.stderr(File::create(&log).unwrap());
        Self {
            node: Node::spawn(command),
            file,
            log,
            written,
            _directory: directory,
        }
    }

    fn rewrite(&self, text: &str) {
        // In one step, so that the node never reads half of it.
        let new = self.file.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }

    /// Rewrites the file with a text of the same size so that it looks unchanged from outside.
    fn rewrite_unseen(&self, text: &str) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, text).unwrap();
        File::options()
            .write(true)
            .open(&new)
            .unwrap()
            .set_modified(self.written)
            .unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The rate in force, as clients are told; 0 when it is lifted.
    fn rate(&self) -> u64 {
        let answer = self.node.request("POST", "/echo", &[], b"x");
        answer.field("ratelimit-policy").map_or(0, |policy| {
            let rest = policy.strip_prefix("\"default\";q=").unwrap();
            rest.strip_suffix(";w=1").unwrap().parse().unwrap()
        })
    }
}

#[test]
fn sighup_takes_over_a_new_rate() {
    let it = Configured::start("limits.rps = 500\n");
    assert_eq!(it.rate(), 500);
    it.rewrite_unseen("limits.rps = 700\n");
    // The file is looked at once a second, and looks as it did.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(it.rate(), 500);
    it.node.signal(Signal::HUP);
    wait_until("the new rate", || it.rate() == 700);
    assert_eq!(it.node.limits()["limits.rps"], "700");
}

#[test]
fn a_changed_file_is_taken_over_without_a_signal() {
    let it = Configured::start("limits.rps = 500\n");
    it.rewrite("limits.rps = 0\n# lifted\n");
    wait_until("the new rate", || it.rate() == 0);
    it.rewrite("limits.rps = 1000\nlimits.in_flight = 7\nlimits.connections = 9\n");
    wait_until("the new rate", || it.rate() == 1000);
    let limits = it.node.limits();
    assert_eq!(limits["limits.in_flight"], "7");
    assert_eq!(limits["connections in force"], 9);
}

#[test]
fn what_cannot_change_is_refused_by_name_and_the_node_goes_on_as_it_was() {
    let it = Configured::start("limits.rps = 500\n");
    let mut kept_alive = it.node.connect();
    for (changed, named) in [
        (
            "limits.rps = 600\nmemory.budget = \"64MiB\"\n",
            "memory.budget",
        ),
        (
            "limits.rps = 600\nlimits.head_fields = 9\nworkers = 9\n",
            "workers, limits.head_fields",
        ),
        (
            "limits.rps = 600\nlimits.head_fields = 65\n",
            "limits.head_fields",
        ),
        (
            "limits.rps = 600\nlimits.rsp = 600\n",
            "there is no such key",
        ),
        ("limits.rps = 600\nthis is not TOML\n", "not TOML"),
    ] {
        let before = it.log().len();
        it.rewrite(changed);
        it.node.signal(Signal::HUP);
        wait_until("the refusal in the log", || {
            let log = it.log();
            log[before..].contains("not reloaded") && log[before..].contains(named)
        });
        assert_eq!(it.rate(), 500, "{changed}");
        assert_eq!(kept_alive.request("POST", "/echo", &[], b"x").status, 200);
    }
    it.rewrite("limits.rps = 600\n");
    it.node.signal(Signal::HUP);
    wait_until("the rate of a good file", || it.rate() == 600);
}

/// The listeners are given by flags in all other tests, which win over the file.
#[test]
fn another_address_needs_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.toml");
    let log = directory.path().join("log");
    let text = |bind: &str| format!("bind = \"{bind}\"\nadmin = \"127.0.0.1:0\"\ndev = true\n");
    std::fs::write(&file, text("127.0.0.1:0")).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_micronode"));
    command
        .args(["run", "--config", file.to_str().unwrap()])
        .env_clear()
        .stderr(File::create(&log).unwrap());
    let node = Node::spawn(command);
    std::fs::write(&file, text("127.0.0.2:0")).unwrap();
    node.signal(Signal::HUP);
    wait_until("the refusal in the log", || {
        let log = std::fs::read_to_string(&log).unwrap();
        log.contains("not reloaded") && log.contains("bind")
    });
    assert_eq!(node.request("POST", "/echo", &[], b"x").status, 200);
    assert_eq!(node.limits()["bind"], "127.0.0.1:0");
}

#[test]
fn routes_come_and_go_while_the_node_runs() {
    let route = |event: &str, queue: &str| {
        format!("[[routes]]\nevent = \"{event}\"\nqueue = \"{queue}\"\nname = \"it\"\n")
    };
    let first = "limits.mailbox.max_messages = 1\n".to_owned() + &route("object.put", "first");
    let it = Configured::start(&first);
    let dropped = || it.node.metric("route_dropped_total{route=\"it\"}");
    let ready = |queue: &str| {
        let stats = it.node.get(&format!("/mbox/{queue}"), &[]);
        (stats.status == 200).then(|| stats.json()["ready"].clone())
    };
    it.node.store(&object(1));
    it.node.store(&object(2));
    assert_eq!(ready("first"), Some(1.into()));
    assert_eq!(dropped(), Some(1.0));

    it.rewrite(&route("config.updated", "second"));
    it.node.signal(Signal::HUP);
    wait_until("the event of the new configuration", || {
        ready("second").is_some()
    });
    assert_eq!(dropped(), Some(1.0), "a route that stays keeps its count");
    it.rewrite("");
    it.node.signal(Signal::HUP);
    wait_until("no routes", || dropped().is_none());
    assert_eq!(ready("first"), Some(1.into()), "what is there stays");
}
