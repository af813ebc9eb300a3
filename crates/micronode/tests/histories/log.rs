//! What a history is made of: who asked what when, and what came back.

/// Since the history began.
pub(crate) type Micros = u64;

/// The two halves of a queue: what is sent to it, and its dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    Main,
    Dead,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Before the first byte of the request was written.
    pub(crate) began: Micros,
    pub(crate) command: Command,
    /// After the last byte of the answer was read. `None`: the client was cut off before that, and
    /// whether the node has done it, or will, is unknown.
    pub(crate) answer: Option<(Micros, Outcome)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Command {
    Send {
        /// Stands for the bytes.
        body: u32,
        key: Option<u32>,
        delay_ms: u32,
    },
    /// A receive with or without waiting, or a subscription that was cancelled after a while.
    Receive {
        lane: Lane,
        max: u16,
        wait_ms: u32,
        visibility_ms: u32,
    },
    Settle {
        lane: Lane,
        how: Settle,
        receipts: Vec<String>,
    },
    Purge(Lane),
    Redrive,
    Stats,
}

/// What may be done with a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Settle {
    Ack,
    Nack { delay_ms: u32 },
    Extend { visibility_ms: u32 },
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Sent {
        id: String,
        duplicate: bool,
    },
    /// The key was used with another body.
    KeyReused,
    Delivered(Vec<Delivery>),
    Verdicts(Vec<Verdict>),
    Purged(u64),
    Redriven,
    Stats {
        ready: u64,
        leased: u64,
        delayed: u64,
        dead: u64,
        bytes: u64,
    },
    /// The queue has never been sent to.
    NoQueue,
}

#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) id: String,
    pub(crate) receipt: String,
    pub(crate) attempt: u32,
    pub(crate) body: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok,
    Late,
    Unknown,
}
