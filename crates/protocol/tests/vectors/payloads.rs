//! `oap_payloads.json`: the fields of operations, the documents of HELLO, and compression.

use std::fmt::Debug;

use micronode_protocol::Address;
use micronode_protocol::compression::{inflate, inflated_bound};
use micronode_protocol::limits::{DECOMPRESS_RATIO, OAP_FRAME_BYTES};
use micronode_protocol::operation::{
    FieldsError, GetReply, GetRequest, HeadReply, Hello, HelloError, Parsed, PutReply, PutRequest,
    Transports, Welcome, decode_addresses, decode_presence,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Octets, hex};

/// What a vector says of a payload.
trait Said: DeserializeOwned + PartialEq + Debug {
    /// The same, of a payload, as this crate reads it; or the word of the error.
    fn read(payload: &[u8]) -> Result<Self, &'static str>;

    /// The beginning of the payload, as this crate writes it; `None` where there are several ways.
    fn write(&self) -> Option<Vec<u8>> {
        None
    }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Said"))]
struct Section<T> {
    good: Vec<Good<T>>,
    bad: Vec<Bad>,
}

#[derive(Deserialize)]
struct Good<T> {
    name: String,
    payload: Octets,
    #[serde(flatten)]
    said: T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bad {
    name: String,
    payload: Octets,
    error: String,
}

/// Checks the section of this name, which has so many good and bad payloads.
fn check<T: Said>(section: &str, counts: (usize, usize)) {
    let file = include_str!("../../vectors/oap_payloads.json");
    let mut sections: serde_json::Map<_, _> = serde_json::from_str(file).unwrap();
    let found = sections.remove(section).unwrap();
    let Section::<T> { good, bad } = serde_json::from_value(found).unwrap();
    assert_eq!((good.len(), bad.len()), counts);
    for case in good {
        let (payload, name) = (case.payload.0, case.name);
        assert_eq!(T::read(&payload).as_ref(), Ok(&case.said), "{name}");
        if let Some(written) = case.said.write() {
            assert!(payload.starts_with(&written), "{name}: {written:x?}");
        }
    }
    for case in bad {
        let error = T::read(&case.payload.0).expect_err(&case.name);
        assert_eq!(error, case.error, "{}", case.name);
    }
}

fn word_of_hello(error: HelloError) -> &'static str {
    match error {
        HelloError::TooLong => "too_long",
        HelloError::Malformed => "malformed",
    }
}

fn word(error: FieldsError) -> &'static str {
    match error {
        FieldsError::Text => "text",
        FieldsError::TooLong => "too_long",
        FieldsError::Name => "name",
        FieldsError::Value => "value",
        FieldsError::Truncated => "incomplete",
        FieldsError::Trailing => "trailing",
    }
}

/// What was parsed, and how many bytes it took.
fn whole<T>(parsed: Parsed<T>) -> Result<(T, usize), &'static str> {
    parsed.map_err(word)?.ok_or("incomplete")
}

fn address(digits: &str) -> Address {
    Address::from_bytes(hex(digits).try_into().unwrap())
}

fn digits(address: &Address) -> String {
    let text = address.to_string();
    text.strip_prefix("b3:").unwrap().to_owned()
}

#[derive(Debug, Deserialize, PartialEq)]
struct HelloSaid {
    ua: String,
    accept_comp: bool,
}

impl Said for HelloSaid {
    fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let Hello { ua, accept_comp } = Hello::decode(payload).map_err(word_of_hello)?;
        Ok(Self { ua, accept_comp })
    }
}

#[test]
fn hello() {
    check::<HelloSaid>("hello", (7, 10));
}

#[derive(Debug, Deserialize, PartialEq)]
struct WelcomeSaid {
    max_frame: u32,
    max_inflight: u32,
    flags_supported: u16,
    versions: Vec<u16>,
    transports: Vec<String>,
}

impl Said for WelcomeSaid {
    fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let welcome = Welcome::decode(payload).map_err(word_of_hello)?;
        let transports = welcome.transports.iter().map(|transport| match transport {
            Transports::Tcp => "tcp".to_owned(),
            Transports::Tls => "tls".to_owned(),
        });
        Ok(Self {
            max_frame: welcome.max_frame,
            max_inflight: welcome.max_inflight,
            flags_supported: welcome.flags_supported,
            versions: welcome.versions,
            transports: transports.collect(),
        })
    }
}

#[test]
fn welcome() {
    check::<WelcomeSaid>("welcome", (2, 4));
}

#[derive(Debug, Deserialize, PartialEq)]
struct GetRequestSaid {
    fields: usize,
    address: String,
    offset: u64,
    length: u64,
}

impl Said for GetRequestSaid {
    fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let request = GetRequest::decode(payload).map_err(word)?;
        Ok(Self {
            fields: GetRequest::BYTES,
            address: digits(&request.address),
            offset: request.offset,
            length: request.length,
        })
    }

    fn write(&self) -> Option<Vec<u8>> {
        let request = GetRequest {
            address: address(&self.address),
            offset: self.offset,
            length: self.length,
        };
        let mut written = Vec::new();
        request.encode(&mut written);
        Some(written)
    }
}

#[derive(Debug, Deserialize, PartialEq)]
struct GetReplySaid {
    fields: usize,
    size: u64,
    offset: u64,
    expires_ms: u64,
    media_type: String,
}

impl Said for GetReplySaid {
    fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let (reply, fields) = whole(GetReply::parse(payload))?;
        Ok(Self {
            fields,
            size: reply.size,
            offset: reply.offset,
            expires_ms: reply.expires_ms,
            media_type: reply.media_type.to_owned(),
        })
    }

    fn write(&self) -> Option<Vec<u8>> {
        let reply = GetReply {
            size: self.size,
            offset: self.offset,
            expires_ms: self.expires_ms,
            media_type: &self.media_type,
        };
        let mut written = Vec::new();
        reply.encode(&mut written);
        Some(written)
    }
}

#[test]
fn get() {
    check::<GetRequestSaid>("get_request", (3, 2));
    check::<GetReplySaid>("get_reply", (4, 5));
}

#[derive(Debug, Deserialize, PartialEq)]
struct PutRequestSaid {
    fields: usize,
    expected: Option<String>,
    ttl_ms: u64,
    media_type: String,
}

impl Said for PutRequestSaid {
    fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let (request, fields) = whole(PutRequest::parse(payload))?;
        Ok(Self {
            fields,
            expected: request.expected.as_ref().map(digits),
            ttl_ms: request.ttl_ms,
            media_type: request.media_type.to_owned(),
        })
    }

    fn write(&self) -> Option<Vec<u8>> {
        let request = PutRequest {
            expected: self.expected.as_deref().map(address),
            ttl_ms: self.ttl_ms,
            media_type: &self.media_type,
        };
        let mut written = Vec::new();
        request.encode(&mut written);
        Some(written)
    }
}

#[derive(Debug, Deserialize, PartialEq)]
struct PutReplySaid {
    fields: usize,
    address: String,
    size: u64,
    existed: bool,
}

impl Said for PutReplySaid {
    fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let reply = PutReply::decode(payload).map_err(word)?;
        Ok(Self {
            fields: PutReply::BYTES,
            address: digits(&reply.address),
            size: reply.size,
            existed: reply.existed,
        })
    }

    fn write(&self) -> Option<Vec<u8>> {
        let reply = PutReply {
            address: address(&self.address),
            size: self.size,
            existed: self.existed,
        };
        let mut written = Vec::new();
        reply.encode(&mut written);
        Some(written)
    }
}

#[test]
fn put() {
    check::<PutRequestSaid>("put_request", (4, 7));
    check::<PutReplySaid>("put_reply", (2, 2));
}

#[derive(Debug, Deserialize, PartialEq)]
struct HeadReplySaid {
    fields: usize,
    size: u64,
    expires_ms: u64,
    media_type: String,
}

impl Said for HeadReplySaid {
    fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let (reply, fields) = whole(HeadReply::parse(payload))?;
        Ok(Self {
            fields,
            size: reply.size,
            expires_ms: reply.expires_ms,
            media_type: reply.media_type.to_owned(),
        })
    }

    fn write(&self) -> Option<Vec<u8>> {
        let reply = HeadReply {
            size: self.size,
            expires_ms: self.expires_ms,
            media_type: &self.media_type,
        };
        let mut written = Vec::new();
        reply.encode(&mut written);
        Some(written)
    }
}

#[test]
fn head() {
    check::<HeadReplySaid>("head_reply", (2, 3));
}

#[derive(Debug, Deserialize, PartialEq)]
struct HasRequestSaid {
    addresses: Vec<String>,
}

impl Said for HasRequestSaid {
    fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let addresses = decode_addresses(payload).map_err(word)?;
        Ok(Self {
            addresses: addresses.iter().map(digits).collect(),
        })
    }
}

#[derive(Debug, Deserialize, PartialEq)]
struct HasReplySaid {
    present: Vec<bool>,
}

impl Said for HasReplySaid {
    fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let present = decode_presence(payload).map_err(word)?;
        Ok(Self { present })
    }
}

#[test]
fn has() {
    check::<HasRequestSaid>("has_request", (2, 3));
    check::<HasReplySaid>("has_reply", (2, 1));
}

#[derive(Debug, Deserialize, PartialEq)]
struct CompSaid {
    inflated: Octets,
}

impl Said for CompSaid {
    fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let bound = inflated_bound(payload, DECOMPRESS_RATIO as usize, OAP_FRAME_BYTES);
        let inflated = inflate(payload, bound).map_err(|error| error.code().as_str())?;
        Ok(Self {
            inflated: Octets(inflated),
        })
    }
}

#[test]
fn compression() {
    check::<CompSaid>("comp", (7, 11));
}
