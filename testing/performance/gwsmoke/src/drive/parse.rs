//! Answers of HTTP/1.1 out of bytes, without I/O.

use crate::line::line;
use crate::load::plan::Receipt;

/// Longest head, and longest line of a chunk or a trailer.
const HEAD_BYTES: usize = 16 * 1024;
const LINE_BYTES: usize = 1024;
/// Most fields of a head.
const FIELDS: usize = 48;

/// Bytes that are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an answer of HTTP/1.1: {0}")]
pub(crate) struct Malformed(&'static str);

/// What an answer begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Nothing more can be asked on this connection.
    pub(crate) closes: bool,
    /// Of a message.
    pub(crate) receipt: Option<Receipt>,
}

/// What comes next of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    Head(Head),
    /// A part of the body.
    Piece(&'a [u8]),
    /// The answer is complete; what follows is not of it.
    End,
    /// More bytes are needed.
    More,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    /// So many bytes of the body are left.
    Length(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// The body ends with the connection.
    UntilClosed,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Parser {
    state: State,
    /// The answer of a HEAD, which has no body whatever its fields say.
    is_head: bool,
}

impl Parser {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Head,
            is_head: false,
        }
    }

    /// The answer of a HEAD.
    #[cfg(test)]
    pub(crate) fn of_head() -> Self {
        Self {
            is_head: true,
            ..Self::new()
        }
    }

    /// What comes next, and how many bytes of `input` it took. They are not to be given again.
    pub(crate) fn next<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Event<'a>), Malformed> {
        match self.state {
            State::Head => self.head(input),
            State::Length(0) => Ok((0, Event::End)),
            State::Length(left) => Ok(piece(input, left, |left| self.state = State::Length(left))),
            State::Chunk(0) => {
                self.state = State::ChunkEnd;
                self.next(input)
            }
            State::Chunk(left) => Ok(piece(input, left, |left| self.state = State::Chunk(left))),
            State::UntilClosed if input.is_empty() => Ok((0, Event::More)),
            State::UntilClosed => Ok((input.len(), Event::Piece(input))),
            State::ChunkEnd => match input {
                [b'\r', b'\n', rest @ ..] => {
                    self.state = State::ChunkSize;
                    after(2, self.next(rest))
                }
                [] | [b'\r'] => Ok((0, Event::More)),
                _ => Err(Malformed("a chunk does not end where it should")),
            },
            State::ChunkSize => match line(input, LINE_BYTES).map_err(Malformed)? {
                None => Ok((0, Event::More)),
                Some(line) => {
                    self.state = match chunk_size(line)? {
                        0 => State::Trailer,
                        size => State::Chunk(size),
                    };
                    let used = line.len() + 2;
                    after(used, self.next(&input[used..]))
                }
            },
            State::Trailer => match line(input, LINE_BYTES).map_err(Malformed)? {
                None => Ok((0, Event::More)),
                Some([]) => {
                    self.state = State::Length(0);
                    Ok((2, Event::End))
                }
                Some(line) => {
                    let used = line.len() + 2;
                    after(used, self.next(&input[used..]))
                }
            },
        }
    }

    /// Whether the connection may end here.
    pub(crate) fn may_close(&self) -> bool {
        matches!(self.state, State::UntilClosed | State::Length(0))
    }

    fn head<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Event<'a>), Malformed> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut answer = httparse::Response::new(&mut fields);
        let used = match answer.parse(input) {
            Ok(httparse::Status::Complete(used)) => used,
            Ok(httparse::Status::Partial) if input.len() < HEAD_BYTES => {
                return Ok((0, Event::More));
            }
            Ok(httparse::Status::Partial) => return Err(Malformed("its head is too long")),
            Err(_) => return Err(Malformed("its head is none")),
        };
        let status = answer.code.unwrap_or(0);
        if let 100..200 = status {
            // It is followed by the one that was asked for.
            return after(used, self.next(&input[used..]));
        }
        let mut head = Head {
            status,
            closes: answer.version == Some(0),
            receipt: None,
        };
        let (mut length, mut is_chunked) = (None, false);
        for field in answer.headers.iter() {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            match field.name.len() {
                14 if is("content-length") => {
                    let value = number(field.value)?;
                    if length.is_some_and(|length| length != value) {
                        return Err(Malformed("it has two lengths"));
                    }
                    length = Some(value);
                }
                17 if is("transfer-encoding") => {
                    is_chunked = field.value.eq_ignore_ascii_case(b"chunked");
                    if !is_chunked {
                        return Err(Malformed("its coding is not chunked"));
                    }
                }
                10 if is("connection") => {
                    head.closes |= field.value.eq_ignore_ascii_case(b"close");
                }
                7 if is("receipt") => head.receipt = Some(field.value.into()),
                _ => {}
            }
        }
        self.state = match length {
            _ if self.is_head || matches!(status, 204 | 304) => State::Length(0),
            _ if is_chunked => State::ChunkSize,
            Some(length) => State::Length(length),
            None => {
                head.closes = true;
                State::UntilClosed
            }
        };
        Ok((used, Event::Head(head)))
    }
}

/// As much of a body as is there.
fn piece(input: &[u8], left: u64, mut remains: impl FnMut(u64)) -> (usize, Event<'_>) {
    if input.is_empty() {
        return (0, Event::More);
    }
    let there = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
    remains(left - there as u64);
    (there, Event::Piece(&input[..there]))
}

/// What was found behind `used` bytes that are done with.
fn after(
    used: usize,
    next: Result<(usize, Event<'_>), Malformed>,
) -> Result<(usize, Event<'_>), Malformed> {
    next.map(|(more, event)| (used + more, event))
}

fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let digits = digits.trim_ascii_end();
    let is_number = (1..=16).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| is_number);
    text.and_then(|text| u64::from_str_radix(text, 16).ok())
        .ok_or(Malformed("the size of a chunk is no number"))
}

fn number(value: &[u8]) -> Result<u64, Malformed> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_number);
    text.and_then(|text| text.parse().ok())
        .ok_or(Malformed("its length is no number"))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
