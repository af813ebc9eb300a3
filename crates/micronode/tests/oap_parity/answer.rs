//! An answer, whichever protocol brought it, in terms of neither.

use crate::support::oap::{self, Reply};
use crate::support::{Response, address};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::Value;

/// What an operation brings when it succeeds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shows {
    Nothing,
    Bytes,
    Object,
    Head,
    Stored,
    Has,
    /// Of a name: its revision.
    Revision,
    /// The address and revision of a name.
    Name,
    /// The same, and what is behind it.
    NamedObject,
    Names,
    /// Whether it is a duplicate.
    Sent,
    Deliveries,
    Verdicts,
    Stats,
    /// Numbers, by these names in HTTP's document and with so many bytes over OAP.
    Counts(&'static [(&'static str, usize)]),
}

#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Of a problem, with whether it may be retried, its title and its type.
    pub(crate) code: Option<String>,
    problem: Option<(bool, String, String)>,
    /// Of a success, every field that both protocols have.
    result: Option<String>,
}

impl Answer {
    pub(crate) fn of_response(response: &Response, shows: Shows) -> Self {
        if response.status >= 400 {
            return Self::failed(response.status, &response.json());
        }
        let field = |name| response.field(name).unwrap_or_default().to_owned();
        let length = || field("content-length").parse::<u64>().unwrap();
        let result = match shows {
            Shows::Nothing => {
                assert!(response.body.is_empty());
                String::new()
            }
            Shows::Bytes => address(&response.body),
            Shows::Object => {
                // bytes 5-9/30
                let range = field("content-range");
                let part = range.strip_prefix("bytes ").map(|range| {
                    let (range, size) = range.split_once('/').unwrap();
                    let offset = range.split_once('-').unwrap().0;
                    (size.parse().unwrap(), offset.parse().unwrap())
                });
                let (size, offset) = part.unwrap_or((length(), 0));
                object(size, offset, &field("content-type"), &response.body)
            }
            Shows::Head => object(length(), 0, &field("content-type"), b""),
            Shows::Stored => {
                let stored = response.json();
                format!("{} {}", stored["address"].as_str().unwrap(), stored["size"])
            }
            Shows::Has | Shows::Stats => response.json().to_string(),
            Shows::Revision => response.json()["revision"].to_string(),
            Shows::Name => named(&field("content-location")[3..], &field("name-revision")),
            Shows::NamedObject => {
                let name = named(&field("content-location")[3..], &field("name-revision"));
                let object = Self::of_response(response, Shows::Object).result.unwrap();
                format!("{name}: {object}")
            }
            Shows::Names => {
                let listed = response.json()["names"].take();
                let each = listed.as_array().unwrap().iter().map(|it| {
                    let text = |member: &str| it[member].as_str().unwrap().to_owned();
                    let name = named(&text("address"), &it["revision"].to_string());
                    format!("{} {name}", text("name"))
                });
                each.collect::<Vec<_>>().join(", ")
            }
            Shows::Sent => response.json()["duplicate"].to_string(),
            Shows::Deliveries => {
                let taken = response.json()["messages"].take();
                let each = taken.as_array().unwrap().iter().map(|it| {
                    let body = BASE64_STANDARD.decode(it["body"].as_str().unwrap());
                    delivered(it["attempt"].as_u64().unwrap(), &body.unwrap())
                });
                each.collect::<Vec<_>>().join(", ")
            }
            Shows::Verdicts => {
                let results = response.json()["results"].take();
                let results = results.as_array().unwrap().iter();
                let verdicts = results.map(|it| it["code"].as_str().unwrap().to_owned());
                verdicts.collect::<Vec<_>>().join(", ")
            }
            Shows::Counts(members) => {
                let document = response.json();
                let counts = members.iter().map(|(name, _)| document[name].to_string());
                counts.collect::<Vec<_>>().join(", ")
            }
        };
        Self::succeeded(response.status, result)
    }

    pub(crate) fn of_reply(reply: &Reply, shows: Shows) -> Self {
        let status = reply.status();
        if status >= 400 {
            let last = &reply.frames.last().unwrap().payload;
            return Self::failed(status, &serde_json::from_slice(last).unwrap());
        }
        let result = match shows {
            Shows::Nothing => {
                assert!(reply.payload().is_empty());
                String::new()
            }
            Shows::Bytes => address(&reply.payload()),
            Shows::Object => {
                let it = reply.object();
                object(it.size, it.offset, &it.media_type, &it.bytes)
            }
            Shows::Head => {
                let (size, _, media_type) = reply.head();
                object(size, 0, &media_type, b"")
            }
            Shows::Stored => {
                let (address, size, existed) = reply.stored();
                // HTTP says it with the status.
                assert_eq!(existed, status == 200);
                format!("b3:{} {size}", blake3::Hash::from_bytes(address).to_hex())
            }
            Shows::Has => {
                let answers: Vec<bool> = reply.payload().iter().map(|byte| *byte == 1).collect();
                Value::from(answers).to_string()
            }
            Shows::Revision => number(&reply.payload()).to_string(),
            Shows::Name => {
                let payload = reply.payload();
                assert_eq!(payload.len(), 40);
                name_of(&payload)
            }
            Shows::NamedObject => {
                let payload = reply.payload();
                let it = oap::object(&payload[40..]);
                let object = object(it.size, it.offset, &it.media_type, &it.bytes);
                format!("{}: {object}", name_of(&payload))
            }
            Shows::Names => {
                let payload = reply.payload();
                let mut rest = &payload[..];
                let mut listed = Vec::new();
                while !rest.is_empty() {
                    let name = oap::text(&mut rest);
                    listed.push(format!("{name} {}", name_of(rest)));
                    rest = &rest[40..];
                }
                listed.join(", ")
            }
            Shows::Sent => reply.sent().1.to_string(),
            Shows::Deliveries => {
                let each = reply.deliveries().into_iter();
                let each = each.map(|it| delivered(it.attempt.into(), &it.body));
                each.collect::<Vec<_>>().join(", ")
            }
            Shows::Verdicts => {
                let verdicts = reply.payload().into_iter();
                let words = verdicts.map(|it| ["ok", "late", "unknown"][usize::from(it)]);
                words.collect::<Vec<_>>().join(", ")
            }
            Shows::Stats => {
                let stats: Value = serde_json::from_slice(&reply.payload()).unwrap();
                stats.to_string()
            }
            Shows::Counts(members) => {
                let payload = reply.payload();
                let mut rest = &payload[..];
                let counts = members.iter().map(|(_, bytes)| {
                    let (count, others) = rest.split_at(*bytes);
                    rest = others;
                    number(count).to_string()
                });
                let counts = counts.collect::<Vec<_>>().join(", ");
                assert!(rest.is_empty());
                counts
            }
        };
        Self::succeeded(status, result)
    }

    fn succeeded(status: u16, result: String) -> Self {
        Self {
            status,
            code: None,
            problem: None,
            result: Some(result),
        }
    }

    fn failed(status: u16, problem: &Value) -> Self {
        let text = |member: &str| problem[member].as_str().unwrap().to_owned();
        let retryable = problem["retryable"].as_bool().unwrap();
        Self {
            status,
            code: Some(text("code")),
            problem: Some((retryable, text("title"), text("type"))),
            result: None,
        }
    }
}

fn object(size: u64, offset: u64, media_type: &str, bytes: &[u8]) -> String {
    format!("{size} from {offset}, {media_type}, {}", address(bytes))
}

fn named(address: &str, revision: &str) -> String {
    format!("{address} at {revision}")
}

/// The address and the revision at the front of a payload.
fn name_of(payload: &[u8]) -> String {
    let address = blake3::Hash::from_slice(&payload[..32]).unwrap();
    let revision = number(&payload[32..40]).to_string();
    named(&format!("b3:{}", address.to_hex()), &revision)
}

fn delivered(attempt: u64, body: &[u8]) -> String {
    format!("{} for the {attempt}.", address(body))
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}
