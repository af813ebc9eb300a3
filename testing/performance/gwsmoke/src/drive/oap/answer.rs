//! An answer out of its frames.

use std::io;

use micronode_protocol::Address;
use micronode_protocol::codec::Frame;
use micronode_protocol::frame::Flags;
use micronode_protocol::operation::{Delivery, GetReply, PutReply};

use crate::load::check::Check;
use crate::load::content::Content;
use crate::load::plan::{Receipt, Request};
use crate::record::Outcome;

/// Longest fields in front of an object's bytes, and longest answer to a receive.
const FIELDS_BYTES: usize = 1024;
const DELIVERY_BYTES: usize = 2 << 20;

/// One answer, as its frames come.
#[derive(Debug, Default)]
pub(super) struct Answer {
    status: u16,
    check: Check,
    /// Whether the fields in front of the body have been read.
    is_in_body: bool,
    /// What is not understood before more of it is there: fields that are cut, a delivery.
    kept: Vec<u8>,
}

impl Answer {
    pub(super) fn begin(&mut self, is_verified: bool) {
        self.status = 0;
        self.check.begin(is_verified);
        self.is_in_body = false;
        self.kept.clear();
    }

    /// Bytes of the body that have come.
    pub(super) fn received(&self) -> u64 {
        self.check.received
    }

    /// The next frame of it.
    pub(super) fn take(&mut self, request: &Request, frame: &Frame) -> io::Result<()> {
        let (header, payload) = (&frame.header, &frame.payload[..]);
        self.status = header.code;
        if header.flags.has(Flags::END) && header.code >= 400 {
            // A problem, whatever has come before.
            return Ok(());
        }
        match request {
            Request::Get(_) if self.is_in_body => self.check.piece(request, payload),
            Request::Get(_) if self.kept.is_empty() => match fields(payload)? {
                Some(length) => {
                    self.is_in_body = true;
                    self.check.piece(request, &payload[length..]);
                }
                None => self.kept.extend_from_slice(payload),
            },
            Request::Get(_) => {
                self.keep(payload, FIELDS_BYTES + payload.len())?;
                if let Some(length) = fields(&self.kept)? {
                    self.is_in_body = true;
                    self.check.piece(request, &self.kept[length..]);
                }
            }
            Request::Receive => self.keep(payload, DELIVERY_BYTES)?,
            _ => self.check.piece(request, payload),
        }
        Ok(())
    }

    fn keep(&mut self, payload: &[u8], most: usize) -> io::Result<()> {
        if self.kept.len() + payload.len() > most {
            return Err(io::Error::other("an answer longer than it may be"));
        }
        self.kept.extend_from_slice(payload);
        Ok(())
    }

    /// What to make of it, now that all of it is there.
    pub(super) fn end(
        &mut self,
        request: &Request,
        content: &Content,
    ) -> (Outcome, Option<Receipt>) {
        let mut receipt = None;
        if let Request::Receive = request
            && self.status == 200
        {
            match Delivery::parse(&self.kept) {
                Ok(Some((delivery, _))) => {
                    receipt = Some(delivery.receipt.as_bytes().into());
                    self.check.piece(request, delivery.body);
                }
                // What HTTP says of a queue without messages.
                _ if self.kept.is_empty() => self.status = 204,
                // A delivery that is none has failed.
                _ => self.status = 0,
            }
        }
        let (verdict, is_verified) = self.check.verdict(
            request,
            self.status,
            content,
            |kept, address| match address {
                Some(address) => stored(kept) == Some(address),
                None => !kept.is_empty() && kept.iter().all(|verdict| *verdict == 0),
            },
        );
        let outcome = Outcome {
            status: Some(self.status),
            verdict,
            is_verified,
            sent: request.body().map_or(0, |body| body.size as u64),
            received: self.check.received,
        };
        (outcome, receipt)
    }
}

/// Bytes of the fields in front of an object, once they are there.
fn fields(payload: &[u8]) -> io::Result<Option<usize>> {
    match GetReply::parse(payload) {
        Ok(parsed) => Ok(parsed.map(|(_, length)| length)),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Where a put has stored its object.
fn stored(payload: &[u8]) -> Option<Address> {
    PutReply::decode(payload).ok().map(|reply| reply.address)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::record::Verdict;
    use crate::spec::LoadSpec;
    use bytes::Bytes;
    use micronode_protocol::frame::Header;
    use proptest::prelude::*;

    fn frame(flags: Flags, code: u16, payload: &[u8]) -> Frame {
        Frame {
            header: Header {
                flags: Flags::RESP.with(flags),
                code,
                ..Header::default()
            },
            cap: Bytes::new(),
            payload: Bytes::copy_from_slice(payload),
        }
    }

    fn outcome(
        request: &Request,
        content: &Content,
        frames: &[Frame],
    ) -> (Outcome, Option<Receipt>) {
        let mut answer = Answer::default();
        answer.begin(true);
        for frame in frames {
            answer.take(request, frame).unwrap();
        }
        answer.end(request, content)
    }

    fn object(content: &Content, number: usize) -> Vec<u8> {
        let body = &content.objects[number].body;
        let reply = GetReply {
            size: body.size as u64,
            offset: 0,
            expires_ms: 0,
            media_type: "text/plain",
        };
        let mut payload = Vec::new();
        reply.encode(&mut payload);
        payload.extend_from_slice(&content.stamp(body));
        payload.extend_from_slice(content.rest(body));
        payload
    }

    proptest! {
        /// Wherever its frames are cut, an object is verified as it came.
        #[test]
        fn an_object_may_come_in_any_frames(cuts in prop::collection::vec(0..1000_usize, 0..6)) {
            let content = Content::new(&LoadSpec::default()).unwrap();
            let payload = object(&content, 3);
            let mut cuts = cuts;
            cuts.extend([0, payload.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &payload[pair[0]..pair[1]]).collect();
            let last = pieces.len() - 1;
            let frames: Vec<_> = (0..).zip(&pieces).map(|(index, piece)| {
                let start = if index == 0 { Flags::START } else { Flags::default() };
                let end = if index == last { Flags::END } else { Flags::default() };
                frame(start.with(end), 200, piece)
            }).collect();
            let (outcome, _) = outcome(&Request::Get(3), &content, &frames);
            prop_assert_eq!((outcome.status, outcome.verdict), (Some(200), Verdict::AsAsked));
            prop_assert!(outcome.is_verified);
            prop_assert_eq!(outcome.received, 1024);
        }
    }

    #[test]
    fn a_problem_ends_what_has_begun() {
        let content = Content::new(&LoadSpec::default()).unwrap();
        let begun = frame(Flags::START, 200, &object(&content, 3)[..100]);
        for (code, verdict) in [
            (502, Verdict::Failed),
            (503, Verdict::Refused),
            (404, Verdict::Failed),
        ] {
            let problem = frame(Flags::END, code, b"{}");
            let frames = [begun.clone(), problem];
            let (outcome, _) = outcome(&Request::Get(3), &content, &frames);
            assert_eq!((outcome.status, outcome.verdict), (Some(code), verdict));
        }
    }

    #[test]
    fn a_delivery_brings_a_receipt_and_none_is_204() {
        let content = Content::new(&LoadSpec::default()).unwrap();
        let (outcome_of_none, receipt) = outcome(
            &Request::Receive,
            &content,
            &[frame(Flags::WHOLE, 200, b"")],
        );
        assert_eq!((outcome_of_none.status, receipt), (Some(204), None));
        let body = object(&content, 5);
        let body = &body[body.len() - 1024..];
        let mut payload = Vec::new();
        let delivery = Delivery {
            id: "i",
            receipt: "r",
            attempt: 1,
            enqueued_ms: 0,
            body,
        };
        delivery.encode(&mut payload);
        payload.extend_from_slice(body);
        let frames = [
            frame(Flags::START, 200, &payload[..30]),
            frame(Flags::END, 200, &payload[30..]),
        ];
        let (delivered, receipt) = outcome(&Request::Receive, &content, &frames);
        assert_eq!(delivered.verdict, Verdict::AsAsked);
        assert_eq!(receipt.as_deref(), Some(&b"r"[..]));
        let broken = [frame(Flags::WHOLE, 200, &payload[..30])];
        let (broken, receipt) = outcome(&Request::Receive, &content, &broken);
        assert_eq!((broken.verdict, receipt), (Verdict::Failed, None));
    }
}
