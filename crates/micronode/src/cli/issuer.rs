//! `micronode issuer`: make an issuer, tell nodes of it, and sign grants. All of it offline.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use micronode_client::{Issuer as Signer, Seed, SeedError};
use micronode_protocol::capability::base64url;
use micronode_protocol::capability::grant::Statement;
use micronode_server::config::duration;
use serde_json::json;

use super::caveat;
use crate::failure::{Exit, Failure};
use crate::output::{self, hex, rfc3339};

/// Make an issuer, show it to nodes, and sign grants
///
/// A grant is a statement of an issuer that a node exchanges for a short token, again and again
/// until it ends. Nodes know an issuer by its public keys (`[[issuers]]` in their configuration);
/// nothing here talks to a node.
#[derive(Args)]
pub(super) struct Issuer {
    #[command(subcommand)]
    verb: IssuerVerb,
}

#[derive(Subcommand)]
enum IssuerVerb {
    New(New),
    Show(Show),
    Grant(Grant),
}

/// Make an issuer and keep its seed in a new file
///
/// Whoever has the seed can sign. The file is readable by its owner alone and never written over;
/// keep a copy of it, because no node has one.
#[derive(Args)]
#[command(after_help = "Examples:
  micronode issuer new --out issuer.seed")]
struct New {
    /// Where to keep the seed; the file must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Print the public keys of an issuer, as a block for the configuration of nodes
#[derive(Args)]
#[command(after_help = "Examples:
  micronode issuer show --seed issuer.seed >> node.toml")]
struct Show {
    /// The issuer's seed, as `issuer new` made it
    #[arg(long, value_name = "FILE")]
    seed: PathBuf,
}

/// Sign a grant and print it
///
/// Who has the grant has its rights: pass it on as you would a password. With --json, its nonce is
/// printed too, which is what a node is told to deny it by (`auth.deny`).
#[derive(Args)]
#[command(after_help = "Examples:
  micronode issuer grant --seed issuer.seed --subject ci --caveat 'op = get,head,put' --ttl 30d
  micronode issuer grant --seed issuer.seed --subject ci --audience cache-1 --ttl 1h \\
      --not-before 2027-01-01T00:00:00Z --json")]
struct Grant {
    /// The issuer's seed, as `issuer new` made it
    #[arg(long, value_name = "FILE")]
    seed: PathBuf,
    /// Whom the grant is for; nodes do not interpret it
    #[arg(long)]
    subject: String,
    /// A condition on everything done under the grant, such as 'op = get,head'; may be given
    /// again. Without any, everything is allowed
    #[arg(long = "caveat", value_name = "CAVEAT", value_parser = caveat::check)]
    caveats: Vec<String>,
    /// How long the grant can be exchanged, such as 30d or 12h
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    ttl: Duration,
    /// The one node that takes it, by its `auth.name` [default: any that knows the issuer]
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    audience: String,
    /// When that time starts, as in 2027-01-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    not_before: Option<SystemTime>,
}

impl Issuer {
    pub(super) fn run(self, as_json: bool) -> Result<Exit, Failure> {
        match self.verb {
            IssuerVerb::New(new) => new.run(as_json)?,
            IssuerVerb::Show(show) => show.run(as_json)?,
            IssuerVerb::Grant(grant) => grant.run(as_json)?,
        }
        Ok(Exit::Done)
    }
}

impl New {
    fn run(&self, as_json: bool) -> Result<(), Failure> {
        let seed = Seed::generate();
        seed.create(&self.out)
            .map_err(|error| seed_failure(&self.out, &error))?;
        let issuer = hex(Signer::from_seed(&seed).key().id());
        output::line(
            as_json,
            || issuer.clone(),
            || json!({"file": self.out.display().to_string(), "issuer": issuer}),
        )
    }
}

impl Show {
    fn run(&self, as_json: bool) -> Result<(), Failure> {
        let issuer = issuer(&self.seed)?;
        let key = issuer.key();
        let (id, ed25519, mldsa65) = (hex(key.id()), key.ed25519_text(), key.mldsa65_text());
        output::line(
            as_json,
            || {
                format!(
                    "# Issuer {id}\n[[issuers]]\ned25519 = \"{ed25519}\"\nmldsa65 = \"{mldsa65}\""
                )
            },
            || json!({"issuer": id, "ed25519": ed25519, "mldsa65": mldsa65}),
        )
    }
}

impl Grant {
    fn run(&self, as_json: bool) -> Result<(), Failure> {
        if self.ttl < Duration::from_secs(1) {
            return Err(Failure::usage("--ttl: a grant counts for at least 1s"));
        }
        let issuer = issuer(&self.seed)?;
        let not_before = unix_seconds(self.not_before.unwrap_or_else(now));
        let statement = Statement {
            audience: &self.audience,
            subject: &self.subject,
            not_before,
            not_after: not_before + self.ttl.as_secs(),
            nonce: Signer::nonce(),
            caveats: self.caveats.iter().map(String::as_str).collect(),
        };
        let date = |seconds| {
            let date = UNIX_EPOCH + Duration::from_secs(seconds);
            rfc3339(&humantime::format_rfc3339_seconds(date))
        };
        let [starts, ends] = [statement.not_before, statement.not_after].map(date);
        let ends = ends.ok_or_else(|| {
            Failure::usage("--ttl: the grant would end after the year 9999; give it less time")
        })?;
        let grant = issuer
            .grant(&statement)
            .map_err(|error| Failure::usage(error.to_string()))?;
        let grant = base64url::encode(&grant);
        output::line(
            as_json,
            || grant.clone(),
            || {
                json!({
                    "grant": grant,
                    "nonce": hex(&statement.nonce),
                    "issuer": hex(issuer.key().id()),
                    "not_before": starts,
                    "not_after": ends,
                })
            },
        )
    }
}

fn issuer(seed: &Path) -> Result<Signer, Failure> {
    let seed = Seed::read(seed).map_err(|error| seed_failure(seed, &error))?;
    Ok(Signer::from_seed(&seed))
}

fn seed_failure(path: &Path, error: &SeedError) -> Failure {
    let failure = match error {
        SeedError::Io(error) => Failure::local(path.display(), error),
        SeedError::NotASeed => Failure::usage(error.to_string()).about(path.display()),
    };
    match error {
        SeedError::Io(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            failure.or_hint("a seed is never written over; choose another file")
        }
        _ => failure,
    }
}

fn parse_time(text: &str) -> Result<SystemTime, String> {
    humantime::parse_rfc3339(text)
        .map_err(|_| "expected a time in UTC such as 2027-01-01T00:00:00Z".to_owned())
}

fn now() -> SystemTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "a grant starts when it is signed"
    )]
    SystemTime::now()
}

/// A time before 1970 reads as 0.
fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
