//! The seam between operations and wires: what a node can be asked, and over what.
//!
//! A method here is one attempt of one operation: it sends a request, waits no longer than
//! allowed, and gives back what the node said, or an error that says what happened. Retrying,
//! spans and verification stand above and are written once; headers, frames and sockets stay
//! below, one module a wire.

mod credit;
mod http;
mod oap;
mod origin;
mod polls;

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use micronode_protocol::Address;
use micronode_protocol::limits::SUBSCRIPTION_CREDIT;
use zeroize::Zeroize;

use crate::credentials::{Credentials, Lease};
use crate::mailbox::Settle;
use crate::{
    BusEvent, ClientOptions, Error, Expected, Grant, Message, MintOptions, Minted, NameEntry,
    NameEvent, Named, ObjectInfo, QueueStats, Redriven, Sent, Token, Verdict,
};
pub(crate) use credit::Credit;
use credit::Credits;
use origin::{Origin, Scheme};

/// Bytes read of an error answer; a problem document is far smaller.
const PROBLEM_BYTES: usize = 16 * 1024;

/// Less than a node keeps an idle connection, so that a request rarely meets a closing one.
const IDLE: Duration = Duration::from_secs(30);

/// An answer beyond its cap.
const TOO_LONG: Error = Error::Protocol("it is longer than any such answer");
/// An answer to an upload that is not one.
const NOT_A_RECEIPT: Error = Error::Protocol("it does not say what was stored");
/// Other bytes than those asked for.
const NOT_THE_RANGE: Error = Error::Protocol("it is not the range asked for");

/// An answer about a name that is not one.
const NOT_A_NAME: Error = Error::Protocol("it does not say where the name points");
/// An answer about queues or messages that is not one.
const NOT_OF_A_QUEUE: Error = Error::Protocol("it is not what is said of a queue or its messages");
/// Something else in a stream of events.
const NOT_AN_EVENT: Error = Error::Protocol("it is no event");

/// Most bytes of one event.
const EVENT_BYTES: usize = 16 * 1024;

/// An answer to a mint or an exchange that is not one.
const NOT_A_TOKEN: Error = Error::Protocol("it is no token");

/// Success with an upload that has not ended.
pub(crate) const TOO_EARLY: Error = Error::Protocol("it came before the end of the upload");

/// Pieces of what is uploaded. An `Err` is a failure to read it, and the last item.
pub(crate) type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// What is uploaded, but for its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    /// The address that the bytes have to hash to.
    pub(crate) expected: Option<Address>,
    /// Bytes in all, where that is known.
    pub(crate) length: Option<u64>,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) content_type: Option<String>,
}

/// A node's answer to an upload.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) address: Address,
    pub(crate) size: u64,
    pub(crate) existed: bool,
    /// RFC 3339.
    pub(crate) expires_at: Option<String>,
}

/// Some of the names that begin alike, in order.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) entries: Vec<NameEntry>,
    /// There may be more, behind this name.
    pub(crate) next: Option<String>,
}

/// A way to one node. Clones share its connections.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    wire: Wire,
    options: Arc<ClientOptions>,
    credentials: Arc<Credentials>,
    /// Of the subscriptions over HTTP.
    credits: Arc<Credits>,
}

#[derive(Clone, Debug)]
enum Wire {
    Http(Arc<http::Http>),
    Oap(oap::Oap),
}

/// Awaits the same call on whichever wire it is.
macro_rules! on_wire {
    ($self:ident, $call:ident($($argument:expr),*)) => {
        match &$self.wire {
            Wire::Http(http) => http.$call($($argument),*).await,
            Wire::Oap(oap) => oap.$call($($argument),*).await,
        }
    };
}

/// The same, of a call that needs a token.
macro_rules! authorised {
    ($self:ident, $call:ident($($argument:expr),*)) => {{
        let lease = $self.lease().await?;
        let result = on_wire!($self, $call($($argument),*));
        $self.judge(lease, result).await
    }};
}

impl Transport {
    /// The wire that the URL's scheme names. Nothing is sent.
    pub(crate) fn new(url: &str, options: ClientOptions) -> Result<Self, Error> {
        let origin = Origin::parse(url)?;
        if options.tls.is_set() && !origin.tls {
            return Err(Error::InvalidUrl {
                url: url.to_owned(),
                reason: "it has no TLS, for which an authority, a pin or a certificate was given",
            });
        }
        let options = Arc::new(options);
        let credentials = Arc::new(Credentials::new(&options));
        let wire = match origin.scheme {
            Scheme::Http => Wire::Http(Arc::new(http::Http::new(
                &origin,
                Arc::clone(&options),
                Arc::clone(&credentials),
            )?)),
            Scheme::Oap => Wire::Oap(oap::Oap::new(
                origin,
                Arc::clone(&options),
                Arc::clone(&credentials),
            )?),
        };
        Ok(Transport {
            wire,
            options,
            credentials,
            credits: Arc::default(),
        })
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// What the node says about an object.
    pub(crate) async fn head(&self, address: &Address) -> Result<ObjectInfo, Error> {
        authorised!(self, head(address))
    }

    /// The wire form of an object's manifest, at most `limit` bytes of it.
    pub(crate) async fn manifest(&self, address: &Address, limit: usize) -> Result<Bytes, Error> {
        authorised!(self, manifest(address, limit))
    }

    /// Which of at most [`HAS_ADDRESSES`](micronode_protocol::limits::HAS_ADDRESSES) objects are
    /// there. The answer may speak of another number of them.
    pub(crate) async fn has(&self, addresses: &[Address]) -> Result<Vec<bool>, Error> {
        authorised!(self, has(addresses))
    }

    pub(crate) async fn delete(&self, address: &Address) -> Result<(), Error> {
        authorised!(self, delete(address))
    }

    /// The bytes at `range`, which is not empty, of an object of `size` bytes. An answer that
    /// claims to be another part is an error; that it is as long as it should be is not checked.
    pub(crate) async fn read(
        &self,
        address: &Address,
        range: Range<u64>,
        size: u64,
    ) -> Result<Body, Error> {
        let lease = self.lease().await?;
        let result = match &self.wire {
            Wire::Http(http) => http.read(address, range, size).await.map(Body::Http),
            Wire::Oap(oap) => oap.read(address, range, size).await.map(Body::Oap),
        };
        self.judge(lease, result).await
    }

    /// Uploads what `pieces` give. Nothing is taken from them before there is a connection, and
    /// no more than a few are held.
    pub(crate) async fn put(&self, upload: &Upload, pieces: Pieces) -> Result<Receipt, Error> {
        authorised!(self, put(upload, pieces))
    }

    /// The same bytes back.
    pub(crate) async fn echo(&self, bytes: Bytes) -> Result<Bytes, Error> {
        authorised!(self, echo(bytes))
    }

    /// Whether the node answers.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        authorised!(self, ping())
    }

    /// A token with the caveats of the client's own and those asked for.
    pub(crate) async fn mint(&self, options: &MintOptions) -> Result<Minted, Error> {
        authorised!(self, mint(options.document().into()))
    }

    /// A token for a grant, which needs no token.
    pub(crate) async fn exchange(&self, grant: Bytes) -> Result<Minted, Error> {
        on_wire!(self, exchange(grant))
    }

    /// Where a name points.
    pub(crate) async fn resolve(&self, name: &str) -> Result<Named, Error> {
        authorised!(self, resolve(name))
    }

    /// Points a name at an object; the revision of that.
    pub(crate) async fn set_name(
        &self,
        name: &str,
        address: &Address,
        expected: Expected,
    ) -> Result<u64, Error> {
        authorised!(self, set_name(name, address, expected))
    }

    /// Removes a name, or only this revision of it.
    pub(crate) async fn remove_name(&self, name: &str, revision: Option<u64>) -> Result<(), Error> {
        authorised!(self, remove_name(name, revision))
    }

    /// The first names that begin with `prefix` and stand behind `after`.
    pub(crate) async fn list_names(&self, prefix: &str, after: &str) -> Result<Page, Error> {
        authorised!(self, list_names(prefix, after))
    }

    /// The names that begin with `prefix`, and how they change.
    pub(crate) async fn watch(&self, prefix: &str) -> Result<Watch, Error> {
        let lease = self.lease().await?;
        let result = match &self.wire {
            Wire::Http(http) => http::Watch::open(http, prefix)
                .await
                .map(|watch| Watch::Http(Box::new(watch))),
            Wire::Oap(oap) => oap.watch(prefix).await.map(Watch::Oap),
        };
        self.judge(lease, result).await
    }

    /// Sends a message; an empty `key` is none.
    pub(crate) async fn send(
        &self,
        queue: &str,
        key: &str,
        delay: Duration,
        body: Bytes,
    ) -> Result<Sent, Error> {
        authorised!(self, send(queue, key, delay, body))
    }

    /// Up to `max` messages, for the first of which the node waits for `wait`.
    pub(crate) async fn receive(
        &self,
        queue: &str,
        max: u16,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>, Error> {
        authorised!(self, receive(queue, max, wait, visibility))
    }

    /// Acknowledges, returns or prolongs what up to
    /// [`RECEIPTS`](micronode_protocol::limits::RECEIPTS) receipts are for. The answer may speak of
    /// another number of them.
    pub(crate) async fn settle(
        &self,
        queue: &str,
        settle: Settle,
        receipts: &[&str],
    ) -> Result<Vec<Verdict>, Error> {
        let settled = authorised!(self, settle(queue, settle, receipts));
        if let Ok(verdicts) = &settled {
            self.credits.settled(settle, receipts, verdicts);
        }
        settled
    }

    /// The messages of a queue, counted.
    pub(crate) async fn queue_stats(&self, queue: &str) -> Result<QueueStats, Error> {
        authorised!(self, queue_stats(queue))
    }

    /// Removes all messages of a queue; how many.
    pub(crate) async fn purge(&self, queue: &str) -> Result<u64, Error> {
        authorised!(self, purge(queue))
    }

    /// Moves dead letters back.
    pub(crate) async fn redrive(&self, queue: &str, limit: u32) -> Result<Redriven, Error> {
        authorised!(self, redrive(queue, limit))
    }

    /// The messages of a queue as they come, with up to `credit` of them out at a time. Over HTTP
    /// they are counted in `account`, which the ways of one subscription share.
    pub(crate) async fn subscribe(
        &self,
        queue: &str,
        credit: u16,
        account: &mut Option<Arc<Credit>>,
        visibility: Duration,
    ) -> Result<Subscription, Error> {
        let credit = credit.clamp(1, SUBSCRIPTION_CREDIT);
        let Wire::Oap(oap) = &self.wire else {
            let account = account.get_or_insert_with(|| self.credits.open(credit));
            let polls = polls::Polls::new(self, queue, Arc::clone(account), visibility);
            return Ok(Subscription::Http(polls));
        };
        let lease = self.lease().await?;
        let result = oap.subscribe(queue, credit, visibility).await;
        self.judge(lease, result.map(Subscription::Oap)).await
    }

    /// What happens on the node behind the event `last`, or from now on if that is empty.
    pub(crate) async fn events(&self, last: &str) -> Result<Events, Error> {
        let lease = self.lease().await?;
        let result = match &self.wire {
            Wire::Http(http) => http.events(last).await.map(Events::Http),
            Wire::Oap(oap) => oap.events(last).await.map(Events::Oap),
        };
        self.judge(lease, result).await
    }

    async fn lease(&self) -> Result<Option<Arc<Lease>>, Error> {
        let exchange = |grant: Grant| self.exchange(grant.bytes());
        self.credentials.lease(exchange).await
    }

    async fn judge<T>(
        &self,
        lease: Option<Arc<Lease>>,
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        let exchange = |grant: Grant| self.exchange(grant.bytes());
        self.credentials.judge(lease, result, exchange).await
    }
}

/// The bytes of an object as they arrive. Dropping it before its end gives the rest up.
pub(crate) enum Body {
    Http(http::AnswerBody),
    Oap(oap::Body),
}

impl Body {
    /// The next piece; `None` only when the body came whole.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let next = match self {
            Body::Http(body) => body.next().await,
            Body::Oap(body) => body.next().await,
        };
        next.map_err(Error::of_begun_answer)
    }
}

/// Names as they change, by one way. Like the two below it ends only with an error, and dropping
/// it is the end of it.
pub(crate) enum Watch {
    Http(Box<http::Watch>),
    Oap(oap::Watch),
}

impl Watch {
    pub(crate) async fn next(&mut self) -> Result<NameEvent, Error> {
        match self {
            Watch::Http(watch) => watch.next().await,
            Watch::Oap(watch) => watch.next().await,
        }
    }
}

/// Messages of a queue as they come.
pub(crate) enum Subscription {
    Http(polls::Polls),
    Oap(oap::Subscription),
}

impl Subscription {
    pub(crate) async fn next(&mut self) -> Result<Message, Error> {
        match self {
            Subscription::Http(polls) => polls.next().await,
            Subscription::Oap(subscription) => subscription.next().await,
        }
    }
}

/// What happens on a node.
pub(crate) enum Events {
    Http(http::Events),
    Oap(oap::Events),
}

impl Events {
    pub(crate) async fn next(&mut self) -> Result<BusEvent, Error> {
        match self {
            Events::Http(events) => events.next().await,
            Events::Oap(events) => events.next().await,
        }
    }
}

/// Takes a token out of an answer as `read` finds it there, and wipes the answer.
fn minted(
    answer: Bytes,
    read: impl FnOnce(&[u8]) -> Option<(&str, SystemTime)>,
) -> Result<Minted, Error> {
    let minted = read(&answer).and_then(|(token, expires_at)| {
        let token = Token::new(token).ok()?;
        token.capability()?;
        Some(Minted { token, expires_at })
    });
    if let Ok(mut answer) = answer.try_into_mut() {
        answer.zeroize();
    }
    minted.ok_or(NOT_A_TOKEN)
}
