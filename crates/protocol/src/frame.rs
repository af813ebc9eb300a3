//! The frame of OAP/1: a fixed header, a capability, a payload.
//!
//! ```text
//!  0        4     6     8     10    12                      28       30              38
//!  ├────────┼─────┼─────┼─────┼─────┼───────────────────────┼────────┼───────────────┼── … ──┼── … ───┤
//!  │ len    │ ver │flags│code │ app │ tenant                │cap_len │ corr_id       │ cap   │ payload│
//!  │ u32    │ u16 │ u16 │ u16 │ u16 │ u128                  │ u16    │ u64           │       │        │
//! ```
//!
//! Integers are big-endian. `len` counts the whole frame. A capability stands only on a frame that
//! opens a stream. What a payload means is in [`operation`](crate::operation); how frames are cut
//! out of a byte stream is in [`codec`](crate::codec).

use thiserror::Error;

use crate::ErrorCode;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 38;

/// The version of the protocol, in every header.
pub const VERSION: u16 = 1;

/// The flags of a frame, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u16);

impl Flags {
    /// From the one who asks.
    pub const REQ: Self = Self(1);
    /// From the one who answers.
    pub const RESP: Self = Self(2);
    /// From the one who answers, unasked: an entry of a subscription, or a ping.
    pub const EVENT: Self = Self(4);
    /// The first frame of its side of a stream.
    pub const START: Self = Self(8);
    /// The last frame of its side of a stream.
    pub const END: Self = Self(16);
    /// The receiver is expected to act on it.
    pub const ACK_REQ: Self = Self(32);
    /// The payload is zstd.
    pub const COMP: Self = Self(64);
    /// The body is opaque to the node; fixed fields stay plain.
    pub const APP_E2E: Self = Self(128);

    /// Every flag there is.
    pub const ALL: Self = Self(255);
    /// A side of a stream that is one frame.
    pub const WHOLE: Self = Self(Self::START.0 | Self::END.0);

    /// The set with these bits; what is wrong with them shows in [`check`](Self::check).
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The bits as they stand in a header.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both sets have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of `other` is in the set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Who speaks.
    ///
    /// # Errors
    ///
    /// If a bit is unknown, if not exactly one of REQ, RESP and EVENT is set, or if COMP and
    /// APP_E2E are: what is opaque to the node cannot be inflated by it.
    pub const fn check(self) -> Result<Kind, FrameError> {
        if self.0 & !Self::ALL.0 != 0 || self.has(Self::COMP.with(Self::APP_E2E)) {
            return Err(FrameError::BadFlags);
        }
        match Self(self.0 & (Self::REQ.0 | Self::RESP.0 | Self::EVENT.0)) {
            Self::REQ => Ok(Kind::Req),
            Self::RESP => Ok(Kind::Resp),
            Self::EVENT => Ok(Kind::Event),
            _ => Err(FrameError::BadFlags),
        }
    }
}

/// Who speaks in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The one who asks.
    Req,
    /// The one who answers.
    Resp,
    /// The one who answers, unasked.
    Event,
}

impl Kind {
    /// Every kind; `ALL[kind as usize] == kind`.
    pub const ALL: [Self; 3] = [Self::Req, Self::Resp, Self::Event];

    /// The word of the kind: a label of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Req => "req",
            Self::Resp => "resp",
            Self::Event => "event",
        }
    }
}

/// Bytes that are no frame. The connection cannot go on after one: where the next frame begins is
/// not known, or not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum FrameError {
    /// See [`Flags::check`].
    #[error("unknown flags, or flags that exclude each other")]
    BadFlags,
    /// Another version than [`VERSION`].
    #[error("the version of the protocol is 1")]
    BadVersion,
    /// Longer than the largest frame.
    #[error("longer than the largest frame")]
    Oversize,
    /// Shorter than its own header.
    #[error("shorter than its own header")]
    Truncated,
    /// A capability without START.
    #[error("only the first frame of a stream carries a capability")]
    CapOnNonStart,
    /// A capability that ends behind the frame.
    #[error("the capability is longer than the frame")]
    CapOutOfBounds,
}

impl FrameError {
    /// The public code.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::BadFlags => ErrorCode::BadFlags,
            Self::BadVersion => ErrorCode::BadVersion,
            Self::Oversize => ErrorCode::FrameOversize,
            Self::Truncated => ErrorCode::Truncated,
            Self::CapOnNonStart => ErrorCode::CapOnNonStart,
            Self::CapOutOfBounds => ErrorCode::CapOutOfBounds,
        }
    }
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Header {
    /// Bytes of the whole frame.
    pub len: u32,
    /// What the frame is in its stream.
    pub flags: Flags,
    /// Of a request, the operation; of a response, the HTTP status of the same outcome.
    pub code: u16,
    /// The family of operations: see [`operation`](crate::operation).
    pub app: u16,
    /// 0: there is one tenant.
    pub tenant: u128,
    /// Bytes of the capability.
    pub cap_len: u16,
    /// The stream: chosen by the requester, unique among its open ones.
    pub corr_id: u64,
}

/// The field at `AT`; the header has all of them.
const fn field<const AT: usize, const N: usize>(bytes: &[u8; HEADER_BYTES]) -> [u8; N] {
    let mut field = [0; N];
    let mut index = 0;
    while index < N {
        field[index] = bytes[AT + index];
        index += 1;
    }
    field
}

impl Header {
    /// The stream of a header, whatever else is wrong with it: an answer to it is addressed there.
    pub const fn corr_id_of(bytes: &[u8; HEADER_BYTES]) -> u64 {
        u64::from_be_bytes(field::<30, 8>(bytes))
    }

    /// Reads a header and checks all that it says of itself: flags, version, length, place of the
    /// capability, in this order.
    ///
    /// # Errors
    ///
    /// The first check that fails, but for [`FrameError::CapOutOfBounds`], which is the frame's:
    /// see [`check_cap`](Self::check_cap).
    pub const fn parse(bytes: &[u8; HEADER_BYTES], max_frame: usize) -> Result<Self, FrameError> {
        let header = Self {
            len: u32::from_be_bytes(field::<0, 4>(bytes)),
            flags: Flags(u16::from_be_bytes(field::<6, 2>(bytes))),
            code: u16::from_be_bytes(field::<8, 2>(bytes)),
            app: u16::from_be_bytes(field::<10, 2>(bytes)),
            tenant: u128::from_be_bytes(field::<12, 16>(bytes)),
            cap_len: u16::from_be_bytes(field::<28, 2>(bytes)),
            corr_id: Self::corr_id_of(bytes),
        };
        if let Err(error) = header.flags.check() {
            return Err(error);
        }
        if u16::from_be_bytes(field::<4, 2>(bytes)) != VERSION {
            return Err(FrameError::BadVersion);
        }
        if header.len as usize > max_frame {
            return Err(FrameError::Oversize);
        }
        if (header.len as usize) < HEADER_BYTES {
            return Err(FrameError::Truncated);
        }
        if header.cap_len > 0 && !header.flags.has(Flags::START) {
            return Err(FrameError::CapOnNonStart);
        }
        Ok(header)
    }

    /// Checks that the capability ends within the frame.
    ///
    /// # Errors
    ///
    /// [`FrameError::CapOutOfBounds`].
    pub const fn check_cap(&self) -> Result<(), FrameError> {
        if self.cap_len as usize > self.len as usize - HEADER_BYTES {
            Err(FrameError::CapOutOfBounds)
        } else {
            Ok(())
        }
    }

    /// Who speaks. Every header that was parsed, or is to be sent, has exactly one kind.
    pub const fn kind(&self) -> Kind {
        match self.flags.check() {
            Ok(kind) => kind,
            Err(_) => panic!("a header of ours has exactly one kind"),
        }
    }

    /// The bytes of the header.
    pub const fn encode(&self) -> [u8; HEADER_BYTES] {
        const fn put<const N: usize>(bytes: &mut [u8; HEADER_BYTES], at: usize, field: [u8; N]) {
            let mut index = 0;
            while index < N {
                bytes[at + index] = field[index];
                index += 1;
            }
        }
        let mut bytes = [0; HEADER_BYTES];
        put(&mut bytes, 0, self.len.to_be_bytes());
        put(&mut bytes, 4, VERSION.to_be_bytes());
        put(&mut bytes, 6, self.flags.0.to_be_bytes());
        put(&mut bytes, 8, self.code.to_be_bytes());
        put(&mut bytes, 10, self.app.to_be_bytes());
        put(&mut bytes, 12, self.tenant.to_be_bytes());
        put(&mut bytes, 28, self.cap_len.to_be_bytes());
        put(&mut bytes, 30, self.corr_id.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::OAP_FRAME_BYTES;
    use proptest::prelude::*;

    const REQUEST: Header = Header {
        len: 40,
        flags: Flags::REQ.with(Flags::WHOLE),
        code: 2,
        app: 3,
        tenant: 4,
        cap_len: 1,
        corr_id: 5,
    };

    fn parse(change: impl FnOnce(&mut Header)) -> Result<Header, FrameError> {
        let mut header = REQUEST;
        change(&mut header);
        Header::parse(&header.encode(), OAP_FRAME_BYTES)
    }

    #[test]
    fn bounds_are_met_exactly() {
        assert_eq!(parse(|_| {}), Ok(REQUEST));
        assert!(parse(|header| header.len = OAP_FRAME_BYTES as u32).is_ok());
        let oversize = parse(|header| header.len = OAP_FRAME_BYTES as u32 + 1);
        assert_eq!(oversize, Err(FrameError::Oversize));
        assert!(parse(|header| header.len = HEADER_BYTES as u32).is_ok());
        let truncated = parse(|header| header.len = HEADER_BYTES as u32 - 1);
        assert_eq!(truncated, Err(FrameError::Truncated));
        let fits = Header {
            cap_len: 2,
            ..REQUEST
        };
        assert_eq!(fits.check_cap(), Ok(()));
        let beyond = Header {
            cap_len: 3,
            ..REQUEST
        };
        assert_eq!(beyond.check_cap(), Err(FrameError::CapOutOfBounds));
    }

    #[test]
    fn the_first_of_several_faults_is_told() {
        let mut bytes = Header {
            len: 0,
            flags: Flags::from_bits(256),
            ..REQUEST
        }
        .encode();
        bytes[5] = 2;
        let told = |bytes: &[u8; HEADER_BYTES]| Header::parse(bytes, OAP_FRAME_BYTES);
        assert_eq!(told(&bytes), Err(FrameError::BadFlags));
        bytes[6..8].copy_from_slice(&Flags::REQ.bits().to_be_bytes());
        assert_eq!(told(&bytes), Err(FrameError::BadVersion));
        bytes[5] = 1;
        assert_eq!(told(&bytes), Err(FrameError::Truncated));
        bytes[3] = 38;
        assert_eq!(told(&bytes), Err(FrameError::CapOnNonStart));
    }

    #[test]
    fn exactly_one_kind_and_no_opaque_compression() {
        for bits in 0..=u16::MAX {
            let flags = Flags::from_bits(bits);
            let kinds = (bits & 7).count_ones();
            let opaque = flags.has(Flags::COMP) && flags.has(Flags::APP_E2E);
            let valid = bits < 256 && kinds == 1 && !opaque;
            assert_eq!(flags.check().is_ok(), valid, "{bits:#b}");
        }
    }

    proptest! {
        #[test]
        fn a_header_that_parses_is_the_one_that_was_written(bytes: [u8; HEADER_BYTES]) {
            prop_assert_eq!(Header::corr_id_of(&bytes).to_be_bytes(), &bytes[30..]);
            if let Ok(header) = Header::parse(&bytes, OAP_FRAME_BYTES) {
                prop_assert_eq!(header.encode(), bytes);
            }
        }
    }
}
