//! A client that costs little beside what is measured, and objects to give to a node.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::{Failure, io};

/// Longest body that is read.
const ANSWER_BYTES: usize = 1 << 20;
const BUFFER_BYTES: usize = 64 * 1024;

/// Bytes that no two objects have in common.
pub(super) fn object(number: u64, length: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// One connection of HTTP/1.1, one request at a time.
pub(super) struct Client {
    stream: BufReader<TcpStream>,
    host: SocketAddr,
}

impl Client {
    pub(super) fn connect(host: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(host).map_err(io("connecting"))?;
        stream.set_nodelay(true).map_err(io("connecting"))?;
        let stream = BufReader::with_capacity(BUFFER_BYTES, stream);
        Ok(Self { stream, host })
    }

    /// One exchange; the body of its answer.
    pub(super) fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let (host, length) = (self.host, body.len());
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
        let written = self.stream.get_mut().write_all(request.as_bytes());
        let written = written.and_then(|()| self.stream.get_mut().write_all(body));
        written.map_err(io("asking the node"))?;
        let (mut status, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            let read = self.stream.read_line(&mut line);
            if read.map_err(io("an answer"))? == 0 {
                return Err(Failure::Wrong("the node has closed".to_owned()));
            }
            let line = line.trim_end().to_ascii_lowercase();
            if status.is_empty() {
                status.clone_from(&line);
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.is_empty() {
                break;
            }
        }
        if !status.contains(" 20") || length > ANSWER_BYTES {
            return Err(Failure::Wrong(format!("{method} {path}: {status}")));
        }
        let mut answer = vec![0; length];
        let read = self.stream.read_exact(&mut answer);
        read.map_err(io("an answer"))?;
        Ok(answer)
    }
}
