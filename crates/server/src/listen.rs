//! Listeners: inherited from a service manager, or bound here.

use crate::config::{Config, OapListener};
use micronode_protocol::limits::LISTEN_BACKLOG;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// The listeners of both planes, bound and not yet accepting.
pub(crate) struct Listeners {
    pub(crate) data: TcpListener,
    pub(crate) admin: TcpListener,
    /// The data plane over OAP, where it is wanted.
    pub(crate) oap: Option<TcpListener>,
}

/// A listener that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({key}): {source}")]
pub struct ListenError {
    /// The configuration key that named the address.
    pub key: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

impl Listeners {
    /// Takes the sockets that a service manager passed (first the data plane's, then the admin
    /// plane's, then OAP's); binds those that it did not pass.
    pub(crate) fn open(config: &Config) -> Result<Self, ListenError> {
        let mut inherited = listenfd::ListenFd::from_env();
        let mut open = |index, key, address| {
            let taken = inherited
                .take_tcp_listener(index)
                .and_then(|listener| match listener {
                    Some(listener) => listener.set_nonblocking(true).map(|()| listener),
                    None => bind(address),
                });
            taken.map_err(|source| ListenError {
                key,
                address,
                source,
            })
        };
        Ok(Self {
            data: open(0, "bind", config.bind)?,
            admin: open(1, "admin", config.admin)?,
            oap: match (config.oap, config.oap_address()) {
                (_, None) => None,
                (OapListener::Auto, Some(address)) => Some(open(2, "oap", address).or_else(
                    // Nobody asked for this port, so whoever has it does not keep a node from
                    // starting.
                    |_| open(2, "oap", SocketAddr::new(address.ip(), 0)),
                )?),
                (_, Some(address)) => Some(open(2, "oap", address)?),
            },
        })
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for connections of the last life to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(LISTEN_BACKLOG).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}
