//! An answer, whichever protocol brought it, in terms of neither.

use crate::support::oap::Reply;
use crate::support::{Response, address};
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
            Shows::Has => response.json().to_string(),
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
