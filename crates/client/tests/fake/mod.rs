//! A node for tests, on raw sockets: honest by default, and able to fail or lie in any way.
//!
//! Knows nothing of the client's HTTP library, so that the two cannot share a misunderstanding.
// Compiled into several test programs, none of which uses all of it.
#![allow(dead_code, unreachable_pub)]

pub mod authority;
pub mod oap;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use micronode_protocol::limits::GROUP_BYTES;
use micronode_protocol::{Address, ObjectHasher};
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A request as it was received; header names are lowercase.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    /// Absent until it was read.
    pub body: Option<Vec<u8>>,
}

impl Request {
    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn is_data(&self) -> bool {
        self.method == "GET" && !self.path.ends_with("/manifest")
    }
}

/// What the node does with a request.
pub enum Reply {
    /// Sends these bytes and goes on.
    Send(Vec<u8>),
    /// Sends these bytes after this time and goes on.
    SendLate(Duration, Vec<u8>),
    /// Sends these bytes and closes the connection.
    SendAndClose(Vec<u8>),
    /// Sends these bytes, then discards what the client still sends.
    SendAndDiscard(Vec<u8>),
    /// Says nothing for ever.
    Silence,
}

/// An answer with a declared length.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

pub fn problem(status: u16, code: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let retryable = matches!(status, 408 | 429 | 500 | 503 | 504);
    let body = format!(
        r#"{{"status":{status},"code":"{code}","detail":"on purpose","retryable":{retryable}}}"#
    );
    answer(status, headers, body.as_bytes())
}

/// The objects of an honest node.
#[derive(Default)]
pub struct Objects(Mutex<HashMap<Address, Vec<u8>>>, Mutex<HashSet<Address>>);

impl Objects {
    /// Notes that an object was put with a time to live.
    fn expire(&self, address: Address) {
        self.1.lock().insert(address);
    }

    fn expires(&self, address: &Address) -> bool {
        self.1.lock().contains(address)
    }

    pub fn insert(&self, bytes: &[u8]) -> Address {
        let address = Address::of(bytes);
        self.0.lock().insert(address, bytes.to_vec());
        address
    }

    /// Answers as a correct node would; `None` as long as the body is needed and missing.
    pub fn answer(&self, request: &Request) -> Option<Vec<u8>> {
        let path = request.path.as_str();
        let parse = |text: &str| {
            text.parse::<Address>()
                .expect("a client sends well-formed addresses")
        };
        match (request.method.as_str(), path.strip_prefix("/o/")) {
            ("POST", None) if path == "/has" => {
                let asked: Vec<String> =
                    serde_json::from_slice(request.body.as_ref()?).expect("JSON");
                let found: Vec<bool> = asked
                    .iter()
                    .map(|text| self.0.lock().contains_key(&parse(text)))
                    .collect();
                Some(answer(200, &[], &serde_json::to_vec(&found).expect("JSON")))
            }
            ("POST", None) if path == "/put" => Some(self.store(request.body.as_ref()?, None)),
            ("PUT", Some(address)) => {
                Some(self.store(request.body.as_ref()?, Some(parse(address))))
            }
            ("DELETE", Some(address)) => Some(match self.0.lock().remove(&parse(address)) {
                Some(_) => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
                None => problem(404, "not_found", &[]),
            }),
            (method, Some(path)) => {
                let (address, manifest) = path
                    .strip_suffix("/manifest")
                    .map_or((path, false), |address| (address, true));
                let Some(object) = self.0.lock().get(&parse(address)).cloned() else {
                    return Some(problem(404, "not_found", &[]));
                };
                Some(match (method, manifest) {
                    ("GET", true) => answer(200, &[], &manifest_of(&object)),
                    ("GET", false) => read(&object, request.header("range")),
                    ("HEAD", false) => {
                        let kept = ("cache-control", "private, max-age=31536000, immutable");
                        let whole = answer(200, &[kept], &object);
                        whole[..whole.len() - object.len()].to_vec()
                    }
                    _ => problem(405, "method_not_allowed", &[]),
                })
            }
            _ => Some(problem(404, "not_found", &[])),
        }
    }

    fn store(&self, bytes: &[u8], expected: Option<Address>) -> Vec<u8> {
        let address = Address::of(bytes);
        if expected.is_some_and(|expected| expected != address) {
            return problem(422, "digest_mismatch", &[]);
        }
        let existed = self.0.lock().insert(address, bytes.to_vec()).is_some();
        receipt(if existed { 200 } else { 201 }, &address, bytes.len())
    }
}

pub fn receipt(status: u16, address: &Address, size: usize) -> Vec<u8> {
    answer(
        status,
        &[],
        format!(r#"{{"address":"{address}","size":{size}}}"#).as_bytes(),
    )
}

pub fn manifest_of(object: &[u8]) -> Vec<u8> {
    let mut hasher = ObjectHasher::new();
    if object.len() > GROUP_BYTES {
        object
            .chunks(GROUP_BYTES)
            .for_each(|group| hasher.push(group));
    } else if !object.is_empty() {
        hasher.push_only(object);
    }
    hasher.finish().manifest().encode()
}

fn read(object: &[u8], range: Option<&str>) -> Vec<u8> {
    let Some(range) = range else {
        return answer(200, &[], object);
    };
    let (first, last) = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
        .expect("one range");
    let (first, last): (usize, usize) = (
        first.parse().expect("a number"),
        last.parse().expect("a number"),
    );
    let content_range = format!("bytes {first}-{last}/{}", object.len());
    answer(
        206,
        &[("content-range", &content_range)],
        &object[first..=last],
    )
}

/// A listening node. Ends with the runtime of its test.
pub struct Node {
    pub url: String,
    pub objects: Arc<Objects>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Node {
    /// An honest node.
    pub async fn honest() -> Self {
        Self::start(|_, _| None).await
    }

    /// A node that asks `fault` first, with the number of requests before this one. It is asked
    /// before the body is read, and again with it.
    pub async fn start(
        fault: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let node = Node {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            objects: Arc::default(),
            requests: Arc::default(),
        };
        let (objects, requests) = (Arc::clone(&node.objects), Arc::clone(&node.requests));
        let fault = Arc::new(fault);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (objects, requests, fault) = (
                    Arc::clone(&objects),
                    Arc::clone(&requests),
                    Arc::clone(&fault),
                );
                tokio::spawn(async move {
                    // An error is a client that went away, which is for the test to judge.
                    let _ = serve(socket, &objects, &requests, &*fault).await;
                });
            }
        });
        node
    }

    /// The requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }
}

async fn serve(
    socket: TcpStream,
    objects: &Objects,
    requests: &Mutex<Vec<Request>>,
    fault: &(dyn Fn(&Request, usize) -> Option<Reply> + Send + Sync),
) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    while let Some(mut request) = head(&mut socket).await? {
        let before = requests.lock().len();
        requests.lock().push(request.clone());
        let mut reply = fault(&request, before);
        if reply.is_none() {
            request.body = Some(body(&mut socket, &request).await?);
            requests.lock()[before].body = request.body.clone();
            reply = fault(&request, before);
        }
        match reply
            .or_else(|| objects.answer(&request).map(Reply::Send))
            .expect("the body was read")
        {
            Reply::Send(bytes) => socket.write_all(&bytes).await?,
            Reply::SendLate(time, bytes) => {
                tokio::time::sleep(time).await;
                socket.write_all(&bytes).await?;
            }
            Reply::SendAndClose(bytes) => return socket.write_all(&bytes).await,
            Reply::SendAndDiscard(bytes) => {
                socket.write_all(&bytes).await?;
                while socket.read(&mut [0; 65536]).await? > 0 {}
            }
            Reply::Silence => std::future::pending().await,
        }
    }
    Ok(())
}

async fn head(socket: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    socket.read_line(&mut line).await?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let mut request = Request {
        method: method.into(),
        path: path.into(),
        headers: BTreeMap::new(),
        body: None,
    };
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).await?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => request
                .headers
                .insert(name.to_lowercase(), value.to_owned()),
            None => return Ok(Some(request)),
        };
    }
}

async fn body(socket: &mut BufReader<TcpStream>, request: &Request) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if request.header("transfer-encoding") == Some("chunked") {
        loop {
            let mut line = String::new();
            socket.read_line(&mut line).await?;
            let length =
                usize::from_str_radix(line.trim_end(), 16).map_err(std::io::Error::other)?;
            let start = body.len();
            body.resize(start + length + 2, 0);
            socket.read_exact(&mut body[start..]).await?;
            body.truncate(start + length);
            if length == 0 {
                return Ok(body);
            }
        }
    }
    body.resize(
        request
            .header("content-length")
            .map_or(0, |length| length.parse().expect("a number")),
        0,
    );
    socket.read_exact(&mut body).await?;
    Ok(body)
}
