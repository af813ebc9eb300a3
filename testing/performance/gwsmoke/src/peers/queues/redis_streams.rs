//! A stream of Redis with a group of consumers: `XADD`, `XREADGROUP`, and an `XACK` for each.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::wire::{Malformed, Parsed, Wire};
use super::{BODY_BYTES, Queue};
use crate::drive::resp::{self, Value};

/// A connection to it, with a stream and a group that are new.
pub(super) fn connect(address: SocketAddr) -> io::Result<Box<dyn Queue>> {
    let mut redis = Redis(Wire::<TcpStream>::connect(address)?);
    redis.command(&[b"DEL", b"q"]);
    redis.command(&[b"XGROUP", b"CREATE", b"q", b"g", b"0", b"MKSTREAM"]);
    redis.0.flush()?;
    redis.answer()?;
    redis.answer()?;
    Ok(Box::new(redis))
}

struct Redis<S>(Wire<S>);

fn parse(bytes: &[u8]) -> Parsed<Value> {
    resp::parse(bytes).map_err(|error| Malformed(error.to_string()))
}

impl<S: Read + Write> Redis<S> {
    fn command(&mut self, parts: &[&[u8]]) {
        let wire = &mut self.0;
        wire.say(format!("*{}\r\n", parts.len()));
        for part in parts {
            wire.say(format!("${}\r\n", part.len()));
            wire.say(part);
            wire.say("\r\n");
        }
    }

    fn answer(&mut self) -> io::Result<Value> {
        match self.0.next(parse)? {
            Value::Error(error) => Err(io::Error::other(error)),
            value => Ok(value),
        }
    }
}

impl<S: Read + Write> Queue for Redis<S> {
    fn send(&mut self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            self.command(&[b"XADD", b"q", b"*", b"b", &[b'x'; BODY_BYTES]]);
        }
        self.0.flush()?;
        for _ in 0..count {
            // The message's id.
            let Value::Bulk(Some(_)) = self.answer()? else {
                return Err(unexpected());
            };
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> io::Result<usize> {
        let count = count.to_string();
        let read: [&[u8]; 9] = [
            b"XREADGROUP",
            b"GROUP",
            b"g",
            b"c",
            b"COUNT",
            count.as_bytes(),
            b"STREAMS",
            b"q",
            b">",
        ];
        self.command(&read);
        self.0.flush()?;
        let ids = ids(self.answer()?)?;
        for id in &ids {
            self.command(&[b"XACK", b"q", b"g", id]);
        }
        self.0.flush()?;
        for _ in &ids {
            // How many it has acknowledged.
            let Value::Integer(1) = self.answer()? else {
                return Err(unexpected());
            };
        }
        Ok(ids.len())
    }
}

fn unexpected() -> io::Error {
    io::Error::other("another answer of Redis than there is to this command")
}

/// The ids in an answer to `XREADGROUP`: for each stream its name and its messages, for each of
/// those its id and its fields.
fn ids(answer: Value) -> io::Result<Vec<Vec<u8>>> {
    let parts = |value: Value| match value {
        Value::Array(Some(parts)) => Ok(parts),
        Value::Array(None) | Value::Bulk(None) => Ok(Vec::new()),
        _ => Err(unexpected()),
    };
    let pair = |value: Value| <[Value; 2]>::try_from(parts(value)?).map_err(|_| unexpected());
    let mut ids = Vec::new();
    for stream in parts(answer)? {
        let [_name, messages] = pair(stream)?;
        for message in parts(messages)? {
            let [id, fields] = pair(message)?;
            let [_field, Value::Bulk(Some(body))] = pair(fields)? else {
                return Err(unexpected());
            };
            match id {
                Value::Bulk(Some(id)) if body.len() == BODY_BYTES => ids.push(id),
                _ => return Err(unexpected()),
            }
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::wire::tests::{Script, asked};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However its answers are cut, a batch is added, read and acknowledged.
        #[test]
        fn answers_may_come_in_any_pieces(cuts in prop::collection::vec(any::<usize>(), 0..40)) {
            let body = "x".repeat(BODY_BYTES);
            let message = |id: &str| {
                format!("*2\r\n$3\r\n{id}\r\n*2\r\n$1\r\nb\r\n$256\r\n{body}\r\n")
            };
            let answers = format!(
                "$3\r\n1-0\r\n$3\r\n1-1\r\n*1\r\n*2\r\n$1\r\nq\r\n*2\r\n{}{}:1\r\n:1\r\n*-1\r\n",
                message("1-0"), message("1-1")
            );
            let mut queue = Redis(Wire::new(Script::cut(answers.as_bytes(), &cuts)));
            queue.send(2).unwrap();
            prop_assert_eq!(queue.take(9).unwrap(), 2);
            prop_assert_eq!(queue.take(9).unwrap(), 0, "there is nothing left");
            let acks = "*4\r\n$4\r\nXACK\r\n$1\r\nq\r\n$1\r\ng\r\n$3\r\n1-1\r\n";
            prop_assert!(asked(&queue.0).contains(acks));
        }
    }

    #[test]
    fn another_answer_is_an_error() {
        for answers in [
            "-OOM command not allowed\r\n",
            ":1\r\n",
            "$-1\r\n",
            "HTTP/1.1 400\r\n",
        ] {
            let mut queue = Redis(Wire::new(Script::cut(answers.as_bytes(), &[])));
            assert!(queue.send(1).is_err(), "{answers}");
        }
        for answers in ["*1\r\n*1\r\n$1\r\nq\r\n", "+OK\r\n", "*1\r\n$1\r\nq\r\n"] {
            let mut queue = Redis(Wire::new(Script::cut(answers.as_bytes(), &[])));
            assert!(queue.take(1).is_err(), "{answers}");
        }
    }
}
