//! What time does: it runs out before HELLO and for those who ask nothing, and it is time for a
//! ping to those who wait.

use std::time::Instant;

use bytes::Bytes;

use super::{Connection, Expired, Phase};
use crate::codec::Decoder;
use crate::frame::{Flags, Header};
use crate::operation::{CONTROL, Operation};

impl Connection {
    /// When [`handle_timeout`](Self::handle_timeout) has something to do, unless something happens
    /// before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Opening => Some(self.active + self.limits.hello),
            // A frame that is on its way is held to its pace instead, which may take longer; and so
            // is the peer while there is something for it to take.
            Phase::Open if self.is_frame_open() || !self.only_waits() => None,
            Phase::Open if self.parked() == 0 => Some(self.active + self.limits.idle),
            Phase::Open => Some(match self.pinged {
                None => self.heard + self.limits.ping,
                Some(pinged) => pinged + self.limits.ping_patience,
            }),
            Phase::Greeting { .. } | Phase::Closing => None,
        }
    }

    /// Does what is due. If the connection's time is over, it is closing then; otherwise there may
    /// be a ping to write.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Expired> {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return None;
        }
        let expired = match self.phase {
            Phase::Opening => Expired::Hello {
                begun: self.is_frame_open(),
            },
            _ if self.parked() == 0 => Expired::Idle,
            _ if self.pinged.is_some() => Expired::Silent,
            _ => {
                self.ping(now);
                return None;
            }
        };
        self.close();
        Some(expired)
    }

    fn ping(&mut self, now: Instant) {
        self.pinged = Some(now);
        self.awaits_pong = true;
        let header = Header {
            flags: Flags::EVENT,
            code: Operation::Ping.code(),
            app: CONTROL,
            ..Header::default()
        };
        self.push(&header, &[], Bytes::new());
    }

    /// Nothing more is read, and what was is let go of; what is queued may still be written.
    pub fn close(&mut self) {
        self.phase = Phase::Closing;
        self.decoder = Decoder::new(self.limits.max_frame);
    }
}
