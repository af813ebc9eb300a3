//! One request and its answer over a blocking socket: for what is asked beside a load.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::drive::parse::{Event, Parser};

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer.
const ANSWER_BYTES: usize = 4 << 20;

/// The status and the body of what a GET of `path` is answered, without TLS.
///
/// # Errors
///
/// If there is no answer, or one of more than 4 MiB.
pub fn get(address: SocketAddr, path: &str) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream
        .take(ANSWER_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > ANSWER_BYTES {
        return Err(io::Error::other("the answer is too long"));
    }
    let mut parser = Parser::new();
    let (mut at, mut status, mut body) = (0, 0, Vec::new());
    loop {
        let (used, event) = parser.next(&bytes[at..]).map_err(io::Error::other)?;
        at += used;
        match event {
            Event::Head(head) => status = head.status,
            Event::Piece(piece) => body.extend_from_slice(piece),
            Event::End => return Ok((status, body)),
            Event::More if parser.may_close() => return Ok((status, body)),
            Event::More => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
