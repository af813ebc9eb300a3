//! The flags of `cross-check`, and what is made of its figures.

use std::path::PathBuf;

use clap::Args;

use super::{Options, run};
use crate::failure::{Exit, Failure, io};
use crate::node::find_binary;
use crate::peers::table;
use crate::progress::Progress;
use crate::suite::result::{Comparison, Comparisons};

/// Furthest that two tools may be apart, each way.
const APART: f64 = 0.10;
/// Of its processor, what a tool may be busy at most: beyond it, it may have been the limit.
const CLIENT_CORES: f64 = 0.8;
/// Of its processor, what the node has to be busy at least, to have been the limit.
const SERVER_CORES: f64 = 0.9;

/// The same load by this tool and by wrk and oha, the node on a processor of its own
///
/// Installs nothing: what is missing is told, with how to get it, and left out. Fails when
/// throughput of GETs of 64 KiB is more than a tenth apart, or was not the node's.
#[derive(Args, Clone, Debug)]
pub struct CrossCheck {
    /// The binary of the node [default: micronode of the same target directory]
    #[arg(long, value_name = "BIN")]
    node: Option<PathBuf>,
    /// Rounds [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Seconds of each tool in a round [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: Option<u32>,
    /// Connections [default: 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: Option<u32>,
    /// Write the comparisons as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl CrossCheck {
    /// Does it, and prints what came of it.
    ///
    /// # Errors
    ///
    /// What kept it from being measured.
    pub fn run(self, progress: &Progress) -> Result<Exit, Failure> {
        let binary = match self.node {
            Some(binary) => binary,
            None => find_binary()?,
        };
        let mut options = Options::full(binary);
        if let Some(rounds) = self.rounds {
            options.rounds = rounds as usize;
        }
        options.seconds = self.seconds.unwrap_or(options.seconds);
        options.connections = self.connections.unwrap_or(options.connections);
        let found = run(&options, progress)?;
        if let Some(path) = &self.json {
            let text =
                serde_json::to_string_pretty(&found).map_err(|error| io("JSON")(error.into()))?;
            std::fs::write(path, text + "\n").map_err(io(path.display()))?;
        }
        print!("{}", table::of(&found));
        let complaints = complaints(&found);
        for complaint in &complaints {
            println!("{complaint}");
        }
        Ok(match complaints.is_empty() {
            true => Exit::Done,
            false => Exit::Failed,
        })
    }
}

/// What keeps the tools from agreeing, a sentence each; of GETs, whose load is the same for all.
fn complaints(found: &Comparisons) -> Vec<String> {
    let of = |key: &str| {
        let start = format!("get_64k_{key}_");
        let all = found.comparisons.iter();
        all.filter(move |each| each.id.starts_with(&start))
    };
    let mut complaints = Vec::new();
    for Comparison { against, ratio, .. } in
        of("rps").filter(|each| (each.ratio - 1.0).abs() > APART)
    {
        let percent = (ratio - 1.0) * 100.0;
        complaints.push(format!(
            "gwsmoke and {against} are {percent:+.1} % apart: more than 10 %"
        ));
    }
    for Comparison {
        against,
        ours,
        theirs,
        ..
    } in of("client_cores")
    {
        for (tool, cores) in [("gwsmoke", ours), (against.as_str(), theirs)] {
            if *cores >= CLIENT_CORES {
                complaints.push(format!(
                    "{tool} was busy for {:.0} % of its processor: it may have been the limit",
                    cores * 100.0
                ));
            }
        }
    }
    for Comparison {
        against,
        ours,
        theirs,
        ..
    } in of("server_cores")
    {
        for (tool, cores) in [("gwsmoke", ours), (against.as_str(), theirs)] {
            if *cores < SERVER_CORES {
                complaints.push(format!(
                    "asked by {tool}, the node was busy for {:.0} % of its processor alone: it was \
                     not the limit",
                    cores * 100.0
                ));
            }
        }
    }
    if of("rps").next().is_none() {
        complaints.push("there is no tool to compare with".to_owned());
    }
    complaints.dedup();
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ratio: f64, client: (f64, f64), server: (f64, f64)) -> Comparisons {
        let one = |key: &str, ours: f64, theirs: f64| Comparison {
            id: format!("get_64k_{key}_wrk"),
            title: String::new(),
            against: "wrk".to_owned(),
            unit: String::new(),
            ours,
            theirs,
            ratio: ours / theirs,
            ratio_min: 0.0,
            ratio_max: 9.0,
            rounds: 5,
        };
        Comparisons {
            comparisons: vec![
                one("rps", ratio, 1.0),
                one("client_cores", client.0, client.1),
                one("server_cores", server.0, server.1),
            ],
            missing: Vec::new(),
        }
    }

    #[test]
    fn tools_agree_within_a_tenth_when_the_node_was_the_limit() {
        let told = |ratio, client, server| complaints(&found(ratio, client, server)).join("\n");
        assert_eq!(told(1.09, (0.6, 0.7), (0.99, 1.0)), "");
        assert_eq!(told(0.91, (0.6, 0.7), (0.99, 1.0)), "");
        assert!(told(1.11, (0.6, 0.7), (1.0, 1.0)).contains("+11.0 % apart"));
        assert!(told(0.89, (0.6, 0.7), (1.0, 1.0)).contains("-11.0 % apart"));
        assert!(told(1.0, (0.6, 0.8), (1.0, 1.0)).starts_with("wrk was busy for 80 %"));
        assert!(told(1.0, (0.9, 0.1), (1.0, 1.0)).starts_with("gwsmoke was busy for 90 %"));
        assert!(
            told(1.0, (0.1, 0.1), (1.0, 0.5))
                .starts_with("asked by wrk, the node was busy for 50 %")
        );
        assert_eq!(complaints(&Comparisons::default()).len(), 1);
    }
}
