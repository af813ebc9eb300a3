//! Tries from inside what a node must not be able to do, for tests.

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::{getppid, test_kill_process};
use serde_json::{Map, Value};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

/// Everything once: in `directory`, which has the files `file` and `other` and an `empty` directory, and with a peer
/// that listens on `tcp` and on the abstract socket `abstract_socket`. By attempt, the error's
/// number, or 0 for what could be done.
pub(crate) fn all(directory: &Path, tcp: SocketAddr, abstract_socket: &str) -> Value {
    let file = directory.join("file");
    let at = |name: &str| directory.join(name);
    let truncating = OFlags::TRUNC.bits().cast_signed();
    let mut results = Map::new();
    let mut tried = |name: &str, result: io::Result<()>| {
        let number = result.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0);
        results.insert(name.to_owned(), number.into());
    };
    tried("create", File::create_new(at("created")).map(drop));
    let mut options = OpenOptions::new();
    tried("write", options.write(true).open(&file).map(drop));
    let mut options = OpenOptions::new();
    let truncate = options.read(true).custom_flags(truncating).open(&file);
    tried("truncate", truncate.map(drop));
    tried("mkdir", fs::create_dir(at("made")));
    tried("rename", fs::rename(at("other"), at("renamed")));
    tried("link", fs::hard_link(&file, at("linked")));
    tried("symlink", symlink(&file, at("pointing")));
    let fifo = mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR, 0);
    tried("mkfifo", fifo.map_err(io::Error::from));
    tried("socket", UnixListener::bind(at("socket")).map(drop));
    tried("unlink", fs::remove_file(&file));
    tried("rmdir", fs::remove_dir(at("empty")));
    tried("read", File::open(&file).map(drop));
    tried("list", fs::read_dir(directory).map(drop));
    tried("execute", Command::new("/bin/true").status().map(drop));
    tried("connect", TcpStream::connect(tcp).map(drop));
    tried("bind", TcpListener::bind("127.0.0.1:0").map(drop));
    let kill = getppid().map_or(Ok(()), test_kill_process);
    tried("signal", kill.map_err(io::Error::from));
    let name = UnixAddress::from_abstract_name(abstract_socket);
    let stream = name.and_then(|name| UnixStream::connect_addr(&name));
    tried("abstract", stream.map(drop));
    Value::Object(results)
}
