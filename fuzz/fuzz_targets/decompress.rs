//! Compressed bodies: however they are made and cut, the decoder stays within its bounds and comes
//! to an end, and how a body is cut changes nothing about what it decodes to.
//!
//! An input: a byte each for the coding (modulo 3: gzip, zstd, br), for the bounds (modulo 3: a
//! node's, tight, loose) and for whether the length is declared (odd: it is), then the body as
//! [`Arrivals`], whose odd pauses are waited for.
#![no_main]

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use http_body::{Body, Frame};
use libfuzzer_sys::fuzz_target;
use micronode_fuzz::{Arrivals, Piece};
use micronode_hardening::{
    BodyError, BodyPolicy, Coding, DecodedBody, DecompressLimits, GuardedBody, PIECE_BYTES, Reason,
    Refusal,
};
use micronode_protocol::limits;
use tokio::time::Instant;

/// What a node is configured to by default, but for a smaller body.
const NODE: DecompressLimits = DecompressLimits {
    ratio: limits::DECOMPRESS_RATIO,
    slack: limits::DECOMPRESS_SLACK,
    absolute: limits::ONE_SHOT_BYTES as u64,
    zstd_window_log: limits::ZSTD_WINDOW_LOG,
    brotli_window_bits: limits::BROTLI_WINDOW_BITS,
    silent_bytes: limits::DECOMPRESS_SILENT_BYTES,
};

/// Bounds that small inputs meet.
const TIGHT: DecompressLimits = DecompressLimits {
    ratio: 2,
    slack: 100,
    absolute: 10_000,
    zstd_window_log: 10,
    brotli_window_bits: 10,
    silent_bytes: 64,
};

/// Nothing but an end of the output, which does not depend on how the input was cut.
const LOOSE: DecompressLimits = DecompressLimits {
    ratio: u64::MAX,
    slack: u64::MAX,
    silent_bytes: u64::MAX,
    ..NODE
};

#[derive(Debug)]
struct Input {
    coding: Coding,
    limits: DecompressLimits,
    declared: bool,
    body: Arrivals,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self {
            coding: *u.choose(&[Coding::Gzip, Coding::Zstd, Coding::Brotli])?,
            limits: *u.choose(&[NODE, TIGHT, LOOSE])?,
            declared: u.arbitrary()?,
            body: u.arbitrary()?,
        })
    }
}

fuzz_target!(|input: Input| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O");
    runtime.block_on(async {
        let split = decode(&input, &input.body.pieces).await;
        let whole = Piece {
            bytes: input.body.concat(),
            pause: 0,
        };
        let whole = decode(&input, &[whole]).await;
        if let (Ok(split), Ok(whole)) = (&split, &whole) {
            assert!(split == whole, "cut differently, decoded differently");
        }
        if input.limits == LOOSE {
            assert_eq!(split.err(), whole.err());
        }
    });
});

/// Decodes the pieces to the end and checks every bound on the way.
async fn decode(input: &Input, pieces: &[Piece]) -> Result<Vec<u8>, Refusal> {
    let length: u64 = pieces.iter().map(|piece| piece.bytes.len() as u64).sum();
    let handed_in = Rc::new(Cell::new(0));
    let wire = Wire {
        pieces: pieces.iter().cloned().collect(),
        handed_in: Rc::clone(&handed_in),
    };
    let policy = BodyPolicy::OneShot {
        cap: u64::MAX,
        deadline: Duration::from_secs(1),
    };
    let declared = input.declared.then_some(length);
    let body = GuardedBody::new(wire, declared, &policy, Instant::now()).expect("no cap");
    let guard = Rc::new(());
    let decoded = DecodedBody::new(body, input.coding, &input.limits, Rc::clone(&guard));
    let mut decoded = pin!(decoded);

    let ratio = input.limits.ratio;
    let by_length = declared.map_or(u64::MAX, |length| length.saturating_mul(ratio));
    let (mut out, mut polls) = (Vec::new(), 0);
    let outcome = loop {
        let frame = poll_fn(|cx| {
            polls += 1;
            decoded.as_mut().poll_frame(cx)
        });
        let piece = match frame.await {
            Some(Ok(frame)) => frame.into_data().expect("no trailers"),
            Some(Err(BodyError::Refused(refusal))) => break Err(refusal),
            Some(Err(BodyError::Transport(error))) => panic!("{error}"),
            None => break Ok(out),
        };
        assert!((1..=PIECE_BYTES).contains(&piece.len()));
        out.extend_from_slice(&piece);
        let paid_for = handed_in.get() * u128::from(ratio) + u128::from(input.limits.slack);
        assert!(out.len() as u128 <= paid_for, "more than was paid for");
        assert!(out.len() as u64 <= by_length.min(input.limits.absolute));
    };

    assert_eq!(
        Rc::strong_count(&guard),
        1,
        "the decoder is freed at its end"
    );
    assert!(decoded.is_end_stream());
    assert!(
        poll_fn(|cx| decoded.as_mut().poll_frame(cx))
            .await
            .is_none()
    );
    match &outcome {
        Ok(out) => {
            assert!(length > 0, "no coding has an empty stream");
            assert_eq!(handed_in.get(), u128::from(length));
            assert!(out.len() as u128 <= handed_in.get() * u128::from(ratio));
        }
        Err(refusal) => assert!(matches!(
            refusal.reason,
            Reason::BadEncoding | Reason::DecompressBound
        )),
    }
    // A poll ends with a wait, a piece, a turn of the executor or the end. Pieces are short only
    // where the input paused; turns are taken after as much input and output as a piece has.
    let moved = length + input.limits.absolute;
    let pauses = pieces.len() as u64;
    assert!(polls <= 2 * pauses + 2 * moved / PIECE_BYTES as u64 + 3);
    outcome
}

/// The compressed body.
struct Wire {
    pieces: VecDeque<Piece>,
    handed_in: Rc<Cell<u128>>,
}

impl Body for Wire {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(next) = self.pieces.front_mut() {
            ready!(wait_once(&mut next.pause, cx));
        }
        let Some(next) = self.pieces.pop_front() else {
            return Poll::Ready(None);
        };
        let handed_in = self.handed_in.get() + next.bytes.len() as u128;
        self.handed_in.set(handed_in);
        Poll::Ready(Some(Ok(Frame::data(next.bytes))))
    }
}

/// An odd pause is one turn of the executor.
fn wait_once(pause: &mut u8, cx: &mut Context<'_>) -> Poll<()> {
    if pause.is_multiple_of(2) {
        return Poll::Ready(());
    }
    *pause = 0;
    cx.waker().wake_by_ref();
    Poll::Pending
}
