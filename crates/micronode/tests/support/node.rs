//! Starting a node, asking it about itself, and ending it.

use super::{Connection, Oap, Response, address, wait_until};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// A running node. Ends with this value.
pub struct Node {
    pub child: Child,
    /// What it said when it was ready.
    pub start: Value,
    /// What it says after that.
    pub stdout: BufReader<ChildStdout>,
    /// The data plane.
    pub http: SocketAddr,
    /// The admin plane.
    pub admin: SocketAddr,
}

impl Node {
    /// A node without a request rate, so that a test may ask as much as it likes.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with `flags`.
    pub fn start_with(flags: &[&str]) -> Self {
        Self::with(&[&["--rps", "0"], flags].concat())
    }

    /// A node with `flags` beyond those that put it on free loopback ports.
    pub fn with(flags: &[&str]) -> Self {
        Self::spawn(Self::command(flags))
    }

    /// A node without a request rate, with `limits` of its configuration and `flags`.
    pub fn with_limits(limits: &[(&str, &str)], flags: &[&str]) -> Self {
        let mut command = Self::command(&[&["--rps", "0"], flags].concat());
        for (limit, value) in limits {
            let name = limit.to_ascii_uppercase().replace('.', "__");
            command.env(format!("MICRO_LIMITS__{name}"), value);
        }
        Self::spawn(command)
    }

    /// The command of [`with`](Self::with), for a test that adds environment or redirects output.
    pub fn command(flags: &[&str]) -> Command {
        Self::guarded_command(&[&["--dev"], flags].concat())
    }

    /// A node that serves nobody without a capability, and has no request rate.
    pub fn guarded(flags: &[&str]) -> Self {
        Self::spawn(Self::guarded_command(&[&["--rps", "0"], flags].concat()))
    }

    /// The command of [`guarded`](Self::guarded), with a request rate.
    pub fn guarded_command(flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_micronode"));
        command
            .args(["run", "--bind", "127.0.0.1:0"])
            .args(["--admin", "127.0.0.1:0"])
            .args(flags)
            .env_clear()
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// The same through a shell that runs `setup` first and then becomes the node, for what only
    /// a parent process can set up.
    pub fn command_after(setup: &str, flags: &[&str]) -> Command {
        let node = Self::command(flags);
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(format!("{setup}; exec \"$0\" \"$@\""))
            .arg(node.get_program())
            .args(node.get_args())
            .env_clear()
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Starts `command` and waits for the line that says the node is ready.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let start: Value = serde_json::from_str(&line).expect("one line of JSON at the start");
        let plane = |name: &str| start[name].as_str().unwrap().parse().unwrap();
        Self {
            http: plane("http"),
            admin: plane("admin"),
            child,
            stdout,
            start,
        }
    }

    /// A connection to the data plane.
    pub fn connect(&self) -> Connection {
        Connection::open(self.http)
    }

    /// The operator's token.
    pub fn token(&self) -> &str {
        self.start["token"].as_str().expect("a token at the start")
    }

    /// Where the data plane speaks OAP: on any port, since the data listener is.
    pub fn oap(&self) -> SocketAddr {
        self.start["oap"].as_str().unwrap().parse().unwrap()
    }

    /// An OAP connection to the data plane that has said HELLO.
    pub fn greet(&self) -> Oap {
        Oap::greet(self.oap())
    }

    /// One request to the data plane on a connection of its own.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.connect().request(method, path, fields, body)
    }

    pub fn get(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.request("GET", path, fields, b"")
    }

    pub fn head(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.request("HEAD", path, fields, b"")
    }

    /// Stores `bytes`, whatever their size, and returns the path they are read from.
    #[track_caller]
    pub fn store(&self, bytes: &[u8]) -> String {
        let path = format!("/o/{}", address(bytes));
        let response = self.request("PUT", &path, &[], bytes);
        assert_eq!(response.status, 201, "{}", response.text());
        path
    }

    /// One request to the admin plane.
    pub fn ask(&self, method: &str, path: &str) -> Response {
        Connection::open(self.admin).request(method, path, &[], b"")
    }

    /// The value of one sample, written as in the exposition: `objects`, or
    /// `rejected_total{reason="overloaded"}`. `None` when it is not there.
    pub fn metric(&self, sample: &str) -> Option<f64> {
        let metrics = self.ask("GET", "/metrics");
        assert_eq!(metrics.status, 200);
        let value = metrics.text().lines().find_map(|line| {
            line.strip_prefix(sample)
                .and_then(|rest| rest.strip_prefix(' '))
        })?;
        Some(value.parse().unwrap())
    }

    /// How often something was refused or failed for `reason`: over all protocols, and over OAP.
    #[track_caller]
    pub fn rejected(&self, reason: &str) -> (f64, f64) {
        let counter = |name| self.metric(&format!("{name}{{reason=\"{reason}\"}}"));
        let (all, oap) = (counter("rejected_total"), counter("oap_rejects_total"));
        (all.unwrap(), oap.unwrap())
    }

    /// Memory filled for `kind`, in bytes.
    #[track_caller]
    pub fn memory_of(&self, kind: &str) -> u64 {
        let sample = format!("memory_used_bytes{{kind=\"{kind}\"}}");
        self.metric(&sample).expect("every kind is exposed") as u64
    }

    /// Memory filled on behalf of peers, of all kinds together, in bytes.
    pub fn memory_used(&self) -> u64 {
        ["objects", "uploads", "buffers", "decoders"]
            .map(|kind| self.memory_of(kind))
            .iter()
            .sum()
    }

    /// Waits until the node holds nothing: no object, no upload, no buffer, no decoder.
    #[track_caller]
    pub fn wait_until_empty(&self) {
        wait_until("nothing being held", || self.memory_used() == 0);
        assert_eq!(self.metric("objects"), Some(0.0));
        assert_eq!(self.metric("object_bytes"), Some(0.0));
    }

    /// Resident memory of the process, in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
        kib.parse::<u64>().unwrap() * 1024
    }

    /// The limits in force, by key, as the node tells them.
    pub fn limits(&self) -> Value {
        self.ask("GET", "/version").json()["limits"].take()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, signal).unwrap();
    }

    /// Waits until the process has ended by itself.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        wait_until("the node ending", || {
            self.child.try_wait().unwrap().is_some()
        });
        self.child.wait().unwrap()
    }

    /// Flips one bit of the stored byte at `offset` of the object at `path`.
    pub fn corrupt(&self, path: &str, offset: usize) {
        let address = path.strip_prefix("/o/").unwrap();
        let fault = format!("/fault/corrupt?address={address}&offset={offset}");
        assert_eq!(self.ask("POST", &fault).status, 200);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Fails only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
