//! HTTP/1.1 over a plain socket, as bytes.

use super::{PATIENCE, Response};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// One connection; reads give up after [`PATIENCE`].
pub struct Connection {
    pub stream: TcpStream,
    /// Where it leads: the default `Host`.
    host: SocketAddr,
    /// Received and not yet looked at.
    received: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).unwrap(), address)
    }

    /// A connection that can hold a few KiB of what it is sent, so that a peer whose answer is
    /// not read soon has to wait.
    pub fn with_small_window(address: SocketAddr) -> Self {
        Self::of(narrow(address), address)
    }

    /// A reader of `path` with a small window, which has got the head of its answer and no more.
    pub fn reading(address: SocketAddr, path: &str) -> Self {
        let mut reader = Self::with_small_window(address);
        reader.send_head("GET", path, &[]);
        assert_eq!(reader.response_head().unwrap().status, 200);
        reader
    }

    /// Over a socket that the test has made.
    pub fn of(stream: TcpStream, host: SocketAddr) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            host,
            received: Vec::new(),
        }
    }

    /// Writes `bytes`; a peer that has closed already does not fail the test here.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Writes a request head. `Host` is added unless `fields` has one.
    pub fn send_head(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !has(fields, "host") {
            write!(head, "host: {}\r\n", self.host).unwrap();
        }
        for (name, value) in fields {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head.push_str("\r\n");
        self.send(head.as_bytes());
    }

    /// One exchange. `Content-Length` is added for a method that has a body, unless `fields` says
    /// how long it is.
    #[track_caller]
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.ask(method, path, fields, body).expect("a response")
    }

    /// The same with a node that may end meanwhile.
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let length = body.len().to_string();
        let mut fields = fields.to_vec();
        let framed = has(&fields, "content-length") || has(&fields, "transfer-encoding");
        if matches!(method, "POST" | "PUT") && !framed {
            fields.push(("content-length", &length));
        }
        self.send_head(method, path, &fields);
        self.send(body);
        self.answer(method)
    }

    /// The next response to a request with `method`.
    #[track_caller]
    pub fn response(&mut self, method: &str) -> Response {
        self.answer(method).expect("a complete response")
    }

    fn answer(&mut self, method: &str) -> io::Result<Response> {
        let mut response = self.response_head()?;
        if method == "HEAD" || response.has_no_body() {
            return Ok(response);
        }
        response.body = if response.field("transfer-encoding") == Some("chunked") {
            self.chunks()
        } else {
            let length = response.field("content-length").unwrap().parse().unwrap();
            self.exactly(length)
        }?;
        Ok(response)
    }

    /// The head of the next response, its body left on the connection.
    pub fn response_head(&mut self) -> io::Result<Response> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.exactly(1)?);
        }
        Ok(Response::parse(&head))
    }

    /// Reads exactly `length` bytes.
    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.received.len() < length {
            let mut piece = [0; 64 * 1024];
            match self.stream.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.received.extend(&piece[..count]),
            }
        }
        let rest = self.received.split_off(length);
        Ok(std::mem::replace(&mut self.received, rest))
    }

    /// Everything until the peer closes, whether in order or by a reset.
    #[track_caller]
    pub fn until_closed(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.received);
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
        bytes
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(body);
            }
            body.extend(chunk);
        }
    }

    /// One chunk of a body; an empty one is the last.
    pub fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let mut size = Vec::new();
        while !size.ends_with(b"\r\n") {
            size.extend(self.exactly(1)?);
        }
        let digits = std::str::from_utf8(&size).unwrap().trim_end();
        let size = usize::from_str_radix(digits, 16).unwrap();
        let chunk = self.exactly(size)?;
        assert_eq!(self.exactly(2)?, b"\r\n");
        Ok(chunk)
    }
}

/// A socket whose receive window is the least that there is.
pub(super) fn narrow(address: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, 4096).unwrap();
    connect(&socket, &address).unwrap();
    TcpStream::from(socket)
}

fn has(fields: &[(&str, &str)], name: &str) -> bool {
    fields
        .iter()
        .any(|(field, _)| field.eq_ignore_ascii_case(name))
}

/// `body` in the chunked coding, in chunks of `piece` bytes.
pub fn chunked(body: &[u8], piece: usize) -> Vec<u8> {
    let mut coded = Vec::new();
    for chunk in body.chunks(piece) {
        write!(coded, "{:x}\r\n", chunk.len()).unwrap();
        coded.extend_from_slice(chunk);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}
