//! OAP/1 to one node: operations into payloads, and payloads into what they say.
//!
//! All calls share one connection, which is opened by the first of them and again by the next
//! after it has ended; those for which the node waits share another, and what is told faster than
//! it may be taken has one of its own, which then is not read. A HELLO brings the token, so a token
//! that is renewed has the next call open another connection; what is in progress on the old one
//! ends there. How one is opened is in `connect`, who may use it in `link`; `driver` moves its bytes,
//! `streams` knows what each call has still to send and what has come for it, and a `call` is one of
//! them as its caller sees it. `read` and `upload` are the two that stream; `follow` is what goes on
//! until its user goes.

mod call;
mod connect;
mod driver;
mod ended;
mod follow;
mod link;
mod mailbox;
mod name;
mod notices;
mod progress;
mod read;
mod received;
mod stream;
mod streams;
mod upload;

pub(crate) use follow::{Events, Subscription, Watch};
pub(crate) use read::Body;

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io, mem};

use bytes::Bytes;
use micronode_protocol::Address;
use micronode_protocol::limits::MEDIA_TYPE_BYTES;
use micronode_protocol::operation::{
    HeadReply, Operation, TOKEN_TEXT_BYTES, TokenReply, decode_presence,
};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::minted;
use super::origin::Origin;
use crate::credentials::{Credentials, Lease};
use crate::{ClientOptions, Error, Minted, ObjectInfo, TransportError, clock};
use call::{Call, Failed};
use link::Link;
use stream::Request;

/// Most bytes of what a node says about an object.
const HEAD_BYTES: usize = 8 + 8 + 2 + MEDIA_TYPE_BYTES;

/// Most bytes of an answer with a token.
const TOKEN_BYTES: usize = 2 + TOKEN_TEXT_BYTES + 8;

/// A way to one node. Clones share its connection.
#[derive(Clone)]
pub(super) struct Oap(Arc<Shared>);

struct Shared {
    node: connect::Way,
    options: Arc<ClientOptions>,
    credentials: Arc<Credentials>,
    /// The connection of calls that are answered at once, ...
    calls: Place,
    /// ... and that of those for which a node waits, so that they take no place of a call.
    waits: Place,
}

/// The last connection of a kind, and the generation of the token in its HELLO. Locked while
/// another is opened, so that many callers open one.
type Place = Mutex<Option<(Arc<Link>, u64)>>;

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

/// Which connection a request goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    /// That of calls which are answered at once.
    Calls,
    /// That of those for which the node waits.
    Waits,
    /// One of its own.
    Own,
}

impl Oap {
    pub(super) fn new(
        origin: Origin,
        options: Arc<ClientOptions>,
        credentials: Arc<Credentials>,
    ) -> Result<Self, Error> {
        if let Some(token) = &options.token {
            token.capability().ok_or(Error::TokenNotBase64)?;
        }
        Ok(Oap(Arc::new(Shared {
            node: connect::Way::new(origin, &options)?,
            options,
            credentials,
            calls: Mutex::new(None),
            waits: Mutex::new(None),
        })))
    }

    pub(super) async fn head(&self, address: &Address) -> Result<ObjectInfo, Error> {
        self.head_with(address, |head| ObjectInfo {
            size: head.size,
            content_type: (!head.media_type.is_empty()).then(|| head.media_type.to_owned()),
            kept_for: Some(match head.expires_ms {
                0 => ObjectInfo::FOR_EVER,
                at => clock::until(clock::date(at)).min(ObjectInfo::FOR_EVER),
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

    pub(super) async fn mint(&self, document: Bytes) -> Result<Minted, Error> {
        self.token(Operation::Mint, document).await
    }

    pub(super) async fn exchange(&self, grant: Bytes) -> Result<Minted, Error> {
        self.token(Operation::Exchange, grant).await
    }

    /// Makes a call that is answered with a token.
    async fn token(&self, operation: Operation, body: Bytes) -> Result<Minted, Error> {
        let answer = self.ask(operation, Vec::new(), body, TOKEN_BYTES).await?;
        minted(answer, |answer| {
            let reply = TokenReply::decode(answer).ok()?;
            Some((reply.token, clock::date(reply.expires_ms)))
        })
    }

    /// Makes a call whose request is at hand and whose answer has at most `limit` bytes.
    async fn ask(
        &self,
        operation: Operation,
        fields: Vec<u8>,
        body: Bytes,
        limit: usize,
    ) -> Result<Bytes, Error> {
        let request = Request {
            operation,
            fields,
            body,
            last: true,
            allowed: limit,
            room: None,
        };
        self.ask_for(request, Duration::ZERO).await
    }

    /// The same of one for which the node waits for so long.
    async fn ask_for(&self, request: Request, wait: Duration) -> Result<Bytes, Error> {
        let timeouts = &self.0.options.timeouts;
        let on = if wait.is_zero() { On::Calls } else { On::Waits };
        let time = if request.body.is_empty() {
            timeouts.read + wait
        } else {
            timeouts.write
        };
        let call = self.open(request, on, Until::Answered(time)).await?;
        call.collect(timeouts.read).await
    }

    /// Opens a stream for a request and waits for the first sign of it. A connection may have
    /// ended unnoticed while nobody used it; as long as nothing of the request has left, it goes
    /// to a new connection instead.
    async fn open(&self, request: Request, on: On, until: Until) -> Result<Call, Error> {
        let mut again = true;
        loop {
            let (link, used) = self.link(request.operation, on).await?;
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

    /// A connection for such a call that is open as far as is known, and whether it was before.
    async fn link(&self, operation: Operation, on: On) -> Result<(Arc<Link>, bool), Error> {
        let time = self.0.options.timeouts.connect;
        let link = timeout(time, async {
            let place = match on {
                On::Calls => &self.0.calls,
                On::Waits => &self.0.waits,
                On::Own => return Ok((self.connect(self.0.credentials.current()).await?, false)),
            };
            let mut link = place.lock().await;
            // A grant is its own authority: any connection will do, and a token that has ended
            // must not keep one from being opened.
            let exchanges = operation == Operation::Exchange;
            let lease = self.0.credentials.current().filter(|_| !exchanges);
            let generation = lease.as_ref().map_or(0, |lease| lease.generation());
            match &*link {
                Some((link, of)) if link.is_open() && (exchanges || *of == generation) => {
                    Ok((Arc::clone(link), true))
                }
                _ => {
                    *link = None;
                    let opened = self.connect(lease).await?;
                    *link = Some((Arc::clone(&opened), generation));
                    Ok((opened, false))
                }
            }
        });
        link.await.unwrap_or_else(|_| {
            let late = format!("no answer within {time:?}");
            let late = io::Error::new(io::ErrorKind::TimedOut, late);
            Err(TransportError::Connect(late.into()).into())
        })
    }

    /// A new connection, under the authority of a token.
    async fn connect(&self, lease: Option<Arc<Lease>>) -> Result<Arc<Link>, Error> {
        let cap = lease.map(|lease| lease.token().capability());
        let cap = cap
            .map(|cap| cap.ok_or(Error::TokenNotBase64))
            .transpose()?;
        let hello = connect::hello(cap.as_deref().map_or(&[], Vec::as_slice));
        Ok(Link::start(connect::connect(&self.0.node, &hello).await?))
    }
}
