//! What framing costs: a header, a frame either way beside a plain copy of its payload, and many
//! small frames at once.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

use std::hint::black_box;
use std::io::IoSlice;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use micronode_protocol::codec::{Decoded, Decoder, Encoder, Frame};
use micronode_protocol::frame::{Flags, HEADER_BYTES, Header};
use micronode_protocol::limits::OAP_FRAME_BYTES;

/// The largest is the longest frame's.
const PAYLOADS: [(&str, usize); 4] = [
    ("64B", 64),
    ("1KiB", 1024),
    ("64KiB", 64 * 1024),
    ("1MiB", OAP_FRAME_BYTES - HEADER_BYTES),
];

/// Frames in one buffer, as of a peer that asks for many small things.
const FRAMES: usize = 64;

/// Of a request in one frame.
fn header(payload: usize) -> Header {
    Header {
        len: (HEADER_BYTES + payload) as u32,
        flags: Flags::REQ.with(Flags::WHOLE),
        code: 1,
        app: 1,
        corr_id: 0x0102_0304_0506_0708,
        ..Header::default()
    }
}

/// A frame's bytes.
fn frame(payload: usize) -> Vec<u8> {
    [&header(payload).encode()[..], &vec![0x5a; payload]].concat()
}

fn one_header(c: &mut Criterion) {
    let header = header(64);
    let bytes = header.encode();
    let mut bench = c.benchmark_group("header");
    bench.bench_function("parse", |b| {
        b.iter(|| Header::parse(black_box(&bytes), OAP_FRAME_BYTES));
    });
    bench.bench_function("encode", |b| b.iter(|| black_box(&header).encode()));
    bench.finish();
}

/// Lets the decoder read all of `bytes`, as from a socket that has them, and take `frames`.
fn decode(decoder: &mut Decoder, mut bytes: &[u8], frames: usize) {
    let mut taken = 0;
    while taken < frames {
        let mut spare = decoder.spare();
        let count = spare.remaining_mut().min(bytes.len());
        spare.put_slice(&bytes[..count]);
        bytes = &bytes[count..];
        while let Some(decoded) = decoder.next().expect("well-formed") {
            let Decoded::Frame(Frame { payload, .. }) = decoded else {
                unreachable!("nothing is skipped");
            };
            black_box(payload);
            taken += 1;
        }
        decoder.grant();
    }
}

/// Writes everything that is queued, as to a socket that takes it.
fn write(encoder: &mut Encoder) {
    while encoder.queued() > 0 {
        let mut slices = [IoSlice::new(&[]); 64];
        let count = encoder.slices(&mut slices);
        let written = slices[..count].iter().map(|slice| slice.len()).sum();
        black_box(&slices);
        encoder.advance(written);
    }
}

/// The copy that a read from a socket is goes into decoding; encoding copies short bodies only.
fn frames(c: &mut Criterion) {
    for (name, payload) in PAYLOADS {
        let bytes = frame(payload);
        let mut bench = c.benchmark_group("frame");
        bench.throughput(Throughput::Bytes(payload as u64));
        bench.bench_function(BenchmarkId::new("decode", name), |b| {
            let mut decoder = Decoder::new(OAP_FRAME_BYTES);
            b.iter(|| decode(&mut decoder, black_box(&bytes), 1));
        });
        bench.bench_function(BenchmarkId::new("encode", name), |b| {
            let (header, body) = (header(payload), Bytes::from(vec![0x5a; payload]));
            let mut encoder = Encoder::new();
            b.iter(|| {
                encoder.push(black_box(&header), &[], &[], black_box(&body).clone());
                write(&mut encoder);
            });
        });
        bench.bench_function(BenchmarkId::new("memcpy", name), |b| {
            let mut copy = vec![0; bytes.len()];
            b.iter(|| {
                copy.copy_from_slice(black_box(&bytes));
                black_box(&mut copy);
            });
        });
        bench.finish();
    }
}

fn many_small_frames(c: &mut Criterion) {
    let bytes = frame(64).repeat(FRAMES);
    let mut bench = c.benchmark_group("64_frames_of_64B");
    bench.throughput(Throughput::Elements(FRAMES as u64));
    bench.bench_function("decode", |b| {
        let mut decoder = Decoder::new(OAP_FRAME_BYTES);
        b.iter(|| decode(&mut decoder, black_box(&bytes), FRAMES));
    });
    bench.bench_function("encode", |b| {
        let (header, body) = (header(64), Bytes::from(vec![0x5a; 64]));
        let mut encoder = Encoder::new();
        b.iter(|| {
            for _ in 0..FRAMES {
                encoder.push(black_box(&header), &[], &[], black_box(&body).clone());
            }
            write(&mut encoder);
        });
    });
    bench.finish();
}

fn config() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! {
    name = benches;
    config = config();
    targets = one_header, frames, many_small_frames
}
criterion_main!(benches);
