//! `micronode config`: what a node would run with, and whether it would; and the flags that
//! configure a node, which `run` shares.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use micronode_server::config::{self, ConfigError, Loaded, Sources};

use crate::failure::{Exit, Failure};
use crate::output;

/// Print or check the configuration of a node
#[derive(Args)]
pub(super) struct Config {
    #[command(subcommand)]
    verb: ConfigVerb,
}

#[derive(Subcommand)]
enum ConfigVerb {
    /// Print the effective configuration with the source of each value
    #[command(after_help = "Examples:
  micronode config print --config /etc/micronode.toml
  micronode config print --json")]
    Print(ConfigArgs),
    /// Check the configuration and list everything that is wrong with it
    #[command(after_help = "Examples:
  micronode config check --config /etc/micronode.toml")]
    Check(ConfigArgs),
}

impl Config {
    pub(super) fn run(self, json: bool) -> Result<Exit, Failure> {
        match self.verb {
            ConfigVerb::Print(args) => {
                let loaded = args.load()?;
                let text = if json {
                    format!("{}\n", loaded.to_json())
                } else {
                    loaded.to_toml()
                };
                output::write(text.as_bytes())?;
            }
            ConfigVerb::Check(args) => micronode_server::check(&args.load()?)?,
        }
        Ok(Exit::Done)
    }
}

/// Where a node's configuration comes from: a file, `MICRO_*` in the environment, and these flags,
/// each stronger than the one before. Values are text here; `micronode_server::config` checks
/// them, as it does those of the other sources.
#[derive(Args, Clone)]
pub(super) struct ConfigArgs {
    /// Read this TOML file
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Development mode: for a test bench, not for a network
    #[arg(long)]
    dev: bool,
    /// Address of the data listener; port 0 picks a free one
    #[arg(long, value_name = "ADDR:PORT")]
    bind: Option<String>,
    /// Address of the admin listener; port 0 picks a free one
    #[arg(long, value_name = "ADDR:PORT")]
    admin: Option<String>,
    /// Address of the OAP listener, off, or auto (127.0.0.1:8081, or a free port if that is taken or
    /// --bind is given)
    #[arg(long, value_name = "ADDR:PORT")]
    oap: Option<String>,
    /// Memory budget for objects and buffers, such as 512MiB
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Requests per second; 0 lifts the limit
    #[arg(long, value_name = "N")]
    rps: Option<String>,
    /// Requests and streams in flight
    #[arg(long, value_name = "N")]
    in_flight: Option<String>,
    /// Worker threads; 0 is one per core
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// What happens when memory is full: refuse or lru
    #[arg(long, value_name = "POLICY")]
    eviction: Option<String>,
    /// Keep objects, names and queues in this directory, over restarts and crashes
    #[arg(long, value_name = "DIR")]
    persist: Option<String>,
    /// When a change is on disk: always (before its request is answered) or interval
    #[arg(long, value_name = "WHEN")]
    sync: Option<String>,
    /// Certificate and its chain, PEM: the data listeners speak TLS
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Authorities, PEM, one of which has to have signed a client's certificate
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<String>,
    /// Speak TLS with a certificate made at start, in memory
    #[arg(long)]
    tls_self_signed: bool,
    /// Post-quantum key exchange: prefer, require or off
    #[arg(long, value_name = "WHETHER")]
    pq: Option<String>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl ConfigArgs {
    /// The checked configuration, read anew on every call.
    pub(super) fn load(&self) -> Result<Loaded, ConfigError> {
        config::load(Sources {
            file: self.config.clone(),
            env: config::process_environment(),
            flags: self.flags(),
        })
    }

    /// The file, where one was named.
    pub(super) fn file(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The given flags, by the key that each sets.
    fn flags(&self) -> Vec<(&'static str, String)> {
        let given = |flag: bool| flag.then(|| "true".to_owned());
        let (dev, self_signed) = (given(self.dev), given(self.tls_self_signed));
        [
            ("dev", &dev),
            ("bind", &self.bind),
            ("admin", &self.admin),
            ("oap", &self.oap),
            ("memory.budget", &self.memory),
            ("limits.rps", &self.rps),
            ("limits.in_flight", &self.in_flight),
            ("workers", &self.workers),
            ("memory.eviction", &self.eviction),
            ("persist.dir", &self.persist),
            ("persist.sync", &self.sync),
            ("tls.cert", &self.tls_cert),
            ("tls.key", &self.tls_key),
            ("tls.client_ca", &self.tls_client_ca),
            ("tls.self_signed", &self_signed),
            ("tls.pq", &self.pq),
            ("log.level", &self.log_level),
            ("log.format", &self.log_format),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.clone()?)))
        .collect()
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::usage(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::Parser;
    use config::KEYS;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        args: ConfigArgs,
    }

    #[test]
    fn every_flag_in_the_table_of_keys_sets_its_key() {
        for key in KEYS {
            let Some(flag) = key.flag else { continue };
            let is_bare = ["--dev", "--tls-self-signed"].contains(&flag);
            let value = if is_bare { "true" } else { "7" };
            let mut line = vec!["micronode", flag];
            if !is_bare {
                line.push(value);
            }
            let flags = Flags::try_parse_from(line).map(|flags| flags.args.flags());
            assert_eq!(flags.unwrap(), [(key.path, value.to_owned())]);
        }
    }
}
