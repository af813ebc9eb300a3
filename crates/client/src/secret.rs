//! What a client is trusted by. It is sent and never printed, and wiped when nobody has it any
//! more; copies in buffers of sockets are not.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use micronode_protocol::capability::base64url;
use micronode_protocol::capability::grant::{GrantError, SignedGrant};
use micronode_protocol::limits::{CAPABILITY_BYTES, GRANT_BYTES};
use zeroize::Zeroizing;

/// What stands before a token in the `Authorization` header.
const SCHEME: &str = "Bearer ";

/// A bearer token. Its `Debug` form is a placeholder.
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
        let value = Zeroizing::new([SCHEME, token].concat().into_bytes());
        let value = HeaderValue::from_maybe_shared(Bytes::from_owner(value));
        let mut value = value.map_err(|_| InvalidToken)?;
        value.set_sensitive(true);
        Ok(Token(value))
    }

    /// The text, for who passes the token on.
    pub fn as_str(&self) -> &str {
        let text = self.0.to_str().expect("printable ASCII characters");
        &text[SCHEME.len()..]
    }

    /// The value of the `Authorization` header, marked sensitive.
    pub(crate) fn header(&self) -> &HeaderValue {
        &self.0
    }

    /// The bytes that the text stands for; `None` if it stands for none, or for too many.
    pub(crate) fn capability(&self) -> Option<Zeroizing<Vec<u8>>> {
        base64url::decode(self.as_str().as_bytes(), CAPABILITY_BYTES).map(Zeroizing::new)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A grant of an issuer, which a node exchanges for a token. Its `Debug` form is a placeholder.
#[derive(Clone)]
pub struct Grant(Bytes);

/// The text is no grant. Does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGrant {
    /// Not base64url, or too much of it.
    #[error("a grant is one word of base64url, as `micronode issuer grant` prints it")]
    NotBase64,
    /// Something else in base64url.
    #[error("not a grant: {0}")]
    Malformed(#[from] GrantError),
}

impl Grant {
    /// Takes a grant as its issuer printed it. Who signed it is for the node to judge.
    pub fn new(grant: &str) -> Result<Self, InvalidGrant> {
        let bytes = base64url::decode(grant.as_bytes(), GRANT_BYTES);
        let bytes = Zeroizing::new(bytes.ok_or(InvalidGrant::NotBase64)?);
        SignedGrant::parse(&bytes)?;
        Ok(Grant(Bytes::from_owner(bytes)))
    }

    /// The bytes, shared.
    pub(crate) fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grant(…)")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{ClientOptions, Issuer, Seed};
    use micronode_protocol::capability::grant::Statement;

    /// A grant, well-formed and long over.
    pub(crate) fn grant() -> Vec<u8> {
        let statement = Statement {
            audience: "",
            subject: "a runner",
            not_before: 1,
            not_after: 2,
            nonce: [7; 16],
            caveats: vec!["op = get"],
        };
        let issuer = Issuer::from_seed(&Seed::new([1; 32]));
        issuer.grant(&statement).unwrap()
    }

    #[test]
    fn a_token_is_sent_and_not_printed() {
        let token = Token::new("c2VjcmV0").unwrap();
        assert_eq!(token.header(), "Bearer c2VjcmV0");
        assert_eq!(token.as_str(), "c2VjcmV0");
        assert_eq!(token.capability().unwrap()[..], *b"secret");
        let options = ClientOptions {
            token: Some(token.clone()),
            ..ClientOptions::default()
        };
        for printed in [
            format!("{token:?}"),
            format!("{options:?}"),
            format!("{:?}", token.header()),
        ] {
            assert!(!printed.contains("c2VjcmV0"), "{printed}");
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_refused() {
        for text in ["", " ", "two words", "line\n", "tab\t", "é", "nul\0"] {
            assert_eq!(Token::new(text).unwrap_err(), InvalidToken, "{text:?}");
        }
    }

    #[test]
    fn a_grant_is_sent_as_it_is_and_not_printed() {
        let bytes = grant();
        let text = base64url::encode(&bytes);
        let grant = Grant::new(&text).unwrap();
        assert_eq!(grant.bytes(), bytes);
        let options = ClientOptions {
            grant: Some(grant),
            ..ClientOptions::default()
        };
        assert!(format!("{options:?}").contains("grant: Some(Grant(…))"));
    }

    #[test]
    fn what_is_no_grant_is_refused() {
        let mut bytes = grant();
        for (text, expected) in [
            (
                String::new(),
                InvalidGrant::Malformed(GrantError::Truncated),
            ),
            (
                "AgEJ".into(),
                InvalidGrant::Malformed(GrantError::Truncated),
            ),
            ("a b".into(), InvalidGrant::NotBase64),
            (
                base64url::encode(&vec![0; GRANT_BYTES + 1]),
                InvalidGrant::NotBase64,
            ),
            (
                base64url::encode(&bytes[1..]),
                InvalidGrant::Malformed(GrantError::Magic),
            ),
        ] {
            assert_eq!(Grant::new(&text).unwrap_err(), expected, "{text}");
        }
        bytes.push(0);
        assert_eq!(
            Grant::new(&base64url::encode(&bytes)).unwrap_err(),
            InvalidGrant::Malformed(GrantError::Trailing(1))
        );
    }
}
