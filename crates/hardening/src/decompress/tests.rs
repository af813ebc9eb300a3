#![allow(clippy::unwrap_used)]
//! Bombs, splits and damage, for every coding.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::{BodyError, BodyPolicy, GuardedBody, InFlight};

const CODINGS: [Coding; 3] = [Coding::Gzip, Coding::Zstd, Coding::Brotli];
const MIB: usize = 1 << 20;
const LIMITS: DecompressLimits = DecompressLimits {
    ratio: 10,
    slack: 64 * 1024,
    absolute: 64 * MIB as u64,
    zstd_window_log: 21,
    brotli_window_bits: 22,
    silent_bytes: 64 * 1024,
};
const ANY_BODY: BodyPolicy = BodyPolicy::OneShot {
    cap: u64::MAX,
    deadline: Duration::from_secs(60),
};

fn compress(coding: Coding, data: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Gzip => {
            let mut encoder = flate2::read::GzEncoder::new(data, flate2::Compression::default());
            let mut out = Vec::new();
            encoder.read_to_end(&mut out).unwrap();
            out
        }
        Coding::Zstd => zstd_stream(data, 3, 21),
        Coding::Brotli => brotli_stream(data, 22),
    }
}

/// As a streaming encoder writes it: with a window descriptor and without the content's size.
fn zstd_stream(data: &[u8], level: i32, window_log: u32) -> Vec<u8> {
    let mut encoder = ::zstd::stream::Encoder::new(Vec::new(), level).unwrap();
    encoder
        .set_parameter(::zstd::stream::raw::CParameter::WindowLog(window_log))
        .unwrap();
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn brotli_stream(data: &[u8], window_bits: i32) -> Vec<u8> {
    let parameters = ::brotli::enc::BrotliEncoderParams {
        quality: 5,
        lgwin: window_bits,
        ..Default::default()
    };
    let mut out = Vec::new();
    ::brotli::BrotliCompress(&mut &data[..], &mut out, &parameters).unwrap();
    out
}

/// Bytes that no coding makes smaller.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A body that compresses to a little more than a `ratio`-th part of itself, evenly.
fn compressible(len: usize, ratio: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    for index in 0.. {
        if bytes.len() >= len {
            break;
        }
        bytes.extend_from_slice(&noise(1024, 2 * index + 1));
        bytes.resize(bytes.len() + 1024 * (ratio - 1), 0);
    }
    bytes.truncate(len);
    bytes
}

fn pieces(body: &[u8], size: usize) -> impl Body<Data = Bytes, Error = Infallible> + use<> {
    let pieces: Vec<_> = body
        .chunks(size)
        .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    StreamBody::new(stream::iter(pieces))
}

/// Decodes `body`, arriving in pieces of `size` bytes.
async fn decode_pieces(
    coding: Coding,
    body: &[u8],
    size: usize,
    declared: bool,
    limits: &DecompressLimits,
) -> Result<Vec<u8>, Refusal> {
    let declared = declared.then_some(body.len() as u64);
    let body = GuardedBody::new(pieces(body, size), declared, &ANY_BODY, Instant::now()).unwrap();
    let watch = body.watch();
    let mut decoded = std::pin::pin!(DecodedBody::new(body, coding, limits, ()));
    let mut out = Vec::new();
    while let Some(frame) = decoded.frame().await {
        match frame {
            Ok(frame) => {
                let piece = frame.into_data().unwrap();
                assert!((1..=PIECE_BYTES).contains(&piece.len()));
                out.extend_from_slice(&piece);
            }
            Err(BodyError::Refused(refusal)) => {
                assert_eq!(watch.refused(), Some(refusal));
                assert!(
                    decoded.is_end_stream() && decoded.frame().await.is_none(),
                    "an error ends the body"
                );
                return Err(refusal);
            }
            Err(BodyError::Transport(error)) => panic!("{error}"),
        }
    }
    assert!(decoded.is_end_stream());
    Ok(out)
}

async fn decode(coding: Coding, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let whole = decode_pieces(coding, body, usize::MAX, false, &LIMITS).await;
    let split = decode_pieces(coding, body, 1000, true, &LIMITS).await;
    assert_eq!(
        whole, split,
        "{coding:?}: a split or a declared length changes nothing here"
    );
    whole
}

fn reason(outcome: Result<Vec<u8>, Refusal>) -> Reason {
    outcome.map(|out| out.len()).unwrap_err().reason
}

#[test]
fn one_coding_is_known_and_anything_else_is_unsupported() {
    let coding = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        request_coding(&headers).map_err(|refusal| refusal.reason)
    };
    assert_eq!(coding(&[]), Ok(None));
    assert_eq!(coding(&["identity"]), Ok(None));
    for (name, expected) in [
        ("gzip", Coding::Gzip),
        ("GZip", Coding::Gzip),
        ("x-gzip", Coding::Gzip),
        ("zstd", Coding::Zstd),
        ("br", Coding::Brotli),
    ] {
        assert_eq!(coding(&[name]), Ok(Some(expected)));
    }
    for values in [
        &["deflate"][..],
        &["gzip, gzip"],
        &["gzip,br"],
        &["gzip", "zstd"],
        &["identity, gzip"],
        &[""],
    ] {
        assert_eq!(
            coding(values),
            Err(Reason::UnsupportedEncoding),
            "{values:?}"
        );
    }
}

#[tokio::test]
async fn legal_bodies_come_through_whole() {
    for coding in CODINGS {
        for data in [
            Vec::new(),
            b"x".to_vec(),
            noise(3 * PIECE_BYTES + 1, 1),
            noise(PIECE_BYTES, 2),
            // Blocks of zstd that are close to their full size compressed are silent for long.
            noise(MIB, 3).iter().map(|byte| byte % 200).collect(),
            compressible(2 * MIB, 9),
            compressible(9 * MIB, 9),
        ] {
            let body = compress(coding, &data);
            assert!(
                data.len() < 10 * body.len(),
                "{coding:?}: {} of {} is a legal ratio",
                body.len(),
                data.len()
            );
            assert!(
                decode(coding, &body).await.unwrap() == data,
                "{coding:?}, {} bytes",
                data.len()
            );
        }
    }
}

#[tokio::test]
async fn a_bomb_is_refused_within_its_slack() {
    let zeros = vec![0; 10 * MIB];
    for coding in CODINGS {
        let bomb = compress(coding, &zeros);
        assert!(bomb.len() < 20_000, "{coding:?}: {} bytes", bomb.len());
        assert_eq!(
            reason(decode(coding, &bomb).await),
            Reason::DecompressBound,
            "{coding:?}"
        );

        // Behind any length of honest data, the bomb yields no more than the bounds.
        let mut seen = 0u64;
        let body = GuardedBody::new(
            Full::new(Bytes::from(bomb.clone())),
            None,
            &ANY_BODY,
            Instant::now(),
        )
        .unwrap();
        let mut decoded = std::pin::pin!(DecodedBody::new(body, coding, &LIMITS, ()));
        while let Some(Ok(frame)) = decoded.frame().await {
            seen += frame.into_data().unwrap().len() as u64;
        }
        assert!(
            seen <= 10 * bomb.len() as u64 + LIMITS.slack,
            "{coding:?}: {seen} bytes came out"
        );
    }
}

#[tokio::test]
async fn a_gzip_of_a_gzip_is_one_coding() {
    let inner = compress(Coding::Gzip, &vec![0; MIB]);
    let outer = compress(Coding::Gzip, &inner);
    let limits = DecompressLimits {
        ratio: 1000,
        ..LIMITS
    };
    let out = decode_pieces(Coding::Gzip, &outer, usize::MAX, true, &limits)
        .await
        .unwrap();
    assert_eq!(out, inner, "the inner gzip is content");
}

/// Data and its compressed body with `data.len() == 2 * body.len() + over`, exactly.
fn twice_as_long(coding: Coding, over: usize) -> (Vec<u8>, Vec<u8>) {
    // Zeros cost next to nothing, so the data's length passes the double of the body's.
    for zeros in 500..2000 {
        let mut data = noise(1000, 7);
        data.resize(data.len() + zeros, 0);
        let body = compress(coding, &data);
        if data.len() == 2 * body.len() + over {
            return (data, body);
        }
    }
    panic!("{coding:?}: no such length");
}

#[tokio::test]
async fn a_ratio_met_exactly_passes_and_one_byte_more_does_not() {
    let limits = DecompressLimits { ratio: 2, ..LIMITS };
    for coding in CODINGS {
        for declared in [false, true] {
            let (data, body) = twice_as_long(coding, 0);
            assert_eq!(
                decode_pieces(coding, &body, 100, declared, &limits).await,
                Ok(data),
                "{coding:?}"
            );
            let (_, body) = twice_as_long(coding, 1);
            let outcome = decode_pieces(coding, &body, 100, declared, &limits).await;
            assert_eq!(reason(outcome), Reason::DecompressBound, "{coding:?}");
        }
    }
}

#[tokio::test]
async fn the_running_bound_and_the_absolute_one_pass_when_met_exactly() {
    let data = compressible(300_000, 5);
    for coding in CODINGS {
        let body = compress(coding, &data);
        let limits = DecompressLimits {
            absolute: data.len() as u64,
            ..LIMITS
        };
        decode_pieces(coding, &body, 500, false, &limits)
            .await
            .unwrap();
        let limits = DecompressLimits {
            absolute: data.len() as u64 - 1,
            ..LIMITS
        };
        let outcome = decode_pieces(coding, &body, 500, false, &limits).await;
        assert_eq!(reason(outcome), Reason::DecompressBound, "{coding:?}");
    }
    // Data that runs ahead of its ratio is given slack, but not at the end.
    let mut data = vec![0; 60_000];
    data.extend_from_slice(&noise(60_000, 5));
    let (strict, slack) = (
        DecompressLimits {
            ratio: 2,
            slack: 0,
            ..LIMITS
        },
        DecompressLimits { ratio: 2, ..LIMITS },
    );
    for coding in [Coding::Gzip, Coding::Brotli] {
        let body = compress(coding, &data);
        assert_eq!(
            reason(decode_pieces(coding, &body, 100, true, &strict).await),
            Reason::DecompressBound
        );
        decode_pieces(coding, &body, 100, true, &slack)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn windows_over_their_bound_are_refused_before_they_exist() {
    // A frame of one byte that declares a window of 2 GiB: magic, no flags, window descriptor
    // (exponent 21, mantissa 0), a last raw block of one byte.
    let window = |exponent: u8, mantissa: u8| {
        [
            0x28,
            0xB5,
            0x2F,
            0xFD,
            0,
            exponent << 3 | mantissa,
            0x09,
            0,
            0,
            b'x',
        ]
    };
    assert_eq!(
        decode(Coding::Zstd, &window(11, 0)).await.unwrap(),
        b"x",
        "2 MiB"
    );
    for (exponent, mantissa) in [(11, 1), (12, 0), (21, 0), (31, 7)] {
        let body = window(exponent, mantissa);
        for size in [1, 5, 6, 100] {
            let outcome = decode_pieces(Coding::Zstd, &body, size, false, &LIMITS).await;
            assert_eq!(
                reason(outcome),
                Reason::DecompressBound,
                "window {exponent}.{mantissa}, pieces of {size}"
            );
        }
    }
    // The same behind an honest frame and a skippable one, and with a content size that would let
    // the decoder do without a window.
    let mut behind = window(11, 0).to_vec();
    behind.extend([0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    behind.extend([
        0x28,
        0xB5,
        0x2F,
        0xFD,
        0x80,
        21 << 3,
        1,
        0,
        0,
        0,
        0x09,
        0,
        0,
        b'x',
    ]);
    assert_eq!(
        reason(decode(Coding::Zstd, &behind).await),
        Reason::DecompressBound
    );
    // A single segment of 4 MiB and one byte, whose window is its content.
    let segment = [0x28, 0xB5, 0x2F, 0xFD, 0xA0, 1, 0, 64, 0, 0x09, 0, 0, b'x'];
    assert_eq!(
        reason(decode(Coding::Zstd, &segment).await),
        Reason::DecompressBound
    );

    let data = compressible(2 * MIB, 3);
    assert_eq!(
        decode(Coding::Brotli, &brotli_stream(&data, 22))
            .await
            .unwrap(),
        data
    );
    for bits in [23, 24] {
        let outcome = decode(Coding::Brotli, &brotli_stream(&data, bits)).await;
        assert_eq!(reason(outcome), Reason::DecompressBound, "{bits} bits");
    }
    // A large window (reserved pattern, then 30 bits).
    assert_eq!(
        reason(decode(Coding::Brotli, &[0x11, 30, 0, 0, 0]).await),
        Reason::DecompressBound
    );
}

#[tokio::test]
async fn damage_of_any_kind_is_bad_encoding() {
    let data = compressible(100_000, 3);
    for coding in CODINGS {
        let body = compress(coding, &data);
        for len in [0, 1, 5, 20, body.len() / 2, body.len() - 5, body.len() - 1] {
            assert_eq!(
                reason(decode(coding, &body[..len]).await),
                Reason::BadEncoding,
                "{coding:?} cut at {len}"
            );
        }
        for garbage in [&b"x"[..], b"trailing garbage", &[0; 100]] {
            let mut body = body.clone();
            body.extend_from_slice(garbage);
            assert_eq!(
                reason(decode(coding, &body).await),
                Reason::BadEncoding,
                "{coding:?} {garbage:?}"
            );
        }
        assert_eq!(
            reason(decode(coding, b"not compressed at all").await),
            Reason::BadEncoding,
            "{coding:?}"
        );
        for other in CODINGS.into_iter().filter(|other| *other != coding) {
            assert!(
                decode(other, &body).await.is_err(),
                "{coding:?} under the name of {other:?}"
            );
        }
    }
    // gzip always, and zstd when asked to, carry a checksum: every flipped bit of the data is seen.
    let mut body = compress(Coding::Gzip, &data);
    let middle = body.len() / 2;
    body[middle] ^= 1;
    assert_eq!(
        reason(decode(Coding::Gzip, &body).await),
        Reason::BadEncoding
    );
}

#[tokio::test]
async fn members_and_frames_follow_one_another() {
    let data = [&b"first "[..], b"second ", b"", b"third"];
    for coding in [Coding::Gzip, Coding::Zstd] {
        let body: Vec<u8> = data
            .iter()
            .flat_map(|data| compress(coding, data))
            .collect();
        assert_eq!(
            decode(coding, &body).await.unwrap(),
            data.concat(),
            "{coding:?}"
        );
    }
    let twice = [
        compress(Coding::Brotli, data[0]),
        compress(Coding::Brotli, data[1]),
    ]
    .concat();
    assert_eq!(
        reason(decode(Coding::Brotli, &twice).await),
        Reason::BadEncoding,
        "brotli has one stream"
    );
}

#[tokio::test]
async fn input_that_yields_nothing_is_refused() {
    let empty_members = compress(Coding::Gzip, b"").repeat(4000);
    let empty_frames = compress(Coding::Zstd, b"").repeat(10_000);
    let mut skipped = vec![0x50, 0x2A, 0x4D, 0x18];
    skipped.extend(70_000u32.to_le_bytes());
    skipped.extend(vec![0; 70_000]);
    skipped.extend(compress(Coding::Zstd, b"late"));
    // Window of 16 bits, then empty metadata blocks (RFC 7932, section 9.2) of one byte each once
    // aligned: not last, MNIBBLES 0, reserved 0, MSKIPBYTES 0, padding.
    let mut metadata = vec![0b0000_1100];
    metadata.extend(vec![0b0000_0110; 70_000]);
    for (coding, body) in [
        (Coding::Gzip, empty_members),
        (Coding::Zstd, empty_frames),
        (Coding::Zstd, skipped),
        (Coding::Brotli, metadata),
    ] {
        assert!(body.len() > LIMITS.silent_bytes as usize);
        let refusal = decode(coding, &body).await.unwrap_err();
        assert_eq!(refusal.reason, Reason::BadEncoding);
        assert_eq!(
            refusal.detail, "too much of the compressed body yields nothing",
            "{coding:?}"
        );
    }
    // Just as much of it as is allowed, before something that yields.
    let member = compress(Coding::Gzip, b"");
    let mut body = member.repeat(60_000 / member.len());
    body.extend(compress(Coding::Gzip, b"late"));
    assert_eq!(
        decode_pieces(Coding::Gzip, &body, 1 << 16, false, &LIMITS).await,
        Ok(b"late".to_vec())
    );
}

#[tokio::test]
async fn the_guard_is_given_back_with_the_decoder() {
    let decoders = InFlight::new(1);
    let start = |body: Vec<u8>| {
        let body = GuardedBody::new(
            Full::new(Bytes::from(body)),
            None,
            &ANY_BODY,
            Instant::now(),
        )
        .unwrap();
        Box::pin(DecodedBody::new(
            body,
            Coding::Gzip,
            &LIMITS,
            decoders.acquire().unwrap(),
        ))
    };
    let mut decoded = start(compress(Coding::Gzip, b"short"));
    assert_eq!(decoders.in_use(), 1);
    while let Some(frame) = decoded.frame().await {
        frame.unwrap();
    }
    assert_eq!(
        decoders.in_use(),
        0,
        "at the end of the body, not of the request"
    );
    let mut refused = start(b"damaged".to_vec());
    refused.frame().await.unwrap().unwrap_err();
    assert_eq!(decoders.in_use(), 0, "at a refusal");
    drop(start(Vec::new()));
    assert_eq!(decoders.in_use(), 0, "unread");
}

#[tokio::test]
async fn a_decoder_gives_the_executor_a_turn_between_pieces() {
    let body = compress(Coding::Gzip, &compressible(8 * PIECE_BYTES, 5));
    let body = GuardedBody::new(
        Full::new(Bytes::from(body)),
        None,
        &ANY_BODY,
        Instant::now(),
    )
    .unwrap();
    let mut decoded = poller(DecodedBody::new(body, Coding::Gzip, &LIMITS, ()));
    let (mut pieces, mut turns) = (0, 0);
    loop {
        match decoded() {
            std::task::Poll::Ready(true) => pieces += 1,
            std::task::Poll::Ready(false) => break,
            std::task::Poll::Pending => turns += 1,
        }
    }
    assert_eq!(pieces, 8);
    assert!(turns >= 8, "{turns} turns");
}

/// Polls a body that is never without data: `Ready(true)` for a piece, `Ready(false)` at the end.
fn poller<B: Body<Error = BodyError>>(body: B) -> impl FnMut() -> std::task::Poll<bool> {
    let mut body = Box::pin(body);
    move || {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        body.as_mut()
            .poll_frame(&mut cx)
            .map(|frame| frame.map(Result::unwrap).is_some())
    }
}

/// A body that stalls between pieces hands on what it has, and idle polls change nothing.
#[tokio::test]
async fn what_has_arrived_is_handed_on_while_the_peer_is_waited_for() {
    for coding in CODINGS {
        let body = compress(coding, &noise(200_000, 3));
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        let receiver = stream::unfold(receiver, |mut receiver| async move {
            receiver
                .recv()
                .await
                .map(|data| (Ok::<_, Infallible>(Frame::data(data)), receiver))
        });
        let body_of = StreamBody::new(Box::pin(receiver));
        let body_of = GuardedBody::new(body_of, None, &ANY_BODY, Instant::now()).unwrap();
        let mut decoded = Box::pin(DecodedBody::new(body_of, coding, &LIMITS, ()));
        let mut poll = || {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            decoded.as_mut().poll_frame(&mut cx)
        };
        let mut out = Vec::new();
        for piece in body.chunks(150_000) {
            sender.try_send(Bytes::copy_from_slice(piece)).unwrap();
            for _ in 0..50 {
                if let std::task::Poll::Ready(Some(frame)) = poll() {
                    out.extend_from_slice(&frame.unwrap().into_data().unwrap());
                }
            }
            assert!(!out.is_empty(), "{coding:?}");
        }
        drop(sender);
        while let std::task::Poll::Ready(Some(frame)) = poll() {
            out.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        assert!(out == noise(200_000, 3), "{coding:?}");
    }
}

#[test]
fn a_decoder_is_charged_for_its_window() {
    for coding in CODINGS {
        assert!(coding.memory(&LIMITS) > PIECE_BYTES);
    }
    let smaller = DecompressLimits {
        zstd_window_log: 20,
        brotli_window_bits: 21,
        ..LIMITS
    };
    assert_eq!(
        Coding::Zstd.memory(&LIMITS) - Coding::Zstd.memory(&smaller),
        1 << 20
    );
    assert_eq!(
        Coding::Brotli.memory(&LIMITS) - Coding::Brotli.memory(&smaller),
        1 << 21
    );
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However a body is split, the same comes out.
    #[test]
    fn any_split_gives_the_same_output(
        coding in prop::sample::select(CODINGS.to_vec()),
        data in prop::collection::vec(any::<u8>(), 0..5000),
        repeat in 1usize..8,
        size in 1usize..3000,
    ) {
        let data = data.repeat(repeat);
        let body = compress(coding, &data);
        let limits = DecompressLimits { ratio: 1000, ..LIMITS };
        let out = run(decode_pieces(coding, &body, size, size % 2 == 0, &limits));
        prop_assert_eq!(out, Ok(data));
    }

    /// Whatever a peer sends, decoding ends, within its bounds, and without a panic.
    #[test]
    fn any_damage_ends_within_bounds(
        coding in prop::sample::select(CODINGS.to_vec()),
        data in prop::collection::vec(any::<u8>(), 0..3000),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        size in 1usize..3000,
    ) {
        let mut body = compress(coding, &data);
        for (index, byte) in damage {
            let at = index.index(body.len());
            body[at] = byte;
        }
        match run(decode_pieces(coding, &body, size, false, &LIMITS)) {
            Ok(out) => prop_assert!(out.len() <= 10 * body.len()),
            Err(refusal) => {
                prop_assert!(matches!(refusal.reason, Reason::BadEncoding | Reason::DecompressBound));
            }
        }
    }
}

/// What a reader does between two pieces was taken for time that its peer had kept it waiting.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_a_decoded_body_does_not_make_its_peer_late() {
    let body = compress(Coding::Gzip, &noise(100_000, 1));
    let parts: Vec<_> = body.chunks(20_000).map(Bytes::copy_from_slice).collect();
    let parts = stream::unfold(parts.into_iter(), |mut parts| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((Ok::<_, Infallible>(Frame::data(parts.next()?)), parts))
    });
    let policy = BodyPolicy::Streamed {
        cap: u64::MAX,
        interval: Duration::from_secs(5),
        min_rate: 4096,
    };
    let body = StreamBody::new(Box::pin(parts));
    let body = GuardedBody::new(body, None, &policy, Instant::now()).unwrap();
    let mut body = Box::pin(DecodedBody::new(body, Coding::Gzip, &LIMITS, ()));
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().into_data().unwrap().len();
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(length, 100_000);
}
