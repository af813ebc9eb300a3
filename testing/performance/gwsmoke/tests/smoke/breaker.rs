//! A proxy that breaks one answer: what a node with a fault would do.
#![allow(unreachable_pub)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// What is done to an answer.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// One bit of its body's last byte, as it comes, is another.
    Flip,
    /// It has this status.
    Status(u16),
    /// It does not come: the connection is closed.
    Close,
    /// It is closed in the middle of its body.
    Cut,
    /// It does not come, and nothing is said.
    Silence,
}

/// Which requests are answered with a fault.
pub type Matches = fn(&Request) -> bool;

/// A request over HTTP, as the proxy sees it.
#[derive(Debug)]
pub struct Request {
    head: String,
}

impl Request {
    /// Whether it is of this method, and its path begins so.
    pub fn is(&self, method: &str, path: &str) -> bool {
        self.head.starts_with(&format!("{method} {path}"))
    }

    pub fn has(&self, text: &str) -> bool {
        self.head.to_ascii_lowercase().contains(text)
    }
}

/// A proxy in front of `target`, as long as the test runs.
pub fn http(target: SocketAddr, matches: Matches, fault: Fault) -> SocketAddr {
    serve(target, move |client, server| {
        let Some(head) = read_head(&client) else {
            return;
        };
        let request = Request {
            head: String::from_utf8_lossy(&head).into_owned(),
        };
        (&server).write_all(&head).unwrap();
        forward(&client, &server);
        if !matches(&request) {
            copy(&server, &client);
            return;
        }
        let Some(mut head) = read_head(&server) else {
            return;
        };
        match fault {
            Fault::Close => {}
            Fault::Silence => thread::sleep(PATIENCE),
            Fault::Status(status) => {
                let old = head.iter().position(|byte| *byte == b' ').unwrap() + 1;
                head[old..old + 3].copy_from_slice(status.to_string().as_bytes());
                let _gone = (&client).write_all(&head);
                copy(&server, &client);
            }
            Fault::Cut | Fault::Flip => {
                let _gone = (&client).write_all(&head);
                // What comes at once is a part of the body at least.
                let mut buffer = [0; 4096];
                let count = (&server).read(&mut buffer).unwrap_or(0);
                if matches!(fault, Fault::Cut) {
                    let _gone = (&client).write_all(&buffer[..count / 2]);
                } else {
                    buffer[count.saturating_sub(1)] ^= 1;
                    let _gone = (&client).write_all(&buffer[..count]);
                    copy(&server, &client);
                }
            }
        }
    })
}

/// The same for OAP; a fault of an answer of several frames is in the last that has a payload.
pub fn oap(target: SocketAddr, operation: (u16, u16), status: u16, fault: Fault) -> SocketAddr {
    serve(target, move |client, server| {
        let asked = Arc::new(std::sync::atomic::AtomicU64::new(u64::MAX));
        let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            while let Some(frame) = read_frame(&from) {
                if frame.field(6) & 8 != 0 && (frame.field(10), frame.field(8)) == operation {
                    seen.store(frame.id(), std::sync::atomic::Ordering::SeqCst);
                }
                if (&to).write_all(&frame.0).is_err() {
                    return;
                }
            }
            let _gone = to.shutdown(Shutdown::Write);
        });
        while let Some(mut frame) = read_frame(&server) {
            let is_its = frame.id() == asked.load(std::sync::atomic::Ordering::SeqCst);
            if is_its && frame.field(8) == status {
                match fault {
                    Fault::Close | Fault::Cut => return,
                    Fault::Silence => continue,
                    Fault::Status(status) => frame.0[8..10].copy_from_slice(&status.to_be_bytes()),
                    Fault::Flip if frame.0.len() > 38 => *frame.0.last_mut().unwrap() ^= 1,
                    Fault::Flip => {}
                }
            }
            if (&client).write_all(&frame.0).is_err() {
                return;
            }
        }
    })
}

fn serve(
    target: SocketAddr,
    serve: impl Fn(TcpStream, TcpStream) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(target).unwrap();
            for stream in [&client, &server] {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_nodelay(true).unwrap();
            }
            let serve = Arc::clone(&serve);
            thread::spawn(move || {
                let both = [client.try_clone().unwrap(), server.try_clone().unwrap()];
                serve(client, server);
                for stream in both {
                    // Already closed, perhaps.
                    let _closed = stream.shutdown(Shutdown::Both);
                }
            });
        }
    });
    address
}

/// Byte by byte, so that nothing behind the head is taken.
fn read_head(mut stream: &TcpStream) -> Option<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(head)
}

fn forward(from: &TcpStream, to: &TcpStream) {
    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || copy(&from, &to));
}

/// Until one side has enough.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _ended = std::io::copy(&mut from, &mut to);
    let _gone = to.shutdown(Shutdown::Write);
}

struct Frame(Vec<u8>);

impl Frame {
    fn field(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    fn id(&self) -> u64 {
        u64::from_be_bytes(self.0[30..38].try_into().unwrap())
    }
}

fn read_frame(mut stream: &TcpStream) -> Option<Frame> {
    let mut frame = vec![0; 38];
    stream.read_exact(&mut frame).ok()?;
    let length = u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
    // One that claims to be too large has nothing behind its header.
    if length <= 1 << 20 {
        frame.resize(length, 0);
        stream.read_exact(&mut frame[38..]).ok()?;
    }
    Some(Frame(frame))
}
