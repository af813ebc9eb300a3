//! What a frame means where it comes: HELLO, the opening of a stream, more of it, its cancel, or a
//! fault.

use super::event::{Event, Fault, Part};
use super::streams::Refused;
use super::{Connection, Phase};
use crate::ErrorCode;
use crate::codec::Frame;
use crate::compression::{inflate, inflated_bound};
use crate::frame::{Flags, Header, Kind};
use crate::limits::{DECOMPRESS_RATIO, OAP_HELLO_BYTES, OAP_SMALL_BYTES};
use crate::operation::{CONTROL, HELLO, Hello};

impl Connection {
    /// Nothing can be said to a peer that does not know what it is talking to, so it is told why
    /// and left.
    pub(super) fn fatal(
        &mut self,
        header: &Header,
        code: ErrorCode,
        detail: &'static str,
    ) -> Event {
        self.phase = Phase::Closing;
        Event::Fault(Fault {
            fatal: true,
            ..fault(header, code, detail)
        })
    }

    pub(super) fn opening(&mut self, frame: Frame) -> Event {
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

    pub(super) fn frame(&mut self, frame: Frame) -> Option<Event> {
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

    pub(super) fn skipped(&mut self, header: &Header) -> Option<Event> {
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
        // Whatever a peer sends back to a ping shows that it is there. Once for each ping, that is
        // what was asked for.
        let answers_ping = header.app == CONTROL && std::mem::take(&mut self.awaits_pong);
        self.idle_frames += u64::from(!answers_ping);
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
}

pub(super) const NOT_HELLO: &str =
    "the first frame is a HELLO, with a JSON object of at most 4 KiB";
const BAD_TENANT: &str = "this node has one tenant, 0";

/// HELLO's code, where no HELLO can be.
pub(super) fn is_cancel(header: &Header) -> bool {
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
pub(super) const fn detail_of(code: ErrorCode) -> &'static str {
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
