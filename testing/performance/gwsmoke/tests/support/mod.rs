//! What the tests of this folder share. Each of them uses a part of it.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used)]

pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod oap;

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use gwsmoke::load;
use gwsmoke::node::{Node, NodeArgs};
use gwsmoke::progress::Progress;
use gwsmoke::result::LoadResult;
use gwsmoke::spec::{LoadSpec, Size, Workload};

/// What a server of these tests does upon a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Gives the body back, after so long.
    Echo(Duration),
    /// Gives back all but the last byte.
    Shorten,
    /// Gives the body back with its last byte changed.
    Corrupt,
    /// Refuses.
    Refuse,
    /// Fails.
    Fail,
    /// Says what is none of its protocol.
    Garble,
    /// Never answers.
    Ignore,
    /// Closes the connection without a word.
    Close,
    /// Closes it within the answer.
    Break,
}

/// What is done upon each request of all connections, by its number.
#[derive(Clone)]
pub(crate) struct Script {
    deed: Arc<dyn Fn(u64) -> Deed + Send + Sync>,
    seen: Arc<AtomicU64>,
}

impl Script {
    pub(crate) fn new(deed: impl Fn(u64) -> Deed + Send + Sync + 'static) -> Self {
        Self {
            deed: Arc::new(deed),
            seen: Arc::default(),
        }
    }

    /// The next request has come.
    pub(crate) fn next(&self) -> Deed {
        (self.deed)(self.seen.fetch_add(1, Ordering::SeqCst))
    }

    /// Requests that have come.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }
}

/// A load that needs nothing prepared, without a warm-up.
pub(crate) fn echo(rate_rps: Option<f64>, seconds: f64) -> LoadSpec {
    LoadSpec {
        workload: Workload::Echo,
        rate_rps,
        duration_s: seconds,
        warm_up_s: 0.0,
        connections: 4,
        sizes: vec![Size {
            bytes: 100,
            weight: 1.0,
        }],
        ..LoadSpec::default()
    }
}

pub(crate) fn measure(spec: &LoadSpec, node: &Node) -> LoadResult {
    load::run(spec, node, &Progress::hidden()).unwrap()
}

/// A node of the real binary.
pub(crate) fn node(flags: &[&str]) -> Node {
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    Node::start(binary(), &flags).unwrap()
}

/// A server that is pointed at.
pub(crate) fn at(url: &str) -> Node {
    let args = NodeArgs {
        url: vec![url.parse().unwrap()],
        ..NodeArgs::default()
    };
    args.open(&[]).unwrap()
}

/// The node's binary of the target directory that this test is in, built if it is not there: only
/// the package that has it is told where it is.
pub(crate) fn binary() -> &'static PathBuf {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(find_or_build);
    &BINARY
}

fn find_or_build() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    // target/debug/deps/test
    let profile = own.ancestors().nth(2).unwrap();
    let binary = profile.join("micronode");
    if !binary.is_file() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--package", "micronode"]);
        build.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "{build:?}");
    }
    binary
}
