//! How much of what was written to a socket its peer has not acknowledged.
//!
//! The kernel takes a write whole long before the peer has it, and wakes a blocked writer only
//! when a good part of its buffer has drained: at 10 KiB/s that is more than ten seconds in which
//! nothing seems to move. Whoever judges a reader by its pace must therefore ask the kernel, and
//! `SIOCOUTQ` (tcp(7)) is how.
//!
//! # Safety
//!
//! The crate's only `unsafe`: neither the standard library nor rustix wraps this request. It is
//! sound because the request number is the kernel's own for the architectures listed, the kernel
//! writes exactly one C `int` for it, on any kind of descriptor that knows the request, and the
//! descriptor is borrowed for the call. One call costs well under a microsecond and is made only
//! when a write has blocked.
#![allow(unsafe_code)]

use std::os::fd::AsFd;

use rustix::ioctl::{Getter, Opcode, ioctl};

/// `SIOCOUTQ` of `linux/sockios.h`, which is `TIOCOUTQ` of `asm-generic/ioctls.h`.
const SIOCOUTQ: Opcode = 0x5411;

/// Bytes written to `socket` and not acknowledged by its peer; 0 where the system cannot tell.
pub(crate) fn unacknowledged(socket: impl AsFd) -> u64 {
    let known = cfg!(all(
        target_os = "linux",
        any(
            target_arch = "x86_64",
            target_arch = "aarch64",
            target_arch = "riscv64"
        )
    ));
    if !known {
        return 0;
    }
    // SAFETY: see the module.
    let count = unsafe { ioctl(socket, Getter::<SIOCOUTQ, std::ffi::c_int>::new()) };
    count.map_or(0, |bytes| u64::try_from(bytes).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_the_peer_does_not_take_is_counted_until_it_does() -> std::io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut writer = TcpStream::connect(listener.local_addr()?)?;
        let (mut reader, _) = listener.accept()?;
        assert_eq!(unacknowledged(&writer), 0);

        writer.set_nonblocking(true)?;
        let mut written = 0;
        while let Ok(count) = writer.write(&[0; 64 * 1024]) {
            written += count as u64;
        }
        let stuck = unacknowledged(&writer);
        assert!(stuck > 0 && stuck <= written, "{stuck} of {written}");

        writer.shutdown(std::net::Shutdown::Write)?;
        let mut taken = Vec::new();
        reader.read_to_end(&mut taken)?;
        assert_eq!(taken.len() as u64, written);
        // The last acknowledgement (and that of the end, which counts as one) may be on its way.
        for _ in 0..100 {
            if unacknowledged(&writer) == 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{} bytes stay unacknowledged", unacknowledged(&writer));
    }
}
