//! The flags of `load`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{run, sweep, table};
use crate::failure::{Exit, Failure, io};
use crate::node::NodeArgs;
use crate::progress::Progress;
use crate::scenario;
use crate::spec::{LoadSpec, Proto, Size, Workload};

/// Requests at a rate, or one upon the other
///
/// The node is started for it, unless --url names one. Flags override what a scenario file says.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  gwsmoke load --rate 400 --duration 10s
  gwsmoke load --closed --connections 64 --size 64KiB --node-flag=--rps=0
  gwsmoke load --scenario testing/performance/scenarios/get.toml --json result.json
  gwsmoke load --url http://127.0.0.1:8080 --admin http://127.0.0.1:9090 --proto http2 --streams 8")]
pub struct Load {
    #[command(flatten)]
    node: NodeArgs,
    /// What to run, as TOML
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// What is asked
    #[arg(long, value_enum)]
    workload: Option<WorkloadFlag>,
    /// Requests per second that are due [default: 400]
    #[arg(long, value_name = "N", conflicts_with = "closed")]
    rate: Option<f64>,
    /// Each connection asks again upon its answer, instead of at a rate
    #[arg(long)]
    closed: bool,
    /// Walk the rate up, from --rate or 1000, and tell where it is not kept up with any more; each
    /// rate for --duration
    #[arg(long, conflicts_with = "closed")]
    sweep: bool,
    /// How long it is measured [default: 10s]
    #[arg(long, value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// How long it goes on before that [default: 1s]
    #[arg(long, value_parser = humantime::parse_duration)]
    warm_up: Option<Duration>,
    /// Connections over all threads [default: 16]
    #[arg(long, value_name = "N")]
    connections: Option<u32>,
    /// Requests in flight on a connection of HTTP/2 or OAP [default: 1]
    #[arg(long, value_name = "N")]
    streams: Option<u32>,
    /// Threads of this tool [default: 1]
    #[arg(long, value_name = "N")]
    threads: Option<u32>,
    /// Protocol [default: http1]
    #[arg(long, value_enum)]
    proto: Option<ProtoFlag>,
    /// Speak TLS to the node that is started
    #[arg(long)]
    tls: bool,
    /// Bytes of a body, such as 1024 or 64KiB; several with their weights: 1KiB=9,1MiB=1
    /// [default: 1KiB]
    #[arg(long, value_name = "SIZE", value_delimiter = ',', value_parser = size)]
    size: Vec<Size>,
    /// Part of requests that read, 0 to 1 [default: 1, and 0.5 for messages]
    #[arg(long, value_name = "PART")]
    read_ratio: Option<f64>,
    /// Objects that reads choose among [default: 64]
    #[arg(long, value_name = "N")]
    objects: Option<u32>,
    /// Exponent of Zipf's law, by which they are chosen [default: 0, all alike]
    #[arg(long, value_name = "EXPONENT")]
    zipf: Option<f64>,
    /// Round trip that a proxy in between adds [default: no proxy]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    delay: Option<Duration>,
    /// Seed of all that is drawn [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Compare every byte of every answer, not of a sample
    #[arg(long)]
    verify_all: bool,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WorkloadFlag {
    Objects,
    Mailbox,
    Echo,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProtoFlag {
    Http1,
    Http2,
    Oap,
}

impl Load {
    /// Does it, and prints what came of it.
    ///
    /// # Errors
    ///
    /// What kept it from being measured.
    pub fn run(self, progress: &Progress) -> Result<Exit, Failure> {
        let spec = self.spec()?;
        let mut flags = spec.node_flags.clone();
        if spec.tls {
            flags.push("--tls-self-signed".to_owned());
        }
        let node = self.node.open(&flags)?;
        let result = match self.sweep {
            true => sweep::run(&spec, &node, progress)?,
            false => run(&spec, &node, progress)?,
        };
        if let Some(path) = &self.json {
            let text =
                serde_json::to_string_pretty(&result).map_err(|error| io("JSON")(error.into()))?;
            std::fs::write(path, text + "\n").map_err(io(path.display()))?;
        }
        print!("{}", table::of(&result));
        Ok(match result.errors {
            0 => Exit::Done,
            _ => Exit::Failed,
        })
    }

    /// The scenario, and what flags change of it.
    fn spec(&self) -> Result<LoadSpec, Failure> {
        let workload = self.workload.map(|workload| match workload {
            WorkloadFlag::Objects => Workload::Objects,
            WorkloadFlag::Mailbox => Workload::Mailbox,
            WorkloadFlag::Echo => Workload::Echo,
        });
        let mut spec = match &self.scenario {
            Some(path) => scenario::read(path)?,
            None => scenario::of(workload.unwrap_or(Workload::Objects)),
        };
        fn set<T>(field: &mut T, flag: Option<T>) {
            if let Some(value) = flag {
                *field = value;
            }
        }
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        set(&mut spec.workload, workload);
        set(&mut spec.rate_rps, self.rate.map(Some));
        // A sweep has a first rate of its own.
        if self.closed || (self.sweep && self.rate.is_none() && self.scenario.is_none()) {
            spec.rate_rps = None;
        }
        set(&mut spec.duration_s, seconds(self.duration));
        set(&mut spec.warm_up_s, seconds(self.warm_up));
        set(&mut spec.connections, self.connections);
        set(&mut spec.streams, self.streams);
        set(&mut spec.threads, self.threads);
        let proto = self.proto.map(|proto| match proto {
            ProtoFlag::Http1 => Proto::Http1,
            ProtoFlag::Http2 => Proto::Http2,
            ProtoFlag::Oap => Proto::Oap,
        });
        set(&mut spec.proto, proto);
        spec.tls |= self.tls || self.node.url.iter().any(crate::node::Url::is_tls);
        if !self.size.is_empty() {
            spec.sizes.clone_from(&self.size);
        }
        set(&mut spec.read_ratio, self.read_ratio);
        set(&mut spec.objects, self.objects);
        set(&mut spec.zipf, self.zipf);
        set(&mut spec.delay_ms, seconds(self.delay).map(|s| s * 1e3));
        set(&mut spec.seed, self.seed);
        spec.verify_all |= self.verify_all;
        Ok(spec)
    }
}

/// Bytes, and a weight if it has one.
fn size(text: &str) -> Result<Size, String> {
    let (bytes, weight) = text.split_once('=').unwrap_or((text, "1"));
    let digits = bytes.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = match &bytes[digits.len()..] {
        "" | "B" => 1,
        "KiB" | "k" | "K" => 1 << 10,
        "MiB" | "m" | "M" => 1 << 20,
        _ => return Err("a size is a number of bytes, KiB or MiB".to_owned()),
    };
    let bytes: u64 = digits.parse().map_err(|error| format!("{error}"))?;
    let weight: f64 = weight.parse().map_err(|error| format!("{error}"))?;
    let bytes = bytes.checked_mul(unit).ok_or("too large")?;
    Ok(Size { bytes, weight })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        load: Load,
    }

    fn spec(flags: &[&str]) -> LoadSpec {
        let line = Line::try_parse_from([&["load"], flags].concat()).unwrap();
        line.load.spec().unwrap()
    }

    #[test]
    fn flags_override_and_nothing_is_the_defaults() {
        assert_eq!(spec(&[]), LoadSpec::default());
        let load = spec(&[
            "--rate",
            "0.5",
            "--duration",
            "1m",
            "--connections",
            "3",
            "--size",
            "1KiB=9,1MiB=1",
            "--read-ratio",
            "0.5",
            "--proto",
            "oap",
            "--streams",
            "8",
        ]);
        assert_eq!(load.rate_rps, Some(0.5));
        assert_eq!(
            (load.duration_s, load.connections, load.streams),
            (60.0, 3, 8)
        );
        let sizes: Vec<_> = load
            .sizes
            .iter()
            .map(|size| (size.bytes, size.weight))
            .collect();
        assert_eq!(sizes, [(1024, 9.0), (1 << 20, 1.0)]);
        assert_eq!((load.read_ratio, load.proto), (0.5, Proto::Oap));
        assert_eq!(spec(&["--closed"]).rate_rps, None);
        assert_eq!(spec(&["--workload", "mailbox"]).read_ratio, 0.5);
    }

    #[test]
    fn a_scenario_is_overridden_by_flags() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "name = \"x\"\nconnections = 5\nzipf = 1.1\n").unwrap();
        let path = file.path().to_str().unwrap();
        let load = spec(&["--scenario", path, "--connections", "7"]);
        assert_eq!(
            (load.name.as_str(), load.connections, load.zipf),
            ("x", 7, 1.1)
        );
        assert_eq!(load.rate_rps, None);
    }

    #[test]
    fn a_size_has_a_unit_and_a_weight() {
        assert_eq!(size("64KiB").unwrap().bytes, 65536);
        assert_eq!(
            size("7").unwrap(),
            Size {
                bytes: 7,
                weight: 1.0
            }
        );
        assert_eq!(
            size("2MiB=0.5").unwrap(),
            Size {
                bytes: 2 << 20,
                weight: 0.5
            }
        );
        for wrong in ["", "x", "1GB", "1=x", "99999999999999999MiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
