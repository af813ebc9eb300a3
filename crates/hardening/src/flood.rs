//! How much an HTTP/2 peer may say without asking for anything.
//!
//! Frames that cost the peer nothing and the server work (PING, SETTINGS, RST_STREAM, PRIORITY,
//! DATA without data, CONTINUATION, unknown types) draw on a token bucket. WINDOW_UPDATE frames
//! are free as long as they can be answers to what the server has written, and draw on the same
//! bucket beyond that. The parser reads frame headers only ([RFC 9113, 4.1]): nine bytes, of
//! which three are the payload's length, one the type and one the flags.
//!
//! Not for what makes a frame valid: that is the HTTP/2 implementation's business.
//!
//! [RFC 9113, 4.1]: https://www.rfc-editor.org/rfc/rfc9113#section-4.1

use std::time::Duration;

use tokio::time::Instant;

const HEADER_BYTES: usize = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// A padded DATA frame no longer than its padding can be counts as empty: one length byte and up
/// to 255 bytes of padding.
const PADDING_BYTES: u32 = 256;

/// WINDOW_UPDATE frames that are free: one per this many bytes written ...
const BYTES_PER_UPDATE: u64 = 256;
/// ... and so many per request, for responses smaller than that.
const UPDATES_PER_REQUEST: u64 = 8;

/// The peer is over its allowance.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flood;

/// Control frames allowed: `burst` at once, `per_second` after that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    pub(crate) burst: u32,
    pub(crate) per_second: u32,
}

/// Reads what the peer of one connection sends, from after its preface.
#[derive(Debug)]
pub(crate) struct FloodMeter {
    header: [u8; HEADER_BYTES],
    /// Bytes of `header` that have been read.
    filled: usize,
    /// Bytes of the current frame's payload that have not been read.
    payload_left: u32,
    /// A HEADERS frame without END_HEADERS has begun: CONTINUATION frames must follow.
    block_open: bool,
    bucket: Bucket,
    headers: u64,
    window_updates: u64,
}

impl FloodMeter {
    pub(crate) fn new(allowance: Allowance, now: Instant) -> Self {
        Self {
            header: [0; HEADER_BYTES],
            filled: 0,
            payload_left: 0,
            block_open: false,
            bucket: Bucket::new(allowance, now),
            headers: 0,
            window_updates: 0,
        }
    }

    /// Reads on; `written` is the running number of bytes sent to this peer. The clock is read
    /// only when there is a frame to charge for.
    pub(crate) fn read(
        &mut self,
        mut bytes: &[u8],
        written: u64,
        clock: impl Fn() -> Instant,
    ) -> Result<(), Flood> {
        loop {
            // At most the length of `bytes`, so it fits back into 32 bits.
            let payload = bytes.len().min(self.payload_left as usize);
            self.payload_left -= payload as u32;
            bytes = &bytes[payload..];
            if bytes.is_empty() {
                return Ok(());
            }
            if self.filled == HEADER_BYTES {
                self.filled = 0;
            }
            let wanted = (HEADER_BYTES - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + wanted].copy_from_slice(&bytes[..wanted]);
            self.filled += wanted;
            bytes = &bytes[wanted..];
            if self.filled == HEADER_BYTES && self.begin_frame(written) {
                self.bucket.draw(clock())?;
            }
        }
    }

    /// Notes the frame whose header is complete; whether it has to be paid for.
    fn begin_frame(&mut self, written: u64) -> bool {
        let [high, middle, low, kind, flags, ..] = self.header;
        self.payload_left = u32::from_be_bytes([0, high, middle, low]);
        match kind {
            DATA => {
                let padding = if flags & PADDED == 0 {
                    0
                } else {
                    PADDING_BYTES
                };
                flags & END_STREAM == 0 && self.payload_left <= padding
            }
            HEADERS => {
                self.headers += 1;
                self.block_open = flags & END_HEADERS == 0;
                false
            }
            CONTINUATION => {
                self.block_open = flags & END_HEADERS == 0;
                true
            }
            WINDOW_UPDATE => {
                self.window_updates += 1;
                let free = written / BYTES_PER_UPDATE + self.headers * UPDATES_PER_REQUEST;
                self.window_updates > free
            }
            _ => true,
        }
    }

    /// A request head has begun and is not complete.
    pub(crate) fn head_open(&self) -> bool {
        let kind = self.header[3];
        let in_head = self.payload_left > 0 && matches!(kind, HEADERS | CONTINUATION);
        self.block_open || in_head
    }

    /// A frame of any kind has begun and is not complete.
    pub(crate) fn frame_open(&self) -> bool {
        self.payload_left > 0 || (1..HEADER_BYTES).contains(&self.filled)
    }
}

/// A token bucket in the form of the time at which it will be full again.
#[derive(Debug)]
struct Bucket {
    full_at: Instant,
    /// Time that one token takes to come back.
    per_token: Duration,
    /// Time that an empty bucket takes to fill, less one token.
    depth: Duration,
}

impl Bucket {
    fn new(allowance: Allowance, now: Instant) -> Self {
        let per_token = Duration::from_secs(1) / allowance.per_second.max(1);
        Self {
            full_at: now,
            per_token,
            depth: per_token * allowance.burst.saturating_sub(1),
        }
    }

    fn draw(&mut self, now: Instant) -> Result<(), Flood> {
        let full_at = self.full_at.max(now);
        if full_at.duration_since(now) > self.depth {
            return Err(Flood);
        }
        self.full_at = full_at + self.per_token;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BURST: u32 = 10;
    const ALLOWANCE: Allowance = Allowance {
        burst: BURST,
        per_second: 5,
    };

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).expect("a small frame").to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(HEADER_BYTES + payload, 0xaa);
        bytes
    }

    /// How many of these frames a fresh connection may send at once, up to `limit`.
    fn allowed(frame: &[u8], written: u64, limit: usize) -> usize {
        let now = Instant::now();
        let mut meter = FloodMeter::new(ALLOWANCE, now);
        (0..limit)
            .take_while(|_| meter.read(frame, written, || now).is_ok())
            .count()
    }

    #[test]
    fn frames_that_ask_for_nothing_are_cut_at_the_burst() {
        let (ping, settings, reset, priority, unknown) = (0x6, 0x4, 0x3, 0x2, 0xbe);
        for (kind, flags, payload) in [
            (ping, 0, 8),
            (settings, 0, 0),
            (settings, 0x1, 0),
            (reset, 0, 4),
            (priority, 0, 5),
            (unknown, 0, 100),
            (CONTINUATION, 0, 10),
            (DATA, 0, 0),
            (DATA, PADDED, 256),
        ] {
            let count = allowed(&frame(kind, flags, payload), 0, 1000);
            assert_eq!(count, BURST as usize, "type {kind:#x} flags {flags:#x}");
        }
    }

    #[test]
    fn frames_that_carry_something_are_free() {
        for (kind, flags, payload) in [
            (DATA, 0, 1),
            (DATA, END_STREAM, 0),
            (DATA, PADDED, 257),
            (HEADERS, END_HEADERS, 20),
        ] {
            let count = allowed(&frame(kind, flags, payload), 0, 1000);
            assert_eq!(count, 1000, "type {kind:#x} flags {flags:#x}");
        }
    }

    #[test]
    fn window_updates_are_free_in_proportion_to_what_was_written() {
        let update = frame(WINDOW_UPDATE, 0, 4);
        assert_eq!(allowed(&update, 0, 1000), BURST as usize);
        assert_eq!(allowed(&update, 256 * 100, 1000), 100 + BURST as usize);
        assert_eq!(allowed(&update, 1 << 20, 1000), 1000);
    }

    #[test]
    fn tokens_come_back_with_time() {
        let start = Instant::now();
        let mut bucket = Bucket::new(ALLOWANCE, start);
        for _ in 0..BURST {
            assert_eq!(bucket.draw(start), Ok(()));
        }
        let almost = start + Duration::from_millis(199);
        assert_eq!(bucket.draw(almost), Err(Flood));
        let later = start + Duration::from_millis(200);
        assert_eq!(bucket.draw(later), Ok(()));
        assert_eq!(bucket.draw(later), Err(Flood));
        let full = start + Duration::from_secs(60);
        let drawn = (0..100).take_while(|_| bucket.draw(full).is_ok()).count();
        assert_eq!(drawn, BURST as usize, "no more than the burst is saved up");
    }

    #[test]
    fn a_head_is_open_until_its_last_byte() {
        let now = Instant::now();
        let mut meter = FloodMeter::new(ALLOWANCE, now);
        let mut feed = |bytes: &[u8]| {
            meter.read(bytes, 0, || now).expect("within the allowance");
            (meter.head_open(), meter.frame_open())
        };
        let whole = frame(HEADERS, END_HEADERS, 3);
        assert_eq!(
            feed(&whole[..4]),
            (false, true),
            "its type is not known yet"
        );
        assert_eq!(feed(&whole[4..10]), (true, true));
        assert_eq!(feed(&whole[10..]), (false, false));
        assert_eq!(
            feed(&frame(HEADERS, 0, 3)),
            (true, false),
            "more must follow"
        );
        assert_eq!(feed(&frame(CONTINUATION, END_HEADERS, 3)), (false, false));
        assert_eq!(feed(&frame(DATA, 0, 9)[..12]), (false, true));
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_reads_the_same(
            frames in prop::collection::vec((0u8..12, any::<u8>(), 0usize..300), 1..20),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let now = Instant::now();
            let bytes: Vec<u8> = frames
                .iter()
                .flat_map(|(kind, flags, payload)| frame(*kind, *flags, *payload))
                .collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();

            let mut whole = FloodMeter::new(ALLOWANCE, now);
            let at_once = whole.read(&bytes, 0, || now);
            let mut split = FloodMeter::new(ALLOWANCE, now);
            let in_parts = cuts
                .windows(2)
                .try_for_each(|cut| split.read(&bytes[cut[0]..cut[1]], 0, || now));
            prop_assert_eq!(&at_once, &in_parts);
            if at_once.is_ok() {
                prop_assert!(!whole.frame_open() && !split.frame_open());
                prop_assert_eq!(whole.head_open(), split.head_open());
            }
        }
    }
}
