//! Nothing that a node prints after its start line has a token, a grant or a link in it.

use crate::oap::{self, Oap};
use crate::support::Node;
use crate::{Ask, http_answer, narrowed, over_oap};
use micronode_protocol::capability::base64url;
use rustix::process::Signal;
use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

#[test]
fn no_token_is_printed_at_any_level() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("stderr");
    let mut command = Node::guarded_command(&["--rps", "0", "--log-level", "trace"]);
    command.stderr(File::create(&log).unwrap());
    let mut node = Node::spawn(command);
    let operator = narrowed(node.token(), &[]);
    let mut secrets = vec![node.token().to_owned()];
    let mut wrong = operator.clone();
    *wrong.last_mut().unwrap() ^= 1;
    let narrow = narrowed(node.token(), &["op = get"]);
    for token in [&operator, &wrong, &narrow, &vec![2; 9000]] {
        secrets.push(base64url::encode(token));
        for ask in Ask::all(b"an object") {
            http_answer(&node, Some(token), ask);
            over_oap(&node, Some(token), ask);
        }
    }
    let minted = http_answer(&node, Some(&operator), Ask::Mint).json();
    secrets.push(minted["token"].as_str().unwrap().to_owned());
    let path = format!("/o/b3:{}?cap={}", blake3::hash(b"an object"), secrets[2]);
    node.get(&path, &[]);
    node.request("POST", "/cap/exchange", &[], secrets[3].as_bytes());
    Oap::greet(node.oap()).call(oap::EXCHANGE, secrets[3].as_bytes());
    node.signal(Signal::HUP);
    node.signal(Signal::TERM);
    let mut printed = String::new();
    node.stdout.read_to_string(&mut printed).unwrap();
    assert_eq!(node.wait_for_exit().code(), Some(0));
    printed += &std::fs::read_to_string(&log).unwrap();
    assert!(
        printed.contains("readiness"),
        "something was logged: {printed}"
    );
    for secret in secrets {
        // A part would do for a reader with patience.
        for part in secret.as_bytes().chunks_exact(24) {
            let part = std::str::from_utf8(part).unwrap();
            assert!(!printed.contains(part), "{part} in {printed}");
        }
    }
}

/// The command of a node through a shell that sends its output elsewhere.
fn redirected(redirection: &str, flags: &[&str]) -> Command {
    let node = Node::guarded_command(flags);
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(format!("exec \"$0\" \"$@\" {redirection}"))
        .arg(node.get_program())
        .args(node.get_args())
        .env_clear();
    command
}

#[test]
fn a_token_is_not_left_in_a_file_unless_it_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let to_file = redirected(&format!(">{}", path("out")), &[])
        .output()
        .unwrap();
    assert_eq!(to_file.status.code(), Some(2));
    let error = String::from_utf8(to_file.stderr).unwrap();
    assert!(error.contains("--token-fd"), "{error}");
    assert_eq!(std::fs::read(path("out")).unwrap(), b"");

    // On a descriptor of its own: here the pipe, which ends when the token has been told.
    let redirection = format!("3>&1 >{}", path("start"));
    let mut command = redirected(&redirection, &["--token-fd", "3"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    assert!(
        base64url::decode(told.trim().as_bytes(), 8192).is_some(),
        "{told:?}"
    );
    crate::support::wait_until("the start line", || {
        std::fs::read_to_string(path("start")).is_ok_and(|line| line.ends_with('\n'))
    });
    let start = std::fs::read_to_string(path("start")).unwrap();
    assert!(
        start.contains("\"pid\"") && !start.contains("token"),
        "{start}"
    );
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let closed = redirected("", &["--token-fd", "9"]).output().unwrap();
    assert_eq!(closed.status.code(), Some(2));
    let error = String::from_utf8(closed.stderr).unwrap();
    assert!(error.contains("--token-fd 9"), "{error}");
}
