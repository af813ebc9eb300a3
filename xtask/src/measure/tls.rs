//! What a connection over TLS costs the node: classical, hybrid and resumed handshakes, with an
//! ECDSA and an RSA certificate, beside one without TLS.
//!
//! A connection is: connect, handshake, one GET of 1 KiB, close; and its cost is the node's user
//! and system time. The client is an example of `micronode-client`, a process of its own. The
//! kinds take turns within a run, and ratios are formed within it. What a handshake is made of is
//! timed alone, by the same library on the same machine; the rest is the difference.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use super::oap::TICKS;
use super::{Failure, Node, head, median, release_binary, row, runs, target_directory};
use crate::{cargo, io, show, succeed};

/// Runs unless told otherwise.
const RUNS: usize = 5;
/// Connections of a kind in one run: half a second of the node's time, in ticks of 10 ms.
const CONNECTIONS: u32 = 2000;

const CERTIFICATES: [&str; 2] = ["ecdsa", "rsa"];
const KINDS: [&str; 3] = ["classical", "hybrid", "resumed"];
/// Neither: no TLS.
const PLAIN: &str = "plain";

/// Builds the release binary, starts a node for each certificate, and prints tables.
pub(crate) fn run(options: &[&str]) -> Result<(), Failure> {
    let runs = runs(options, RUNS)?;
    let binary = release_binary()?;
    succeed(cargo(&[
        "build",
        "--locked",
        "--release",
        "--package",
        "micronode-client",
        "--example",
        "handshakes",
    ]))?;
    let client = target_directory()?.join("release/examples/handshakes");
    let directory = std::env::temp_dir().join(format!("xtask-tls-{}", std::process::id()));
    std::fs::create_dir(&directory).map_err(io(directory.display()))?;
    let measured = measure(&binary, &client, &directory, runs);
    std::fs::remove_dir_all(&directory).map_err(io(directory.display()))?;
    measured
}

fn measure(binary: &Path, client: &Path, directory: &Path, runs: usize) -> Result<(), Failure> {
    let path = |name: &str| directory.join(name).display().to_string();
    output(client, &["certificates", &path("")])?;
    let mut nodes = Vec::new();
    for certificate in CERTIFICATES {
        let (cert, key) = (
            path(&format!("{certificate}.pem")),
            path(&format!("{certificate}.key")),
        );
        let tls = ["--rps", "0", "--tls-cert", &cert, "--tls-key", &key];
        nodes.push((certificate, Node::start(binary, &tls)?, cert, &KINDS[..]));
    }
    let plain = Node::start(binary, &["--rps", "0"])?;
    nodes.push((PLAIN, plain, String::new(), &[PLAIN]));
    let mut cpu: HashMap<(&str, &str), Vec<f64>> = HashMap::new();
    let mut parts: HashMap<String, Vec<f64>> = HashMap::new();
    for _ in 0..runs {
        for (certificate, node, ca, kinds) in &nodes {
            let address = node.address("http")?.to_string();
            for &kind in *kinds {
                let before = node.cpu_ticks()?;
                output(
                    client,
                    &["connect", kind, &address, ca, &CONNECTIONS.to_string()],
                )?;
                let seconds = (node.cpu_ticks()? - before) as f64 / TICKS;
                let samples = cpu.entry((certificate, kind)).or_default();
                samples.push(seconds * 1e6 / f64::from(CONNECTIONS));
            }
        }
        for line in output(client, &["parts", &path("")])?.lines() {
            let part = line.split_once(' ');
            let part = part.and_then(|(name, micros)| Some((name, micros.parse().ok()?)));
            let (name, micros) = part.ok_or_else(|| Failure::Wrong(format!("parts: {line}")))?;
            parts.entry(name.to_owned()).or_default().push(micros);
        }
    }

    head(runs);
    row(
        "plain, CPU µs/connection",
        &mut cpu[&(PLAIN, PLAIN)].clone(),
    );
    for certificate in CERTIFICATES {
        for kind in KINDS {
            let mut samples = cpu[&(certificate, kind)].clone();
            row(
                &format!("{certificate}, {kind}, CPU µs/connection"),
                &mut samples,
            );
        }
        for (kind, of) in [("hybrid", "classical"), ("resumed", "hybrid")] {
            let (these, those) = (&cpu[&(certificate, kind)], &cpu[&(certificate, of)]);
            let mut ratios: Vec<f64> = these.iter().zip(those).map(|(a, b)| a / b).collect();
            row(&format!("{certificate}, {kind} : {of}"), &mut ratios);
        }
    }

    println!(
        "\n{:<24} {:>9} {:>9} {:>12} {:>9} {:>9}",
        "medians, µs", "whole", "plain", "key exchange", "signature", "rest"
    );
    for samples in cpu.values_mut().chain(parts.values_mut()) {
        samples.sort_by(f64::total_cmp);
    }
    for certificate in CERTIFICATES {
        for kind in KINDS {
            let whole = median(&cpu[&(certificate, kind)]);
            let part = |name: &str| parts.get(name).map_or(0.0, |samples| median(samples));
            let (exchange, signature) = match kind {
                "resumed" => (part("hybrid"), 0.0),
                _ => (part(kind), part(certificate)),
            };
            let plain = median(&cpu[&(PLAIN, PLAIN)]);
            let rest = whole - plain - exchange - signature;
            let name = format!("{certificate}, {kind}");
            println!(
                "{name:<24} {whole:>9.1} {plain:>9.1} {exchange:>12.1} {signature:>9.1} {rest:>9.1}"
            );
        }
    }
    Ok(())
}

/// What the client prints, once it has succeeded.
fn output(client: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new(client);
    command.args(arguments).stderr(Stdio::inherit());
    let output = command.output().map_err(io(show(&command)))?;
    if !output.status.success() {
        return Err(Failure::Program(show(&command)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
