//! `micronode get`: read objects, to a file or to stdout.
//!
//! A file is written as the pieces come, from several requests at once, under another name that it
//! loses when it is complete. Anything that cannot be renamed to (stdout, a pipe, a device) gets
//! the bytes in order. Either way only verified bytes are written.

use std::fmt;
use std::fs;
use std::io::IsTerminal;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use futures_util::TryStreamExt;
use micronode_client::{ByteRange, Client, Error};
use micronode_protocol::name::is_name;
use micronode_protocol::{Address, VerifiedManifest};
use serde_json::json;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::failure::{Exit, Failure};
use crate::output;
use crate::part_file::PartFile;
use crate::progress::Progress;

/// Read an object, verifying every byte
///
/// With -o, the bytes go to FILE.part, which becomes FILE when it is complete. An interrupted
/// transfer leaves FILE.part for --resume.
#[derive(Args)]
#[command(after_help = "Examples:
  micronode get b3:af13…3262 -o photo.jpg
  micronode get builds/latest -o build.tar
  micronode get b3:af13…3262 -o disk.img --resume
  micronode get b3:af13…3262 --range 0-1023 | xxd")]
pub(super) struct Get {
    /// The object to read, or a name that points at it
    #[arg(value_name = "ADDR|NAME", value_parser = parse_target)]
    target: Target,
    /// Write to this file instead of stdout (`-`)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Read only these bytes: A-B (both included), A- or -N (the last N)
    #[arg(long, value_name = "A-B", allow_hyphen_values = true)]
    range: Option<ByteRange>,
    /// Keep what FILE.part already holds and verifies
    #[arg(long)]
    resume: bool,
}

#[derive(Clone)]
enum Target {
    Address(Address),
    Name(String),
}

fn parse_target(text: &str) -> Result<Target, String> {
    if text.starts_with("b3:") {
        let address = text.parse().map_err(|error| format!("{error}"))?;
        Ok(Target::Address(address))
    } else if is_name(text) {
        Ok(Target::Name(text.to_owned()))
    } else {
        Err("it is neither an address, which begins with `b3:`, nor a name".to_owned())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Address(address) => address.fmt(f),
            Target::Name(name) => f.write_str(name),
        }
    }
}

impl Get {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Result<Exit, Failure> {
        let file = self
            .output
            .as_deref()
            .filter(|file| *file != Path::new("-"));
        if file.is_none() && (as_json || self.resume) {
            return Err(Failure::usage(
                "--json and --resume need -o FILE: stdout holds the object itself",
            ));
        }
        // A name that moves from here on changes nothing.
        let address = match &self.target {
            Target::Address(address) => *address,
            Target::Name(name) => {
                let named = client.resolve(name).await;
                named.map_err(|error| self.failure(error))?.address
            }
        };
        let manifest = client.manifest(&address).await;
        let manifest = manifest.map_err(|error| self.failure(error))?;
        let size = manifest.size();
        let range = match self.range {
            Some(range) => range
                .resolve(size)
                .ok_or_else(|| self.failure(Error::RangeUnsatisfiable { size }))?,
            None => 0..size,
        };
        match file {
            None => {
                // On one terminal, a bar would end up in the middle of the data.
                let progress = if std::io::stdout().is_terminal() {
                    Progress::hidden()
                } else {
                    self.progress(&range)
                };
                self.copy(client, manifest, range, tokio::io::stdout(), &progress)
                    .await?;
            }
            Some(file) => {
                self.save(client, manifest, range.clone(), file).await?;
                if as_json {
                    let result = json!({
                        "address": address.to_string(),
                        "size": size,
                        "file": file.to_string_lossy(),
                        "start": range.start,
                        "length": range.end - range.start,
                    });
                    output::write(format!("{result}\n").as_bytes())?;
                }
            }
        }
        Ok(Exit::Done)
    }

    async fn save(
        &self,
        client: &Client,
        manifest: VerifiedManifest,
        range: Range<u64>,
        output: &Path,
    ) -> Result<(), Failure> {
        let local = |error| Failure::local(output.display(), &error);
        if fs::metadata(output).is_ok_and(|found| !found.is_file()) {
            let device = tokio::fs::OpenOptions::new()
                .write(true)
                .open(output)
                .await
                .map_err(local)?;
            let progress = self.progress(&range);
            return self.copy(client, manifest, range, device, &progress).await;
        }
        let manifest = Arc::new(manifest);
        let progress = self.progress(&range);
        let length = range.end - range.start;
        let (part, missing) = PartFile::open(output, Arc::clone(&manifest), range, self.resume)
            .await
            .map_err(local)?;
        let missing_bytes: u64 = missing.iter().map(|range| range.end - range.start).sum();
        progress.start_at(length - missing_bytes);
        let mut pieces = client.pieces(manifest, missing);
        while let Some(piece) = pieces.try_next().await.map_err(|error| {
            self.failure(error)
                .or_hint("run the same command with --resume to go on where this one stopped")
        })? {
            let bytes = piece.bytes.len();
            part.write(piece).await.map_err(local)?;
            progress.add(bytes);
        }
        part.finish().await.map_err(local)
    }

    /// Writes the range in order.
    async fn copy(
        &self,
        client: &Client,
        manifest: VerifiedManifest,
        range: Range<u64>,
        mut to: impl AsyncWrite + Unpin,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let local = |error| Failure::local("cannot write the object", &error);
        let mut download = client.download(manifest, range);
        while let Some(bytes) = download
            .try_next()
            .await
            .map_err(|error| self.failure(error))?
        {
            to.write_all(&bytes).await.map_err(local)?;
            progress.add(bytes.len());
        }
        to.flush().await.map_err(local)
    }

    fn progress(&self, range: &Range<u64>) -> Progress {
        let name = self.output.as_ref().map_or_else(
            || self.target.to_string(),
            |file| file.display().to_string(),
        );
        Progress::new(&name, Some(range.end - range.start))
    }

    fn failure(&self, error: Error) -> Failure {
        Failure::from(error).about(&self.target)
    }
}
