//! beanstalkd, in memory.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use super::super::program::{BEANSTALKD, Running};
use super::wire::{Malformed, Parsed, Wire, body, line, number};
use super::{BODY_BYTES, Queue};
use crate::failure::Failure;

/// Starts it in `folder`.
pub(super) fn start(folder: &Path) -> Result<Running, Failure> {
    Running::start(BEANSTALKD, folder, |path, port| {
        let mut command = Command::new(path);
        command.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-z", "65535"]);
        Ok(command)
    })
}

/// A connection to it.
pub(super) fn connect(address: SocketAddr) -> io::Result<Box<dyn Queue>> {
    Ok(Box::new(Beanstalkd(Wire::<TcpStream>::connect(address)?)))
}

struct Beanstalkd<S>(Wire<S>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Inserted,
    /// A job of this number, and the bytes of its body.
    Reserved(u64, usize),
    TimedOut,
    Deleted,
}

fn parse(bytes: &[u8]) -> Parsed<Answer> {
    let Some((line, head)) = line(bytes)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(line);
    let mut fields = text.split(' ');
    let answer = match fields.next() {
        Some("INSERTED") => Answer::Inserted,
        Some("DELETED") => Answer::Deleted,
        Some("TIMED_OUT") => Answer::TimedOut,
        Some("RESERVED") => {
            let (job, length) = (number(fields.next())?, number(fields.next())?);
            let found = body(bytes, head, length)?;
            return Ok(found.map(|(body, end)| (Answer::Reserved(job, body.len()), end)));
        }
        _ => return Err(Malformed(text.into_owned())),
    };
    Ok(Some((answer, head)))
}

impl<S: Read + Write> Queue for Beanstalkd<S> {
    fn send(&mut self, count: usize) -> io::Result<()> {
        let wire = &mut self.0;
        for _ in 0..count {
            // Priority, delay, and for how long it is leased.
            wire.say(format!("put 0 0 60 {BODY_BYTES}\r\n"));
            wire.say([b'x'; BODY_BYTES]);
            wire.say("\r\n");
        }
        wire.flush()?;
        for _ in 0..count {
            expect(Answer::Inserted, wire.next(parse)?)?;
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> io::Result<usize> {
        let wire = &mut self.0;
        for _ in 0..count {
            wire.say("reserve-with-timeout 0\r\n");
        }
        wire.flush()?;
        let mut jobs = Vec::with_capacity(count);
        for _ in 0..count {
            match wire.next(parse)? {
                Answer::Reserved(job, BODY_BYTES) => jobs.push(job),
                Answer::TimedOut => {}
                other => return Err(io::Error::other(format!("{other:?}"))),
            }
        }
        for job in &jobs {
            wire.say(format!("delete {job}\r\n"));
        }
        wire.flush()?;
        for _ in &jobs {
            expect(Answer::Deleted, wire.next(parse)?)?;
        }
        Ok(jobs.len())
    }
}

fn expect(expected: Answer, answer: Answer) -> io::Result<()> {
    match answer == expected {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "{answer:?} instead of {expected:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::wire::tests::{Script, asked};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However its answers are cut, a batch is sent, taken and deleted.
        #[test]
        fn answers_may_come_in_any_pieces(cuts in prop::collection::vec(any::<usize>(), 0..40)) {
            let body = "x".repeat(BODY_BYTES);
            let answers = format!(
                "INSERTED 7\r\nINSERTED 8\r\nRESERVED 7 256\r\n{body}\r\nRESERVED 8 256\r\n{body}\r\n\
                 TIMED_OUT\r\nDELETED\r\nDELETED\r\n"
            );
            let mut queue = Beanstalkd(Wire::new(Script::cut(answers.as_bytes(), &cuts)));
            queue.send(2).unwrap();
            prop_assert_eq!(queue.take(3).unwrap(), 2);
            prop_assert!(asked(&queue.0).ends_with("delete 7\r\ndelete 8\r\n"));
        }
    }

    #[test]
    fn another_answer_is_an_error() {
        for answers in [
            "OUT_OF_MEMORY\r\n",
            "BURIED 1\r\n",
            "RESERVED x 3\r\nabc\r\n",
            "\r\n",
            "DELETED\r\n",
        ] {
            let mut queue = Beanstalkd(Wire::new(Script::cut(answers.as_bytes(), &[])));
            assert!(queue.send(1).is_err(), "{answers}");
        }
        let mut queue = Beanstalkd(Wire::new(Script::cut(b"RESERVED 1 3\r\nabc\r\n", &[])));
        assert!(queue.take(1).is_err(), "a body of another length");
    }
}
