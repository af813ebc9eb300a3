//! The node that is measured: started for it, or pointed at.

mod announced;
mod url;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use crate::clock;
use crate::failure::{Failure, io};

pub use announced::Announced;
pub use url::Url;

/// How long a node may take to bind its listeners.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// How long a node that is told to stop may take.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
/// Most bytes of a line that a node announces itself with, or of its complaint.
const TOLD_BYTES: u64 = 16 * 1024;

/// Where the node is, or how to start it.
#[derive(Args, Clone, Debug, Default)]
pub struct NodeArgs {
    /// A node that runs already, as http://HOST:PORT or oap://HOST:PORT, with TLS https or oaps; once
    /// for each protocol. Without it, a node is started
    #[arg(long)]
    pub url: Vec<Url>,
    /// Its admin plane, as http://HOST:PORT, for its version and its metrics
    #[arg(long, value_name = "URL", requires = "url")]
    pub admin: Option<Url>,
    /// A token for it; also MICRO_TOKEN
    #[arg(long, env = "MICRO_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// With TLS: its public key has this hash, as its start line says
    #[arg(long, value_name = "sha256//BASE64", requires = "url")]
    pub pin: Option<String>,
    /// Its process, for CPU time, memory and descriptors
    #[arg(long, requires = "url")]
    pub pid: Option<i32>,
    /// The binary of the node to start [default: micronode of the same target directory]
    #[arg(long, value_name = "BIN", conflicts_with = "url")]
    pub node: Option<PathBuf>,
    /// A flag of the node to start, such as --node-flag=--rps=0; may be repeated
    #[arg(
        long = "node-flag",
        value_name = "FLAG",
        allow_hyphen_values = true,
        conflicts_with = "url"
    )]
    pub node_flags: Vec<String>,
}

impl NodeArgs {
    /// The node that is pointed at, or one that is started with `flags` and those of the command
    /// line.
    ///
    /// # Errors
    ///
    /// If there is no binary to start, or the node does not start.
    pub fn open(&self, flags: &[String]) -> Result<Node, Failure> {
        if !self.url.is_empty() {
            return self.pointed_at();
        }
        let binary = match &self.node {
            Some(binary) => binary.clone(),
            None => find_binary()?,
        };
        let mut all = flags.to_vec();
        all.extend(self.node_flags.iter().cloned());
        Node::start(&binary, &all)
    }

    fn pointed_at(&self) -> Result<Node, Failure> {
        let mut node = Node {
            http: None,
            oap: None,
            admin: None,
            is_tls: false,
            pin: self.pin.clone(),
            token: self.token.clone(),
            pid: self.pid,
            child: None,
        };
        if let Some(admin) = &self.admin {
            if admin.is_tls() || admin.is_oap() {
                return Err(Failure::usage("--admin: http://HOST:PORT is what is asked"));
            }
            node.admin = Some(admin.resolve()?);
        }
        for (index, url) in self.url.iter().enumerate() {
            if index > 0 && node.is_tls != url.is_tls() {
                return Err(Failure::usage("--url: either all over TLS, or none"));
            }
            node.is_tls = url.is_tls();
            let place = if url.is_oap() {
                &mut node.oap
            } else {
                &mut node.http
            };
            if place.replace(url.resolve()?).is_some() {
                return Err(Failure::usage("--url: one for each protocol"));
            }
        }
        Ok(node)
    }
}

/// A node. One that was started for this ends with the value, also when what it was for fails.
#[derive(Debug)]
pub struct Node {
    /// Where it speaks HTTP.
    pub http: Option<SocketAddr>,
    /// Where it speaks OAP.
    pub oap: Option<SocketAddr>,
    /// Its admin plane, which is plain.
    pub admin: Option<SocketAddr>,
    /// Whether the two others are over TLS.
    pub is_tls: bool,
    /// What is asked of its certificate: the hash of its public key.
    pub pin: Option<String>,
    /// What requests present.
    pub token: Option<String>,
    /// Its process, if it is known.
    pub pid: Option<i32>,
    child: Option<Child>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Failing means that it has ended already.
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

impl Node {
    /// Starts `binary` in development mode on free ports of 127.0.0.1, with `flags` besides, and
    /// waits until it has bound them.
    ///
    /// # Errors
    ///
    /// If it does not start; with what it says of it.
    pub fn start(binary: &Path, flags: &[String]) -> Result<Self, Failure> {
        let mut child = Command::new(binary)
            .args(["run", "--dev", "--bind", "127.0.0.1:0"])
            .args(["--admin", "127.0.0.1:0"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io(binary.display()))?;
        let pid = i32::try_from(child.id()).ok();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut node = Self {
            http: None,
            oap: None,
            admin: None,
            is_tls: false,
            pin: None,
            token: None,
            pid,
            child: Some(child),
        };
        let complaint = beginning(stderr);
        let line = announcement(stdout.ok_or_else(|| Failure::wrong("the node has no stdout"))?)?;
        match Announced::parse(&line) {
            Some(announced) => {
                node.http = Some(announced.http);
                node.admin = Some(announced.admin);
                node.oap = announced.oap;
                node.is_tls = announced.pin.is_some() || given(flags, "--tls-cert");
                node.pin = announced.pin;
                node.token = announced.token;
                Ok(node)
            }
            None => {
                drop(node);
                let told = complaint.recv().unwrap_or_default();
                let binary = binary.display();
                Err(Failure::wrong(format!(
                    "{binary} did not start: {}",
                    told.trim()
                )))
            }
        }
    }

    /// Tells the node to stop and waits for it, if it was started for this.
    ///
    /// # Errors
    ///
    /// If it does not stop, or not as a node does.
    pub fn stop(mut self) -> Result<(), Failure> {
        self.signal(Signal::TERM)?;
        let Some(child) = &mut self.child else {
            return Ok(());
        };
        let until = clock::now() + STOPPED_WITHIN;
        loop {
            match child.try_wait().map_err(io("waiting for the node"))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(Failure::wrong(format!("the node ended: {status}"))),
                None if clock::now() < until => std::thread::sleep(Duration::from_millis(5)),
                None => {
                    return Err(Failure::wrong(format!(
                        "the node did not stop in {STOPPED_WITHIN:?}"
                    )));
                }
            }
        }
    }

    /// Sends a signal to the node that was started for this; to no other.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let started = self.child.as_ref().and(self.pid).and_then(Pid::from_raw);
        started.map_or(Ok(()), |pid| {
            kill_process(pid, signal).map_err(|error| io("signalling the node")(error.into()))
        })
    }

    /// Where it speaks HTTP.
    ///
    /// # Errors
    ///
    /// If nobody has said.
    pub fn http(&self) -> Result<SocketAddr, Failure> {
        self.http
            .ok_or_else(|| Failure::usage("--url: http://HOST:PORT of the node is needed"))
    }

    /// Where it speaks OAP.
    ///
    /// # Errors
    ///
    /// If it does not, or nobody has said.
    pub fn oap(&self) -> Result<SocketAddr, Failure> {
        self.oap
            .ok_or_else(|| Failure::usage("--url: oap://HOST:PORT of the node is needed"))
    }
}

/// The node's binary of the target directory that this program was built into: the release build if
/// there is one.
///
/// # Errors
///
/// If there is none; with how to build it.
pub fn find_binary() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(io("the path of this program"))?;
    // A test is one folder deeper.
    let folders = own.ancestors().skip(1).take(2);
    let places = folders.flat_map(|folder| {
        let release = folder
            .parent()
            .map(|target| target.join("release/micronode"));
        release.into_iter().chain([folder.join("micronode")])
    });
    let places: Vec<PathBuf> = places.collect();
    let found = places.iter().find(|place| place.is_file());
    found.cloned().ok_or_else(|| {
        let places: Vec<_> = places
            .iter()
            .map(|place| place.display().to_string())
            .collect();
        Failure::wrong(format!(
            "no node to measure at {}: build one with `cargo build --release -p micronode`, or name \
             one with --node or --url",
            places.join(", ")
        ))
    })
}

fn given(flags: &[String], flag: &str) -> bool {
    let rests = flags.iter().filter_map(|given| given.strip_prefix(flag));
    rests
        .into_iter()
        .any(|rest| rest.is_empty() || rest.starts_with('='))
}

/// The one line that a node prints when it is bound; empty when it has ended.
fn announcement(stdout: ChildStdout) -> Result<String, Failure> {
    let (sender, receiver) = sync_channel(1);
    // A pipe has no read timeout. The thread ends with the node, which closes the pipe.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout.take(TOLD_BYTES)).read_line(&mut line);
        // Nobody listens any more when it took too long.
        let _late = sender.send(read.map(|_| line));
    });
    receiver
        .recv_timeout(READY_WITHIN)
        .map_err(|_| Failure::wrong(format!("the node was not ready within {READY_WITHIN:?}")))?
        .map_err(io("the node's start line"))
}

/// The beginning of what a node writes, once it has ended. The rest is read and forgotten, so that
/// a full pipe does not hold it up.
fn beginning(stream: Option<impl Read + Send + 'static>) -> std::sync::mpsc::Receiver<String> {
    let (sender, receiver) = sync_channel(1);
    if let Some(mut stream) = stream {
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            // What cannot be read is not told.
            let _read = stream.by_ref().take(TOLD_BYTES).read_to_end(&mut kept);
            let _forgotten = std::io::copy(&mut stream, &mut std::io::sink());
            let _unheard = sender.send(String::from_utf8_lossy(&kept).into_owned());
        });
    }
    receiver
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_node_that_does_not_start_is_told_with_its_words() {
        let script = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(script.path(), "#!/bin/sh\necho no such port >&2\n").unwrap();
        let mut command = Command::new("chmod");
        assert!(
            command
                .arg("+x")
                .arg(script.path())
                .status()
                .unwrap()
                .success()
        );
        let path = script.into_temp_path();
        let failure = Node::start(&path, &[]).unwrap_err().to_string();
        assert!(
            failure.ends_with("did not start: no such port"),
            "{failure}"
        );
        let failure = Node::start(Path::new("/nowhere"), &[]).unwrap_err();
        assert!(failure.to_string().starts_with("/nowhere: "), "{failure}");
    }

    #[test]
    fn what_is_pointed_at_is_either_protocol_once() {
        let args = |urls: &[&str]| NodeArgs {
            url: urls.iter().map(|url| url.parse().unwrap()).collect(),
            ..NodeArgs::default()
        };
        let node = args(&["http://127.0.0.1:1", "oap://127.0.0.1:2"]).open(&[]);
        let node = node.unwrap();
        assert_eq!(node.http().unwrap().port(), 1);
        assert_eq!(node.oap().unwrap().port(), 2);
        assert!(
            args(&["http://127.0.0.1:1", "http://127.0.0.1:2"])
                .open(&[])
                .is_err()
        );
        assert!(
            args(&["http://127.0.0.1:1", "oaps://127.0.0.1:2"])
                .open(&[])
                .is_err()
        );
        let node = args(&["oaps://127.0.0.1:2"]).open(&[]).unwrap();
        assert!(node.is_tls && node.http().is_err());
    }

    #[test]
    fn a_flag_is_found_with_and_without_its_value() {
        let flags = ["--tls-cert=x", "--rps", "0"].map(ToOwned::to_owned);
        assert!(given(&flags, "--tls-cert") && given(&flags, "--rps"));
        assert!(!given(&flags, "--tls") && !given(&flags, "--rp"));
    }
}
