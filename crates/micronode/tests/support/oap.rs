//! OAP/1 over a plain socket: frames that are put together and taken apart here, byte by byte as
//! the protocol says, so that a fault of the node's codec cannot cancel itself out.

mod frame;
mod message;
mod payload;
mod reply;

pub use frame::Frame;
pub use message::{Delivery, deliveries, text};
pub use payload::{
    get, hash, name_list, name_read, name_set, plain_put, put, receive, send, settle, str16,
    subscribe,
};
pub use reply::{Object, Reply, object};

use super::PATIENCE;
use super::connection::narrow;
use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

pub const REQ: u16 = 1;
pub const RESP: u16 = 2;
pub const EVENT: u16 = 4;
pub const START: u16 = 8;
pub const END: u16 = 16;
pub const ACK_REQ: u16 = 32;
pub const COMP: u16 = 64;
pub const APP_E2E: u16 = 128;
/// All of one side in one frame.
pub const WHOLE: u16 = START | END;

pub const HEADER: usize = 38;
pub const CHUNK: usize = 64 * 1024;
pub const MAX_FRAME: usize = 1024 * 1024;

/// An operation: the protocol in the header, and the code.
pub type Operation = (u16, u16);
pub const HELLO: Operation = (0, 0);
pub const PING: Operation = (0, 1);
pub const EXCHANGE: Operation = (0, 2);
pub const MINT: Operation = (0, 3);
pub const ECHO: Operation = (1, 1);
pub const GET: Operation = (2, 1);
pub const PUT: Operation = (2, 2);
pub const HAS: Operation = (2, 3);
pub const DELETE: Operation = (2, 4);
pub const HEAD: Operation = (2, 5);
pub const MANIFEST: Operation = (2, 6);
pub const NAME_GET: Operation = (3, 1);
pub const NAME_SET: Operation = (3, 2);
pub const NAME_DELETE: Operation = (3, 3);
pub const NAME_LIST: Operation = (3, 4);
pub const NAME_WATCH: Operation = (3, 5);
pub const NAME_READ: Operation = (3, 6);
pub const SEND: Operation = (4, 1);
pub const RECEIVE: Operation = (4, 2);
pub const ACK: Operation = (4, 3);
pub const NACK: Operation = (4, 4);
pub const EXTEND: Operation = (4, 5);
pub const STATS: Operation = (4, 6);
pub const SUBSCRIBE: Operation = (4, 7);
pub const PURGE: Operation = (4, 8);
pub const REDRIVE: Operation = (4, 9);
pub const EVENTS: Operation = (5, 1);

/// One connection; reads give up after [`PATIENCE`].
pub struct Oap {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
    /// Frames that came while those of another stream were waited for.
    kept: VecDeque<Frame>,
    last_id: u64,
}

impl Oap {
    /// A connection that has said nothing yet.
    pub fn dial(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    /// A connection on which HELLO has been answered.
    pub fn greet(address: SocketAddr) -> Self {
        Self::dial(address).greeted()
    }

    /// The same, with a capability for all requests that bring none.
    pub fn greet_as(address: SocketAddr, cap: &[u8]) -> Self {
        let mut client = Self::dial(address);
        let mut hello = Frame::request(0, HELLO, WHOLE, br#"{"ua":"test"}"#);
        hello.cap = cap.to_vec();
        client.send_frame(&hello);
        let welcome = client.frame().expect("an answer to HELLO");
        assert_eq!((welcome.flags, welcome.code), (RESP | WHOLE, 200));
        client
    }

    /// The same, for a client that lets answers be compressed.
    pub fn greet_for_compression(address: SocketAddr) -> Self {
        let mut client = Self::dial(address);
        let welcome = client.hello(br#"{"ua":"test","accept_comp":true}"#);
        assert_eq!(welcome.code, 200);
        client
    }

    /// The same, for a client that can hold a few KiB of what it is sent.
    pub fn with_small_window(address: SocketAddr) -> Self {
        Self::of(narrow(address)).greeted()
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            reader: BufReader::new(stream.try_clone().unwrap()),
            stream,
            kept: VecDeque::new(),
            last_id: 0,
        }
    }

    fn greeted(mut self) -> Self {
        let welcome = self.hello(br#"{"ua":"test"}"#);
        assert_eq!((welcome.flags, welcome.code), (RESP | WHOLE, 200));
        self
    }

    /// HELLO, and its answer.
    #[track_caller]
    pub fn hello(&mut self, payload: &[u8]) -> Frame {
        self.send_frame(&Frame::request(0, HELLO, WHOLE, payload));
        self.frame().expect("an answer to HELLO")
    }

    // --- Out -------------------------------------------------------------------------------

    /// Writes `bytes`; a peer that has closed already does not fail the test here.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn send_frame(&mut self, frame: &Frame) {
        self.send(&frame.encode());
    }

    /// An id that no stream of this connection has had.
    pub fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// A request in one frame; its stream.
    pub fn ask(&mut self, operation: Operation, payload: &[u8]) -> u64 {
        let id = self.new_id();
        self.send_frame(&Frame::request(id, operation, WHOLE, payload));
        id
    }

    /// The first frame of a request of several; its stream.
    pub fn begin(&mut self, operation: Operation, payload: &[u8]) -> u64 {
        let id = self.new_id();
        self.send_frame(&Frame::request(id, operation, START, payload));
        id
    }

    /// A frame in the middle of a request.
    pub fn go_on(&mut self, id: u64, operation: Operation, payload: &[u8]) {
        self.send_frame(&Frame::request(id, operation, 0, payload));
    }

    /// The last frame of a request of several.
    pub fn end(&mut self, id: u64, operation: Operation, payload: &[u8]) {
        self.send_frame(&Frame::request(id, operation, END, payload));
    }

    pub fn cancel(&mut self, id: u64) {
        self.send_frame(&Frame::request(id, HELLO, END, b""));
    }

    /// One exchange, in one frame.
    #[track_caller]
    pub fn call(&mut self, operation: Operation, payload: &[u8]) -> Reply {
        let id = self.ask(operation, payload);
        self.reply(id)
    }

    /// The same, with a capability of its own.
    #[track_caller]
    pub fn call_as(&mut self, cap: &[u8], operation: Operation, payload: &[u8]) -> Reply {
        let id = self.new_id();
        let mut frame = Frame::request(id, operation, WHOLE, payload);
        frame.cap = cap.to_vec();
        self.send_frame(&frame);
        self.reply(id)
    }

    /// One exchange whose request comes in frames of at most a chunk of `body` after `fields`.
    #[track_caller]
    pub fn upload(&mut self, operation: Operation, fields: &[u8], body: &[u8]) -> Reply {
        let id = self.begin(operation, fields);
        for chunk in body.chunks(CHUNK) {
            self.go_on(id, operation, chunk);
        }
        self.end(id, operation, b"");
        self.reply(id)
    }

    /// Nothing more will be sent; a peer that has closed already does not fail the test here.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    // --- In --------------------------------------------------------------------------------

    /// The next frame of any stream; `None` when the node has closed.
    #[track_caller]
    pub fn frame(&mut self) -> Option<Frame> {
        self.kept.pop_front().or_else(|| self.read_frame())
    }

    #[track_caller]
    fn read_frame(&mut self) -> Option<Frame> {
        let mut header = [0; HEADER];
        match self.reader.read_exact(&mut header[..1]) {
            Ok(()) => {}
            Err(error) => {
                let ends = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
                assert!(ends.contains(&error.kind()), "waited in vain: {error}");
                return None;
            }
        }
        self.reader.read_exact(&mut header[1..]).unwrap();
        let number = |at: std::ops::Range<usize>| {
            let bytes = header[at].iter();
            bytes.fold(0, |number, byte| number << 8 | u128::from(*byte))
        };
        let (length, cap) = (number(0..4) as usize, number(28..30) as usize);
        assert!((HEADER..=MAX_FRAME).contains(&length), "{length} bytes");
        assert_eq!((number(4..6), cap), (1, 0), "a version, and no capability");
        let mut payload = vec![0; length - HEADER];
        self.reader.read_exact(&mut payload).unwrap();
        Some(Frame {
            flags: number(6..8) as u16,
            code: number(8..10) as u16,
            app: number(10..12) as u16,
            tenant: number(12..28),
            corr_id: number(30..38) as u64,
            cap: Vec::new(),
            payload,
        })
    }

    /// The answer of stream `id`, up to its last frame.
    #[track_caller]
    pub fn reply(&mut self, id: u64) -> Reply {
        let mut frames: Vec<Frame> = Vec::new();
        let is_its = |frame: &Frame| frame.corr_id == id;
        while frames.last().is_none_or(|frame| !frame.has(END)) {
            if let Some(at) = self.kept.iter().position(is_its) {
                frames.extend(self.kept.remove(at));
                continue;
            }
            let frame = self.read_frame().expect("closed before the answer's end");
            if is_its(&frame) {
                frames.push(frame);
            } else {
                self.kept.push_back(frame);
            }
        }
        Reply::new(frames)
    }

    /// `count` bytes of whatever comes.
    pub fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Everything until the node closes, whether in order or by a reset.
    #[track_caller]
    pub fn until_closed(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.frame()).collect()
    }

    /// Checks that the connection is served: a ping is answered.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        let pong = self.call(PING, b"");
        assert_eq!((pong.status(), pong.payload()), (200, Vec::new()));
    }

    /// Checks that the node says `code` on stream `id`, as the last thing before it closes.
    #[track_caller]
    pub fn assert_last_word(&mut self, id: u64, code: &str) {
        let frames = self.until_closed();
        assert_eq!(frames.len(), 1, "{frames:?}");
        Reply::new(frames).assert_problem_of(id, code);
    }
}
