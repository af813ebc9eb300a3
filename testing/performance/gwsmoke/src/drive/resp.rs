//! Answers of Redis (RESP2), out of bytes that come in any pieces.

use crate::line::line;

/// Deepest nesting, and most parts of an array: far more than a stream's answer has.
const DEPTH: u32 = 8;
const PARTS: usize = 100_000;
/// Longest line and longest string.
const LINE_BYTES: usize = 1024;
const STRING_BYTES: usize = 64 << 20;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A word, such as `OK`.
    Simple(String),
    /// What went wrong.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes; or nothing.
    Bulk(Option<Vec<u8>>),
    /// Several of them; or nothing.
    Array(Option<Vec<Value>>),
}

/// What came is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an answer of Redis: {0}")]
pub(crate) struct Malformed(&'static str);

/// The answer at the front and its length; `None` while it is not whole.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Value, usize)>, Malformed> {
    let mut at = 0;
    let value = value(bytes, &mut at, DEPTH)?;
    Ok(value.map(|value| (value, at)))
}

fn value(bytes: &[u8], at: &mut usize, depth: u32) -> Result<Option<Value>, Malformed> {
    let Some(line) = line(&bytes[*at..], LINE_BYTES).map_err(Malformed)? else {
        return Ok(None);
    };
    *at += line.len() + 2;
    let (kind, rest) = line.split_first().ok_or(Malformed("an empty line"))?;
    Ok(Some(match kind {
        b'+' => Value::Simple(text(rest)?.to_owned()),
        b'-' => Value::Error(text(rest)?.to_owned()),
        b':' => Value::Integer(number(rest)?),
        b'$' => match length(rest, STRING_BYTES)? {
            None => Value::Bulk(None),
            Some(length) => {
                let end = *at + length;
                let Some(tail) = bytes.get(end..end + 2) else {
                    return Ok(None);
                };
                if tail != b"\r\n" {
                    return Err(Malformed("a string does not end where it says"));
                }
                let string = bytes[*at..end].to_vec();
                *at = end + 2;
                Value::Bulk(Some(string))
            }
        },
        b'*' => match length(rest, PARTS)? {
            None => Value::Array(None),
            Some(_) if depth == 0 => return Err(Malformed("nested too deeply")),
            Some(count) => {
                let mut parts = Vec::with_capacity(count.min(1024));
                for _ in 0..count {
                    match value(bytes, at, depth - 1)? {
                        Some(part) => parts.push(part),
                        None => return Ok(None),
                    }
                }
                Value::Array(Some(parts))
            }
        },
        _ => return Err(Malformed("of no kind that there is")),
    }))
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("a line is no text"))
}

fn number(bytes: &[u8]) -> Result<i64, Malformed> {
    text(bytes)?
        .parse()
        .map_err(|_| Malformed("what has to be a number is none"))
}

/// How long something is; -1 is nothing at all.
fn length(bytes: &[u8], most: usize) -> Result<Option<usize>, Malformed> {
    match number(bytes)? {
        -1 => Ok(None),
        length => match usize::try_from(length) {
            Ok(length) if length <= most => Ok(Some(length)),
            _ => Err(Malformed("longer than there is room for")),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn encode(value: &Value, out: &mut Vec<u8>) {
        let line =
            |kind: char, rest: &dyn std::fmt::Display| format!("{kind}{rest}\r\n").into_bytes();
        match value {
            Value::Simple(text) => out.extend(line('+', text)),
            Value::Error(text) => out.extend(line('-', text)),
            Value::Integer(number) => out.extend(line(':', number)),
            Value::Bulk(None) => out.extend(line('$', &-1)),
            Value::Bulk(Some(bytes)) => {
                out.extend(line('$', &bytes.len()));
                out.extend(bytes);
                out.extend(b"\r\n");
            }
            Value::Array(None) => out.extend(line('*', &-1)),
            Value::Array(Some(parts)) => {
                out.extend(line('*', &parts.len()));
                parts.iter().for_each(|part| encode(part, out));
            }
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            "[A-Z ]{0,20}".prop_map(Value::Simple),
            "[A-Z ]{0,20}".prop_map(Value::Error),
            any::<i64>().prop_map(Value::Integer),
            prop::option::of(prop::collection::vec(any::<u8>(), 0..40)).prop_map(Value::Bulk),
            Just(Value::Array(None)),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop::collection::vec(inner, 0..5).prop_map(|parts| Value::Array(Some(parts)))
        })
    }

    #[test]
    fn what_is_no_answer_is_said_to_be_none() {
        for wrong in [
            &b"HTTP/1.1 400\r\n"[..],
            b"\r\n",
            b"+OK\n",
            b"$-2\r\n",
            b"$99999999999\r\n",
            b"$x\r\n",
            b"$1\r\nabc\r\n",
            b":1.5\r\n",
            &[b'+'; LINE_BYTES],
            &b"*1\r\n".repeat(20),
        ] {
            assert!(
                parse(wrong).is_err(),
                "{:?}",
                String::from_utf8_lossy(wrong)
            );
        }
    }

    proptest! {
        /// Until its last byte has come, an answer is not whole; then it is the one that was sent,
        /// whatever follows it.
        #[test]
        fn an_answer_is_whole_at_its_last_byte(
            value in any_value(), behind in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut bytes = Vec::new();
            encode(&value, &mut bytes);
            for cut in 0..bytes.len() {
                prop_assert_eq!(parse(&bytes[..cut]).unwrap(), None, "cut at {}", cut);
            }
            let length = bytes.len();
            bytes.extend(behind);
            prop_assert_eq!(parse(&bytes).unwrap(), Some((value, length)));
        }

        /// Whatever comes, there is a verdict.
        #[test]
        fn any_bytes_have_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _verdict = parse(&bytes);
        }
    }
}
