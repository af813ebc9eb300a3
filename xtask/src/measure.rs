//! `cargo xtask measure`: figures of the release binary that anyone can repeat.
//!
//! `start`: how long it takes from exec to its first ready answer, and what it then holds in
//! memory. Every run is a process of its own on free ports of 127.0.0.1; its admin plane is asked
//! over a plain socket, so that no client's start is measured with the node's. The other
//! measurements are in modules of their own.

mod client;
mod frames;
pub(crate) mod mailbox;
pub(crate) mod memory;
mod node;
pub(crate) mod oap;
pub(crate) mod persist;
pub(crate) mod tls;
pub(crate) mod waiting;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::node::Node;
use crate::{Failure, cargo, io, root, succeed};

/// Runs unless told otherwise.
const RUNS: usize = 20;
/// Most runs: a minute or so.
const RUNS_MAX: usize = 1000;
/// A node that is not ready within this is not going to be.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Between two questions; small beside what is measured.
const POLL: Duration = Duration::from_micros(200);
/// Between ready and the look at memory: what starting needed has been given back by then.
const SETTLE: Duration = Duration::from_millis(300);
/// Longest answer that is read from a node.
const ANSWER_BYTES: u64 = 16 * 1024;

/// How long `work` takes, and its result.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let started = now();
    let result = work();
    (started.elapsed(), result)
}

#[expect(
    clippy::disallowed_methods,
    reason = "measuring is what this tool is for"
)]
fn now() -> Instant {
    Instant::now()
}

/// Builds the release binary, starts it `--runs` times, and prints a table.
pub(crate) fn start(options: &[&str]) -> Result<(), Failure> {
    let runs = runs(options, RUNS)?;
    let binary = release_binary()?;
    let mut ready_ms = Vec::with_capacity(runs);
    let mut idle_kib = Vec::with_capacity(runs);
    for _ in 0..runs {
        let (ready, rss_kib) = run_once(&binary)?;
        ready_ms.push(ready.as_secs_f64() * 1000.0);
        idle_kib.push(rss_kib as f64 / 1024.0);
    }
    head(runs);
    row("exec to /readyz 200, ms", &mut ready_ms);
    row("idle RSS, MiB", &mut idle_kib);
    Ok(())
}

fn runs(options: &[&str], usual: usize) -> Result<usize, Failure> {
    let text = match options {
        [] => return Ok(usual),
        ["--runs", text] => text,
        _ => {
            return Err(Failure::Usage(format!(
                "no such option: {}",
                options.join(" ")
            )));
        }
    };
    let runs = text
        .parse()
        .ok()
        .filter(|runs| (1..=RUNS_MAX).contains(runs));
    runs.ok_or_else(|| Failure::Usage(format!("--runs {text}: expected 1 to {RUNS_MAX}")))
}

fn head(runs: usize) {
    println!(
        "{:<36} {:>9} {:>9} {:>9}",
        format!("{runs} runs"),
        "median",
        "min",
        "max"
    );
}

fn row(name: &str, samples: &mut [f64]) {
    samples.sort_by(f64::total_cmp);
    let (min, max) = (samples[0], samples[samples.len() - 1]);
    println!("{name:<36} {:>9.2} {min:>9.2} {max:>9.2}", median(samples));
}

/// The middle of sorted samples, or the mean of the two around it.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

/// Builds it first.
fn release_binary() -> Result<PathBuf, Failure> {
    succeed(cargo(&[
        "build",
        "--locked",
        "--release",
        "--package",
        "micronode",
    ]))?;
    Ok(target_directory()?.join("release/micronode"))
}

pub(crate) fn target_directory() -> Result<PathBuf, Failure> {
    let output = cargo(&["metadata", "--locked", "--no-deps", "--format-version", "1"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(io("cargo metadata"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::Wrong(format!("cargo metadata: {error}")))?;
    let directory = metadata["target_directory"].as_str();
    Ok(directory.map_or_else(|| root().join("target"), Into::into))
}

/// Time from before exec to the first 200 of `/readyz`, and the resident KiB of the idle node.
fn run_once(binary: &Path) -> Result<(Duration, u64), Failure> {
    let started = now();
    let node = Node::start(binary, &[])?;
    let admin = node.admin;
    loop {
        let status = readiness(admin).map_err(io("asking /readyz"))?;
        if status.starts_with("HTTP/1.1 200 ") {
            break;
        }
        if started.elapsed() > READY_WITHIN {
            return Err(Failure::Wrong(format!(
                "not ready within {READY_WITHIN:?}: {status}"
            )));
        }
        sleep(POLL);
    }
    let ready = started.elapsed();
    sleep(SETTLE);
    Ok((ready, node.rss_kib()?))
}

/// The status line that `/readyz` answers with.
fn readiness(admin: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, READY_WITHIN)?;
    stream.set_read_timeout(Some(READY_WITHIN))?;
    // Named by its address: a node in development mode refuses other names.
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    // Whole in one write, or Nagle's algorithm would be measured too.
    stream.write_all(request.as_bytes())?;
    let mut status = String::new();
    BufReader::new(stream.take(ANSWER_BYTES)).read_line(&mut status)?;
    Ok(status.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A script that announces `admin` as a node does, then idles.
    fn stand_in(name: &str, announcement: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        std::fs::write(
            &path,
            format!("#!/bin/sh\necho '{announcement}'\nexec sleep 60\n"),
        )
        .unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        path
    }

    // One test, so that no other forks while a script is open for writing: its exec would fail.
    #[test]
    fn a_run_waits_for_ready_and_needs_an_announcement() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = listener.local_addr().unwrap();
        let binary = stand_in("ready", &format!(r#"{{"admin":"{admin}"}}"#));
        let answers = std::thread::spawn(move || {
            for status in ["503 Service Unavailable", "200 OK"] {
                let (mut stream, _) = listener.accept().unwrap();
                let head: Vec<String> = BufReader::new(&stream)
                    .lines()
                    .map(Result::unwrap)
                    .take_while(|line| !line.is_empty())
                    .collect();
                assert_eq!(head[0], "GET /readyz HTTP/1.1");
                // A node refuses a Host that is not its address.
                assert!(head.contains(&format!("Host: {admin}")), "{head:?}");
                write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").unwrap();
            }
        });
        let (ready, rss_kib) = run_once(&binary).unwrap();
        answers.join().unwrap();
        std::fs::remove_file(binary).unwrap();
        assert!(ready >= POLL, "the first answer was 503");
        assert!(rss_kib > 0);

        let binary = stand_in("strange", "hello");
        let failure = run_once(&binary).unwrap_err();
        std::fs::remove_file(binary).unwrap();
        assert!(
            failure.to_string().contains("did not announce itself"),
            "{failure}"
        );
    }

    #[test]
    fn the_median_is_the_middle() {
        for (samples, middle) in [
            (&[3.0][..], 3.0),
            (&[1.0, 2.0], 1.5),
            (&[1.0, 2.0, 9.0], 2.0),
            (&[0.0, 1.0, 3.0, 9.0], 2.0),
        ] {
            assert!(
                (median(samples) - middle).abs() < f64::EPSILON,
                "{samples:?}"
            );
        }
    }

    #[test]
    fn runs_have_a_range() {
        assert_eq!(runs(&[], RUNS).ok(), Some(RUNS));
        for (text, accepted) in [
            ("0", None),
            ("1", Some(1)),
            ("1000", Some(1000)),
            ("1001", None),
            ("x", None),
        ] {
            assert_eq!(runs(&["--runs", text], RUNS).ok(), accepted, "{text}");
        }
        assert!(runs(&["--fast"], RUNS).is_err());
    }
}
