//! An answer, frame by frame, and what the protocol says of it.

use super::message::{Delivery, deliveries, take, text};
use super::{CHUNK, END, EVENT, Frame, REQ, RESP, START};
use crate::support::assert_document;

/// The frames of one answer.
#[derive(Debug)]
pub struct Reply {
    pub frames: Vec<Frame>,
}

impl Reply {
    /// Checks what is the same for all answers.
    #[track_caller]
    pub(super) fn new(frames: Vec<Frame>) -> Self {
        let last = frames.len() - 1;
        for (index, frame) in frames.iter().enumerate() {
            let kind = frame.flags & (REQ | RESP | EVENT);
            assert_eq!((kind, frame.tenant), (RESP, 0), "{frame:?}");
            assert_eq!(frame.has(END), index == last);
            // An answer that is nothing but an error does not open anything.
            assert_eq!(frame.has(START), index == 0 && frame.code < 400);
            assert!(frame.inflated().len() <= CHUNK + 300 || last == 0);
        }
        Self { frames }
    }

    fn last(&self) -> &Frame {
        self.frames.last().unwrap()
    }

    /// The status that the answer ended with.
    pub fn status(&self) -> u16 {
        self.last().code
    }

    /// All of the answer, which did not change its mind.
    #[track_caller]
    pub fn payload(&self) -> Vec<u8> {
        let parts = self.frames.iter().map(|frame| {
            assert_eq!(frame.code, self.status());
            frame.inflated()
        });
        parts.collect::<Vec<_>>().concat()
    }

    /// Checks that the answer is, or ended with, the problem document of `code`, and is counted
    /// under its stream.
    #[track_caller]
    pub fn assert_problem(&self, code: &str) {
        self.assert_problem_of(self.last().corr_id, code);
    }

    #[track_caller]
    pub(super) fn assert_problem_of(&self, id: u64, code: &str) {
        let last = self.last();
        assert_eq!((last.flags, last.corr_id), (RESP | END, id), "{last:?}");
        let problem = assert_document(last.code, &last.payload, code);
        assert_eq!(problem["corr_id"], id.to_string());
    }

    /// The answer to a get.
    #[track_caller]
    pub fn object(&self) -> Object {
        object(&self.payload())
    }

    /// The answer to a head: size, expiry and media type.
    #[track_caller]
    pub fn head(&self) -> (u64, u64, String) {
        let payload = self.payload();
        let length = u16::from_be_bytes(payload[16..18].try_into().unwrap()) as usize;
        assert_eq!(payload.len(), 18 + length, "nothing follows");
        let media_type = String::from_utf8(payload[18..].to_vec()).unwrap();
        (number(&payload[..8]), number(&payload[8..16]), media_type)
    }

    /// The answer to a put: address, size, and whether the object was there.
    #[track_caller]
    pub fn stored(&self) -> ([u8; 32], u64, bool) {
        let payload = self.payload();
        assert_eq!(payload.len(), 41);
        assert!(payload[40] <= 1);
        let address = payload[..32].try_into().unwrap();
        (address, number(&payload[32..40]), payload[40] == 1)
    }

    /// The answer to a send: the id, and whether it is that of an earlier one.
    #[track_caller]
    pub fn sent(&self) -> (String, bool) {
        let payload = self.payload();
        let rest = &mut &payload[..];
        let id = text(rest);
        let [duplicate] = take(rest);
        assert!(rest.is_empty() && duplicate <= 1);
        (id, duplicate == 1)
    }

    /// The answer to a receive.
    #[track_caller]
    pub fn deliveries(&self) -> Vec<Delivery> {
        deliveries(&self.payload())
    }
}

/// What a get brings.
#[derive(Debug)]
pub struct Object {
    pub size: u64,
    pub offset: u64,
    pub expires: u64,
    pub media_type: String,
    pub bytes: Vec<u8>,
}

/// An object, as it stands in payloads.
#[track_caller]
pub fn object(payload: &[u8]) -> Object {
    let length = u16::from_be_bytes(payload[24..26].try_into().unwrap()) as usize;
    Object {
        size: number(&payload[..8]),
        offset: number(&payload[8..16]),
        expires: number(&payload[16..24]),
        media_type: String::from_utf8(payload[26..26 + length].to_vec()).unwrap(),
        bytes: payload[26 + length..].to_vec(),
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}
