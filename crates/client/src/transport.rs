//! The seam between operations and wires: what a node can be asked, and over what.
//!
//! A method here is one attempt of one operation: it sends a request, waits no longer than
//! allowed, and gives back what the node said, or an error that says what happened. Retrying,
//! spans and verification stand above and are written once; headers, frames and sockets stay
//! below, one module a wire.

mod http;
mod oap;
mod origin;

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use micronode_protocol::Address;
use zeroize::Zeroize;

use crate::credentials::{Credentials, Lease};
use crate::{ClientOptions, Error, Grant, MintOptions, Minted, ObjectInfo, Token};
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

/// A way to one node. Clones share its connections.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    wire: Wire,
    options: Arc<ClientOptions>,
    credentials: Arc<Credentials>,
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
