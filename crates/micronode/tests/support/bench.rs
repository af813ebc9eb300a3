//! The command line at work: a node, and a directory to call it from.

use super::{Node, PATIENCE, wait_until};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use tempfile::TempDir;

pub struct Bench {
    pub node: Node,
    /// Where the command line finds it.
    pub url: String,
    pub directory: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self::of(Node::start())
    }

    /// One for each protocol, each with a node of its own.
    pub fn over_each_protocol() -> Vec<Self> {
        let (http, mut oap) = (Self::new(), Self::new());
        oap.url = format!("oap://{}", oap.node.oap());
        vec![http, oap]
    }

    pub fn of(node: Node) -> Self {
        Self {
            url: format!("http://{}", node.http),
            node,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_micronode"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("MICRO_URL", &self.url);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs what must succeed in silence; what it printed.
    #[track_caller]
    pub fn done(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.run(arguments);
        assert_exit(&output, 0);
        output.stdout
    }

    /// The same, as text without the line feed at its end.
    #[track_caller]
    pub fn line(&self, arguments: &[&str]) -> String {
        let text = String::from_utf8(self.done(arguments)).unwrap();
        text.strip_suffix('\n').unwrap().to_owned()
    }

    /// The same, as JSON.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let line = self.line(&[arguments, &["--json"]].concat());
        serde_json::from_str(&line).unwrap()
    }

    /// Runs it with this on its standard input.
    pub fn run_with(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self.piped(arguments);
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Starts it; the test has its pipes.
    pub fn piped(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            // So that a test may signal it as a terminal would, and nothing else.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Starts what prints until it is interrupted.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut child = self.piped(arguments);
        let lines = lines(child.stdout.take().unwrap());
        Running { child, lines }
    }
}

/// A command that is running. Ends with this value.
pub struct Running {
    pub child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    /// The next line that it prints.
    #[track_caller]
    pub fn line(&self) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.expect("a line in time")
    }

    /// Waits until it has ended by itself; its exit code, if it has one.
    #[track_caller]
    pub fn exit(&mut self) -> Option<i32> {
        wait_until("the command ending", || {
            self.child.try_wait().unwrap().is_some()
        });
        self.child.wait().unwrap().code()
    }

    /// Whatever may write to its stdout has ended.
    #[track_caller]
    pub fn assert_no_more_lines(&self) {
        let line = self.lines.recv_timeout(PATIENCE);
        assert_eq!(line, Err(mpsc::RecvTimeoutError::Disconnected));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(16);
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            if sender.send(line.unwrap()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Checks the exit code; a failure says something on stderr, a success nothing.
#[track_caller]
pub fn assert_exit(output: &Output, code: i32) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert_eq!(output.stderr.is_empty(), code == 0, "{error}");
}
