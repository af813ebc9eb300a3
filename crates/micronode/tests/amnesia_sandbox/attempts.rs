//! Tries from inside the process, each of which the kernel refuses.

use crate::strace;
use crate::support::tls::{Authority, connect};
use crate::support::{Node, wait_until};
use rustix::io::Errno;
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::path::Path;
use std::process::Stdio;

const DENIED: &str = "EACCES";
const OUT_OF_SCOPE: &str = "EPERM";

/// What needs write access to the file system.
const WRITES: [&str; 11] = [
    "create", "write", "truncate", "mkdir", "rename", "link", "symlink", "mkfifo", "socket",
    "unlink", "rmdir",
];

/// A directory to try it in, and peers to try it with.
struct Bait {
    directory: tempfile::TempDir,
    tcp: TcpListener,
    abstract_name: String,
    _abstract_listener: UnixListener,
}

impl Bait {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for file in ["file", "other", "node.toml"] {
            fs::write(directory.path().join(file), "").unwrap();
        }
        fs::create_dir(directory.path().join("empty")).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let abstract_name = format!("micronode-test-{port}");
        let address = UnixAddress::from_abstract_name(&abstract_name).unwrap();
        Self {
            directory,
            tcp,
            abstract_name,
            _abstract_listener: UnixListener::bind_addr(&address).unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The configuration file that is in it.
    fn configuration(&self) -> String {
        self.path().join("node.toml").display().to_string()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// What `node` is told when it tries it all.
    fn try_from(&self, node: &Node) -> Value {
        let path = format!(
            "/fault/attempts?directory={}&tcp={}&abstract={}",
            self.path().display(),
            self.tcp.local_addr().unwrap(),
            self.abstract_name
        );
        let answer = node.ask("POST", &path);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }
}

#[track_caller]
fn assert_told(results: &Value, attempts: &[&str], expected: &str) {
    let number = match expected {
        DENIED => Errno::ACCESS.raw_os_error(),
        OUT_OF_SCOPE => Errno::PERM.raw_os_error(),
        _ => 0,
    };
    for attempt in attempts {
        assert_eq!(results[attempt], number, "{attempt}: {results}");
    }
}

#[test]
fn whatever_would_leave_something_behind_is_denied() {
    let bait = Bait::new();
    let before = bait.names();
    let results = bait.try_from(&Node::start());
    assert_told(&results, &WRITES, DENIED);
    assert_told(&results, &["read", "list", "execute"], DENIED);
    assert_told(&results, &["connect", "bind"], DENIED);
    assert_told(&results, &["signal", "abstract"], OUT_OF_SCOPE);
    assert_eq!(bait.names(), before);
}

#[test]
fn where_a_reload_reads_nothing_can_be_written_either() {
    let bait = Bait::new();
    let before = bait.names();
    let node = Node::start_with(&["--config", &bait.configuration()]);
    let results = bait.try_from(&node);
    assert_told(&results, &WRITES, DENIED);
    assert_told(&results, &["read", "list"], "done");
    assert_eq!(bait.names(), before);
}

#[test]
fn a_reload_reads_where_its_files_were_and_nowhere_else() {
    let (here, there) = (Authority::new(), Authority::new());
    let old = here.issue("node");
    there.issue("node");
    let (file, log) = (here.file("node.toml"), here.file("log"));
    let tls = |authority: &Authority| {
        let (cert, key) = (authority.path("node.pem"), authority.path("node.key"));
        format!("tls.cert = \"{cert}\"\ntls.key = \"{key}\"\n")
    };
    fs::write(&file, tls(&here)).unwrap();
    let mut command = Node::command(&["--config", file.to_str().unwrap()]);
    command.stderr(fs::File::create(&log).unwrap());
    let node = Node::spawn(command);
    fs::write(&file, tls(&there)).unwrap();
    wait_until("the refusal", || {
        let log = fs::read_to_string(&log).unwrap();
        log.contains("not reloaded: tls.cert: may not be read")
    });
    let served = connect(&here.client().config(), node.http).unwrap();
    assert_eq!(served.certificates(), old);
    // A link does not lead out either, and a copy is as good as any file.
    let linked = here.file("linked.pem");
    std::os::unix::fs::symlink(there.file("node.pem"), &linked).unwrap();
    fs::write(&file, tls(&here).replace("node.pem", "linked.pem")).unwrap();
    wait_until("the next refusal", || {
        let log = fs::read_to_string(&log).unwrap();
        log.matches("may not be read").count() > 1
    });
    for end in ["pem", "key"] {
        let name = format!("node.{end}");
        fs::copy(there.file(&name), here.file(&name)).unwrap();
    }
    fs::write(&file, tls(&here)).unwrap();
    wait_until("the new certificate", || {
        connect(&there.client().config(), node.http).is_ok()
    });
}

#[test]
fn every_thread_is_held_to_it() {
    let node = Node::start();
    // Whoever serves a request is started by then.
    assert_eq!(node.request("POST", "/echo", &[], b"x").status, 200);
    let tasks = fs::read_dir(format!("/proc/{}/task", node.child.id())).unwrap();
    let mut threads = 0;
    for task in tasks {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        // Set by the thread that was restricted, and inherited as its restriction is.
        assert!(status.contains("\nNoNewPrivs:\t1\n"), "{status}");
        threads += 1;
    }
    assert!(threads >= 3, "{threads} threads");
}

#[test]
fn the_service_manager_is_still_told_over_an_abstract_socket() {
    let bait = Bait::new();
    let name = format!("{}-notify", bait.abstract_name);
    let address = UnixAddress::from_abstract_name(&name).unwrap();
    let manager = std::os::unix::net::UnixDatagram::bind_addr(&address).unwrap();
    manager
        .set_read_timeout(Some(crate::support::PATIENCE))
        .unwrap();
    let told = || {
        let mut message = [0; 256];
        let length = manager.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let mut command = Node::command(&[]);
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let mut node = Node::spawn(command);
    assert_eq!(told().trim_end(), "READY=1");
    let results = bait.try_from(&node);
    assert_told(&results, &["abstract"], OUT_OF_SCOPE);
    node.signal(rustix::process::Signal::TERM);
    assert_eq!(told().trim_end(), "STOPPING=1");
    assert_eq!(node.wait_for_exit().code(), Some(0));
}

/// Also shows that all of it can be done where it is not denied.
#[test]
fn a_kernel_without_landlock_is_no_reason_not_to_start_and_is_told() {
    if !strace::is_there() {
        return;
    }
    let bait = Bait::new();
    let log = bait.path().join("log");
    let stderr = Stdio::from(fs::File::create(&log).unwrap());
    let node = strace::node_whose_kernel("error=ENOSYS", stderr);
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("this kernel has none"), "{said}");
    let amnesia = node.ask("GET", "/version").json()["amnesia"].take();
    assert!(amnesia["landlock"].is_null(), "{amnesia}");
    assert!(
        amnesia["missing"]
            .to_string()
            .contains("this kernel has none")
    );
    let proof = node.ask("GET", "/proof").json();
    assert_eq!(proof["landlock"]["denied"], serde_json::json!([]));
    for (what, refused) in proof["landlock"]["refused"].as_object().unwrap() {
        assert_eq!(refused, false, "{what}");
    }
    let results = bait.try_from(&node);
    assert_told(&results, &WRITES, "done");
    assert_told(&results, &["list", "execute", "connect", "bind"], "done");
    assert_told(&results, &["signal", "abstract"], "done");
}

#[test]
fn an_older_kernel_denies_what_it_can_and_the_rest_is_told() {
    if !strace::is_there() {
        return;
    }
    let bait = Bait::new();
    // Asked for its version, it says 3; the rules go to the real one.
    let node = strace::node_whose_kernel("retval=3:when=1", Stdio::null());
    let amnesia = node.ask("GET", "/version").json()["amnesia"].take();
    assert_eq!(amnesia["landlock"], 3);
    let missing = amnesia["missing"].to_string();
    for part in ["TCP", "devices", "signals"] {
        assert!(missing.contains(part), "{missing}");
    }
    let results = bait.try_from(&node);
    assert_told(&results, &WRITES, DENIED);
    assert_told(&results, &["connect", "bind", "signal", "abstract"], "done");
}
