//! Programs of others: found, started in a folder of their own on a free port of loopback, and ended.

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::clock;
use crate::failure::{Failure, io};
use crate::node::orphans;
use crate::suite::result::Missing;

/// How long a program may take to listen, and to end once it is told to.
const READY_WITHIN: Duration = Duration::from_secs(10);
const ENDED_WITHIN: Duration = Duration::from_secs(5);
/// A port that was free may not be any more; then another one is.
const ATTEMPTS: u32 = 3;
/// Bytes of its log that are told when it does not start.
const TOLD_BYTES: usize = 2000;
/// Where programs are beside `PATH`; a user's own path often leaves them out.
const PLACES: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// A program by its name, and the package of Debian that has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) how: &'static str,
}

pub(crate) const NGINX: Program = Program {
    name: "nginx",
    how: "apt-get install nginx",
};
pub(crate) const REDIS: Program = Program {
    name: "redis-server",
    how: "apt-get install redis-server",
};
pub(crate) const NATS: Program = Program {
    name: "nats-server",
    how: "apt-get install nats-server",
};
pub(crate) const BEANSTALKD: Program = Program {
    name: "beanstalkd",
    how: "apt-get install beanstalkd",
};

impl Program {
    /// Where it is.
    ///
    /// # Errors
    ///
    /// If it is not installed: how to get it.
    pub(crate) fn find(&self) -> Result<PathBuf, Missing> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::env::split_paths(&path).chain(PLACES.map(PathBuf::from));
        let mut files = places.map(|place| place.join(self.name));
        files.find(|file| file.is_file()).ok_or_else(|| Missing {
            program: self.name.to_owned(),
            how: self.how.to_owned(),
        })
    }
}

/// A folder in memory, if there is a place for one. It is removed with the value, and with this
/// program: what is in it would stay in memory.
#[derive(Debug)]
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        orphans::removed(self.path());
    }
}

/// Makes one.
///
/// # Errors
///
/// If none can be made.
pub(crate) fn folder() -> Result<Folder, Failure> {
    let shared = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    builder.prefix("gwsmoke-");
    let made = match builder.tempdir_in(shared) {
        Ok(folder) => Ok(folder),
        Err(_) => builder.tempdir(),
    };
    let told = || io("a folder for what is compared");
    let folder = Folder(made.map_err(told())?);
    orphans::remove_at_end(folder.path()).map_err(told())?;
    Ok(folder)
}

/// A program that runs. It ends with the value, also when what it was for fails.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// Its process: all of its processor time is there.
    pub(crate) pid: i32,
}

impl Running {
    /// Starts it and waits until it listens. `command` is told the port, and says what to run in
    /// `folder`.
    ///
    /// # Errors
    ///
    /// If it does not listen; with the end of what it wrote.
    pub(crate) fn start(
        program: Program,
        folder: &Path,
        command: impl Fn(&Path, u16) -> Result<Command, Failure>,
    ) -> Result<Self, Failure> {
        let path = program.find().map_err(|missing| {
            Failure::wrong(format!(
                "{} is not installed: {}",
                missing.program, missing.how
            ))
        })?;
        let log = folder.join(format!("{}.log", program.name));
        for _ in 0..ATTEMPTS {
            let port = free_port()?;
            let file = File::create(&log).map_err(io(log.display()))?;
            let errors = file.try_clone().map_err(io(log.display()))?;
            let mut command = command(&path, port)?;
            command.current_dir(folder).stdin(Stdio::null());
            command.stdout(file).stderr(errors);
            let child = orphans::spawn(&mut command).map_err(io(path.display()))?;
            let mut running = Self {
                pid: i32::try_from(child.id()).unwrap_or(i32::MAX),
                child,
                name: program.name,
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            };
            if running.is_listening()? {
                return Ok(running);
            }
        }
        Err(Failure::wrong(format!(
            "{} did not start: {}",
            path.display(),
            end_of(&log).trim()
        )))
    }

    /// Whether it comes to listen, or ends instead.
    fn is_listening(&mut self) -> Result<bool, Failure> {
        let until = clock::now() + READY_WITHIN;
        while clock::now() < until {
            if self.child.try_wait().map_err(io(self.name))?.is_some() {
                return Ok(false);
            }
            if TcpStream::connect_timeout(&self.address, READY_WITHIN).is_ok() {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(false)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        orphans::forget(self.child.id());
        // Failing to tell it means that it has ended already.
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _told = kill_process(pid, Signal::TERM);
        }
        let until = clock::now() + ENDED_WITHIN;
        while clock::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(io("a free port"))?;
    let address = listener.local_addr().map_err(io("a free port"))?;
    Ok(address.port())
}

/// The end of a log.
fn end_of(log: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(file) = File::open(log) {
        // What cannot be read is not told.
        let _read = file.take(1 << 20).read_to_end(&mut text);
    }
    let start = text.len().saturating_sub(TOLD_BYTES);
    String::from_utf8_lossy(&text[start..]).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SHELL: Program = Program {
        name: "sh",
        how: "apt-get install dash",
    };

    #[test]
    fn what_is_missing_is_told_with_how_to_get_it() {
        let nothing = Program {
            name: "no-such-program",
            how: "apt-get install no-such-package",
        };
        let missing = nothing.find().unwrap_err();
        assert_eq!(missing.how, "apt-get install no-such-package");
        let folder = folder().unwrap();
        let failure = Running::start(nothing, folder.path(), |path, _| Ok(Command::new(path)));
        let failure = failure.unwrap_err().to_string();
        assert!(
            failure.contains("apt-get install no-such-package"),
            "{failure}"
        );
    }

    #[test]
    fn a_program_that_does_not_start_is_told_with_its_words() {
        let folder = folder().unwrap();
        let failure = Running::start(SHELL, folder.path(), |path, port| {
            let mut command = Command::new(path);
            command.args(["-c", &format!("echo not on {port} >&2")]);
            Ok(command)
        });
        let failure = failure.unwrap_err().to_string();
        assert!(failure.contains("did not start: not on "), "{failure}");
    }

    #[test]
    fn a_program_ends_with_its_value() {
        let folder = folder().unwrap();
        let path = folder.path().to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let running = Running {
            pid: i32::try_from(child.id()).unwrap(),
            child,
            name: "sleep",
            address: listener.local_addr().unwrap(),
        };
        let process = format!("/proc/{}", running.pid);
        assert!(Path::new(&process).exists());
        drop(running);
        assert!(!Path::new(&process).exists());
        drop(folder);
        assert!(!path.exists());
    }
}
