//! Whether an answer is the one that was asked for: its status, its length, and, of a sample, every
//! byte.

use micronode_protocol::Address;

use super::content::Content;
use super::plan::Request;
use crate::record::Verdict;

/// Bytes that are kept of an answer that is looked at as a whole and is no body of ours.
const NOTE_BYTES: usize = 4096;

/// One answer, as it comes.
#[derive(Debug, Default)]
pub(crate) struct Check {
    is_verified: bool,
    /// Bytes that have come.
    pub(crate) received: u64,
    hasher: blake3::Hasher,
    kept: Vec<u8>,
}

impl Check {
    /// Before an answer. Where `is_verified`, all of its bytes are compared with what they have to
    /// be.
    pub(crate) fn begin(&mut self, is_verified: bool) {
        self.is_verified = is_verified;
        self.received = 0;
        self.hasher.reset();
        self.kept.clear();
    }

    /// The next bytes of the answer's body.
    pub(crate) fn piece(&mut self, request: &Request, piece: &[u8]) {
        self.received += piece.len() as u64;
        match request {
            Request::Get(_) if self.is_verified => {
                self.hasher.update(piece);
            }
            Request::Echo(_) | Request::Receive if self.is_verified => {
                self.kept.extend_from_slice(piece);
            }
            Request::Ack(_) => self.note(piece),
            Request::Put(_) if self.is_verified => self.note(piece),
            Request::Get(_) | Request::Echo(_) | Request::Receive => {}
            Request::Put(_) | Request::Send(_) => {}
        }
    }

    fn note(&mut self, piece: &[u8]) {
        let room = NOTE_BYTES.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// What to make of the answer, once all of it is there; and whether its bytes have been
    /// verified.
    ///
    /// `told` is what the protocol has read of the answer to a put or an ack: of a put, whether
    /// the object's address is in it, of an ack, whether it was taken.
    pub(crate) fn verdict(
        &self,
        request: &Request,
        status: u16,
        content: &Content,
        told: impl FnOnce(&[u8], Option<Address>) -> bool,
    ) -> (Verdict, bool) {
        if let 429 | 503 = status {
            return (Verdict::Refused, false);
        }
        let is_verified = self.is_verified;
        let (is_right, is_verified) = match request {
            Request::Get(number) => {
                let object = &content.objects[*number as usize];
                let is_whole = status == 200 && self.received == object.body.size as u64;
                let is_same = || self.hasher.finalize().as_bytes() == object.address.as_bytes();
                (is_whole && (!is_verified || is_same()), is_verified)
            }
            Request::Put(body) => {
                let is_stored = matches!(status, 200 | 201);
                let is_same = || told(&self.kept, Some(content.address(body)));
                (is_stored && (!is_verified || is_same()), is_verified)
            }
            Request::Echo(body) => {
                let is_whole = status == 200 && self.received == body.size as u64;
                let is_same = || content.is(body, &self.kept);
                (is_whole && (!is_verified || is_same()), is_verified)
            }
            Request::Send(_) => (matches!(status, 200 | 201), false),
            Request::Receive if status == 204 => (self.received == 0, false),
            Request::Receive => {
                let is_same = || content.is_any(&self.kept);
                (status == 200 && (!is_verified || is_same()), is_verified)
            }
            Request::Ack(_) => (status == 200 && told(&self.kept, None), false),
        };
        match is_right {
            true => (Verdict::AsAsked, is_verified),
            false => (Verdict::Failed, false),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::load::content::Body;
    use crate::spec::LoadSpec;

    fn content() -> Content {
        Content::new(&LoadSpec::default()).unwrap()
    }

    fn bytes(content: &Content, body: &Body) -> Vec<u8> {
        [&content.stamp(body)[..], content.rest(body)].concat()
    }

    fn judge(
        content: &Content,
        request: &Request,
        is_verified: bool,
        status: u16,
        answer: &[u8],
        told: bool,
    ) -> (Verdict, bool) {
        let mut check = Check::default();
        check.begin(is_verified);
        for piece in answer.chunks(100) {
            check.piece(request, piece);
        }
        check.verdict(request, status, content, |_, _| told)
    }

    #[test]
    fn an_object_has_its_length_and_of_a_sample_its_hash() {
        let content = content();
        let good = bytes(&content, &content.objects[3].body);
        let mut bad = good.clone();
        bad[1000] ^= 1;
        let get = |is_verified, status, answer: &[u8]| {
            judge(
                &content,
                &Request::Get(3),
                is_verified,
                status,
                answer,
                true,
            )
        };
        assert_eq!(get(true, 200, &good), (Verdict::AsAsked, true));
        assert_eq!(get(false, 200, &bad), (Verdict::AsAsked, false));
        assert_eq!(get(true, 200, &bad), (Verdict::Failed, false));
        assert_eq!(get(false, 200, &good[1..]), (Verdict::Failed, false));
        assert_eq!(get(false, 206, &good), (Verdict::Failed, false));
        assert_eq!(get(true, 404, b"{}"), (Verdict::Failed, false));
        assert_eq!(get(true, 503, b"{}"), (Verdict::Refused, false));
        assert_eq!(get(true, 429, b""), (Verdict::Refused, false));
        assert_eq!(get(true, 502, &good), (Verdict::Failed, false));
    }

    #[test]
    fn what_carries_a_body_is_answered_as_its_kind_is() {
        let content = content();
        let body = Body::new(1024, 1, 2);
        let echo = bytes(&content, &body);
        let asked = |request: &Request, status, answer: &[u8], told| {
            judge(&content, request, true, status, answer, told).0 == Verdict::AsAsked
        };
        assert!(asked(&Request::Echo(body), 200, &echo, false));
        assert!(!asked(&Request::Echo(body), 200, &echo[1..], false));
        assert!(!asked(
            &Request::Echo(Body::new(1024, 2, 2)),
            200,
            &echo,
            false
        ));
        for status in [200, 201] {
            assert!(asked(&Request::Put(body), status, b"x", true));
            assert!(!asked(&Request::Put(body), status, b"x", false));
            assert!(asked(&Request::Send(body), status, b"", false));
        }
        assert!(!asked(&Request::Send(body), 422, b"", true));
        assert!(asked(&Request::Receive, 200, &echo, false));
        assert!(asked(&Request::Receive, 204, b"", false));
        assert!(!asked(&Request::Receive, 200, &echo[..1000], false));
        assert!(asked(&Request::Ack(Default::default()), 200, b"", true));
        assert!(!asked(&Request::Ack(Default::default()), 200, b"", false));
    }
}
