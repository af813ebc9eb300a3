//! HTTP/2 from the client's side, frame by frame.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use crate::harness::Client;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0x0;
pub const HEADERS: u8 = 0x1;
pub const PRIORITY: u8 = 0x2;
pub const RST_STREAM: u8 = 0x3;
pub const SETTINGS: u8 = 0x4;
pub const PING: u8 = 0x6;
pub const GOAWAY: u8 = 0x7;
pub const WINDOW_UPDATE: u8 = 0x8;
pub const CONTINUATION: u8 = 0x9;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];

#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// HPACK (RFC 7541): three entries of the static table, then a literal path and authority.
pub fn request_fields(method_get: bool, path: &str) -> Vec<u8> {
    let mut fields = vec![if method_get { 0x82 } else { 0x83 }, 0x86];
    for (name, value) in [(0x04, path), (0x01, "test")] {
        fields.push(name);
        fields.push(u8::try_from(value.len()).unwrap());
        fields.extend(value.bytes());
    }
    fields
}

pub fn get(stream: u32, path: &str) -> Vec<u8> {
    let fields = request_fields(true, path);
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields)
}

pub fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

impl<I: AsyncRead + AsyncWrite + Unpin> Client<I> {
    /// The preface, with the window that each stream begins with.
    pub async fn start_http2(&mut self, stream_window: u32) {
        let mut setting = INITIAL_WINDOW_SIZE.to_vec();
        setting.extend(stream_window.to_be_bytes());
        self.send([PREFACE, &frame(SETTINGS, 0, 0, &setting)].concat())
            .await;
        // The connection's own window is opened wide: streams are what these tests are about.
        self.send(window_update(0, 1 << 30)).await;
    }

    /// The next frame, or `None` when the server has closed.
    pub async fn next_frame(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        self.io.read_exact(&mut header).await.ok()?;
        let [a, b, c, kind, flags, d, e, f, g] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.io.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes([d, e, f, g]),
            payload,
        })
    }

    /// The next frame of a stream.
    pub async fn next_of(&mut self, stream: u32) -> Frame {
        loop {
            let frame = self.next_frame().await.expect("the connection lives");
            if frame.stream == stream {
                return frame;
            }
        }
    }

    /// The length of a stream's whole response.
    pub async fn http2_response(&mut self, stream: u32) -> usize {
        let head = self.next_of(stream).await;
        assert_eq!(head.kind, HEADERS, "{head:?}");
        // `:status: 200` in the static table.
        assert_eq!(head.payload[0], 0x88, "{head:?}");
        let mut length = 0;
        let mut ended = head.flags & END_STREAM != 0;
        while !ended {
            let data = self.next_of(stream).await;
            assert_eq!(data.kind, DATA, "{data:?}");
            length += data.payload.len();
            ended = data.flags & END_STREAM != 0;
        }
        length
    }

    pub async fn is_served_http2(&mut self, stream: u32) {
        self.send(get(stream, "/")).await;
        assert_eq!(self.http2_response(stream).await, 5);
    }

    /// The frames that arrive until the server closes.
    pub async fn rest_of_frames(&mut self) -> VecDeque<Frame> {
        let mut frames = VecDeque::new();
        while let Some(frame) = self.next_frame().await {
            frames.push_back(frame);
        }
        frames
    }
}
