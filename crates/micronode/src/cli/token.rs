//! `micronode token`: have tokens made, narrow them, and see what is in one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use micronode_client::{Client, MintOptions};
use micronode_protocol::capability::caveat::Caveat;
use micronode_protocol::capability::grant::{GrantError, SignedGrant};
use micronode_protocol::capability::{Identifier, Macaroon, base64url, keyring};
use micronode_protocol::limits::GRANT_BYTES;
use micronode_server::config::duration;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{NodeArgs, asynchronous, caveat, credentials};
use crate::failure::{Exit, Failure};
use crate::output::{self, hex, rfc3339};

/// What `--ro` stands for.
const READ_ONLY: &str = "op = get,head,name-read";

/// Make tokens, narrow them, and see what is in one
///
/// Who has a token has its rights. Whoever has one can narrow it, and nobody can widen it.
#[derive(Args)]
pub(super) struct Token {
    #[command(subcommand)]
    verb: TokenVerb,
}

#[derive(Subcommand)]
enum TokenVerb {
    Mint(Mint),
    Attenuate(Attenuate),
    Inspect(Inspect),
}

/// Have the node make a token, and print it
///
/// It has the caveats of your own token, which has to allow `admin`, and those given here.
#[derive(Args)]
#[command(after_help = "Examples:
  micronode token mint --caveat 'op = get,head' --ttl 1h
  micronode token mint --caveat 'op = put' --caveat 'max-bytes = 65536' --json")]
struct Mint {
    /// A condition on everything done under the token, such as 'op = get,head'; may be given
    /// again. Without any, it may do what yours may
    #[arg(long = "caveat", value_name = "CAVEAT", value_parser = caveat::check)]
    caveats: Vec<String>,
    /// How long it lives, at most 24h [default: as the node is set up, usually 15m]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    ttl: Option<Duration>,
}

/// Narrow a token, and print the new one
///
/// No node is asked. A token among the arguments can be read by every user of this machine; leave
/// it in MICRO_TOKEN, or give it on standard input (`-`).
#[derive(Args)]
#[command(after_help = "Examples:
  micronode token attenuate --ro --ttl 10m
  micronode token mint | micronode token attenuate --caveat 'obj = b3:af13…3262' -")]
struct Attenuate {
    /// A condition on everything done under the new token, such as 'op = get,head'; may be given
    /// again
    #[arg(long = "caveat", value_name = "CAVEAT", value_parser = caveat::check)]
    caveats: Vec<String>,
    /// Allow reading only: 'op = get,head,name-read'
    #[arg(long)]
    ro: bool,
    /// End it after this time by the clock of this machine, such as 10m
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    ttl: Option<Duration>,
    /// The token to narrow; `-` is standard input [default: MICRO_TOKEN]
    #[arg(value_name = "TOKEN")]
    token: Option<String>,
}

/// Show what a token or a grant says
///
/// No node is asked, and only a node can tell whether it is genuine. Nothing is shown with which
/// anything could be done. A token among the arguments can be read by every user of this machine;
/// leave it in MICRO_TOKEN, or give it on standard input (`-`).
#[derive(Args)]
#[command(after_help = "Examples:
  micronode token inspect
  micronode token inspect --json - < ci.grant")]
struct Inspect {
    /// The token or grant; `-` is standard input [default: MICRO_TOKEN]
    #[arg(value_name = "TOKEN")]
    token: Option<String>,
}

impl Token {
    pub(super) fn run(self, node: &NodeArgs) -> Result<Exit, Failure> {
        match self.verb {
            TokenVerb::Mint(mint) => asynchronous(mint.run(&node.client()?, node.json))?,
            TokenVerb::Attenuate(attenuate) => attenuate.run(node.json)?,
            TokenVerb::Inspect(inspect) => inspect.run(node.json)?,
        }
        Ok(Exit::Done)
    }
}

impl Mint {
    async fn run(self, client: &Client, as_json: bool) -> Result<(), Failure> {
        let options = MintOptions {
            caveats: self.caveats,
            ttl: self.ttl,
        };
        let minted = client.mint(&options).await?;
        let token = minted.token.as_str();
        let expires_at = humantime::format_rfc3339_millis(minted.expires_at);
        output::line(
            as_json,
            || token.to_owned(),
            || json!({"token": token, "expires_at": rfc3339(&expires_at)}),
        )
    }
}

impl Attenuate {
    fn run(mut self, as_json: bool) -> Result<(), Failure> {
        if self.ro {
            self.caveats.push(READ_ONLY.to_owned());
        }
        if let Some(ttl) = self.ttl {
            let ends = unix_time() + ttl;
            let ends = u64::try_from(ends.as_millis()).expect("a century at most from now");
            self.caveats.push(keyring::before(ends));
        }
        if self.caveats.is_empty() {
            return Err(Failure::usage("nothing to narrow the token by")
                .or_hint("give --caveat, --ro or --ttl"));
        }
        let bytes = decode(&credentials::subject(self.token.as_deref())?)?;
        let caveats = self.caveats.iter().map(String::as_bytes);
        let narrower = Macaroon::parse(&bytes).and_then(|token| token.attenuate_all(caveats));
        let narrower = Zeroizing::new(narrower.map_err(|error| not_a_token(&error.to_string()))?);
        let token = base64url::encode(&narrower);
        output::line(as_json, || token.clone(), || json!({"token": token}))
    }
}

impl Inspect {
    fn run(&self, as_json: bool) -> Result<(), Failure> {
        let bytes = decode(&credentials::subject(self.token.as_deref())?)?;
        let shown = match SignedGrant::parse(&bytes) {
            Ok(grant) => of_grant(&grant),
            Err(GrantError::Magic) => {
                let token = Macaroon::parse(&bytes);
                of_token(&token.map_err(|error| not_a_token(&error.to_string()))?)
            }
            Err(error) => return Err(Failure::usage(format!("it begins as a grant: {error}"))),
        };
        let (lines, document) = shown;
        output::line(as_json, || lines.join("\n"), || document)
    }
}

/// What a token says: for people, and for programs.
fn of_token(token: &Macaroon<'_>) -> (Vec<String>, Value) {
    let location = token.location();
    let mut lines = vec![format!("token of {}", location.escape_ascii())];
    let mut document = json!({"kind": "token", "location": String::from_utf8_lossy(location)});
    let mut say = |name: &str, key: &str, bytes: &[u8]| {
        lines.push(format!("{name:<10}{}", hex(bytes)));
        document[key] = hex(bytes).into();
    };
    match Identifier::parse(token.identifier()) {
        Some(identifier) => {
            say("key", "key_id", &identifier.key_id);
            say("nonce", "nonce", &identifier.nonce);
            if let Some(grant) = identifier.grant {
                say("grant", "grant_nonce", &grant.nonce);
            }
        }
        // Made by something else than a node.
        None => say("identifier", "identifier", token.identifier()),
    }
    add_caveats(token.caveats(), &mut lines, &mut document);
    (lines, document)
}

/// What a grant says.
fn of_grant(grant: &SignedGrant<'_>) -> (Vec<String>, Value) {
    let statement = grant.statement();
    let date = |seconds| {
        let date = UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
        rfc3339(&humantime::format_rfc3339_seconds(date))
    };
    let [starts, ends] = [statement.not_before, statement.not_after].map(date);
    let shown =
        |date: &Option<String>| date.clone().unwrap_or_else(|| "after the year 9999".into());
    let audience = match statement.audience {
        "" => "any node".into(),
        name => name.escape_debug().to_string(),
    };
    let (issuer, nonce) = (hex(grant.issuer()), hex(&statement.nonce));
    let mut lines = vec![
        format!("grant to {}", statement.subject.escape_debug()),
        format!("issuer    {issuer}"),
        format!("audience  {audience}"),
        format!("from      {}", shown(&starts)),
        format!("until     {}", shown(&ends)),
        format!("nonce     {nonce}"),
    ];
    let mut document = json!({
        "kind": "grant",
        "issuer": issuer,
        "audience": statement.audience,
        "subject": statement.subject,
        "not_before": starts,
        "not_after": ends,
        "nonce": nonce,
    });
    let caveats: Vec<&[u8]> = statement.caveats.iter().map(|it| it.as_bytes()).collect();
    add_caveats(&caveats, &mut lines, &mut document);
    (lines, document)
}

fn add_caveats(caveats: &[&[u8]], lines: &mut Vec<String>, document: &mut Value) {
    let understood = |caveat: &[u8]| Caveat::parse(caveat).is_some();
    for caveat in caveats {
        let mark = if understood(caveat) {
            ""
        } else {
            "  (no node understands it: it holds for nothing)"
        };
        lines.push(format!("caveat    {}{mark}", caveat.escape_ascii()));
    }
    document["caveats"] = caveats
        .iter()
        .map(|caveat| {
            json!({
                "caveat": String::from_utf8_lossy(caveat),
                "understood": understood(caveat),
            })
        })
        .collect();
}

fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let bytes = base64url::decode(text.as_bytes(), GRANT_BYTES);
    let bytes = bytes.ok_or_else(|| not_a_token("not unpadded base64url, or too long"))?;
    Ok(Zeroizing::new(bytes))
}

fn not_a_token(why: &str) -> Failure {
    Failure::usage(format!("cannot use the token: {why}"))
}

/// A clock set before 1970 reads as 0.
fn unix_time() -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "a token ends at a time of the day"
    )]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}
