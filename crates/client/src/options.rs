//! What a client is set up with.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::{Grant, RetryPolicy, TlsOptions, Token};

/// How a [`Client`](crate::Client) behaves. `ClientOptions::default()` is made for a node near by.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Presented with every request.
    pub token: Option<Token>,
    /// Where there is no `token`: exchanged for one before the first request, and again ahead of
    /// its end or when the node knows it no more.
    pub grant: Option<Grant>,
    /// Applies to every operation.
    pub retry: RetryPolicy,
    /// Bounds on waiting.
    pub timeouts: Timeouts,
    /// Spans that one download has under way at most: over HTTP each on a connection of its own,
    /// over OAP all on one.
    pub connections: NonZeroUsize,
    /// Whom to trust, where the URL says that there is TLS.
    pub tls: TlsOptions,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            token: None,
            grant: None,
            retry: RetryPolicy::default(),
            timeouts: Timeouts::default(),
            connections: const { NonZeroUsize::new(4).expect("not zero") },
            tls: TlsOptions::default(),
        }
    }
}

/// How long a client waits while nothing moves. None of these bounds a whole transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, name resolution and (over OAP) TLS and HELLO included.
    pub connect: Duration,
    /// For an answer, once the request is out, and between two parts of an answer. Longer than a
    /// node may think about a request.
    pub read: Duration,
    /// For a piece of an upload to be taken, and for the answer after the last one. Longer than
    /// `read`, because the last pieces wait in the send buffers of this host.
    pub write: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(15),
            write: Duration::from_secs(60),
        }
    }
}
