//! What a client is set up with.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use http::HeaderValue;

use crate::{RetryPolicy, TlsOptions};

/// How a [`Client`](crate::Client) behaves. `ClientOptions::default()` is made for a node near by.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Presented with every request.
    pub token: Option<Token>,
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

/// What stands before a token in the `Authorization` header.
const SCHEME: &str = "Bearer ";

/// A bearer token. It is sent and never printed: its `Debug` form is a placeholder.
#[derive(Clone)]
pub struct Token(HeaderValue);

/// The text cannot be a bearer token. Does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is one word of printable ASCII characters")]
pub struct InvalidToken;

impl Token {
    /// Takes a token as a node or an issuer gave it.
    pub fn new(token: &str) -> Result<Self, InvalidToken> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken);
        }
        let mut value =
            HeaderValue::try_from(format!("{SCHEME}{token}")).map_err(|_| InvalidToken)?;
        value.set_sensitive(true);
        Ok(Token(value))
    }

    /// The value of the `Authorization` header, marked sensitive.
    pub(crate) fn header(&self) -> &HeaderValue {
        &self.0
    }

    /// The token alone.
    pub(crate) fn text(&self) -> &[u8] {
        &self.0.as_bytes()[SCHEME.len()..]
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_is_sent_and_not_printed() {
        let token = Token::new("secret").unwrap();
        assert_eq!(token.header(), "Bearer secret");
        assert_eq!(token.text(), b"secret");
        let options = ClientOptions {
            token: Some(token.clone()),
            ..ClientOptions::default()
        };
        for printed in [
            format!("{token:?}"),
            format!("{options:?}"),
            format!("{:?}", token.header()),
        ] {
            assert!(!printed.contains("secret"), "{printed}");
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_refused() {
        for text in ["", " ", "two words", "line\n", "tab\t", "é", "nul\0"] {
            assert_eq!(Token::new(text).unwrap_err(), InvalidToken, "{text:?}");
        }
    }
}
