//! The node's mailbox over OAP, in frames that are put together by hand: the client costs as little
//! as the others do, and the node is asked by bytes that its own code did not write.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::wire::{Malformed, Parsed, Wire};
use super::{BODY_BYTES, Queue};

const HEADER_BYTES: usize = 38;
/// Longest frame.
const FRAME_BYTES: usize = 1 << 20;
/// A request that is one frame: REQ, START, END.
const WHOLE_REQUEST: u16 = 1 | 8 | 16;
/// The flag of what is neither asked for nor an answer: a ping, here.
const EVENT: u16 = 4;

/// Families of operations, and the operations.
const CONTROL: u16 = 0;
const HELLO: u16 = 0;
const MAILBOX: u16 = 4;
const SEND: u16 = 1;
const RECEIVE: u16 = 2;
const ACK: u16 = 3;

const QUEUE: &[u8] = b"\x00\x07gwsmoke";
/// For how long a message is leased: longer than a run.
const VISIBILITY_MS: u32 = 60_000;

/// A connection to it. `by_the_batch`: all acks of a batch in one request.
pub(super) fn connect(address: SocketAddr, by_the_batch: bool) -> io::Result<Box<dyn Queue>> {
    let mut oap = Oap::new(Wire::<TcpStream>::connect(address)?, by_the_batch);
    oap.greet()?;
    Ok(Box::new(oap))
}

struct Oap<S> {
    wire: Wire<S>,
    last_id: u64,
    by_the_batch: bool,
}

/// A frame that came.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    is_event: bool,
    code: u16,
    payload: Vec<u8>,
}

fn parse(bytes: &[u8]) -> Parsed<Frame> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let u16_at = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
    if !(HEADER_BYTES..=FRAME_BYTES).contains(&length) {
        return Err(Malformed(format!("a frame of {length} bytes")));
    }
    Ok(bytes.get(HEADER_BYTES..length).map(|payload| {
        let frame = Frame {
            is_event: u16_at(6) & EVENT != 0,
            code: u16_at(8),
            payload: payload.to_vec(),
        };
        (frame, length)
    }))
}

/// The receipts of deliveries, each as it stands in an ack.
fn receipts(mut payload: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let cut = || Malformed("a delivery that is cut off".to_owned());
    let mut receipts = Vec::new();
    while !payload.is_empty() {
        let mut take = |count: usize| {
            let (taken, rest) = payload.split_at_checked(count).ok_or_else(cut)?;
            payload = rest;
            Ok(taken)
        };
        let mut text = || {
            let length = take(2)?;
            let length = u16::from_be_bytes([length[0], length[1]]);
            take(length.into())
        };
        text()?;
        let receipt = text()?;
        let length = u16::try_from(receipt.len()).map_err(|_| cut())?;
        receipts.push([&length.to_be_bytes()[..], receipt].concat());
        // Attempt, and when it was sent.
        take(4 + 8)?;
        let length = take(4)?;
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if take(length)?.len() != BODY_BYTES {
            return Err(Malformed("a body of another length".to_owned()));
        }
    }
    Ok(receipts)
}

impl<S: Read + Write> Oap<S> {
    fn new(wire: Wire<S>, by_the_batch: bool) -> Self {
        Self {
            wire,
            last_id: 0,
            by_the_batch,
        }
    }

    fn greet(&mut self) -> io::Result<()> {
        self.ask(CONTROL, HELLO, &[b"{}"]);
        self.wire.flush()?;
        self.answer().map(|_| ())
    }

    fn ask(&mut self, app: u16, code: u16, payload: &[&[u8]]) {
        self.last_id += 1;
        let bytes: usize = payload.iter().map(|part| part.len()).sum();
        // Frames of this client are short.
        let length = u32::try_from(HEADER_BYTES + bytes).unwrap_or(u32::MAX);
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&length.to_be_bytes());
        for (at, field) in [(4, 1), (6, WHOLE_REQUEST), (8, code), (10, app)] {
            header[at..at + 2].copy_from_slice(&u16::to_be_bytes(field));
        }
        header[30..].copy_from_slice(&self.last_id.to_be_bytes());
        self.wire.say(header);
        payload.iter().for_each(|part| self.wire.say(part));
    }

    /// The payload of the next answer.
    fn answer(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.wire.next(parse)? {
                // A connection that is asked all the time shows that it is there.
                Frame { is_event: true, .. } => {}
                Frame {
                    code: 200 | 201,
                    payload,
                    ..
                } => return Ok(payload),
                Frame { code, payload, .. } => {
                    let text = String::from_utf8_lossy(&payload);
                    return Err(io::Error::other(format!("{code}: {text}")));
                }
            }
        }
    }

    /// An ack is answered with a zero for each receipt.
    fn acked(&mut self, count: usize) -> io::Result<()> {
        let verdicts = self.answer()?;
        match verdicts.len() == count && verdicts.iter().all(|verdict| *verdict == 0) {
            true => Ok(()),
            false => Err(io::Error::other("an ack was refused")),
        }
    }
}

impl<S: Read + Write> Queue for Oap<S> {
    fn send(&mut self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            // No key, no delay.
            self.ask(MAILBOX, SEND, &[QUEUE, &[0; 2 + 4], &[b'x'; BODY_BYTES]]);
        }
        self.wire.flush()?;
        for _ in 0..count {
            self.answer()?;
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> io::Result<usize> {
        let max = u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes();
        // Does not wait.
        let times = [0, VISIBILITY_MS].map(u32::to_be_bytes).concat();
        self.ask(MAILBOX, RECEIVE, &[QUEUE, &max, &times]);
        self.wire.flush()?;
        let receipts = receipts(&self.answer()?).map_err(io::Error::other)?;
        if receipts.is_empty() {
            return Ok(0);
        }
        if self.by_the_batch {
            self.ask(MAILBOX, ACK, &[QUEUE, &receipts.concat()]);
            self.wire.flush()?;
            self.acked(receipts.len())?;
        } else {
            for receipt in &receipts {
                self.ask(MAILBOX, ACK, &[QUEUE, receipt]);
            }
            self.wire.flush()?;
            for _ in &receipts {
                self.acked(1)?;
            }
        }
        Ok(receipts.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::wire::tests::Script;
    use super::*;
    use proptest::prelude::*;

    fn frame(flags: u16, code: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; HEADER_BYTES];
        let length = u32::try_from(HEADER_BYTES + payload.len()).unwrap();
        frame[..4].copy_from_slice(&length.to_be_bytes());
        frame[6..8].copy_from_slice(&flags.to_be_bytes());
        frame[8..10].copy_from_slice(&code.to_be_bytes());
        frame.extend(payload);
        frame
    }

    fn delivery(id: &str, receipt: &str) -> Vec<u8> {
        let text = |text: &str| {
            [
                &u16::try_from(text.len()).unwrap().to_be_bytes()[..],
                text.as_bytes(),
            ]
            .concat()
        };
        let length = u32::try_from(BODY_BYTES).unwrap().to_be_bytes();
        [
            &text(id)[..],
            &text(receipt),
            &[0; 12],
            &length,
            &[b'x'; BODY_BYTES],
        ]
        .concat()
    }

    proptest! {
        /// However its answers are cut, with a ping in between, a batch is sent, taken and acked.
        #[test]
        fn answers_may_come_in_any_pieces(
            cuts in prop::collection::vec(any::<usize>(), 0..40), by_the_batch: bool,
        ) {
            let answer = |code, payload: &[u8]| frame(2 | 8 | 16, code, payload);
            let both = [delivery("m1", "r1"), delivery("m2", "r2")].concat();
            let acks = match by_the_batch {
                true => vec![answer(200, &[0, 0])],
                false => vec![answer(200, &[0]), answer(200, &[0])],
            };
            let mut answers = vec![answer(200, b"{}"), answer(201, b"m1"), frame(EVENT, 1, b""), answer(201, b"m2"), answer(200, &both)];
            answers.extend(acks);
            answers.push(answer(200, b""));
            let wire = Wire::new(Script::cut(&answers.concat(), &cuts));
            let mut queue = Oap::new(wire, by_the_batch);
            queue.greet().unwrap();
            queue.send(2).unwrap();
            prop_assert_eq!(queue.take(64).unwrap(), 2);
            prop_assert_eq!(queue.take(64).unwrap(), 0);
        }
    }

    #[test]
    fn another_answer_is_an_error() {
        let problem = frame(2 | 16, 429, b"{\"code\":\"too_many_streams\"}");
        let (short, refused) = (frame(2, 200, b"")[..30].to_vec(), frame(2, 200, &[1]));
        let mut none = frame(2, 200, b"");
        none[3] = 1;
        for answers in [problem, short, none] {
            let mut queue = Oap::new(Wire::new(Script::cut(&answers, &[])), false);
            assert!(queue.send(1).is_err());
        }
        let delivered = frame(2, 200, &delivery("m", "r"));
        for answers in [
            [delivered.clone(), refused].concat(),
            frame(2, 200, &delivered[40..60]),
        ] {
            let mut queue = Oap::new(Wire::new(Script::cut(&answers, &[])), false);
            assert!(queue.take(1).is_err());
        }
    }

    #[test]
    fn a_request_is_as_the_documents_have_it() {
        let mut queue = Oap::new(Wire::new(Script::default()), false);
        queue.ask(MAILBOX, SEND, &[QUEUE, b"body"]);
        let bytes = &queue.wire.commands;
        assert_eq!(bytes.len(), 38 + 9 + 4);
        assert_eq!(bytes[..12], [0, 0, 0, 51, 0, 1, 0, 25, 0, 1, 0, 4]);
        assert_eq!(bytes[28..38], [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert!(bytes.ends_with(b"\x00\x07gwsmokebody"));
    }
}
