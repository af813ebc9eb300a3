//! Server-sent events: lines into events, however the bytes are cut.

use std::mem;

use bytes::{Buf, BytesMut};

use super::super::{EVENT_BYTES, NOT_AN_EVENT, TOO_LONG};
use crate::Error;

/// An event as it was sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sse {
    /// Its type; empty for none.
    pub(super) event: String,
    /// The last id that was given, by this event or one before.
    pub(super) id: String,
    /// Its lines of data, with a line feed between them.
    pub(super) data: String,
}

/// Puts events together. Holds one of at most [`EVENT_BYTES`], a line of as many, and the piece
/// that came last.
#[derive(Debug, Default)]
pub(super) struct Parser {
    pending: BytesMut,
    /// The last line ended with a carriage return: a line feed that follows is part of that end.
    after_return: bool,
    event: Sse,
    /// The event has a line of data.
    has_data: bool,
}

impl Parser {
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.pending.extend_from_slice(piece);
    }

    /// The next whole event; `None` while bytes are missing.
    pub(super) fn next(&mut self) -> Result<Option<Sse>, Error> {
        while let Some(line) = self.line()? {
            if line.is_empty() {
                let sse = Sse {
                    id: self.event.id.clone(),
                    ..mem::take(&mut self.event)
                };
                self.event.id.clone_from(&sse.id);
                if mem::take(&mut self.has_data) {
                    return Ok(Some(sse));
                }
                continue;
            }
            self.field(&line)?;
        }
        Ok(None)
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Error> {
        let line = str::from_utf8(line).map_err(|_| NOT_AN_EVENT)?;
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event.event),
            "id" if !value.contains('\0') => value.clone_into(&mut self.event.id),
            "data" => {
                if mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                if self.event.data.len() + value.len() > EVENT_BYTES {
                    return Err(TOO_LONG);
                }
                self.event.data.push_str(value);
            }
            // A comment, or nothing that is known here.
            _ => {}
        }
        Ok(())
    }

    /// The next whole line, without its end.
    fn line(&mut self) -> Result<Option<BytesMut>, Error> {
        if let Some(&first) = self.pending.first()
            && mem::take(&mut self.after_return)
            && first == b'\n'
        {
            self.pending.advance(1);
        }
        let end = self
            .pending
            .iter()
            .position(|it| matches!(it, b'\n' | b'\r'));
        if end.unwrap_or(self.pending.len()) > EVENT_BYTES {
            return Err(TOO_LONG);
        }
        let Some(end) = end else {
            return Ok(None);
        };
        let line = self.pending.split_to(end);
        self.after_return = self.pending.get_u8() == b'\r';
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn sse(event: &str, id: &str, data: &str) -> Sse {
        Sse {
            event: event.into(),
            id: id.into(),
            data: data.into(),
        }
    }

    /// What comes of bytes that arrive in pieces of these lengths, in turn.
    fn parse(bytes: &[u8], lengths: &[usize]) -> Result<Vec<Sse>, Error> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        let (mut rest, mut lengths) = (bytes, lengths.iter().cycle());
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((*lengths.next().unwrap()).min(rest.len()));
            parser.push(piece);
            rest = behind;
            while let Some(event) = parser.next()? {
                events.push(event);
            }
        }
        Ok(events)
    }

    #[test]
    fn fields_become_events_as_the_living_standard_has_it() {
        for (text, expected) in [
            ("", vec![]),
            ("data: unfinished\n", vec![]),
            (": a comment\n\n", vec![]),
            ("event: nothing\nid: 1\n\n", vec![]),
            ("data: x\n\n", vec![sse("", "", "x")]),
            ("data\n\n", vec![sse("", "", "")]),
            (
                "data:x\ndata: y\ndata:  z\n\n",
                vec![sse("", "", "x\ny\n z")],
            ),
            (
                "id: 1\nevent: a\ndata: x\n\ndata: y\n\n",
                vec![sse("a", "1", "x"), sse("", "1", "y")],
            ),
            (
                "id: 1\ndata: x\n\nid\ndata: y\n\n",
                vec![sse("", "1", "x"), sse("", "", "y")],
            ),
            (
                "id: a\0b\nretry: 5\nwhat: ever\ndata: x\n\n",
                vec![sse("", "", "x")],
            ),
        ] {
            for (end, name) in [("\n", "LF"), ("\r", "CR"), ("\r\n", "CRLF")] {
                let text = text.replace('\n', end);
                let events = parse(text.as_bytes(), &[1]).unwrap();
                assert_eq!(events, expected, "{text:?} with {name}");
            }
        }
    }

    #[test]
    fn a_line_and_an_event_have_caps() {
        let most = EVENT_BYTES - "data: ".len();
        let text = |length: usize| format!("data: {}\n\n", "x".repeat(length)).into_bytes();
        assert_eq!(parse(&text(most), &[1000]).unwrap().len(), 1);
        assert!(parse(&text(most + 1), &[1000]).is_err());
        assert!(parse(&vec![b'x'; EVENT_BYTES + 1], &[1000]).is_err());
        let lines = |count: usize| "data: xxx\n".repeat(count) + "\n";
        // Three bytes each, and a line feed between two.
        let most = (EVENT_BYTES + 1) / 4;
        assert_eq!(parse(lines(most).as_bytes(), &[1000]).unwrap().len(), 1);
        assert!(parse(lines(most + 1).as_bytes(), &[1000]).is_err());
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_does_not_matter(
            text in "(data: [a-z]{0,9}|event: e|id: [0-9]|:|\r\n|\r|\n){0,40}",
            lengths in proptest::collection::vec(1_usize..9, 1..9),
        ) {
            let whole = parse(text.as_bytes(), &[usize::MAX]).unwrap();
            prop_assert_eq!(parse(text.as_bytes(), &lengths).unwrap(), whole);
        }
    }
}
