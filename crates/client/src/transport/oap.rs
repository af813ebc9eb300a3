//! OAP/1 to one node: operations into payloads, and payloads into what they say.
//!
//! All calls share one connection, which is opened by the first of them and again by the next
//! after it has ended. How it is opened is in `connect`, who may use it in `link`; `driver` moves
//! its bytes, `streams` knows what each call has still to send and what has come for it, and a
//! `call` is one of them as its caller sees it. `read` and `upload` are the two that stream.

mod call;
mod connect;
mod driver;
mod ended;
mod link;
mod progress;
mod read;
mod received;
mod stream;
mod streams;
mod upload;

pub(crate) use read::Body;

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io, mem};

use bytes::Bytes;
use micronode_protocol::Address;
use micronode_protocol::capability::base64url;
use micronode_protocol::limits::{CAPABILITY_BYTES, MEDIA_TYPE_BYTES};
use micronode_protocol::operation::{HeadReply, Operation, decode_presence};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::origin::Origin;
use crate::{ClientOptions, Error, ObjectInfo, TransportError, clock};
use call::{Call, Failed};
use link::Link;
use stream::Request;

/// Most bytes of what a node says about an object.
const HEAD_BYTES: usize = 8 + 8 + 2 + MEDIA_TYPE_BYTES;

/// A way to one node. Clones share its connection.
#[derive(Clone)]
pub(super) struct Oap(Arc<Shared>);

struct Shared {
    node: connect::Way,
    /// The first frame of every connection; the token is in it.
    hello: Bytes,
    options: Arc<ClientOptions>,
    /// The last connection. Locked while another is opened, so that many callers open one.
    link: Mutex<Option<Arc<Link>>>,
}

impl fmt::Debug for Oap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Oap").field(&self.0.node).finish()
    }
}

/// What has to happen to a request, and within what time, before [`Oap::open`] lets go of it.
#[derive(Clone, Copy)]
enum Until {
    /// Some of it has left.
    Begun(Duration),
    /// It has an answer.
    Answered(Duration),
}

impl Oap {
    pub(super) fn new(origin: Origin, options: Arc<ClientOptions>) -> Result<Self, Error> {
        let cap = match &options.token {
            Some(token) => {
                base64url::decode(token.text(), CAPABILITY_BYTES).ok_or(Error::TokenNotBase64)?
            }
            None => Vec::new(),
        };
        Ok(Oap(Arc::new(Shared {
            node: connect::Way::new(origin, &options)?,
            hello: connect::hello(&cap),
            options,
            link: Mutex::new(None),
        })))
    }

    pub(super) async fn head(&self, address: &Address) -> Result<ObjectInfo, Error> {
        self.head_with(address, |head| ObjectInfo {
            size: head.size,
            content_type: (!head.media_type.is_empty()).then(|| head.media_type.to_owned()),
            kept_for: Some(match head.expires_ms {
                0 => ObjectInfo::FOR_EVER,
                at => clock::time_until(at).min(ObjectInfo::FOR_EVER),
            }),
        })
        .await
    }

    async fn head_with<T>(
        &self,
        address: &Address,
        what: impl FnOnce(HeadReply<'_>) -> T,
    ) -> Result<T, Error> {
        let fields = address.as_bytes().to_vec();
        let answer = self
            .ask(Operation::ObjectHead, fields, Bytes::new(), HEAD_BYTES)
            .await?;
        match HeadReply::parse(&answer) {
            Ok(Some((head, used))) if used == answer.len() => Ok(what(head)),
            _ => Err(Error::Protocol("it does not describe an object")),
        }
    }

    pub(super) async fn manifest(&self, address: &Address, limit: usize) -> Result<Bytes, Error> {
        let fields = address.as_bytes().to_vec();
        self.ask(Operation::ObjectManifest, fields, Bytes::new(), limit)
            .await
    }

    pub(super) async fn has(&self, addresses: &[Address]) -> Result<Vec<bool>, Error> {
        let question: Vec<u8> = addresses
            .iter()
            .flat_map(|address| *address.as_bytes())
            .collect();
        let answer = self
            .ask(
                Operation::ObjectHas,
                Vec::new(),
                question.into(),
                addresses.len(),
            )
            .await?;
        decode_presence(&answer).map_err(|_| Error::Protocol("it is not a list of yes and no"))
    }

    pub(super) async fn delete(&self, address: &Address) -> Result<(), Error> {
        let fields = address.as_bytes().to_vec();
        self.ask(Operation::ObjectDelete, fields, Bytes::new(), 0)
            .await
            .map(drop)
    }

    pub(super) async fn echo(&self, bytes: Bytes) -> Result<Bytes, Error> {
        let limit = bytes.len();
        self.ask(Operation::Echo, Vec::new(), bytes, limit).await
    }

    pub(super) async fn ping(&self) -> Result<(), Error> {
        self.ask(Operation::Ping, Vec::new(), Bytes::new(), 0)
            .await
            .map(drop)
    }

    /// Makes a call whose request is at hand and whose answer has at most `limit` bytes.
    async fn ask(
        &self,
        operation: Operation,
        fields: Vec<u8>,
        body: Bytes,
        limit: usize,
    ) -> Result<Bytes, Error> {
        let timeouts = &self.0.options.timeouts;
        let time = if body.is_empty() {
            timeouts.read
        } else {
            timeouts.write
        };
        let request = Request {
            operation,
            fields,
            body,
            last: true,
            allowed: limit,
        };
        let call = self.open(request, Until::Answered(time)).await?;
        call.collect(timeouts.read).await
    }

    /// Opens a stream for a request and waits for the first sign of it. A connection may have
    /// ended unnoticed while nobody used it; as long as nothing of the request has left, it goes
    /// to a new connection instead.
    async fn open(&self, request: Request, until: Until) -> Result<Call, Error> {
        let mut again = true;
        loop {
            let (link, used) = self.link().await?;
            let failed = match link.open(request.clone()).await {
                Err(ended) => Failed {
                    error: ended.error(),
                    unsent: true,
                },
                Ok(call) => {
                    let result = match until {
                        Until::Begun(time) => call.within(time, call.begun()).await?,
                        Until::Answered(time) => {
                            call.within(time, call.answered()).await?.map(drop)
                        }
                    };
                    match result {
                        Ok(()) => return Ok(call),
                        Err(failed) => failed,
                    }
                }
            };
            if !(failed.unsent && used && mem::take(&mut again)) {
                return Err(failed.error);
            }
        }
    }

    /// A connection that is open as far as is known, and whether it was before.
    async fn link(&self) -> Result<(Arc<Link>, bool), Error> {
        let time = self.0.options.timeouts.connect;
        let link = timeout(time, async {
            let mut link = self.0.link.lock().await;
            match &*link {
                Some(link) if link.is_open() => Ok((Arc::clone(link), true)),
                _ => {
                    *link = None;
                    let opened = connect::connect(&self.0.node, &self.0.hello).await?;
                    Ok((Arc::clone(link.insert(Link::start(opened))), false))
                }
            }
        });
        link.await.unwrap_or_else(|_| {
            let late = format!("no answer within {time:?}");
            let late = io::Error::new(io::ErrorKind::TimedOut, late);
            Err(TransportError::Connect(late.into()).into())
        })
    }
}
