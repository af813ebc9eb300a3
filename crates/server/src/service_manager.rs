//! Whoever started the node and waits to hear of it, as in sd_notify(3).
//!
//! Connected to before files and the network are out of reach: a socket that is connected still
//! reaches its peer, and no other is reached.

use crate::log;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A manager that does not read holds up the node for no longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The manager, if there is one.
pub(crate) struct ServiceManager(Option<UnixDatagram>);

impl ServiceManager {
    pub(crate) const READY: &str = "READY=1\n";
    pub(crate) const STOPPING: &str = "STOPPING=1\n";

    /// Looks for it where its environment variable says.
    pub(crate) fn find() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").map(|name| connect(&name));
        Self(socket.and_then(|socket| socket.inspect_err(|error| log::not_notified(error)).ok()))
    }

    pub(crate) fn tell(&self, state: &'static str) {
        if let Some(Err(error)) = self.0.as_ref().map(|socket| socket.send(state.as_bytes())) {
            log::not_notified(&error);
        }
    }
}

/// A file's path, or, behind an `@`, a name that is no file's.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}
