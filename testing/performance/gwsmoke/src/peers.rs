//! This node beside other programs, in one run: nginx and Redis for objects, NATS JetStream,
//! beanstalkd and Redis streams for messages.
//!
//! Nothing is installed: what is missing is told, with how to get it, and left out. Everything that
//! is there is started on a free port of loopback with a folder in memory, and ended by its process.
//! Rounds take turns (`rounds`), the client is the same for all that speak HTTP, and what is
//! compared is processor time and throughput within a round.
//!
//! What a [`Comparison`] is called, where SIZE is `1k`, `64k`, `1m` or `16m` and QUEUE is `nats`,
//! `beanstalkd` or `redis`:
//!
//! | id | ratio of |
//! |---|---|
//! | `get_SIZE_cpu_nginx`, `put_SIZE_cpu_nginx`, `put_SIZE_cpu_redis` | processor time per request |
//! | `get_SIZE_rps_nginx`, `put_SIZE_rps_nginx`, `put_SIZE_rps_redis` | throughput, closed loop |
//! | `get_SIZE_cpu_nginx_blake3`, `put_SIZE_cpu_redis_blake3` | processor time, to theirs and one BLAKE3 pass |
//! | `send_rate_QUEUE`, `take_rate_QUEUE` | messages per second, over one connection |
//! | `send_cpu_QUEUE`, `take_cpu_QUEUE` | processor time per message |
//! | `take_batched_rate_QUEUE`, `take_batched_cpu_QUEUE` | the same, the node's acks by the batch |

mod args;
mod nginx;
mod objects;
mod pass;
pub(crate) mod program;
mod queues;
mod redis;
pub(crate) mod rounds;
pub(crate) mod table;

use std::path::PathBuf;

pub use args::Peers;
use program::Program;
use rounds::Pair;

use crate::failure::Failure;
use crate::progress::Progress;
use crate::suite::result::{Comparison, Comparisons, Missing};

/// What is compared, and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node's binary.
    pub binary: PathBuf,
    /// Rounds of each comparison.
    pub rounds: usize,
    /// Seconds that are measured of each in a round of objects.
    pub seconds: f64,
    /// Seconds before that, which do not count.
    pub warm_up_s: f64,
    /// Seconds for which everybody is put bodies before anything counts, so that memory has been
    /// touched.
    pub fill_s: f64,
    /// Largest objects, in bytes.
    pub largest: u64,
    /// Messages of each phase in a round.
    pub messages: u64,
}

impl Options {
    /// What figures are published of: about ten minutes.
    pub fn full(binary: PathBuf) -> Self {
        Self {
            binary,
            rounds: 5,
            seconds: 3.0,
            warm_up_s: 0.5,
            fill_s: 3.0,
            largest: 16 << 20,
            messages: 200_000,
        }
    }

    /// What shows that it works: under a minute, and figures that spread more.
    pub fn quick(binary: PathBuf) -> Self {
        Self {
            binary,
            rounds: 3,
            seconds: 0.5,
            warm_up_s: 0.1,
            fill_s: 0.5,
            largest: 64 << 10,
            messages: 20_000,
        }
    }

    fn has(&self, bytes: u64) -> bool {
        bytes <= self.largest
    }
}

/// Compares the node with everything that is there.
///
/// # Errors
///
/// If the node, or a program that is installed, does not start or does not answer.
pub fn run(options: &Options, progress: &Progress) -> Result<Comparisons, Failure> {
    if options.rounds == 0 || options.messages == 0 {
        return Err(Failure::usage("peers: at least one round and one message"));
    }
    let folder = program::folder()?;
    let mut found = Found::default();
    objects::read(options, folder.path(), &mut found, progress)?;
    objects::put(options, folder.path(), &mut found, progress)?;
    queues::run(options, folder.path(), &mut found, progress)?;
    Ok(found.into_comparisons())
}

/// What is known so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    comparisons: Vec<Comparison>,
    missing: Vec<Missing>,
}

impl Found {
    /// Adds a comparison.
    pub(crate) fn add(&mut self, pair: Pair<'_>) -> Result<(), Failure> {
        self.comparisons.push(pair.compare()?);
        Ok(())
    }

    /// Whether a program is missing, of which note is taken.
    pub(crate) fn lacks(&mut self, program: Program) -> bool {
        match program.find() {
            Ok(_) => false,
            Err(missing) => {
                if !self.missing.contains(&missing) {
                    self.missing.push(missing);
                }
                true
            }
        }
    }

    /// All of it.
    pub(crate) fn into_comparisons(self) -> Comparisons {
        Comparisons {
            comparisons: self.comparisons,
            missing: self.missing,
        }
    }
}
