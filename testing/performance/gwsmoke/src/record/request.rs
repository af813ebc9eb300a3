//! What is told of a request when it has ended.

/// A kind of request; `ALL[kind as usize] == kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    Put,
    Echo,
    Send,
    Receive,
    Ack,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Get,
        Self::Put,
        Self::Echo,
        Self::Send,
        Self::Receive,
        Self::Ack,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Echo => "echo",
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Ack => "ack",
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answered as asked.
    AsAsked,
    /// Refused for now: 429 and 503.
    Refused,
    /// No answer, another one than asked for, or wrong bytes.
    Failed,
}

/// The end of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// The status of its answer, if there was one.
    pub(crate) status: Option<u16>,
    pub(crate) verdict: Verdict,
    /// Whether its bytes were compared with what they have to be.
    pub(crate) is_verified: bool,
    /// Bytes of its body.
    pub(crate) sent: u64,
    /// Bytes of its answer's body.
    pub(crate) received: u64,
}

impl Outcome {
    /// Without an answer, though some of it may have come.
    pub(crate) fn none(received: u64) -> Self {
        Self {
            status: None,
            verdict: Verdict::Failed,
            is_verified: false,
            sent: 0,
            received,
        }
    }
}
