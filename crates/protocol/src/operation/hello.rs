//! HELLO: what each end tells the other before anything else, as JSON.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::frame::{Flags, VERSION};
use crate::limits::OAP_HELLO_BYTES;

/// What a client says of itself. Members that are not known are passed over, and those that are
/// missing have their defaults: an empty payload is a HELLO too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hello {
    /// The program, for people.
    pub ua: String,
    /// Answers may be compressed.
    pub accept_comp: bool,
}

/// A payload that is no HELLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HelloError {
    /// Longer than any.
    #[error("a HELLO has at most {OAP_HELLO_BYTES} bytes")]
    TooLong,
    /// Not a JSON object with members of the right types.
    #[error("a HELLO is a JSON object such as {{\"ua\":\"…\",\"accept_comp\":false}}")]
    Malformed,
}

impl Hello {
    /// Reads a payload.
    ///
    /// # Errors
    ///
    /// If it is too long, or not such a document.
    pub fn decode(payload: &[u8]) -> Result<Self, HelloError> {
        if payload.is_empty() {
            return Ok(Self::default());
        }
        document(payload)
    }

    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and flags always serialise")
    }
}

fn document<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, HelloError> {
    if payload.len() > OAP_HELLO_BYTES {
        return Err(HelloError::TooLong);
    }
    // The deserialiser would take an array of the members' values for an object.
    if payload.trim_ascii_start().first() != Some(&b'{') {
        return Err(HelloError::Malformed);
    }
    serde_json::from_slice(payload).map_err(|_| HelloError::Malformed)
}

/// How a connection may be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transports {
    /// Plain.
    Tcp,
    /// TLS 1.3, ALPN `oap/1`.
    Tls,
}

/// What a node answers: its bounds, and what it understands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Largest frame that it takes, in bytes.
    pub max_frame: u32,
    /// Streams at once on this connection.
    pub max_inflight: u32,
    /// Flags that it knows, as a set of bits.
    pub flags_supported: u16,
    /// Versions of the protocol that it speaks.
    pub versions: Vec<u16>,
    /// How it can be reached.
    pub transports: Vec<Transports>,
}

impl Welcome {
    /// The answer of a node with these bounds.
    pub fn new(max_frame: u32, max_inflight: u32) -> Self {
        Self {
            max_frame,
            max_inflight,
            flags_supported: Flags::ALL.bits(),
            versions: vec![VERSION],
            transports: vec![Transports::Tcp, Transports::Tls],
        }
    }

    /// Reads a payload.
    ///
    /// # Errors
    ///
    /// If it is too long, or not such a document.
    pub fn decode(payload: &[u8]) -> Result<Self, HelloError> {
        document(payload)
    }

    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and words always serialise")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_has_defaults_and_a_cap() {
        assert_eq!(Hello::decode(b""), Ok(Hello::default()));
        assert_eq!(Hello::decode(b"{}"), Ok(Hello::default()));
        let hello = Hello {
            ua: "x".into(),
            accept_comp: true,
        };
        assert_eq!(hello.encode(), br#"{"ua":"x","accept_comp":true}"#);
        assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
        assert!(Hello::decode(br#"{"later":[1],"ua":"y"}"#).is_ok());
        for malformed in [&b"[]"[..], b"{", b"null", br#"{"ua":1}"#, b"\xff"] {
            assert_eq!(Hello::decode(malformed), Err(HelloError::Malformed));
        }
        let mut longest = br#"{"ua":""}"#.to_vec();
        longest.resize(OAP_HELLO_BYTES, b' ');
        assert!(Hello::decode(&longest).is_ok());
        longest.push(b' ');
        assert_eq!(Hello::decode(&longest), Err(HelloError::TooLong));
    }

    #[test]
    fn the_welcome_is_the_one_of_the_contract() {
        let welcome = Welcome::new(1_048_576, 64);
        let text = r#"{"max_frame":1048576,"max_inflight":64,"flags_supported":255,"versions":[1],"transports":["tcp","tls"]}"#;
        assert_eq!(welcome.encode(), text.as_bytes());
        assert_eq!(Welcome::decode(text.as_bytes()), Ok(welcome));
    }
}
