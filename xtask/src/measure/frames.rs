//! OAP over blocking sockets, in frames that are built here by hand: the client costs as little as
//! it can, and the node is asked by bytes that its own code did not write.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(super) const HEADER_BYTES: usize = 38;
/// The flag of frames that are neither asked for nor an answer.
const EVENT: u16 = 4;
/// Longest frame.
const FRAME_BYTES: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A request that is one frame.
pub(super) fn frame(app: u16, code: u16, corr_id: u64, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(HEADER_BYTES + payload.len()).expect("a short frame");
    let (version, flags) = (1_u16, 1_u16 | 8 | 16);
    let mut frame = len.to_be_bytes().to_vec();
    for field in [version, flags, code, app] {
        frame.extend(field.to_be_bytes());
    }
    frame.extend(0_u128.to_be_bytes());
    frame.extend(0_u16.to_be_bytes());
    frame.extend(corr_id.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The answer to the question whether anybody is there.
pub(super) fn pong() -> Vec<u8> {
    let mut pong = frame(0, 1, 0, b"");
    pong[6..8].copy_from_slice(&EVENT.to_be_bytes());
    pong
}

/// A text behind its length.
pub(super) fn str16(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text");
    [&length.to_be_bytes()[..], text.as_bytes()].concat()
}

/// The status and the payload of an answer that is one frame.
pub(super) fn answer(stream: &mut TcpStream) -> std::io::Result<(u16, Vec<u8>)> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header)?;
    let len = u32::from_be_bytes(header[..4].try_into().expect("four bytes")) as usize;
    let mut payload = vec![0; len.saturating_sub(HEADER_BYTES)];
    stream.read_exact(&mut payload)?;
    Ok((u16::from_be_bytes([header[8], header[9]]), payload))
}

pub(super) fn greet(oap: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = connect(oap)?;
    stream.write_all(&frame(0, 0, 0, b"{}"))?;
    match answer(&mut stream)? {
        (200, _) => Ok(stream),
        (status, _) => Err(std::io::Error::other(format!("HELLO: {status}"))),
    }
}

/// A connection that ends early has failed.
pub(super) fn some(count: usize) -> std::io::Result<usize> {
    match count {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}

/// The frames of a connection as they come, many to a read.
pub(super) struct Frames {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What has been looked at, and what has been filled.
    at: usize,
    filled: usize,
}

/// One of them.
pub(super) struct Frame<'a> {
    pub(super) is_event: bool,
    pub(super) app: u16,
    pub(super) code: u16,
    pub(super) corr_id: u64,
    pub(super) payload: &'a [u8],
}

impl Frames {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: vec![0; 2 * FRAME_BYTES],
            at: 0,
            filled: 0,
        }
    }

    /// Waits for the next one.
    pub(super) fn next(&mut self) -> std::io::Result<Frame<'_>> {
        let len = loop {
            let rest = &self.buffer[self.at..self.filled];
            if let Some(len) = rest.first_chunk::<4>() {
                let len = u32::from_be_bytes(*len) as usize;
                if !(HEADER_BYTES..=FRAME_BYTES).contains(&len) {
                    return Err(std::io::Error::other("not a frame"));
                }
                if rest.len() >= len {
                    break len;
                }
            }
            self.buffer.copy_within(self.at..self.filled, 0);
            self.filled -= self.at;
            self.at = 0;
            self.filled += some(self.stream.read(&mut self.buffer[self.filled..])?)?;
        };
        let frame = &self.buffer[self.at..self.at + len];
        self.at += len;
        let u16_at = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        Ok(Frame {
            is_event: u16_at(6) & EVENT != 0,
            app: u16_at(10),
            code: u16_at(8),
            corr_id: u64::from_be_bytes(frame[30..38].try_into().expect("eight bytes")),
            payload: &frame[HEADER_BYTES..],
        })
    }
}

/// Takes the receipt of the first delivery of a payload; what follows it is the rest.
pub(super) fn receipt<'a>(payload: &mut &'a [u8]) -> Option<&'a [u8]> {
    let take = |payload: &mut &'a [u8], count: usize| -> Option<&'a [u8]> {
        let (taken, rest) = payload.split_at_checked(count)?;
        *payload = rest;
        Some(taken)
    };
    let text = |payload: &mut &'a [u8]| {
        let length = take(payload, 2)?.try_into().ok()?;
        take(payload, u16::from_be_bytes(length).into())
    };
    text(payload)?;
    let receipt = text(payload)?;
    // Attempt, and when it was sent.
    take(payload, 4 + 8)?;
    let length = take(payload, 4)?.try_into().ok()?;
    take(payload, u32::from_be_bytes(length) as usize)?;
    Some(receipt)
}
