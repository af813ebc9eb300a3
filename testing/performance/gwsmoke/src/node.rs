//! The node that is measured: started for it, or pointed at.

mod announced;
mod args;
mod binary;
pub(crate) mod orphans;
mod output;
mod url;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::clock;
use crate::failure::{Failure, io};
use crate::sample::Watched;

pub use announced::Announced;
pub use args::NodeArgs;
pub use binary::find_binary;
pub use url::Url;

/// How long a node that is told to stop may take.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

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
            orphans::forget(child.id());
            // Failing means that it has ended already.
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

impl Node {
    /// A process that is no node, and of which nothing else is known.
    pub(crate) fn stranger(pid: i32) -> Self {
        Self {
            http: None,
            oap: None,
            admin: None,
            is_tls: false,
            pin: None,
            token: None,
            pid: Some(pid),
            child: None,
        }
    }

    /// Starts `binary` in development mode on free ports of 127.0.0.1, with `flags` besides and
    /// nothing from the environment, and waits until it has bound them.
    ///
    /// # Errors
    ///
    /// If it does not start; with what it says of it.
    pub fn start(binary: &Path, flags: &[String]) -> Result<Self, Failure> {
        Self::start_in(binary, flags, [])
    }

    /// The same with `variables` in its environment, beside everybody's.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_in<'a>(
        binary: &Path,
        flags: &[String],
        variables: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(binary);
        // What is measured is what was asked for.
        let keys = std::env::vars_os().map(|(key, _)| key);
        for key in keys.filter(|key| key.as_encoded_bytes().starts_with(b"MICRO_")) {
            command.env_remove(key);
        }
        command
            .args(["run", "--dev", "--bind", "127.0.0.1:0"])
            .args(["--admin", "127.0.0.1:0"])
            .args(flags)
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = orphans::spawn(&mut command).map_err(io(binary.display()))?;
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
        let complaint = output::beginning(stderr);
        let line = output::first_line(stdout)?;
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
        orphans::forget(child.id());
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

    /// Where to look at it.
    pub fn watched(&self) -> Watched {
        Watched {
            pid: self.pid,
            admin: self.admin,
        }
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

fn given(flags: &[String], flag: &str) -> bool {
    let rests = flags.iter().filter_map(|given| given.strip_prefix(flag));
    rests
        .into_iter()
        .any(|rest| rest.is_empty() || rest.starts_with('='))
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
    fn a_flag_is_found_with_and_without_its_value() {
        let flags = ["--tls-cert=x", "--rps", "0"].map(ToOwned::to_owned);
        assert!(given(&flags, "--tls-cert") && given(&flags, "--rps"));
        assert!(!given(&flags, "--tls") && !given(&flags, "--rp"));
    }
}
