//! `oap_payloads.json`: the fields of operations, the documents of HELLO, and compression.

use std::fmt::Debug;

use micronode_protocol::Address;
use micronode_protocol::compression::{inflate, inflated_bound};
use micronode_protocol::limits::{DECOMPRESS_RATIO, OAP_FRAME_BYTES};
use micronode_protocol::operation::{
    self, FieldsError, Hello, HelloError, Parsed, Transports, Welcome, decode_addresses,
    decode_presence,
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

/// A field as JSON has it, and as this crate does.
trait Json<'a> {
    type Field;

    fn of(field: Self::Field) -> Self;

    fn field(&'a self) -> Self::Field;
}

macro_rules! same_in_json {
    ($($number:ty)*) => { $(
        impl Json<'_> for $number {
            type Field = Self;

            fn of(field: Self) -> Self {
                field
            }

            fn field(&self) -> Self {
                *self
            }
        }
    )* };
}

same_in_json! { bool u16 u32 u64 }

impl<'a> Json<'a> for String {
    type Field = &'a str;

    fn of(field: &str) -> Self {
        field.to_owned()
    }

    fn field(&'a self) -> &'a str {
        self
    }
}

impl<'a> Json<'a> for Octets {
    type Field = &'a [u8];

    fn of(field: &[u8]) -> Self {
        Self(field.to_vec())
    }

    fn field(&'a self) -> &'a [u8] {
        &self.0
    }
}

/// An address: the digits of its hash.
#[derive(Debug, Deserialize, PartialEq)]
struct Hash(String);

impl Json<'_> for Hash {
    type Field = Address;

    fn of(field: Address) -> Self {
        let text = field.to_string();
        Self(text.strip_prefix("b3:").unwrap().to_owned())
    }

    fn field(&self) -> Address {
        Address::from_bytes(hex(&self.0).try_into().unwrap())
    }
}

impl Json<'_> for Option<Hash> {
    type Field = Option<Address>;

    fn of(field: Option<Address>) -> Self {
        field.map(Hash::of)
    }

    fn field(&self) -> Option<Address> {
        self.as_ref().map(Hash::field)
    }
}

/// What vectors say of fields, which have the names that they have in this crate.
macro_rules! said {
    ($(
        $fields:ident { $( $(#[$attribute:meta])* $field:ident: $json:ty, )* }
    )*) => { $(
        #[derive(Debug, Deserialize, PartialEq)]
        struct $fields {
            fields: usize,
            $( $(#[$attribute])* $field: $json, )*
        }

        impl Said for $fields {
            fn read(payload: &[u8]) -> Result<Self, &'static str> {
                let (read, fields) = whole(operation::$fields::parse(payload))?;
                Ok(Self { fields, $( $field: Json::of(read.$field), )* })
            }

            fn write(&self) -> Option<Vec<u8>> {
                let mut written = Vec::new();
                let fields = operation::$fields { $( $field: self.$field.field(), )* };
                fields.encode(&mut written);
                Some(written)
            }
        }
    )* };
}

/// As [`said`], of fields that receipts follow.
macro_rules! said_with_receipts {
    ($( $fields:ident { $( $field:ident: $json:ty, )* } )*) => { $(
        #[derive(Debug, Deserialize, PartialEq)]
        struct $fields {
            $( $field: $json, )*
            receipts: Vec<String>,
        }

        impl Said for $fields {
            fn read(payload: &[u8]) -> Result<Self, &'static str> {
                let read = operation::$fields::decode_with_receipts(payload);
                let (read, receipts) = read.map_err(word)?;
                let receipts = receipts.into_iter().map(str::to_owned).collect();
                Ok(Self { $( $field: Json::of(read.$field), )* receipts })
            }

            fn write(&self) -> Option<Vec<u8>> {
                let mut written = Vec::new();
                let fields = operation::$fields { $( $field: self.$field.field(), )* };
                fields.encode(&mut written);
                for receipt in &self.receipts {
                    operation::encode_receipt(receipt, &mut written);
                }
                Some(written)
            }
        }
    )* };
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

said! {
    GetRequest { address: Hash, offset: u64, length: u64, }
    GetReply { size: u64, offset: u64, expires_ms: u64, media_type: String, }
    PutRequest { expected: Option<Hash>, ttl_ms: u64, media_type: String, }
    PutReply { address: Hash, size: u64, existed: bool, }
    HeadReply { size: u64, expires_ms: u64, media_type: String, }
}

#[test]
fn objects() {
    check::<GetRequest>("get_request", (3, 2));
    check::<GetReply>("get_reply", (4, 5));
    check::<PutRequest>("put_request", (4, 7));
    check::<PutReply>("put_reply", (2, 2));
    check::<HeadReply>("head_reply", (2, 3));
}

said! {
    NameRequest { #[serde(rename = "called")] name: String, }
    NameReply { address: Hash, revision: u64, }
    NameSetRequest { #[serde(rename = "called")] name: String, address: Hash, expected: u64, }
    NameSetReply { revision: u64, }
    NameDeleteRequest { #[serde(rename = "called")] name: String, expected: u64, }
    NameListRequest { prefix: String, after: String, limit: u16, }
    NameEntry { #[serde(rename = "called")] name: String, address: Option<Hash>, revision: u64, }
    NameWatchRequest { prefix: String, }
    NameReadRequest { #[serde(rename = "called")] name: String, offset: u64, length: u64, }
}

#[test]
fn names() {
    check::<NameRequest>("name_request", (3, 5));
    check::<NameReply>("name_reply", (2, 1));
    check::<NameSetRequest>("name_set_request", (3, 3));
    check::<NameSetReply>("name_set_reply", (1, 1));
    check::<NameDeleteRequest>("name_delete_request", (2, 1));
    check::<NameListRequest>("name_list_request", (2, 2));
    check::<NameEntry>("name_entry", (2, 3));
    check::<NameWatchRequest>("name_watch_request", (2, 1));
    check::<NameReadRequest>("name_read_request", (2, 1));
}

said! {
    SendRequest { queue: String, key: String, delay_ms: u32, }
    SendReply { id: String, duplicate: bool, }
    ReceiveRequest { queue: String, max: u16, wait_ms: u32, visibility_ms: u32, }
    Delivery { id: String, receipt: String, attempt: u32, enqueued_ms: u64, body: Octets, }
    QueueRequest { queue: String, }
    SubscribeRequest { queue: String, credit: u16, visibility_ms: u32, }
    PurgeReply { removed: u64, }
    RedriveRequest { queue: String, limit: u32, }
    RedriveReply { moved: u32, left: u32, }
}

said_with_receipts! {
    AckRequest { queue: String, }
    NackRequest { queue: String, delay_ms: u32, }
    ExtendRequest { queue: String, visibility_ms: u32, }
}

#[derive(Debug, Deserialize, PartialEq)]
struct VerdictsSaid {
    verdicts: Vec<String>,
}

impl Said for VerdictsSaid {
    fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let verdicts = operation::decode_verdicts(payload).map_err(word)?;
        let verdicts = verdicts.iter().map(|verdict| verdict.as_str().to_owned());
        Ok(Self {
            verdicts: verdicts.collect(),
        })
    }
}

#[test]
fn queues() {
    check::<SendRequest>("send_request", (3, 5));
    check::<SendReply>("send_reply", (2, 3));
    check::<ReceiveRequest>("receive_request", (2, 1));
    check::<Delivery>("delivery", (3, 4));
    check::<AckRequest>("ack_request", (3, 4));
    check::<NackRequest>("nack_request", (1, 1));
    check::<ExtendRequest>("extend_request", (1, 1));
    check::<VerdictsSaid>("verdicts", (2, 1));
    check::<QueueRequest>("queue_request", (1, 2));
    check::<SubscribeRequest>("subscribe_request", (1, 1));
    check::<PurgeReply>("purge_reply", (1, 1));
    check::<RedriveRequest>("redrive_request", (2, 1));
    check::<RedriveReply>("redrive_reply", (1, 1));
}

said! {
    EventsRequest { last_id: String, }
    EventFrame { id: String, }
    LaggedFrame { missed: u64, }
}

#[test]
fn events() {
    check::<EventsRequest>("events_request", (2, 1));
    check::<EventFrame>("event_frame", (1, 1));
    check::<LaggedFrame>("lagged_frame", (1, 1));
}

#[derive(Debug, Deserialize, PartialEq)]
struct HasRequestSaid {
    addresses: Vec<Hash>,
}

impl Said for HasRequestSaid {
    fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let addresses = decode_addresses(payload).map_err(word)?;
        Ok(Self {
            addresses: addresses.into_iter().map(Hash::of).collect(),
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
