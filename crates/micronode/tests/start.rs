//! Starting: what is refused and why, the line that tells where the node is, and service managers.
#![allow(clippy::unwrap_used)]

mod support;

use rustix::process::Signal;
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output, Stdio};
use support::{Node, PATIENCE};

/// Runs `micronode run` with `flags`, which must not start.
fn refused(flags: &[&str]) -> (Option<i32>, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_micronode"))
        .arg("run")
        .args(flags)
        .env_clear()
        .output()
        .unwrap();
    assert!(output.stdout.is_empty(), "nothing was announced");
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn tokens_are_not_sent_in_the_clear() {
    for (bind, admin, key) in [
        ("0.0.0.0:0", "127.0.0.1:0", "bind"),
        ("127.0.0.1:0", "[::]:0", "admin"),
    ] {
        let (code, error) = refused(&["--bind", bind, "--admin", admin]);
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains(&format!("{key} = ")), "{error}");
        assert!(error.contains("in the clear"), "{error}");
    }
}

#[test]
fn dev_serves_loopback_only() {
    for (bind, admin, key) in [
        ("0.0.0.0:0", "127.0.0.1:0", "bind"),
        ("127.0.0.1:0", "[::]:0", "admin"),
    ] {
        let (code, error) = refused(&["--dev", "--bind", bind, "--admin", admin]);
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains(&format!("{key} = ")), "{error}");
        assert!(error.contains("loopback"), "{error}");
    }
}

#[test]
fn a_port_in_use_is_named_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (bind, admin, key) in [
        (taken.as_str(), "127.0.0.1:0", "bind"),
        ("127.0.0.1:0", taken.as_str(), "admin"),
    ] {
        let (code, error) = refused(&["--dev", "--bind", bind, "--admin", admin]);
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains(key) && error.contains(&taken), "{error}");
    }
}

#[test]
fn standard_output_is_one_line_of_json_and_nothing_else() {
    let mut node = Node::with(&[]);
    assert_eq!(node.start["pid"], node.child.id());
    // Whoever reads the line may use the node at once.
    assert_eq!(node.get("/openapi.json", &[]).status, 200);
    assert_eq!(node.ask("GET", "/readyz").status, 200);
    node.signal(Signal::TERM);
    let mut rest = String::new();
    node.stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    assert_eq!(node.wait_for_exit().code(), Some(0));
}

#[test]
fn sockets_of_a_service_manager_are_served() {
    let [data, admin] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = [&data, &admin].map(|listener| listener.local_addr().unwrap());
    // A service manager passes descriptors from 3 on, to the process that it names.
    let setup = "exec 3<&0 4<&2 </dev/null 2>/dev/null; export LISTEN_FDS=2 LISTEN_PID=$$";
    let mut command = Node::command_after(setup, &[]);
    command
        .stdin(Stdio::from(OwnedFd::from(data)))
        .stderr(Stdio::from(OwnedFd::from(admin)));
    let node = Node::spawn(command);
    assert_eq!([node.http, node.admin], addresses);
    assert_eq!(node.request("POST", "/echo", &[], b"x").body, b"x");
    assert_eq!(node.ask("GET", "/readyz").status, 200);
}

#[test]
fn a_service_manager_is_told_of_readiness_and_of_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut message = [0; 256];
        let length = manager.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let mut command = Node::command(&[]);
    command.env("NOTIFY_SOCKET", &path);
    let mut node = Node::spawn(command);
    assert_eq!(told().trim_end(), "READY=1");
    node.signal(Signal::TERM);
    assert_eq!(told().trim_end(), "STOPPING=1");
    assert_eq!(node.wait_for_exit().code(), Some(0));
}
