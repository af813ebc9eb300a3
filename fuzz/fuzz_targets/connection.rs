//! A whole connection: whatever a peer sends, in whatever pieces and with whatever pauses, its
//! connection ends by its deadlines and leaves nothing behind.
//!
//! An input: a byte each for how the peer takes answers and how it leaves (see [`Reading`] and
//! [`Leaving`]; modulo 3 and 6) and for whether the HTTP/2 preface comes first (odd: it does), and
//! then what it sends as [`Arrivals`], whose pauses are tenths of a second.
#![no_main]

use std::cell::Cell;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use libfuzzer_sys::fuzz_target;
use micronode_fuzz::{Arrivals, Piece};
use micronode_hardening::{
    BodyError, BodyPolicy, ConnectionContext, ConnectionLimits, ConnectionSlots, Counters, Drain,
    GuardedBody, SlowShare, SlowShareLimits, plain_refusal, serve,
};
use micronode_protocol::limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, duplex, split};
use tokio::time::{Instant, sleep, timeout};

/// What a node has by default.
const LIMITS: ConnectionLimits = ConnectionLimits {
    head_deadline: limits::HEAD_DEADLINE,
    idle: limits::IDLE_KEEP_ALIVE,
    progress_interval: limits::PROGRESS_INTERVAL,
    progress_min_rate: limits::PROGRESS_MIN_RATE,
    linger_time: limits::LINGER_TIME,
    linger_bytes: limits::LINGER_BYTES,
    head_bytes: limits::HEAD_BYTES,
    head_fields: limits::HEAD_FIELDS,
    h2_streams: limits::H2_STREAMS,
    h2_pending_resets: limits::H2_PENDING_RESETS,
    h2_stream_window: limits::H2_STREAM_WINDOW,
    h2_connection_window: limits::H2_CONNECTION_WINDOW,
    h2_send_buffer: limits::H2_SEND_BUFFER,
    h2_control_burst: limits::H2_CONTROL_BURST,
    h2_control_per_second: limits::H2_CONTROL_PER_SECOND,
};

/// The same, for who gives way.
const SLOW_SHARE: SlowShareLimits = SlowShareLimits {
    rate: limits::SLOW_SHARE_RATE,
    window: limits::SLOW_SHARE_WINDOW,
    age: limits::SLOW_SHARE_AGE,
};

/// Bytes that either direction of the connection holds.
const PIPE_BYTES: usize = 16 * 1024;

/// The answer to a GET: more than a peer that does not read can be given.
const ANSWER: &[u8] = &[b'x'; 100_000];

/// Most that is echoed, in bytes.
const ECHO_BYTES: u64 = 1 << 20;

/// From the peer's last move to the end of its connection: a body is waited for, its answer is not
/// taken and given up in steps, and then the connection is idle.
const PATIENCE: Duration = limits::IDLE_KEEP_ALIVE.saturating_add(Duration::from_secs(30));

/// Longer than any input goes on for.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How the peer takes its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    AtOnce,
    /// At twice the least rate.
    Slowly,
    Never,
}

/// After everything was sent, the peer ...
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// ... closes its sending side.
    Closes,
    /// ... is gone.
    Vanishes,
    /// ... says nothing more.
    FallsSilent,
    /// ... says nothing more, and the node begins to drain.
    IsDrained,
    /// ... says nothing more, and its slot is wanted for another.
    IsEvicted,
    /// ... says nothing more, and what is slowest is to give way.
    GivesWay,
}

#[derive(Debug)]
struct Input {
    reading: Reading,
    leaving: Leaving,
    sent: Vec<Piece>,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let reading = *u.choose(&[Reading::AtOnce, Reading::Slowly, Reading::Never])?;
        let leaving = *u.choose(&[
            Leaving::Closes,
            Leaving::Vanishes,
            Leaving::FallsSilent,
            Leaving::IsDrained,
            Leaving::IsEvicted,
            Leaving::GivesWay,
        ])?;
        let mut sent = Vec::new();
        if u.arbitrary()? {
            let bytes = Bytes::from_static(PREFACE);
            sent.push(Piece { bytes, pause: 0 });
        }
        sent.extend(Arrivals::arbitrary(u)?.pieces);
        Ok(Self {
            reading,
            leaving,
            sent,
        })
    }
}

fuzz_target!(|input: Input| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O");
    runtime.block_on(converse(&input));
});

async fn converse(input: &Input) {
    let context = Arc::new(ConnectionContext {
        limits: LIMITS,
        counters: Arc::new(Counters::new()),
        bytes_in: Arc::new(AtomicU64::new(0)),
        bytes_out: Arc::new(AtomicU64::new(0)),
        slow_share: SlowShare::new(SLOW_SHARE),
        render: plain_refusal,
    });
    let slots = ConnectionSlots::new(1);
    let drain = Drain::new();
    let (ours, theirs) = duplex(PIPE_BYTES);
    // Held by every request and every response body.
    let work = Arc::new(());
    let serving = {
        let work = Arc::clone(&work);
        serve(
            theirs,
            slots.admit().expect("the only slot"),
            Arc::clone(&context),
            service_fn(move |request| answer(Arc::clone(&work), request)),
            drain.signal(),
        )
    };

    let moved = Cell::new(Instant::now());
    let mut received = Vec::new();
    let mut newcomer = None;
    let peer = play(input, ours, &moved, &mut received, || match input.leaving {
        Leaving::IsDrained => drain.start(),
        Leaving::IsEvicted => newcomer = slots.admit(),
        Leaving::GivesWay => {
            context.slow_share.cut_slowest();
        }
        Leaving::Closes | Leaving::Vanishes | Leaving::FallsSilent => {}
    });
    let served = timeout(DAY, async {
        tokio::select! {
            biased;
            () = serving => {}
            never = peer => match never {},
        }
    });
    assert!(served.await.is_ok(), "it never ends");
    assert!(
        moved.get().elapsed() <= PATIENCE,
        "it outlives its deadlines"
    );

    assert_eq!(
        slots.open(),
        usize::from(newcomer.is_some()),
        "its slot is free"
    );
    assert_eq!(
        Arc::strong_count(&work),
        1,
        "what it had begun has ended with it"
    );
    let sent: Vec<u8> = input
        .sent
        .iter()
        .flat_map(|piece| &piece.bytes)
        .copied()
        .collect();
    assert!(context.bytes_in.load(Relaxed) <= sent.len() as u64);
    assert!(context.bytes_out.load(Relaxed) >= received.len() as u64);
    check_first_words(&received, sent.starts_with(PREFACE));
}

/// What comes back is the answer to an HTTP/1 request, or the SETTINGS of HTTP/2 to those who
/// speak it.
fn check_first_words(received: &[u8], http2: bool) {
    let http1 = received
        .iter()
        .zip(b"HTTP/1.")
        .all(|(byte, expected)| byte == expected);
    let settings = received.get(3).is_none_or(|frame_type| *frame_type == 4);
    assert!(http1 || http2 && settings, "{received:?}");
}

/// The peer: sends, leaves, and takes what comes until the connection ends and this with it.
async fn play(
    input: &Input,
    io: DuplexStream,
    moved: &Cell<Instant>,
    received: &mut Vec<u8>,
    leave: impl FnOnce(),
) -> Infallible {
    let (reader, mut writer) = split(io);
    let mut taking = Box::pin(take(input.reading, reader, moved, received));
    let talking = async {
        for piece in &input.sent {
            sleep(Duration::from_millis(100) * piece.pause.into()).await;
            moved.set(Instant::now());
            // Fails when the connection is over; waits while the other side does not read.
            let sent = timeout(PATIENCE, writer.write_all(&piece.bytes)).await;
            if sent.expect("the other side reads or ends").is_err() {
                break;
            }
            moved.set(Instant::now());
        }
        leave();
        if input.leaving == Leaving::Closes {
            // Fails when the connection is over.
            let _ = writer.shutdown().await;
        }
    };
    tokio::select! {
        biased;
        never = taking.as_mut() => match never {},
        () = talking => {}
    }
    if input.leaving == Leaving::Vanishes {
        drop((taking, writer));
        return pending().await;
    }
    taking.await
}

/// Takes what comes.
async fn take(
    reading: Reading,
    mut reader: ReadHalf<DuplexStream>,
    moved: &Cell<Instant>,
    received: &mut Vec<u8>,
) -> Infallible {
    let mut bytes = [0; 8 * 1024];
    while reading != Reading::Never
        && let Ok(count @ 1..) = reader.read(&mut bytes).await
    {
        received.extend_from_slice(&bytes[..count]);
        if reading == Reading::Slowly {
            moved.set(Instant::now());
            sleep(Duration::from_secs(1)).await;
        }
    }
    pending().await
}

/// Echoes a POST, answers a GET at length, and anything else without a look at its body.
async fn answer(
    work: Arc<()>,
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, BodyError>>, Infallible> {
    let policy = BodyPolicy::Streamed {
        cap: ECHO_BYTES,
        interval: limits::PROGRESS_INTERVAL,
        min_rate: limits::PROGRESS_MIN_RATE,
    };
    let whole =
        |bytes| Full::new(Bytes::from_static(bytes)).map_err(|never: Infallible| match never {});
    let mut response = Response::default();
    let body = match *request.method() {
        Method::POST => {
            let body = request.into_body();
            let declared = body.size_hint().exact();
            match GuardedBody::new(body, declared, &policy, Instant::now()) {
                Ok(body) => body.boxed_unsync(),
                Err(refusal) => {
                    *response.status_mut() = refusal.reason.status();
                    whole(b"").boxed_unsync()
                }
            }
        }
        Method::GET => whole(ANSWER).boxed_unsync(),
        _ => whole(b"seen").boxed_unsync(),
    };
    let held = body.map_frame(move |frame| {
        let _work = &work;
        frame
    });
    Ok(response.map(|()| held.boxed_unsync()))
}
