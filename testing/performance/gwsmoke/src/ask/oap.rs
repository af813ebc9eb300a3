//! OAP/1 byte by byte: frames are put together and taken apart here, so that a fault of the codec
//! that node and SDK share cannot cancel itself out.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

use super::PATIENCE;

const HEADER_BYTES: usize = 38;
/// Largest frame, and so the most that is read of an answer.
const FRAME_BYTES: usize = 1 << 20;
/// Most of a body in one frame of several.
const CHUNK_BYTES: usize = 64 * 1024;

const REQ: u16 = 1;
const START: u16 = 8;
const END: u16 = 16;
const WHOLE: u16 = START | END;

/// A protocol's number, and a code of it.
pub(crate) type Operation = (u16, u16);
const HELLO: Operation = (0, 0);
pub(crate) const PING: Operation = (0, 1);
pub(crate) const ECHO: Operation = (1, 1);
pub(crate) const NAME_READ: Operation = (3, 6);

/// A connection that has said HELLO.
pub(crate) struct Connection {
    stream: TcpStream,
    last_id: u64,
}

/// An answer, all frames of it together.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) payload: Vec<u8>,
}

impl Answer {
    /// The payload as JSON; `null` if it is none.
    pub(crate) fn document(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or(Value::Null)
    }

    /// Whether it is the problem of this status and code.
    pub(crate) fn is_problem(&self, status: u16, code: &str) -> bool {
        let document = self.document();
        self.status == status && document["code"] == code && document["status"] == status
    }

    /// Status, and code or length of the payload.
    pub(crate) fn told(&self) -> String {
        match self.document()["code"].as_str() {
            Some(code) => format!("{} {code}", self.status),
            None => format!("{} and {} bytes", self.status, self.payload.len()),
        }
    }
}

impl Connection {
    /// Connects and says HELLO; with what is answered to it.
    pub(crate) fn open(address: SocketAddr, token: Option<&str>) -> io::Result<(Self, Answer)> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut connection = Self { stream, last_id: 0 };
        let cap = match token {
            Some(token) => BASE64_URL_SAFE_NO_PAD
                .decode(token)
                .map_err(|_| io::Error::other("the token is not base64url"))?,
            None => Vec::new(),
        };
        let hello = frame(HELLO, WHOLE, 0, &cap, br#"{"ua":"gwsmoke"}"#)?;
        connection.stream.write_all(&hello)?;
        let welcome = connection.answer(0)?;
        Ok((connection, welcome))
    }

    /// One request in one frame, and its answer.
    pub(crate) fn call(&mut self, operation: Operation, payload: &[u8]) -> io::Result<Answer> {
        self.last_id += 1;
        let id = self.last_id;
        self.stream
            .write_all(&frame(operation, WHOLE, id, b"", payload)?)?;
        self.answer(id)
    }

    /// One request in as many frames as its body takes, and its answer.
    pub(crate) fn stream(&mut self, operation: Operation, body: &[u8]) -> io::Result<Answer> {
        self.last_id += 1;
        let id = self.last_id;
        let mut frames = frame(operation, START, id, b"", b"")?;
        for chunk in body.chunks(CHUNK_BYTES) {
            frames.extend(frame(operation, 0, id, b"", chunk)?);
        }
        frames.extend(frame(operation, END, id, b"", b"")?);
        // It may be answered, or cut, before all of it has been sent; what comes tells.
        let sent = self.stream.write_all(&frames);
        self.answer(id).or_else(|error| sent.and(Err(error)))
    }

    /// Begins a request, of which more is to come; its stream.
    pub(crate) fn begin(&mut self, operation: Operation) -> io::Result<u64> {
        self.last_id += 1;
        let first = frame(operation, START, self.last_id, b"", b"")?;
        self.stream.write_all(&first)?;
        Ok(self.last_id)
    }

    /// The header of a frame that is larger than any may be, and what is answered to it.
    pub(crate) fn oversized(&mut self) -> io::Result<Answer> {
        self.last_id += 1;
        let mut frame = frame(ECHO, WHOLE, self.last_id, b"", b"")?;
        let length = FRAME_BYTES as u32 + 1;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame)?;
        self.answer(self.last_id)
    }

    /// The answer of a stream, up to its last frame. Nothing else may be answered meanwhile.
    pub(crate) fn answer(&mut self, id: u64) -> io::Result<Answer> {
        let mut payload = Vec::new();
        loop {
            let mut header = [0; HEADER_BYTES];
            self.stream.read_exact(&mut header)?;
            let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
            let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
            let (version, flags, status, cap) = (field(4), field(6), field(8), field(28));
            let is_sound = (HEADER_BYTES..=FRAME_BYTES).contains(&length) && version == 1;
            if !is_sound || cap != 0 {
                return Err(io::Error::other("bytes that are no OAP/1 frame"));
            }
            let begins = payload.len();
            payload.resize(begins + length - HEADER_BYTES, 0);
            self.stream.read_exact(&mut payload[begins..])?;
            let came = header[30..]
                .iter()
                .fold(0, |id, byte| id << 8 | u64::from(*byte));
            if came != id {
                return Err(io::Error::other(format!(
                    "stream {came}, where {id} was asked"
                )));
            }
            if payload.len() > FRAME_BYTES + CHUNK_BYTES {
                return Err(io::Error::other("an answer without an end"));
            }
            if flags & END != 0 {
                return Ok(Answer { status, payload });
            }
        }
    }
}

fn frame(
    (app, code): Operation,
    flags: u16,
    id: u64,
    cap: &[u8],
    payload: &[u8],
) -> io::Result<Vec<u8>> {
    let too_long = |_| io::Error::other("too long for a frame");
    let length = HEADER_BYTES + cap.len() + payload.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).map_err(too_long)?.to_be_bytes());
    for field in [1, REQ | flags, code, app] {
        bytes.extend(field.to_be_bytes());
    }
    // The tenant, of which there is none.
    bytes.extend([0; 16]);
    bytes.extend(u16::try_from(cap.len()).map_err(too_long)?.to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes.extend_from_slice(cap);
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

/// A text behind its length.
pub(crate) fn str16(text: &str) -> Vec<u8> {
    let length = (text.len() as u16).to_be_bytes();
    [&length[..], text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_frame_is_as_in_the_protocols_example() {
        let bytes = frame(
            HELLO,
            WHOLE,
            1,
            b"",
            br#"{"ua":"demo","accept_comp":false}"#,
        )
        .unwrap();
        let head = "00000047000100190000000000000000000000000000000000000000000000000000\
                    00000001"
            .replace(' ', "");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(hex.starts_with(&head), "{hex}");
        assert_eq!(bytes.len(), 0x47);
    }
}
