//! The table of streams, and whose turn it is.

use std::collections::{HashMap, VecDeque};

use crate::frame::{Flags, Header};

/// Why a stream was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is open.
    Reused,
    /// As many are open as may be.
    TooMany,
}

#[derive(Debug)]
struct Stream {
    app: u16,
    /// The last frame of the request has come.
    asked: bool,
    /// The last frame of the answer has been queued.
    answered: bool,
    /// Its answer may gain by compression.
    compresses: bool,
}

/// See the [module](self). At most as many entries as streams may be open.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: HashMap<u64, Stream>,
    /// Streams that have begun to answer and have had no turn.
    newcomers: VecDeque<u64>,
    /// Those that have had one, in turn.
    others: VecDeque<u64>,
    /// The last turn was a newcomer's.
    newcomer_had_turn: bool,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// The family of an open stream's operation, while it has not been answered.
    pub(super) fn app(&self, corr_id: u64) -> Option<u16> {
        let stream = self.open.get(&corr_id)?;
        (!stream.answered).then_some(stream.app)
    }

    /// Whether more of the stream's request is to come, and wanted.
    pub(super) fn wants_more(&self, corr_id: u64) -> bool {
        let stream = self.open.get(&corr_id);
        stream.is_some_and(|stream| !stream.asked && !stream.answered)
    }

    pub(super) fn compresses(&self, corr_id: u64) -> bool {
        let stream = self.open.get(&corr_id);
        stream.is_some_and(|stream| stream.compresses)
    }

    pub(super) fn compresses_no_more(&mut self, corr_id: u64) {
        if let Some(stream) = self.open.get_mut(&corr_id) {
            stream.compresses = false;
        }
    }

    pub(super) fn open(&mut self, header: &Header, most: usize) -> Result<(), Refused> {
        let asked = header.flags.has(Flags::END);
        if let Some(stream) = self.open.get_mut(&header.corr_id) {
            // Both openings end with the answer to the second.
            stream.asked |= asked;
            return Err(Refused::Reused);
        }
        if self.open.len() >= most {
            return Err(Refused::TooMany);
        }
        let stream = Stream {
            app: header.app,
            asked,
            answered: false,
            compresses: true,
        };
        self.open.insert(header.corr_id, stream);
        Ok(())
    }

    /// Takes note of a frame that does not open its stream: whether its payload is wanted. `None`
    /// if the stream is not open, or its request has ended.
    pub(super) fn go_on(&mut self, header: &Header) -> Option<bool> {
        let stream = self.open.get_mut(&header.corr_id)?;
        if stream.asked {
            return None;
        }
        stream.asked = header.flags.has(Flags::END);
        let (wanted, over) = (!stream.answered, stream.answered && stream.asked);
        if over {
            self.open.remove(&header.corr_id);
        }
        Some(wanted)
    }

    /// The last frame of the answer has been queued.
    pub(super) fn answered(&mut self, corr_id: u64) {
        if let Some(stream) = self.open.get_mut(&corr_id) {
            stream.answered = true;
            if stream.asked {
                self.open.remove(&corr_id);
            }
            self.forget_turn(corr_id);
        }
    }

    /// Closes a stream without an answer; whether there was one to wait for.
    pub(super) fn cancel(&mut self, corr_id: u64) -> bool {
        let Some(stream) = self.open.remove(&corr_id) else {
            return false;
        };
        self.forget_turn(corr_id);
        !stream.answered
    }

    /// See [`Connection::owes_answers`](super::Connection::owes_answers).
    pub(super) fn owes_answers(&self, more_can_come: bool) -> bool {
        let mut streams = self.open.values();
        streams.any(|stream| !stream.answered && (stream.asked || more_can_come))
    }

    pub(super) fn begin_turns(&mut self, corr_id: u64) {
        if self.app(corr_id).is_some() {
            self.newcomers.push_back(corr_id);
        }
    }

    pub(super) fn next_turn(&mut self, corr_id: u64) {
        if self.app(corr_id).is_some() {
            self.others.push_back(corr_id);
        }
    }

    /// Newcomers and the others by turns, so that neither keeps the other waiting.
    pub(super) fn take_turn(&mut self) -> Option<u64> {
        let newcomer = if self.newcomer_had_turn {
            None
        } else {
            self.newcomers.pop_front()
        };
        self.newcomer_had_turn = newcomer.is_some();
        newcomer
            .or_else(|| self.others.pop_front())
            .or_else(|| self.newcomers.pop_front())
    }

    fn forget_turn(&mut self, corr_id: u64) {
        self.newcomers.retain(|waiting| *waiting != corr_id);
        self.others.retain(|waiting| *waiting != corr_id);
    }
}
