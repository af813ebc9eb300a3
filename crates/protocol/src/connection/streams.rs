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
    /// It waits, at rest, for something to happen. One that has been answered does not.
    parked: bool,
    /// It is in one of the lines of turns.
    has_turn: bool,
}

/// See the [module](self). At most as many entries as streams may be open and parked.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: HashMap<u64, Stream>,
    /// How many of them are parked ...
    parked: usize,
    /// ... and how many have been answered, and not yet asked to the end.
    answered: usize,
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

    pub(super) fn parked(&self) -> usize {
        self.parked
    }

    /// Whether none but parked streams are owed an answer.
    pub(super) fn only_wait(&self) -> bool {
        self.parked + self.answered == self.open.len()
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
        if self.open.len() - self.parked >= most {
            return Err(Refused::TooMany);
        }
        let stream = Stream {
            app: header.app,
            asked,
            answered: false,
            compresses: true,
            parked: false,
            has_turn: false,
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
            self.remove(header.corr_id);
        }
        Some(wanted)
    }

    /// The last frame of the answer has been queued.
    pub(super) fn answered(&mut self, corr_id: u64) {
        let Some(mut stream) = self.remove(corr_id) else {
            return;
        };
        if !stream.asked {
            stream.answered = true;
            self.answered += 1;
            self.open.insert(corr_id, stream);
        }
    }

    /// Closes a stream without an answer; whether there was one to wait for.
    pub(super) fn cancel(&mut self, corr_id: u64) -> bool {
        let stream = self.remove(corr_id);
        stream.is_some_and(|stream| !stream.answered)
    }

    /// Takes a stream out of all that it is in: it waits for nothing and has no turn.
    fn remove(&mut self, corr_id: u64) -> Option<Stream> {
        let mut stream = self.open.remove(&corr_id)?;
        self.answered -= usize::from(stream.answered);
        self.parked -= usize::from(std::mem::take(&mut stream.parked));
        if std::mem::take(&mut stream.has_turn) {
            self.newcomers.retain(|waiting| *waiting != corr_id);
            self.others.retain(|waiting| *waiting != corr_id);
        }
        Some(stream)
    }

    /// See [`Connection::park`](super::Connection::park).
    pub(super) fn park(&mut self, corr_id: u64, most: usize) -> bool {
        match self.open.get_mut(&corr_id) {
            Some(stream) if stream.parked => true,
            Some(stream) if !stream.answered && self.parked < most => {
                stream.parked = true;
                self.parked += 1;
                true
            }
            _ => false,
        }
    }

    /// See [`Connection::unpark`](super::Connection::unpark).
    pub(super) fn unpark(&mut self, corr_id: u64) {
        if let Some(stream) = self.open.get_mut(&corr_id) {
            self.parked -= usize::from(std::mem::take(&mut stream.parked));
        }
    }

    /// See [`Connection::owes_answers`](super::Connection::owes_answers).
    pub(super) fn owes_answers(&self, more_can_come: bool) -> bool {
        let mut streams = self.open.values();
        streams.any(|stream| !stream.answered && (stream.asked || more_can_come))
    }

    pub(super) fn begin_turns(&mut self, corr_id: u64) {
        if self.gets_turn(corr_id) {
            self.newcomers.push_back(corr_id);
        }
    }

    pub(super) fn next_turn(&mut self, corr_id: u64) {
        if self.gets_turn(corr_id) {
            self.others.push_back(corr_id);
        }
    }

    /// A stream that is not yet answered stands in line once.
    fn gets_turn(&mut self, corr_id: u64) -> bool {
        match self.open.get_mut(&corr_id) {
            Some(stream) if !stream.answered => !std::mem::replace(&mut stream.has_turn, true),
            _ => false,
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
        let next = newcomer
            .or_else(|| self.others.pop_front())
            .or_else(|| self.newcomers.pop_front())?;
        if let Some(stream) = self.open.get_mut(&next) {
            stream.has_turn = false;
        }
        Some(next)
    }
}
