//! `micronode put`: store files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use micronode_client::{Client, PutOptions, Stored};
use micronode_server::config::duration;
use serde_json::json;

use crate::failure::{Exit, Failure};
use crate::output;
use crate::progress::Progress;

/// Store files and print their addresses
///
/// A file is hashed first and sent under its address, unless the node has it already. Standard
/// input is streamed, and the node's address is compared with that of the bytes sent.
#[derive(Args)]
#[command(after_help = "Examples:
  micronode put photo.jpg
  micronode put --expires-in 10m --content-type text/plain *.log
  tar c src | micronode put -")]
pub(super) struct Put {
    /// Files to store; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The node forgets the object after this time, such as 30s, 10m or 1h
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    expires_in: Option<Duration>,
    /// Media type to keep with the object
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == OsStr::new("-")
}

impl Put {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Result<Exit, Failure> {
        if self.files.iter().filter(|file| is_stdin(file)).count() > 1 {
            return Err(Failure::usage("standard input (`-`) can be put only once"));
        }
        let mut exit = Exit::Done;
        for file in &self.files {
            let name = file.display();
            match self.put(client, file).await {
                Ok(stored) => output::line(
                    as_json,
                    || match self.files.len() {
                        1 => stored.address.to_string(),
                        _ => format!("{}  {name}", stored.address),
                    },
                    || {
                        json!({
                            "address": stored.address.to_string(),
                            "size": stored.size,
                            "name": name.to_string(),
                            "existed": stored.existed,
                            "expires_at": stored.expires_at,
                        })
                    },
                )?,
                Err(failure) => exit = exit.then(&failure.about(name)),
            }
        }
        Ok(exit)
    }

    async fn put(&self, client: &Client, file: &Path) -> Result<Stored, Failure> {
        let total = if is_stdin(file) {
            None
        } else {
            std::fs::metadata(file).ok().filter(|file| file.is_file())
        };
        let progress = Arc::new(Progress::new(
            &file.to_string_lossy(),
            total.map(|file| file.len()),
        ));
        let shown = Arc::clone(&progress);
        let options = PutOptions {
            expires_in: self.expires_in,
            content_type: self.content_type.clone(),
            on_sent: Some(Arc::new(move |sent| shown.set(sent))),
        };
        let stored = if is_stdin(file) {
            client.put_reader(tokio::io::stdin(), &options).await
        } else {
            client.put_file(file, &options).await
        };
        // The connection may hold on to what it told of progress.
        progress.clear();
        Ok(stored?)
    }
}
