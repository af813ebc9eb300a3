//! What a node tells on a stream before it answers: event frames that wait for their caller.

use std::collections::VecDeque;
use std::mem;

use bytes::{Bytes, BytesMut};
use micronode_protocol::frame::{Flags, Header};

use super::super::TOO_LONG;
use super::received;
use crate::Error;

/// What may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Notices at once.
    pub(super) notices: usize,
    /// Bytes of each.
    pub(super) bytes: usize,
    /// Whether this is all of one; what is long comes in several frames.
    pub(super) is_whole: fn(&[u8]) -> bool,
    /// Whether one more takes the place of the oldest. Otherwise it is not read before there is
    /// room, nor is anything behind it.
    pub(super) forgets: bool,
}

/// The payload of an event frame, or of several, and what it is.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) code: u16,
    /// All that was there has been told.
    pub(super) synced: bool,
    pub(super) payload: Bytes,
}

/// In order.
#[derive(Debug)]
pub(super) struct Notices {
    waiting: VecDeque<Notice>,
    /// What has come of one that is not whole.
    begun: BytesMut,
    room: Room,
}

impl Notices {
    pub(super) fn new(room: Room) -> Self {
        Notices {
            waiting: VecDeque::new(),
            begun: BytesMut::new(),
            room,
        }
    }

    /// Whether one more cannot be taken.
    pub(super) fn is_full(&self) -> bool {
        !self.room.forgets && self.waiting.len() >= self.room.notices
    }

    pub(super) fn push(&mut self, header: &Header, payload: Option<Bytes>) -> Result<(), Error> {
        if header.flags.has(Flags::COMP) {
            return Err(Error::Protocol("it is compressed, which was not agreed on"));
        }
        let allowed = self.room.bytes - self.begun.len();
        let payload = payload.filter(|payload| payload.len() <= allowed);
        let mut payload = payload.ok_or(TOO_LONG)?;
        if !self.begun.is_empty() || !(self.room.is_whole)(&payload) {
            self.begun.extend_from_slice(&payload);
            if !(self.room.is_whole)(&self.begun) {
                return Ok(());
            }
            payload = mem::take(&mut self.begun).freeze();
        }
        if self.waiting.len() >= self.room.notices {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Notice {
            code: header.code,
            synced: header.flags.has(Flags::ACK_REQ),
            payload: received::kept(payload),
        });
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<Notice> {
        self.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn push(notices: &mut Notices, payload: &'static [u8]) -> Result<(), Error> {
        notices.push(&Header::default(), Some(Bytes::from_static(payload)))
    }

    fn all(notices: &mut Notices) -> Vec<Bytes> {
        std::iter::from_fn(|| notices.pop().map(|notice| notice.payload)).collect()
    }

    const ROOM: Room = Room {
        notices: 2,
        bytes: 6,
        is_whole: |payload| payload.ends_with(b"."),
        forgets: true,
    };

    #[test]
    fn frames_become_notices_and_the_oldest_whole_one_gives_way() {
        let mut notices = Notices::new(ROOM);
        for frame in [b"a.".as_slice(), b"b", b"c", b".", b"d.", b"e"] {
            push(&mut notices, frame).unwrap();
        }
        assert!(!notices.is_full());
        assert_eq!(all(&mut notices), ["bc.", "d."]);
        push(&mut notices, b"f.").unwrap();
        assert_eq!(all(&mut notices), ["ef."]);
    }

    #[test]
    fn who_forgets_nothing_is_full_with_as_many_as_may_wait() {
        let mut notices = Notices::new(Room {
            forgets: false,
            ..ROOM
        });
        for (frame, full) in [(b"a.", false), (b"bb", false), (b"c.", true)] {
            push(&mut notices, frame).unwrap();
            assert_eq!(notices.is_full(), full);
        }
        assert_eq!(notices.pop().unwrap().payload, "a.");
        assert!(!notices.is_full());
    }

    #[test]
    fn a_notice_has_a_cap_however_it_is_cut() {
        for frames in [&[b"12345.".as_slice()][..], &[b"123", b"45."]] {
            let mut notices = Notices::new(ROOM);
            for frame in frames {
                push(&mut notices, frame).unwrap();
            }
        }
        assert!(push(&mut Notices::new(ROOM), b"123456.").is_err());
        let mut notices = Notices::new(ROOM);
        push(&mut notices, b"123").unwrap();
        assert!(push(&mut notices, b"456.").is_err());
        let too_long_to_read = notices.push(&Header::default(), None);
        assert!(too_long_to_read.is_err());
    }
}
