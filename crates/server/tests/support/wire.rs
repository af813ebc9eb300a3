//! The client's end of an OAP connection in memory, with as little of its own as it can have: what
//! is measured and counted through it is the node's.

use bytes::{BufMut, Bytes};
use micronode_protocol::codec::{Decoded, Decoder, Encoder, Frame};
use micronode_protocol::frame::{Flags, Header};
use micronode_protocol::limits::OAP_FRAME_BYTES;
use micronode_protocol::operation::{GetRequest, Hello, Operation, PutReply, PutRequest};
use micronode_protocol::{Address, operation};
use micronode_server::EmbeddedNode;
use micronode_server::config::{Sources, load};
use std::io::IoSlice;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Bytes that the connection holds in either direction.
const PIPE_BYTES: usize = 256 * 1024;

/// A client that has said HELLO to a node of its own.
pub(crate) struct Wire {
    io: DuplexStream,
    encoder: Encoder,
    decoder: Decoder,
}

/// A request's flags.
pub(crate) const WHOLE: Flags = Flags::REQ.with(Flags::WHOLE);

impl Wire {
    /// A node in development mode without a request rate, and a connection to it that it serves on
    /// this runtime.
    pub(crate) async fn open() -> Self {
        Self::open_with(None, &[]).await
    }

    /// The same, with what a file and `flags` say besides.
    pub(crate) async fn open_with(file: Option<PathBuf>, flags: &[(&'static str, &str)]) -> Self {
        let usual = [
            ("dev", "true"),
            ("limits.rps", "0"),
            ("memory.budget", "1GiB"),
        ];
        let flags = usual.iter().chain(flags);
        let loaded = load(Sources {
            file,
            env: [],
            flags: flags
                .map(|(key, value)| (*key, (*value).to_owned()))
                .collect(),
        });
        let node = EmbeddedNode::new(&loaded.expect("flags that are right"));
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        tokio::spawn(node.serve_oap(theirs).expect("the first connection"));
        let mut wire = Self {
            io: ours,
            encoder: Encoder::new(),
            decoder: Decoder::new(OAP_FRAME_BYTES),
        };
        wire.push(
            WHOLE,
            (operation::CONTROL, operation::HELLO),
            0,
            &Hello::default().encode(),
            Bytes::new(),
        );
        wire.flush().await;
        assert_eq!(wire.frame().await.header.code, 200);
        wire
    }

    /// Queues a frame.
    pub(crate) fn push(
        &mut self,
        flags: Flags,
        (app, code): (u16, u16),
        corr_id: u64,
        fields: &[u8],
        body: Bytes,
    ) {
        let header = Header {
            flags,
            code,
            app,
            corr_id,
            ..Header::default()
        };
        self.encoder.push(&header, &[], fields, body);
    }

    /// Queues a request that is one frame of fields.
    pub(crate) fn ask(&mut self, operation: Operation, corr_id: u64, fields: &[u8]) {
        let code = (operation.app(), operation.code());
        self.push(WHOLE, code, corr_id, fields, Bytes::new());
    }

    /// Writes what is queued.
    pub(crate) async fn flush(&mut self) {
        while self.encoder.queued() > 0 {
            let mut slices = [IoSlice::new(b"")];
            self.encoder.slices(&mut slices);
            let count = self.io.write(&slices[0]).await.expect("the node is there");
            self.encoder.advance(count);
        }
    }

    /// The next frame that the node sends.
    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            match self.decoder.next().expect("a node sends frames") {
                Some(Decoded::Frame(frame)) => return frame,
                Some(Decoded::Skipped(_)) => panic!("nothing is skipped"),
                None => self.decoder.grant(),
            }
            let mut spare = self.decoder.spare();
            assert!(spare.has_remaining_mut());
            let count = self
                .io
                .read_buf(&mut spare)
                .await
                .expect("the node is there");
            assert!(count > 0, "the node has closed");
        }
    }

    /// Puts `object` in frames of `chunk` bytes of it, writing while the node reads.
    pub(crate) async fn put(&mut self, object: &Bytes, chunk: usize) -> Address {
        let code = (Operation::ObjectPut.app(), Operation::ObjectPut.code());
        let mut fields = Vec::new();
        let request = PutRequest {
            expected: None,
            ttl_ms: 0,
            media_type: "",
        };
        request.encode(&mut fields);
        let mut rest = object.clone();
        let mut flags = Flags::REQ.with(Flags::START);
        loop {
            let body = rest.split_to(rest.len().min(chunk));
            if rest.is_empty() {
                flags = flags.with(Flags::END);
            }
            self.push(flags, code, 1, &fields, body);
            self.flush().await;
            fields.clear();
            flags = Flags::REQ;
            if rest.is_empty() {
                break;
            }
        }
        let answer = self.frame().await;
        assert!(matches!(answer.header.code, 200 | 201), "{answer:?}");
        PutReply::decode(&answer.payload)
            .expect("its fields")
            .address
    }

    /// Gets a whole object and returns how many bytes of it came.
    pub(crate) async fn get(&mut self, address: Address) -> usize {
        self.ask(Operation::ObjectGet, 1, &get_fields(address));
        self.flush().await;
        let mut bytes = 0;
        loop {
            let frame = self.frame().await;
            assert_eq!(frame.header.code, 200);
            bytes += frame.payload.len();
            if frame.header.flags.has(Flags::END) {
                return bytes;
            }
        }
    }
}

/// The fields of a get of a whole object.
pub(crate) fn get_fields(address: Address) -> Vec<u8> {
    let request = GetRequest {
        address,
        offset: 0,
        length: 0,
    };
    let mut fields = Vec::new();
    request.encode(&mut fields);
    fields
}

/// `size` bytes, the same every time.
pub(crate) fn object(size: usize) -> Bytes {
    let block: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
    block.into()
}
