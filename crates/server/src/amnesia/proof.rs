//! `/proof`: what is enforced, as the kernel says when it is asked, and not as it was meant.
//!
//! Rules of Landlock cannot be read back. So it is tried: to write, to read, to connect and to bind,
//! each in a way that leaves nothing behind where it is not denied.

use super::dumps;
use crate::clock;
use crate::locked::locked_keys;
use crate::node::Node;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustix::system::sysinfo;
use rustix::thread::no_new_privs;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddrV4};

/// All of it.
pub(crate) fn of(node: &Node) -> Value {
    let amnesia = &node.amnesia;
    let sandbox = &amnesia.sandbox;
    let missing = amnesia.shortcomings();
    let missing: Vec<&str> = missing.iter().map(|short| short.as_str()).collect();
    json!({
        "amnesia": amnesia.is_on(),
        "missing": missing,
        "landlock": {
            "abi": sandbox.abi(),
            "denied": sandbox.denied(),
            "readable": sandbox.readable(),
            "writable": sandbox.writable(),
            "refused": {
                "write": write(),
                "read": read(),
                "connect": connects(),
                "bind": binds(),
            },
            "no_new_privs": no_new_privs().ok(),
        },
        "cores": {
            "limit_bytes": dumps::core_limit(),
            "dumpable": dumps::is_dumpable(),
        },
        "memory": memory(node),
        "keys": keys(node),
        "log_level": node.config.load().log.level.as_str(),
    })
}

fn memory(node: &Node) -> Value {
    let process = procfs::process::Process::myself().ok();
    let status = process.and_then(|process| process.status().ok());
    let of_process = |kib: fn(&procfs::process::Status) -> Option<u64>| {
        status.as_ref().and_then(kib).map(|kib| kib * 1024)
    };
    let machine = sysinfo();
    let memory = node.amnesia.memory.map(|protection| protection());
    let keys = locked_keys();
    let swap = machine.totalswap.saturating_mul(machine.mem_unit.into());
    json!({
        "locked_bytes": of_process(|status| status.vmlck),
        "swapped_bytes": of_process(|status| status.vmswap),
        "machine_swap_bytes": swap,
        "wiping_allocator": memory.map(|memory| memory.wipes),
        "in_dumps": memory.map(|memory| !memory.dump_filter_is_empty),
        "mapped_in_dumps_bytes": memory.map(|memory| memory.dumped),
        "lock": memory.map(|memory| json!({
            "asked": memory.locks,
            "mapped_locked_bytes": memory.locked,
            "mapped_refused_bytes": memory.not_locked,
        })),
        "keys_locked": keys.locked,
        "keys_refused": keys.refused,
    })
}

/// Ages in seconds.
fn keys(node: &Node) -> Value {
    let now = clock::now();
    let seconds = |age_ms: u64| age_ms / 1000;
    let root = node.authority.ages_ms(now);
    let tickets = node.tls.as_ref().map(|tls| tls.ticket_ages_ms(now.mono_ms));
    json!({
        "operator_seconds": seconds(root.operator),
        "root_seconds": seconds(root.current),
        "previous_root_seconds": root.previous.map(seconds),
        "tickets_seconds": tickets.map(|(current, _)| seconds(current)),
        "previous_tickets_seconds": tickets.and_then(|(_, previous)| previous).map(seconds),
    })
}

/// Whether it was denied; `None` where that does not show.
fn denied<T>(tried: Result<T, Errno>) -> Option<bool> {
    match tried.err() {
        Some(Errno::ACCESS) => Some(true),
        Some(Errno::NOENT | Errno::MFILE | Errno::NFILE) => None,
        _ => Some(false),
    }
}

/// A device that keeps nothing, and that everybody else may write to.
fn write() -> Option<bool> {
    denied(open(
        "/dev/null",
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
    ))
}

/// The root directory, which everybody else may list.
fn read() -> Option<bool> {
    denied(open(
        "/",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ))
}

/// Port 0, where nobody listens.
fn connects() -> Option<bool> {
    let socket = tcp()?;
    denied(connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)))
}

/// A free port, for a moment.
fn binds() -> Option<bool> {
    let socket = tcp()?;
    denied(bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)))
}

fn tcp() -> Option<rustix::fd::OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).ok()
}
