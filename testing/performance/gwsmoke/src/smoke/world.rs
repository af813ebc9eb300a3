//! What the steps share: the node, an object that nobody has stored before, and how to ask.

use std::net::SocketAddr;

use micronode_client::{Client, ClientOptions, Error, RetryPolicy, Timeouts, Token};
use micronode_protocol::Address;
use tokio::runtime::{Builder, Runtime};

use super::walk::Broken;
use crate::ask::PATIENCE;
use crate::ask::http::{Answer, Request};
use crate::clock;
use crate::failure::{Failure, io};
use crate::node::Node;

/// Four groups, the last of them not full: what is read from it crosses borders.
const OBJECT_BYTES: usize = 3 * 64 * 1024 + 3_392;

/// Two bytes before a border between groups, and three behind it.
pub(super) const RANGE: std::ops::Range<usize> = 65_534..65_539;

/// What the steps share.
pub(super) struct World<'a> {
    pub(super) node: &'a Node,
    pub(super) http: SocketAddr,
    /// What the object of each protocol is made of, and the names of all that is made.
    pub(super) tag: String,
    /// An object to store over HTTP.
    pub(super) http_object: Object,
    /// An object to store over OAP.
    pub(super) oap_object: Object,
    /// The receipt of the message that has been received.
    pub(super) receipt: String,
    /// GETs of objects that had been answered before the walk.
    pub(super) gets_before: f64,
    /// Frames of requests that had come before it.
    pub(super) frames_before: f64,
    /// The SDK over OAP.
    pub(super) client: Option<Client>,
    runtime: Runtime,
}

/// Bytes and where they will be found.
pub(super) struct Object {
    pub(super) bytes: Vec<u8>,
    pub(super) address: Address,
}

impl Object {
    /// Bytes that look like noise and are the same for the same seed.
    fn of(seed: &str, length: usize) -> Self {
        let mut bytes = vec![0; length];
        let mut hasher = blake3::Hasher::new();
        hasher.update(seed.as_bytes());
        hasher.finalize_xof().fill(&mut bytes);
        let address = Address::of(&bytes);
        Self { bytes, address }
    }

    /// Checks that bytes that came are those of the object, by their hash.
    pub(super) fn expect(&self, came: &[u8]) -> Result<(), Broken> {
        let address = Address::of(came);
        if address == self.address {
            return Ok(());
        }
        let length = self.bytes.len();
        Err(Broken::new(
            format!("{length} bytes that hash to {}", self.address),
            format!("{} that hash to {address}", came.len()),
        ))
    }

    /// Checks that bytes that came are this part of the object.
    pub(super) fn expect_part(
        &self,
        part: std::ops::Range<usize>,
        came: &[u8],
    ) -> Result<(), Broken> {
        let expected = &self.bytes[part.clone()];
        if came == expected {
            return Ok(());
        }
        Err(Broken::new(
            format!("bytes {part:?} of the object, {expected:02x?}"),
            format!("{:02x?}", &came[..came.len().min(16)]),
        ))
    }
}

impl<'a> World<'a> {
    pub(super) fn new(node: &'a Node) -> Result<Self, Failure> {
        if node.is_tls {
            return Err(Failure::usage(
                "smoke looks at the bytes of the wire, and so asks without TLS: http:// and oap://",
            ));
        }
        let http = node.http()?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(io("a runtime for the SDK"))?;
        // New bytes each time: that they are stored anew is part of what is checked.
        let tag = format!(
            "{:x}-{:x}",
            std::process::id(),
            clock::since_epoch().as_nanos()
        );
        Ok(Self {
            node,
            http,
            http_object: Object::of(&format!("{tag} http"), OBJECT_BYTES),
            oap_object: Object::of(&format!("{tag} oap"), OBJECT_BYTES),
            tag,
            receipt: String::new(),
            gets_before: 0.0,
            frames_before: 0.0,
            client: None,
            runtime,
        })
    }

    /// The name that a protocol's object is given.
    pub(super) fn name(&self, proto: &str) -> String {
        format!("gwsmoke/{}/{proto}", self.tag)
    }

    /// The queue that a protocol's message goes to.
    pub(super) fn queue(&self, proto: &str) -> String {
        format!("gwsmoke-{}-{proto}", self.tag)
    }

    /// Asks the data plane.
    pub(super) fn ask(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, Broken> {
        let request = Request {
            method,
            path,
            fields,
            body,
        };
        let answer = request.ask(self.http, self.node.token.as_deref());
        answer.map_err(|error| Broken::new(format!("an answer to {method}"), error))
    }

    /// Asks the admin plane.
    pub(super) fn ask_admin(&self, path: &str) -> Result<Answer, Broken> {
        let admin = self.node.admin;
        let admin = admin.ok_or_else(|| Broken::new("an admin plane", "none"))?;
        let request = Request {
            method: "GET",
            path,
            fields: &[],
            body: b"",
        };
        let answer = request.ask(admin, self.node.token.as_deref());
        answer.map_err(|error| Broken::new(format!("an answer to GET {path}"), error))
    }

    /// A client of the SDK, of which every attempt counts.
    pub(super) fn sdk(&self, scheme: &str, address: SocketAddr) -> Result<Client, Broken> {
        let wrong = |what: &str| Broken::new("a client of the SDK", what);
        let token = match &self.node.token {
            Some(token) => Some(Token::new(token).map_err(|it| wrong(&it.to_string()))?),
            None => None,
        };
        let options = ClientOptions {
            token,
            retry: RetryPolicy::NEVER,
            timeouts: Timeouts {
                connect: PATIENCE,
                read: PATIENCE,
                write: PATIENCE,
            },
            ..ClientOptions::default()
        };
        let url = format!("{scheme}://{address}");
        Client::with_options(&url, options).map_err(|it| wrong(&it.to_string()))
    }

    /// Waits for what the SDK does.
    pub(super) fn wait<T>(
        &self,
        expected: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Broken> {
        let ended = self.runtime.block_on(call);
        ended.map_err(|error| Broken::new(expected, told(&error)))
    }

    /// Has the SDK over OAP do something, and waits for it.
    pub(super) fn over_oap<T, F>(
        &self,
        expected: &str,
        call: impl FnOnce(Client) -> F,
    ) -> Result<T, Broken>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let client = self.client.clone();
        let client = client.ok_or_else(|| Broken::new("a connection", "none"))?;
        self.wait(expected, call(client))
    }

    /// Removes what a walk that broke off has left behind, as far as the node lets it.
    pub(super) fn clean_up(&self) {
        for (proto, object) in [("http", &self.http_object), ("oap", &self.oap_object)] {
            for path in [
                format!("/n/{}", self.name(proto)),
                format!("/o/{}", object.address),
                format!("/mbox/{}", self.queue(proto)),
            ] {
                // It may never have been there. A node that does not answer is not asked again.
                if self.ask("DELETE", &path, &[], b"").is_err() {
                    return;
                }
            }
        }
    }
}

/// An error of the SDK with its causes, in one line.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text.replace('\n', " ")
}
