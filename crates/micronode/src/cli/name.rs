//! `micronode name`: names, which point at objects and can be moved.

use clap::{Args, Subcommand};
use futures_util::{StreamExt, TryStreamExt};
use micronode_client::{Client, Expected, NameEvent};
use micronode_protocol::Address;
use serde_json::json;

use crate::failure::{Exit, Failure};
use crate::output;

/// Point names at objects, list them, and watch them change
///
/// An object that a name points at neither expires nor can be deleted. `micronode get NAME` reads
/// the object itself.
#[derive(Args)]
pub(super) struct Name {
    #[command(subcommand)]
    verb: NameVerb,
}

#[derive(Subcommand)]
enum NameVerb {
    Set(Set),
    Get(Get),
    Rm(Rm),
    Ls(Ls),
    Watch(Watch),
}

/// Point a name at an object that is on the node, and print the revision
///
/// Exit code 4 where the name is not as --if-revision or --if-absent has it.
#[derive(Args)]
#[command(after_help = "Examples:
  micronode name set builds/latest $(micronode put build.tar)
  micronode name set leader b3:af13…3262 --if-absent
  micronode name set builds/latest b3:af13…3262 --if-revision 7")]
struct Set {
    /// Segments of a-z, 0-9, `.`, `_` and `-`, between slashes
    #[arg(value_name = "NAME")]
    name: String,
    /// The object
    #[arg(value_name = "ADDR")]
    address: Address,
    /// Only if it was last set with this revision
    #[arg(long, value_name = "N", conflicts_with = "if_absent")]
    if_revision: Option<u64>,
    /// Only if there is no such name
    #[arg(long)]
    if_absent: bool,
}

/// Print the address that a name points at
#[derive(Args)]
#[command(after_help = "Examples:
  micronode name get builds/latest
  micronode name get builds/latest --json")]
struct Get {
    /// The name
    #[arg(value_name = "NAME")]
    name: String,
}

/// Remove a name; the object stays
#[derive(Args)]
#[command(after_help = "Examples:
  micronode name rm builds/latest
  micronode name rm leader --if-revision 7")]
struct Rm {
    /// The name
    #[arg(value_name = "NAME")]
    name: String,
    /// Only if it was last set with this revision
    #[arg(long, value_name = "N")]
    if_revision: Option<u64>,
}

/// List names in the order of their bytes: address, revision, name
#[derive(Args)]
#[command(after_help = "Examples:
  micronode name ls
  micronode name ls builds/ --limit 10 --json")]
struct Ls {
    /// What the names begin with
    #[arg(value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Print at most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Print names as they are and then as they change, until interrupted
///
/// A line is `set`, address, revision and name; `deleted`, `-`, revision and name; `synced` when all
/// names that are there have been printed; or `lagged` and how many changes were missed (0: nobody
/// knows), upon which all names are printed again up to the next `synced`.
#[derive(Args)]
#[command(after_help = "Examples:
  micronode name watch builds/
  micronode name watch --json | while read -r change; do …; done")]
struct Watch {
    /// What the names begin with
    #[arg(value_name = "PREFIX", default_value = "")]
    prefix: String,
}

impl Name {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Result<Exit, Failure> {
        let printed = match self.verb {
            NameVerb::Set(set) => return set.run(client, as_json).await.map(|()| Exit::Done),
            NameVerb::Rm(rm) => return rm.run(client, as_json).await.map(|()| Exit::Done),
            NameVerb::Get(get) => get.run(client, as_json).await,
            NameVerb::Ls(ls) => ls.run(client, as_json).await,
            NameVerb::Watch(watch) => tokio::select! {
                ended = watch.run(client, as_json) => ended,
                () = output::reader_gone() => Ok(()),
            },
        };
        printed.map_or_else(Failure::unless_reader_gone, |()| Ok(Exit::Done))
    }
}

impl Set {
    async fn run(self, client: &Client, as_json: bool) -> Result<(), Failure> {
        let expected = match self.if_revision {
            _ if self.if_absent => Expected::Absent,
            Some(revision) => Expected::Revision(revision),
            None => Expected::Any,
        };
        let set = client.set_name(&self.name, &self.address, expected).await;
        let revision = set.map_err(|error| Failure::from(error).about(&self.name))?;
        output::line(
            as_json,
            || revision.to_string(),
            || json!({"name": self.name, "address": self.address.to_string(), "revision": revision}),
        )
    }
}

impl Get {
    async fn run(self, client: &Client, as_json: bool) -> Result<(), Failure> {
        let named = client.resolve(&self.name).await;
        let named = named.map_err(|error| Failure::from(error).about(&self.name))?;
        let address = named.address.to_string();
        output::line(
            as_json,
            || address.clone(),
            || json!({"name": self.name, "address": address, "revision": named.revision}),
        )
    }
}

impl Rm {
    async fn run(self, client: &Client, as_json: bool) -> Result<(), Failure> {
        let removed = client.remove_name(&self.name, self.if_revision).await;
        removed.map_err(|error| Failure::from(error).about(&self.name))?;
        output::line(
            as_json,
            || format!("{}  deleted", self.name),
            || json!({"name": self.name, "deleted": true}),
        )
    }
}

impl Ls {
    async fn run(self, client: &Client, as_json: bool) -> Result<(), Failure> {
        let names = client.names(&self.prefix);
        let mut names = names.take(self.limit.unwrap_or(usize::MAX));
        while let Some(entry) = names.try_next().await? {
            let address = entry.address.to_string();
            output::line(
                as_json,
                || format!("{address}  {}  {}", entry.revision, entry.name),
                || json!({"name": entry.name, "address": address, "revision": entry.revision}),
            )?;
        }
        Ok(())
    }
}

impl Watch {
    async fn run(self, client: &Client, as_json: bool) -> Result<(), Failure> {
        let mut changes = client.watch_names(&self.prefix);
        while let Some(event) = changes.try_next().await? {
            let (text, document) = match event {
                NameEvent::Synced => ("synced".to_owned(), json!({"event": "synced"})),
                NameEvent::Lagged(missed) => (
                    format!("lagged  {missed}"),
                    json!({"event": "lagged", "missed": missed}),
                ),
                NameEvent::Changed(change) => {
                    let (name, revision) = (change.name, change.revision);
                    let address = change.address.map(|address| address.to_string());
                    let event = if address.is_some() { "set" } else { "deleted" };
                    let shown = address.as_deref().unwrap_or("-");
                    (
                        format!("{event}  {shown}  {revision}  {name}"),
                        json!({"event": event, "name": name, "address": address, "revision": revision}),
                    )
                }
            };
            output::line(as_json, || text, || document)?;
        }
        Ok(())
    }
}
