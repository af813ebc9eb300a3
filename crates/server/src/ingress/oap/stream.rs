//! A stream at work: what it holds, and how fast the rest of its request comes.

use super::answer::AnswerBody;
use super::inbox::Inbox;
use super::pace::Moved;
use crate::guard::admission::InProgress;
use futures_util::future::AbortHandle;
use micronode_hardening::{Demand, Progress};
use tokio::time::Instant;

/// A stream that was not answered at once.
pub(super) struct Stream {
    pub(super) state: StreamState,
    pub(super) moved: Moved,
    pub(super) in_progress: InProgress,
}

pub(super) enum StreamState {
    /// Its request is at work, and may not have come whole.
    Asking {
        inbox: Inbox,
        abort: AbortHandle,
        /// Of an upload. Anything else has to come whole within a time.
        pace: Option<Progress>,
        /// What an echo has been sent.
        echo: Option<EchoBody>,
    },
    /// The rest of its answer.
    Answering { code: u16, body: AnswerBody },
}

/// The body of an echo. Once it is whole it is an answer, and owed: many of them could be whole
/// before the first has been answered.
#[derive(Default)]
pub(super) struct EchoBody {
    bytes: usize,
    is_whole: bool,
}

impl EchoBody {
    /// Takes note of a part; what is owed more.
    pub(super) fn add(&mut self, bytes: usize, ends: bool) -> usize {
        self.bytes += bytes;
        self.is_whole = ends;
        self.owed()
    }

    fn owed(&self) -> usize {
        if self.is_whole { self.bytes } else { 0 }
    }
}

impl StreamState {
    /// Bytes of an answer that are held for nothing else.
    pub(super) fn owed(&self) -> usize {
        match self {
            Self::Asking { echo, .. } => echo.as_ref().map_or(0, EchoBody::owed),
            Self::Answering { body, .. } => body.owed(),
        }
    }
}

impl Stream {
    /// Takes note of whether the peer is waited for; `arriving` counts the bytes that have come of
    /// a frame of this stream. They are progress: at the least rate, a chunk takes longer than the
    /// interval.
    pub(super) fn observe(&mut self, now: Instant, is_read: bool, arriving: usize) {
        let StreamState::Asking {
            inbox,
            pace: Some(pace),
            ..
        } = &mut self.state
        else {
            return;
        };
        let count = self.moved.bytes() + arriving as u64;
        if is_read && !inbox.is_ended() {
            pace.wait(now, count);
        } else {
            pace.pause(now, count);
        }
    }

    /// When the rest of an upload comes too slowly.
    pub(super) fn deadline(&self, demand: Demand) -> Option<Instant> {
        match &self.state {
            StreamState::Asking { pace, .. } => pace.as_ref()?.deadline(demand),
            StreamState::Answering { .. } => None,
        }
    }
}
