//! One connection: commands are gathered and written together, answers are taken out of whatever
//! pieces they come in.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Room for answers that are not whole: more than a batch of them has.
const BUFFER_BYTES: usize = 4 << 20;

/// A connection.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    buffer: Vec<u8>,
    /// What has been looked at, and what has been filled.
    at: usize,
    filled: usize,
    /// Commands that have not been written yet.
    pub(super) commands: Vec<u8>,
}

/// What a parser says of the bytes at the front: an answer and its length, `None` while it is not
/// whole, or that it is none.
pub(super) type Parsed<T> = Result<Option<(T, usize)>, Malformed>;

/// What came is no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an answer: {0}")]
pub(super) struct Malformed(pub(super) String);

impl Wire<TcpStream> {
    /// Opens one.
    pub(super) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::new(stream))
    }
}

impl<S: Read + Write> Wire<S> {
    /// Over any stream.
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: vec![0; BUFFER_BYTES],
            at: 0,
            filled: 0,
            commands: Vec::new(),
        }
    }

    /// Adds a piece of a command.
    pub(super) fn say(&mut self, piece: impl AsRef<[u8]>) {
        self.commands.extend_from_slice(piece.as_ref());
    }

    /// Writes what has been gathered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.commands)?;
        self.commands.clear();
        Ok(())
    }

    /// Waits for the next answer.
    pub(super) fn next<T>(&mut self, parse: impl Fn(&[u8]) -> Parsed<T>) -> io::Result<T> {
        loop {
            let found = parse(&self.buffer[self.at..self.filled]).map_err(io::Error::other)?;
            if let Some((answer, length)) = found {
                self.at += length;
                return Ok(answer);
            }
            self.buffer.copy_within(self.at..self.filled, 0);
            self.filled -= self.at;
            self.at = 0;
            if self.filled == self.buffer.len() {
                return Err(io::Error::other("an answer that is too long"));
            }
            match self.stream.read(&mut self.buffer[self.filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.filled += count,
            }
        }
    }
}

/// The line at the front, without its end; at most 4 KiB of it.
pub(super) fn line(bytes: &[u8]) -> Parsed<&[u8]> {
    const LINE_BYTES: usize = 4096;
    match crate::line::line(bytes, LINE_BYTES) {
        Ok(line) => Ok(line.map(|line| (line, line.len() + 2))),
        Err(wrong) => Err(Malformed(wrong.to_owned())),
    }
}

/// So many bytes behind a line of `head` bytes, and the line's end behind them.
pub(super) fn body(bytes: &[u8], head: usize, length: usize) -> Parsed<&[u8]> {
    if length > BUFFER_BYTES / 2 {
        return Err(Malformed(format!("a body of {length} bytes")));
    }
    let end = head + length;
    match bytes.get(end..end + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((&bytes[head..end], end + 2))),
        Some(_) => Err(Malformed("a body does not end where it says".to_owned())),
    }
}

/// A number in a line.
pub(super) fn number<T: std::str::FromStr>(field: Option<&str>) -> Result<T, Malformed> {
    let text = field.unwrap_or_default();
    text.parse()
        .map_err(|_| Malformed(format!("{text:?} is no number")))
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::VecDeque;

    /// Answers that come in given pieces, and what was asked.
    #[derive(Debug, Default)]
    pub(in super::super) struct Script {
        pieces: VecDeque<Vec<u8>>,
        pub(in super::super) asked: Vec<u8>,
    }

    impl Script {
        /// Cuts `answers` at the places, taken modulo its length.
        pub(in super::super) fn cut(answers: &[u8], cuts: &[usize]) -> Self {
            let places = cuts.iter().map(|cut| cut % (answers.len() + 1));
            let mut places: Vec<usize> = places.chain([0, answers.len()]).collect();
            places.sort_unstable();
            places.dedup();
            let pieces = places.windows(2);
            Self {
                pieces: pieces.map(|two| answers[two[0]..two[1]].to_vec()).collect(),
                asked: Vec::new(),
            }
        }
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(mut piece) = self.pieces.pop_front() else {
                return Ok(0);
            };
            let count = piece.len().min(buffer.len());
            buffer[..count].copy_from_slice(&piece[..count]);
            if count < piece.len() {
                self.pieces.push_front(piece.split_off(count));
            }
            Ok(count)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.asked.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What has been asked of a script.
    pub(in super::super) fn asked(wire: &Wire<Script>) -> String {
        String::from_utf8_lossy(&wire.stream.asked).into_owned()
    }

    #[test]
    fn an_end_in_the_middle_of_an_answer_is_an_error() {
        let mut wire = Wire::new(Script::cut(b"one\r\ntw", &[2, 6]));
        let owned = |bytes: &[u8]| {
            line(bytes).map(|found| found.map(|(line, length)| (line.to_vec(), length)))
        };
        assert_eq!(wire.next(owned).unwrap(), b"one");
        let error = wire.next(owned).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let long = [b'x'; 5000];
        assert!(line(&long).is_err() && line(b"x\n").is_err());
        assert!(body(b"abcd\r\n", 0, 3).is_err() && body(b"", 0, usize::MAX / 2).is_err());
    }
}
