//! One OAP/1 connection as the node sees it: a state machine without sockets, clock or threads.
//!
//! Its owner reads into [`spare`](Connection::spare), asks [`poll_event`](Connection::poll_event)
//! for what has come, answers, asks [`poll_turn`](Connection::poll_turn) whose answer goes on, and
//! writes [`slices`](Connection::slices). It knows what a stream is, who may open one, what may
//! follow, and whose turn it is; it knows nothing of what is asked.
//!
//! A stream is open from its first frame until both sides have sent their last one, or the peer
//! has cancelled it. A stream that was answered before all of its request had come stays open, and
//! what still comes is passed over: the peer cannot have known.
//!
//! Who is owed the next bytes: streams take turns, a chunk each. One that begins to answer is
//! served between any two turns of the others, so that a short answer waits for one chunk and not
//! for one of each.
//!
//! A stream that waits for something to happen is *parked* by its owner: it then takes no place of
//! those that work, and the connection has no idle time. Since such a peer may be silent for hours,
//! it is asked from time to time whether it is there. What happens is told it in events, any number
//! of them before the answer that ends the stream.
//!
//! Not here: the pace of a peer (bytes that come or go too slowly are seen at the socket), and
//! what is paid for memory.

mod event;
mod receive;
mod send;
mod streams;
mod time;

use std::io::IoSlice;
use std::time::Instant;

use bytes::BytesMut;
use bytes::buf::Limit;

use crate::ErrorCode;
use crate::codec::{Decoded, Decoder, Encoder, Malformed};
use crate::frame::{Flags, HEADER_BYTES, Header, Kind};
use crate::operation::CONTROL;
pub use event::{ConnectionLimits, Event, Expired, Fault, Part};
use receive::{NOT_HELLO, detail_of, is_cancel};
use streams::Streams;

/// Frames counted by who spoke in them, in the order of [`Kind::ALL`].
pub type FrameCounts = [u64; Kind::ALL.len()];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before HELLO.
    Opening,
    /// HELLO is being considered; its answer has these flags of it.
    Greeting {
        corr_id: u64,
        flags: Flags,
    },
    Open,
    /// Nothing more is read.
    Closing,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Connection {
    limits: ConnectionLimits,
    phase: Phase,
    decoder: Decoder,
    encoder: Encoder,
    streams: Streams,
    accepts_compression: bool,
    /// Frames that asked for nothing: see [`idle_frames`](Self::idle_frames).
    idle_frames: u64,
    /// The start, and from then on the last frame or the last byte written.
    active: Instant,
    /// The start, and from then on the last frame.
    heard: Instant,
    /// When the peer was last asked whether it is there, if it has said nothing since.
    pinged: Option<Instant>,
    /// It may still answer that in so many words.
    awaits_pong: bool,
    frames_in: FrameCounts,
    frames_out: FrameCounts,
}

impl Connection {
    /// A connection that begins now. Holds next to no memory until something comes.
    pub fn new(limits: ConnectionLimits, now: Instant) -> Self {
        Self {
            limits,
            phase: Phase::Opening,
            decoder: Decoder::new(limits.max_frame),
            encoder: Encoder::new(),
            streams: Streams::default(),
            accepts_compression: false,
            idle_frames: 0,
            active: now,
            heard: now,
            pinged: None,
            awaits_pong: false,
            frames_in: FrameCounts::default(),
            frames_out: FrameCounts::default(),
        }
    }

    // --- What comes in ---------------------------------------------------------------------

    /// Where the next bytes go: see [`Decoder::spare`].
    pub fn spare(&mut self) -> Limit<&mut BytesMut> {
        self.decoder.spare()
    }

    /// A frame that is longer than the read buffer, until it is decided about: see
    /// [`Decoder::long_frame`].
    pub fn long_frame(&self) -> Option<(&Header, &[u8])> {
        self.decoder.long_frame()
    }

    /// Whether anybody wants the payload of the long frame: it opens a stream, or goes on with one
    /// that has not been answered.
    pub fn wants_long_frame(&self) -> bool {
        self.long_frame().is_some_and(|(header, _)| {
            header.kind() == Kind::Req
                && !is_cancel(header)
                && (header.flags.has(Flags::START) || self.streams.wants_more(header.corr_id))
        })
    }

    /// Lets the long frame have memory of its length.
    pub fn grant_long_frame(&mut self) {
        self.decoder.grant();
    }

    /// Throws the long frame away as it comes. When it has passed, its stream has a
    /// [fault](Event::Fault): there was no memory for it.
    pub fn skip_long_frame(&mut self) {
        self.decoder.skip();
    }

    /// The next thing that the peer has sent, if it is all there.
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        loop {
            match self.phase {
                Phase::Opening | Phase::Open => {}
                Phase::Greeting { .. } | Phase::Closing => return None,
            }
            let event = match self.decoder.next() {
                Ok(None) => match self.long_frame().map(|(header, _)| *header) {
                    // A HELLO fits the read buffer by far.
                    Some(header) if self.phase == Phase::Opening => {
                        Some(self.fatal(&header, ErrorCode::BadRequest, NOT_HELLO))
                    }
                    _ => return None,
                },
                Ok(Some(decoded)) => {
                    (self.active, self.heard) = (now, now);
                    self.pinged = None;
                    let header = match &decoded {
                        Decoded::Frame(frame) => &frame.header,
                        Decoded::Skipped(header) => header,
                    };
                    self.frames_in[header.kind() as usize] += 1;
                    match decoded {
                        Decoded::Frame(frame) if self.phase == Phase::Opening => {
                            Some(self.opening(frame))
                        }
                        Decoded::Frame(frame) => self.frame(frame),
                        Decoded::Skipped(header) => self.skipped(&header),
                    }
                }
                Err(Malformed { corr_id, error }) => {
                    self.phase = Phase::Closing;
                    Some(Event::Fault(Fault {
                        corr_id,
                        app: CONTROL,
                        code: error.code(),
                        detail: detail_of(error.code()),
                        fatal: true,
                    }))
                }
            };
            if let Some(event) = event {
                // A frame that was skipped is no fault of the peer's.
                let at_fault = |fault: &Fault| fault.code != ErrorCode::Degraded;
                let is_idle = matches!(&event, Event::Fault(fault) if at_fault(fault));
                self.idle_frames += u64::from(is_idle);
                return Some(event);
            }
        }
    }

    // --- Whose turn it is, and who waits ---------------------------------------------------

    /// Parks a stream: it waits, and is none of the [most](ConnectionLimits::max_streams) any more.
    /// Whether it is parked now: not if [so many](ConnectionLimits::max_parked) are already, or if
    /// it is not open.
    pub fn park(&mut self, corr_id: u64) -> bool {
        self.streams.park(corr_id, self.limits.max_parked)
    }

    /// The stream waits no longer. There may be more streams than the most for a while; none is
    /// opened until there are fewer.
    pub fn unpark(&mut self, corr_id: u64) {
        self.streams.unpark(corr_id);
    }

    /// Streams that are parked.
    pub fn parked(&self) -> usize {
        self.streams.parked()
    }

    /// Gives a stream a turn, unless it has one coming: there is something to tell it.
    pub fn want_turn(&mut self, corr_id: u64) {
        self.streams.next_turn(corr_id);
    }

    /// The stream whose answer goes on next, if any does.
    pub fn poll_turn(&mut self) -> Option<u64> {
        self.streams.take_turn()
    }

    // --- The socket ------------------------------------------------------------------------

    /// Bytes queued and not yet written.
    pub fn queued(&self) -> usize {
        self.encoder.queued()
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.encoder.written()
    }

    /// What [`written`](Self::written) will be when all that is queued has been written.
    pub fn end_of_queue(&self) -> u64 {
        self.encoder.end()
    }

    /// The bytes to write: see [`Encoder::slices`].
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.encoder.slices(slices)
    }

    /// Takes note that `count` more bytes have been written.
    pub fn handle_written(&mut self, now: Instant, count: usize) {
        self.active = now;
        self.encoder.advance(count);
    }

    // --- What there is ---------------------------------------------------------------------

    /// Whether nothing more will be read.
    pub fn is_closing(&self) -> bool {
        self.phase == Phase::Closing
    }

    /// Whether HELLO has been answered.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether a part of a frame has come and the rest has not.
    pub fn is_frame_open(&self) -> bool {
        self.decoder.is_frame_open()
    }

    /// Bytes of the open frame that have come, its header included.
    pub fn arrived(&self) -> usize {
        self.decoder.open_frame().map_or(0, |(_, came)| came)
    }

    /// The stream of the frame that is open, once its header has come, and how many bytes of its
    /// payload have.
    pub fn open_frame(&self) -> Option<(u64, usize)> {
        let (header, came) = self.decoder.open_frame()?;
        let before = HEADER_BYTES + usize::from(header.cap_len);
        Some((header.corr_id, came.saturating_sub(before)))
    }

    /// Whether no answer is owed, not even to a parked stream, and nothing is left to write. What a
    /// peer still owes of a request that has been answered keeps nobody waiting.
    pub fn is_at_rest(&self) -> bool {
        self.queued() == 0 && !self.owes_answers(true)
    }

    /// Whether nothing is left to write and answers are owed to parked streams alone, if to any at
    /// all: there is nothing to do, for a long time perhaps.
    pub fn only_waits(&self) -> bool {
        self.queued() == 0 && self.streams.only_wait()
    }

    /// Streams open now, parked ones too.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether a stream waits for its answer, or for the rest of it. A request whose end has not
    /// come, and cannot come any more, does not.
    pub fn owes_answers(&self, more_can_come: bool) -> bool {
        self.streams.owes_answers(more_can_come)
    }

    /// Gives back the memory of buffers that have nothing in them.
    pub fn release(&mut self) {
        self.decoder.release();
        self.encoder.release();
    }

    /// Frames that have come and asked for nothing: faults, cancels and answers of nothing, empty
    /// or small ones that nobody waits for. A peer may have a few such, and no more than a few.
    pub fn idle_frames(&self) -> u64 {
        self.idle_frames
    }

    /// Whether a buffer has memory.
    pub fn has_memory(&self) -> bool {
        self.decoder.capacity() + self.encoder.capacity() > 0
    }

    /// Frames that came, and frames that were queued to go.
    pub fn frames(&self) -> (FrameCounts, FrameCounts) {
        (self.frames_in, self.frames_out)
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
