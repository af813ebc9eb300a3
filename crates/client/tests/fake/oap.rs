//! A node that speaks OAP, for tests: each connection does what its script says.
//!
//! Uses the codec of the protocol and not its state machine, which would not let it misbehave.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use micronode_protocol::Address;
use micronode_protocol::codec::{Decoded, Decoder, Frame};
use micronode_protocol::frame::{Flags, HEADER_BYTES, Header};
use micronode_protocol::limits::{GROUP_BYTES, OAP_FRAME_BYTES};
use micronode_protocol::operation::{
    GetReply, GetRequest, HeadReply, Operation, PutReply, PutRequest, Welcome, decode_addresses,
};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Objects, manifest_of};

pub const START: Flags = Flags::RESP.with(Flags::START);
pub const MORE: Flags = Flags::RESP;
pub const END: Flags = Flags::RESP.with(Flags::END);
pub const WHOLE: Flags = Flags::RESP.with(Flags::WHOLE);

/// When an object put with a time to live expires, wherever the clock stands.
pub const EXPIRES_MS: u64 = 4_102_444_800_123;

/// A whole request.
#[derive(Clone, Debug)]
pub struct Request {
    pub id: u64,
    pub operation: Operation,
    pub payload: Vec<u8>,
    /// Bytes of the payload in each of its frames.
    pub frames: Vec<usize>,
}

impl Request {
    /// Of an object get: what of the object is asked for.
    pub fn get(&self) -> GetRequest {
        GetRequest::decode(&self.payload).expect("the fields of a get")
    }
}

/// What came from the client.
#[derive(Debug)]
pub enum Incoming {
    Request(Request),
    Cancel(u64),
    Event(Header),
}

/// One connection, as the node sees it. What fails is a client that went away.
pub struct Wire {
    socket: TcpStream,
    decoder: Decoder,
    /// Requests of which some has come.
    begun: HashMap<u64, Request>,
    /// The capability in HELLO.
    pub cap: Vec<u8>,
    pub hello: Vec<u8>,
}

impl Wire {
    fn new(socket: TcpStream) -> Self {
        Wire {
            socket,
            decoder: Decoder::new(OAP_FRAME_BYTES),
            begun: HashMap::new(),
            cap: Vec::new(),
            hello: Vec::new(),
        }
    }

    /// The next frame as it is; `None` when the client has closed.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            match self.decoder.next().expect("a client sends frames") {
                Some(Decoded::Frame(frame)) => return Some(frame),
                Some(Decoded::Skipped(_)) => unreachable!("nothing is skipped"),
                None => self.decoder.grant(),
            }
            let read = self.socket.read_buf(&mut self.decoder.spare()).await;
            if read.is_err() || read.is_ok_and(|count| count == 0) {
                return None;
            }
        }
    }

    /// Takes HELLO, and answers it.
    pub async fn welcome(&mut self, max_inflight: u32) -> Option<()> {
        let id = self.hello().await?;
        let welcome = Welcome::new(OAP_FRAME_BYTES as u32, max_inflight);
        self.send(WHOLE, 200, id, &welcome.encode()).await
    }

    /// Takes HELLO; the stream to answer it on.
    pub async fn hello(&mut self) -> Option<u64> {
        let frame = self.frame().await?;
        let header = frame.header;
        assert_eq!((header.app, header.code), (0, 0), "HELLO comes first");
        assert_eq!(header.flags, Flags::REQ.with(Flags::WHOLE));
        (self.cap, self.hello) = (frame.cap.to_vec(), frame.payload.to_vec());
        Some(header.corr_id)
    }

    /// The next request, once it is whole, or something else.
    pub async fn next(&mut self) -> Option<Incoming> {
        loop {
            let Frame {
                header, payload, ..
            } = self.frame().await?;
            let id = header.corr_id;
            if header.flags.has(Flags::EVENT) {
                return Some(Incoming::Event(header));
            }
            assert!(header.flags.has(Flags::REQ) && header.tenant == 0);
            if header.flags.has(Flags::START) {
                let operation = Operation::of(header.app, header.code);
                let request = Request {
                    id,
                    operation: operation.expect("an operation"),
                    payload: Vec::new(),
                    frames: Vec::new(),
                };
                assert!(self.begun.insert(id, request).is_none(), "{id} is open");
            } else if header.flags.has(Flags::END) && header.code == 0 {
                self.begun.remove(&id);
                return Some(Incoming::Cancel(id));
            }
            let request = self.begun.get_mut(&id).expect("an open stream");
            request.frames.push(payload.len());
            request.payload.extend_from_slice(&payload);
            if header.flags.has(Flags::END) {
                return self.begun.remove(&id).map(Incoming::Request);
            }
        }
    }

    /// The next whole request; anything else is passed over.
    pub async fn request(&mut self) -> Option<Request> {
        loop {
            if let Incoming::Request(request) = self.next().await? {
                return Some(request);
            }
        }
    }

    /// Sends a [`frame`].
    pub async fn send(&mut self, flags: Flags, code: u16, id: u64, payload: &[u8]) -> Option<()> {
        self.raw(&frame(flags, code, id, payload)).await
    }

    pub async fn problem(&mut self, status: u16, code: &str, id: u64) -> Option<()> {
        self.send(END, status, id, &problem(status, code)).await
    }

    pub async fn raw(&mut self, bytes: &[u8]) -> Option<()> {
        self.socket.write_all(bytes).await.ok()
    }

    /// Answers a request as a correct node would.
    pub async fn answer(&mut self, objects: &Objects, request: &Request) -> Option<()> {
        let (code, frames) = answer(objects, request);
        let last = frames.len() - 1;
        for (at, payload) in frames.iter().enumerate() {
            let mut flags = if code < 400 && at == 0 { START } else { MORE };
            if at == last {
                flags = flags.with(Flags::END);
            }
            self.send(flags, code, request.id, payload).await?;
        }
        Some(())
    }

    /// Answers everything as a correct node would.
    pub async fn serve(&mut self, objects: &Objects) -> Option<()> {
        loop {
            let request = self.request().await?;
            self.answer(objects, &request).await?;
        }
    }

    /// Closes the connection, so that the client sees its end and no reset.
    pub async fn close(mut self) -> Option<()> {
        self.socket.shutdown().await.ok()?;
        while self.frame().await.is_some() {}
        Some(())
    }
}

/// The bytes of a frame. The family does not matter to a client: the stream says it all.
pub fn frame(flags: Flags, code: u16, id: u64, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        len: (HEADER_BYTES + payload.len()) as u32,
        flags,
        code,
        corr_id: id,
        ..Header::default()
    };
    [&header.encode()[..], payload].concat()
}

pub fn problem(status: u16, code: &str) -> Vec<u8> {
    let retryable = matches!(status, 408 | 429 | 500 | 503 | 504);
    let document = format!(
        r#"{{"status":{status},"code":"{code}","detail":"on purpose","retryable":{retryable}}}"#
    );
    document.into_bytes()
}

/// In front of the bytes of an object from `offset` on.
pub fn get_fields(size: usize, offset: usize) -> Vec<u8> {
    let mut fields = Vec::new();
    GetReply {
        size: size as u64,
        offset: offset as u64,
        expires_ms: 0,
        media_type: "text/plain",
    }
    .encode(&mut fields);
    fields
}

/// The frames of a correct answer.
pub fn answer(objects: &Objects, request: &Request) -> (u16, Vec<Vec<u8>>) {
    let payload = &request.payload;
    let mut stored = objects.0.lock();
    let found = |address: &Address| stored.get(address).cloned();
    let missing = || (404, vec![problem(404, "not_found")]);
    let address = || Address::from_bytes(payload[..].try_into().expect("an address"));
    let one = |fields: Vec<u8>| (200, vec![fields]);
    match request.operation {
        // Without a script, who is asked for authority has none to give.
        Operation::Exchange | Operation::Mint => (401, vec![problem(401, "unauthenticated")]),
        Operation::Ping => one(payload.clone()),
        Operation::Echo => {
            let mut frames: Vec<_> = payload.chunks(GROUP_BYTES).map(<[u8]>::to_vec).collect();
            frames.resize(frames.len().max(1), Vec::new());
            (200, frames)
        }
        Operation::ObjectHas => one(decode_addresses(payload)
            .expect("addresses")
            .iter()
            .map(|address| u8::from(stored.contains_key(address)))
            .collect()),
        Operation::ObjectDelete => match stored.remove(&address()) {
            Some(_) => (204, vec![Vec::new()]),
            None => missing(),
        },
        Operation::ObjectManifest => match found(&address()) {
            Some(object) => one(manifest_of(&object)),
            None => missing(),
        },
        Operation::ObjectHead => match found(&address()) {
            Some(object) => {
                let mut fields = Vec::new();
                HeadReply {
                    size: object.len() as u64,
                    expires_ms: if objects.expires(&address()) {
                        EXPIRES_MS
                    } else {
                        0
                    },
                    media_type: "text/plain",
                }
                .encode(&mut fields);
                one(fields)
            }
            None => missing(),
        },
        Operation::ObjectGet => {
            let get = request.get();
            let Some(object) = found(&get.address) else {
                return missing();
            };
            let Some((part, range)) = get.resolve(object.len() as u64) else {
                return (416, vec![problem(416, "range_unsatisfiable")]);
            };
            let bytes = &object[range.start as usize..range.end as usize];
            let mut frames: Vec<_> = bytes.chunks(GROUP_BYTES).map(<[u8]>::to_vec).collect();
            frames.resize(frames.len().max(1), Vec::new());
            let fields = get_fields(object.len(), range.start as usize);
            frames[0].splice(0..0, fields);
            (if part { 206 } else { 200 }, frames)
        }
        Operation::ObjectPut => {
            let (put, at) = PutRequest::parse(payload).expect("fields").expect("fields");
            let bytes = &payload[at..];
            let address = Address::of(bytes);
            if put.expected.is_some_and(|expected| expected != address) {
                return (422, vec![problem(422, "digest_mismatch")]);
            }
            let existed = stored.insert(address, bytes.to_vec()).is_some();
            if put.ttl_ms > 0 {
                objects.expire(address);
            }
            let mut fields = Vec::new();
            PutReply {
                address,
                size: bytes.len() as u64,
                existed,
            }
            .encode(&mut fields);
            (if existed { 200 } else { 201 }, vec![fields])
        }
        // It has no names, queues and events.
        _ => missing(),
    }
}

/// A listening node. Ends with the runtime of its test.
pub struct Node {
    pub url: String,
    pub objects: Arc<Objects>,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Node {
    /// An honest node.
    pub async fn honest() -> Self {
        Self::faulty(|_, _| None).await
    }

    /// A node that is honest but for the requests that `fault` answers with an error; it is told
    /// how many came before.
    pub async fn faulty(
        fault: impl Fn(&Request, usize) -> Option<(u16, &'static str)> + Send + Sync + 'static,
    ) -> Self {
        let fault = Arc::new(fault);
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let mut node = Self::start(move |mut wire, objects, _| {
            let (fault, seen) = (Arc::clone(&fault), Arc::clone(&seen));
            async move {
                wire.welcome(64).await?;
                loop {
                    let request = wire.request().await?;
                    let before = {
                        let mut seen = seen.lock();
                        seen.push(request.clone());
                        seen.len() - 1
                    };
                    match fault(&request, before) {
                        Some((status, code)) => wire.problem(status, code, request.id).await?,
                        None => wire.answer(&objects, &request).await?,
                    }
                }
            }
        })
        .await;
        node.requests = requests;
        node
    }

    /// A node that does as `script` says with each connection; it is told how many came before.
    pub async fn start<S, R>(script: S) -> Self
    where
        S: Fn(Wire, Arc<Objects>, usize) -> R + Send + Sync + 'static,
        R: Future<Output = Option<()>> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let node = Node {
            url: format!("oap://{}", listener.local_addr().expect("an address")),
            objects: Arc::default(),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (objects, connections) = (Arc::clone(&node.objects), Arc::clone(&node.connections));
        let script = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let before = connections.fetch_add(1, Ordering::Relaxed);
                let (script, objects) = (Arc::clone(&script), Arc::clone(&objects));
                tokio::spawn(async move { script(Wire::new(socket), objects, before).await });
            }
        });
        node
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The requests that an honest or faulty node has had, in the order of their ends.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }
}
