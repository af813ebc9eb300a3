//! What a node tells on a stream before it answers: event frames that wait for their caller.

use std::collections::VecDeque;

use bytes::Bytes;
use micronode_protocol::frame::{Flags, Header};

use super::super::TOO_LONG;
use super::received;
use crate::Error;

/// What may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Notices at once.
    pub(super) notices: usize,
    /// Bytes of the payload of each.
    pub(super) bytes: usize,
    /// Whether one more takes the place of the oldest. Otherwise it is not read before there is
    /// room, nor is anything behind it.
    pub(super) forgets: bool,
}

/// The payload of an event frame, and what it is.
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
    room: Room,
}

impl Notices {
    pub(super) fn new(room: Room) -> Self {
        Notices {
            waiting: VecDeque::new(),
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
        let payload = payload.filter(|payload| payload.len() <= self.room.bytes);
        let payload = received::kept(payload.ok_or(TOO_LONG)?);
        if self.waiting.len() >= self.room.notices {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Notice {
            code: header.code,
            synced: header.flags.has(Flags::ACK_REQ),
            payload,
        });
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<Notice> {
        self.waiting.pop_front()
    }
}
