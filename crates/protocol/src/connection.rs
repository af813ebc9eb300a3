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
//! Not here: the pace of a peer (bytes that come or go too slowly are seen at the socket), and
//! what is paid for memory.

mod streams;

use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::buf::Limit;
use bytes::{Bytes, BytesMut};

use crate::ErrorCode;
use crate::codec::{Decoded, Decoder, Encoder, Frame, Malformed};
use crate::compression::{deflate, inflate, inflated_bound};
use crate::frame::{Flags, HEADER_BYTES, Header, Kind};
use crate::limits::{DECOMPRESS_RATIO, OAP_HELLO_BYTES, OAP_SMALL_BYTES};
use crate::operation::{CONTROL, HELLO, Hello, Welcome};
use streams::{Refused, Streams};

/// Bounds of a connection. All but the times are told to the peer.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Bytes of a frame.
    pub max_frame: usize,
    /// Streams open at once.
    pub max_streams: usize,
    /// HELLO comes within this of the connection's start.
    pub hello: Duration,
    /// A connection that owes no answer is closed after this.
    pub idle: Duration,
}

/// What a peer has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first frame. Nothing else comes before [`Connection::welcome`].
    Hello {
        /// The stream to answer it on.
        corr_id: u64,
        /// What the peer says of itself.
        hello: Hello,
        /// The authority of every request that brings none.
        cap: Bytes,
    },
    /// A stream has been opened.
    Request {
        /// The stream.
        corr_id: u64,
        /// The family of the operation.
        app: u16,
        /// The operation.
        code: u16,
        /// Its authority; empty for the connection's.
        cap: Bytes,
        /// The beginning of the payload.
        part: Part,
    },
    /// More of a request's payload.
    Body {
        /// The stream.
        corr_id: u64,
        /// What came.
        part: Part,
    },
    /// The peer does not want the answer any more. It gets none.
    Cancelled {
        /// The stream, which is closed.
        corr_id: u64,
    },
    /// Something that cannot be. What its stream was doing is over; the fault is to be told with
    /// [`Connection::refuse`].
    Fault(Fault),
}

/// The payload of one frame of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// As it came.
    pub payload: Bytes,
    /// It is zstd.
    pub compressed: bool,
    /// It is the last of its request.
    pub end: bool,
}

/// What a peer did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The stream that is told.
    pub corr_id: u64,
    /// The family in the frame at fault.
    pub app: u16,
    /// The public code.
    pub code: ErrorCode,
    /// One sentence for people.
    pub detail: &'static str,
    /// The connection ends with the answer.
    pub fatal: bool,
}

/// Why a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// HELLO did not come in time.
    Hello {
        /// Some of it did, so that an answer has something to answer.
        begun: bool,
    },
    /// Nothing was asked for too long.
    Idle,
}

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
    pub fn long_frame(&self) -> Option<&Header> {
        self.decoder.long_frame()
    }

    /// Whether anybody wants the payload of the long frame: it opens a stream, or goes on with one
    /// that has not been answered.
    pub fn wants_long_frame(&self) -> bool {
        self.long_frame().is_some_and(|header| {
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
                Ok(None) => match self.long_frame().copied() {
                    // A HELLO fits the read buffer by far.
                    Some(header) if self.phase == Phase::Opening => {
                        Some(self.fatal(&header, ErrorCode::BadRequest, NOT_HELLO))
                    }
                    _ => return None,
                },
                Ok(Some(decoded)) => {
                    self.active = now;
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

    /// Nothing can be said to a peer that does not know what it is talking to, so it is told why
    /// and left.
    fn fatal(&mut self, header: &Header, code: ErrorCode, detail: &'static str) -> Event {
        self.phase = Phase::Closing;
        Event::Fault(Fault {
            fatal: true,
            ..fault(header, code, detail)
        })
    }

    fn opening(&mut self, frame: Frame) -> Event {
        let header = &frame.header;
        if header.kind() != Kind::Req || (header.app, header.code) != (CONTROL, HELLO) {
            return self.fatal(header, ErrorCode::BadRequest, NOT_HELLO);
        }
        if header.tenant != 0 {
            return self.fatal(header, ErrorCode::BadTenant, BAD_TENANT);
        }
        let payload = if header.flags.has(Flags::COMP) {
            let ratio = DECOMPRESS_RATIO as usize;
            let bound = inflated_bound(&frame.payload, ratio, OAP_HELLO_BYTES);
            match inflate(&frame.payload, bound) {
                Ok(inflated) => inflated.into(),
                Err(error) => {
                    return self.fatal(header, error.code(), "a HELLO that does not inflate");
                }
            }
        } else {
            frame.payload
        };
        match Hello::decode(&payload) {
            Ok(hello) => {
                self.phase = Phase::Greeting {
                    corr_id: header.corr_id,
                    flags: header.flags.and(Flags::WHOLE),
                };
                self.accepts_compression = hello.accept_comp;
                Event::Hello {
                    corr_id: header.corr_id,
                    hello,
                    cap: frame.cap,
                }
            }
            Err(_) => self.fatal(header, ErrorCode::BadRequest, NOT_HELLO),
        }
    }

    fn frame(&mut self, frame: Frame) -> Option<Event> {
        let header = frame.header;
        let (corr_id, app, code) = (header.corr_id, header.app, header.code);
        if header.kind() != Kind::Req {
            return self.not_a_request(&header);
        }
        if is_cancel(&header) {
            return self.cancel(corr_id);
        }
        let part = Part {
            payload: frame.payload,
            compressed: header.flags.has(Flags::COMP),
            end: header.flags.has(Flags::END),
        };
        if header.flags.has(Flags::START) {
            return Some(match self.open(&header) {
                Ok(()) => Event::Request {
                    corr_id,
                    app,
                    code,
                    cap: frame.cap,
                    part,
                },
                Err(fault) => Event::Fault(fault),
            });
        }
        let is_small = part.payload.len() < OAP_SMALL_BYTES;
        match self.go_on(&header) {
            Ok(true) => {
                self.idle_frames += u64::from(part.payload.is_empty() && !part.end);
                Some(Event::Body { corr_id, part })
            }
            Ok(false) => {
                self.idle_frames += u64::from(is_small && !part.end);
                None
            }
            Err(fault) => Some(Event::Fault(fault)),
        }
    }

    fn skipped(&mut self, header: &Header) -> Option<Event> {
        if header.kind() != Kind::Req {
            return self.not_a_request(header);
        }
        if is_cancel(header) {
            return self.cancel(header.corr_id);
        }
        let goes_on = if header.flags.has(Flags::START) {
            self.open(header).map(|()| true)
        } else {
            self.go_on(header)
        };
        match goes_on {
            Ok(true) => {
                let detail = "there is no memory for so long a frame; send chunks of 64 KiB";
                Some(Event::Fault(fault(header, ErrorCode::Degraded, detail)))
            }
            Ok(false) => None,
            Err(fault) => Some(Event::Fault(fault)),
        }
    }

    fn not_a_request(&mut self, header: &Header) -> Option<Event> {
        // Whatever a peer sends back to a ping shows that it is there.
        self.idle_frames += 1;
        (header.app != CONTROL).then(|| {
            let detail = "only a node answers; a client asks";
            self.fatal(header, ErrorCode::BadRequest, detail)
        })
    }

    fn cancel(&mut self, corr_id: u64) -> Option<Event> {
        let was_wanted = self.streams.cancel(corr_id);
        self.idle_frames += u64::from(!was_wanted);
        was_wanted.then_some(Event::Cancelled { corr_id })
    }

    fn open(&mut self, header: &Header) -> Result<(), Fault> {
        let opened = self.streams.open(header, self.limits.max_streams);
        opened.map_err(|refused| match refused {
            Refused::Reused => fault(
                header,
                ErrorCode::StreamReused,
                "this stream is open, and has ended now",
            ),
            Refused::TooMany => fault(
                header,
                ErrorCode::TooManyStreams,
                "wait for an answer before asking for more",
            ),
        })?;
        if (header.app, header.code) == (CONTROL, HELLO) {
            let detail = "HELLO comes first, and once";
            return Err(fault(header, ErrorCode::BadRequest, detail));
        }
        Self::check_tenant(header)
    }

    /// Whether a frame that goes on with a stream is for its request: `false` if it has been
    /// answered already.
    fn go_on(&mut self, header: &Header) -> Result<bool, Fault> {
        let Some(goes_on) = self.streams.go_on(header) else {
            let detail = "this stream is not open: START opens one, END ends it";
            return Err(fault(header, ErrorCode::StreamClosed, detail));
        };
        if goes_on {
            Self::check_tenant(header)?;
        }
        Ok(goes_on)
    }

    fn check_tenant(header: &Header) -> Result<(), Fault> {
        if header.tenant == 0 {
            Ok(())
        } else {
            Err(fault(header, ErrorCode::BadTenant, BAD_TENANT))
        }
    }

    // --- What goes out ---------------------------------------------------------------------

    /// Answers HELLO. Requests come from now on.
    ///
    /// # Panics
    ///
    /// If no [`Event::Hello`] waits for it.
    pub fn welcome(&mut self, welcome: &Welcome) {
        let Phase::Greeting { corr_id, flags } = self.phase else {
            panic!("a welcome answers a HELLO");
        };
        self.phase = Phase::Open;
        let header = Header {
            flags: Flags::RESP.with(flags),
            code: 200,
            app: CONTROL,
            corr_id,
            ..Header::default()
        };
        self.push(&header, &[], welcome.encode().into());
    }

    /// Begins the answer of a stream: status, fields, and the first of the body. Unless it `ends`
    /// with it, the stream has turns from now on. Nothing happens if the stream is not open.
    pub fn respond(&mut self, corr_id: u64, code: u16, fields: &[u8], body: Bytes, ends: bool) {
        self.answer(corr_id, Flags::START, code, fields, body, ends);
        if !ends {
            self.streams.begin_turns(corr_id);
        }
    }

    /// Goes on with an answer, on the stream's [turn](Self::poll_turn).
    pub fn respond_more(&mut self, corr_id: u64, code: u16, body: Bytes, ends: bool) {
        self.answer(corr_id, Flags::default(), code, &[], body, ends);
        if !ends {
            self.streams.next_turn(corr_id);
        }
    }

    fn answer(
        &mut self,
        corr_id: u64,
        flags: Flags,
        code: u16,
        fields: &[u8],
        body: Bytes,
        ends: bool,
    ) {
        let Some(app) = self.streams.app(corr_id) else {
            return;
        };
        let end = if ends { Flags::END } else { Flags::default() };
        let header = Header {
            flags: Flags::RESP.with(flags).with(end),
            code,
            app,
            corr_id,
            ..Header::default()
        };
        match self.compressed(corr_id, fields, &body) {
            Some(compressed) => {
                let header = Header {
                    flags: header.flags.with(Flags::COMP),
                    ..header
                };
                self.push(&header, &[], compressed);
            }
            None => self.push(&header, fields, body),
        }
        if ends {
            self.streams.answered(corr_id);
        }
    }

    /// Ends a stream, open or not, with an error: its status and its document. A stream of which
    /// more is still to come is passed over from now on. `app` is the family in an answer to a
    /// frame of no stream.
    pub fn refuse(&mut self, corr_id: u64, app: u16, code: ErrorCode, document: Bytes) {
        let header = Header {
            flags: Flags::RESP.with(Flags::END),
            code: code.status(),
            app: self.streams.app(corr_id).unwrap_or(app),
            corr_id,
            ..Header::default()
        };
        self.push(&header, &[], document);
        self.streams.answered(corr_id);
    }

    fn push(&mut self, header: &Header, fields: &[u8], body: Bytes) {
        self.frames_out[header.kind() as usize] += 1;
        self.encoder.push(header, &[], fields, body);
    }

    /// A payload compressed, if the peer takes it and it gains by it. What does not gain in one
    /// chunk is not tried again in the next.
    fn compressed(&mut self, corr_id: u64, fields: &[u8], body: &Bytes) -> Option<Bytes> {
        if !self.accepts_compression || !self.streams.compresses(corr_id) {
            return None;
        }
        let ratio = DECOMPRESS_RATIO as usize;
        let compressed = match fields {
            [] => deflate(body, ratio),
            fields => deflate(&[fields, body].concat(), ratio),
        };
        if compressed.is_none() {
            self.streams.compresses_no_more(corr_id);
        }
        compressed.map(Bytes::from)
    }

    /// The stream whose answer goes on next, if any does.
    pub fn poll_turn(&mut self) -> Option<u64> {
        self.streams.take_turn()
    }

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

    // --- Time, and the end -----------------------------------------------------------------

    /// When [`handle_timeout`](Self::handle_timeout) has something to say, unless something
    /// happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Opening => Some(self.active + self.limits.hello),
            // A frame that is on its way is held to its pace instead, which may take longer.
            Phase::Open if self.is_at_rest() && !self.is_frame_open() => {
                Some(self.active + self.limits.idle)
            }
            Phase::Greeting { .. } | Phase::Open | Phase::Closing => None,
        }
    }

    /// Whether the connection's time is over. It is closing then.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Expired> {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return None;
        }
        let expired = match self.phase {
            Phase::Opening => Expired::Hello {
                begun: self.is_frame_open(),
            },
            _ => Expired::Idle,
        };
        self.close();
        Some(expired)
    }

    /// Nothing more is read, and what was is let go of; what is queued may still be written.
    pub fn close(&mut self) {
        self.phase = Phase::Closing;
        self.decoder = Decoder::new(self.limits.max_frame);
    }

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

    /// Whether no answer is owed and nothing is left to write. What a peer still owes of a request
    /// that has been answered keeps nobody waiting.
    pub fn is_at_rest(&self) -> bool {
        self.queued() == 0 && !self.owes_answers(true)
    }

    /// Streams open now.
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

const NOT_HELLO: &str = "the first frame is a HELLO, with a JSON object of at most 4 KiB";
const BAD_TENANT: &str = "this node has one tenant, 0";

/// HELLO's code, where no HELLO can be.
fn is_cancel(header: &Header) -> bool {
    !header.flags.has(Flags::START) && header.flags.has(Flags::END) && header.code == HELLO
}

fn fault(header: &Header, code: ErrorCode, detail: &'static str) -> Fault {
    Fault {
        corr_id: header.corr_id,
        app: header.app,
        code,
        detail,
        fatal: false,
    }
}

/// What a person is told about bytes that are no frame.
const fn detail_of(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::BadFlags => {
            "exactly one of REQ, RESP and EVENT, no COMP with APP_E2E, and no unknown flag"
        }
        ErrorCode::BadVersion => "the version of the protocol is 1",
        ErrorCode::FrameOversize => {
            "a frame is at most as long as HELLO said; send chunks of 64 KiB"
        }
        ErrorCode::Truncated => "a frame is at least as long as its header, which has 38 bytes",
        ErrorCode::CapOnNonStart => "only the first frame of a stream carries a capability",
        _ => "the capability ends behind its frame",
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
