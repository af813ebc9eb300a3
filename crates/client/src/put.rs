//! Uploads.
//!
//! Whatever can be read twice is hashed first and put under its address: the node checks it, and
//! repeating it is harmless. A stream of unknown length is sent as it comes and cross-checked
//! against the address that the node answers.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::{future, io};

use blake3::Hasher;
use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use futures_util::{StreamExt, TryStreamExt, stream};
use micronode_protocol::Address;
use micronode_protocol::limits::{GROUP_BYTES, ONE_SHOT_BYTES};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use crate::source::{PIECE_BYTES, Source};
use crate::transport::{Receipt, TOO_EARLY, Upload};
use crate::{Client, Error, Integrity, ObjectInfo};

/// Objects up to this size are sent without asking first: asking would cost as much.
const UNASKED_BYTES: u64 = GROUP_BYTES as u64;

/// Told the bytes of the current attempt that were handed to the connection so far. Called from
/// the task of the connection or of the upload; must not block.
pub type OnSent = Arc<dyn Fn(u64) + Send + Sync>;

/// How an object is put.
#[derive(Clone, Default)]
pub struct PutOptions {
    /// The node forgets the object after this; never, when absent. Sent in milliseconds.
    pub expires_in: Option<Duration>,
    /// The media type to keep with the object.
    pub content_type: Option<String>,
    /// Told of progress.
    pub on_sent: Option<OnSent>,
}

/// An object that is on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The object's address, computed by both sides.
    pub address: Address,
    /// Size in bytes.
    pub size: u64,
    /// Whether the node had it before.
    pub existed: bool,
    /// When the node will forget it (RFC 3339), if it will and said so.
    pub expires_at: Option<String>,
}

impl Client {
    /// Puts bytes held in memory.
    pub async fn put_bytes(&self, bytes: Bytes, options: &PutOptions) -> Result<Stored, Error> {
        let address = Address::of(&bytes);
        self.put_source(&Source::Bytes(bytes), address, options)
            .await
    }

    /// Puts a file, reading it twice and never holding it. What is not a regular file is read
    /// once, as by [`Client::put_reader`].
    pub async fn put_file(&self, path: &Path, options: &PutOptions) -> Result<Stored, Error> {
        if !tokio::fs::metadata(path)
            .await
            .map_err(Error::Source)?
            .is_file()
        {
            let file = tokio::fs::File::open(path).await.map_err(Error::Source)?;
            return self.put_reader(file, options).await;
        }
        let (source, address) = Source::hash_file(path.to_owned())
            .await
            .map_err(Error::Source)?;
        self.put_source(&source, address, options).await
    }

    /// Puts whatever `reader` gives until its end. Up to 1 MiB is held and put like
    /// [`Client::put_bytes`]; more is streamed, and is not repeated once it is under way.
    pub async fn put_reader(
        &self,
        mut reader: impl AsyncRead + Unpin,
        options: &PutOptions,
    ) -> Result<Stored, Error> {
        let mut start = BytesMut::new();
        while start.len() <= ONE_SHOT_BYTES {
            let wanted = (ONE_SHOT_BYTES + 1 - start.len()) as u64;
            if (&mut reader)
                .take(wanted)
                .read_buf(&mut start)
                .await
                .map_err(Error::Source)?
                == 0
            {
                return self.put_bytes(start.freeze(), options).await;
            }
        }
        let start = start.freeze();
        let mut attempts = self.attempts();
        let mut consumed = false;
        loop {
            match self
                .stream(&start, &mut reader, &mut consumed, options)
                .await
            {
                Err(error) if !consumed => attempts.pause_after(error).await?,
                result => return result,
            }
        }
    }

    /// Puts a source under its address, unless the node keeps the object for long enough anyway.
    async fn put_source(
        &self,
        source: &Source,
        address: Address,
        options: &PutOptions,
    ) -> Result<Stored, Error> {
        let size = source.size();
        // Asked once: any failure to learn about the object is a reason to send it. The token may
        // allow writing only, and stored bytes that went bad are healed by a put.
        if size > UNASKED_BYTES
            && let Ok(info) = self.transport.head(&address).await
            && outlives(&info, options.expires_in)
        {
            return Ok(Stored {
                address,
                size,
                existed: true,
                expires_at: None,
            });
        }
        let upload = upload(Some(address), Some(size), options);
        self.repeat(async || {
            let on_sent = options.on_sent.clone();
            let mut sent = 0;
            let pieces = source
                .pieces()
                .await
                .map_err(Error::Source)?
                .inspect_ok(move |piece| {
                    sent += piece.len() as u64;
                    if let Some(on_sent) = &on_sent {
                        on_sent(sent);
                    }
                });
            let receipt = self.transport.put(&upload, pieces.boxed()).await?;
            stored(receipt, address, size)
        })
        .await
    }

    /// Sends `start` and then what `reader` gives; `consumed` tells whether it was read from.
    async fn stream(
        &self,
        start: &Bytes,
        reader: &mut (impl AsyncRead + Unpin),
        consumed: &mut bool,
        options: &PutOptions,
    ) -> Result<Stored, Error> {
        // One piece waits here while the connection is busy with the one before.
        let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(1);
        let pieces = stream::unfold(receiver, async |mut receiver| {
            Some((receiver.recv().await?, receiver))
        });
        let upload = upload(None, None, options);
        let answer = pin!(self.transport.put(&upload, pieces.boxed()));

        // Ends with what was sent, or never where the answer says why it stopped.
        let pump = pin!(async move {
            let mut hasher = Hasher::new();
            let mut piece = start.clone();
            loop {
                hasher.update(&piece);
                if let Some(on_sent) = &options.on_sent {
                    on_sent(hasher.count());
                }
                let Ok(()) = sender.send(Ok(piece)).await else {
                    break;
                };
                // Nothing more is consumed before the connection has room for it.
                let Ok(room) = sender.reserve().await else {
                    break;
                };
                *consumed = true;
                let mut next = BytesMut::with_capacity(PIECE_BYTES);
                match reader.read_buf(&mut next).await {
                    Ok(0) => return hasher,
                    Ok(_) => piece = next.freeze(),
                    Err(error) => {
                        room.send(Err(error));
                        break;
                    }
                }
            }
            future::pending().await
        });
        match select(answer, pump).await {
            Either::Left((Err(error), _)) => Err(error),
            Either::Left((Ok(_), _)) => Err(TOO_EARLY),
            Either::Right((hasher, answer)) => {
                let sent = Address::from_bytes(*hasher.finalize().as_bytes());
                stored(answer.await?, sent, hasher.count())
            }
        }
    }
}

/// What a node is told of an upload besides its bytes.
fn upload(expected: Option<Address>, length: Option<u64>, options: &PutOptions) -> Upload {
    Upload {
        expected,
        length,
        expires_in: options.expires_in,
        content_type: options.content_type.clone(),
    }
}

/// Whether an object found on a node stays at least as long as it would after being put.
fn outlives(info: &ObjectInfo, expires_in: Option<Duration>) -> bool {
    info.kept_for
        .is_some_and(|kept_for| kept_for >= expires_in.unwrap_or(ObjectInfo::FOR_EVER))
}

/// Checks that the node stored what was sent.
fn stored(receipt: Receipt, sent: Address, size: u64) -> Result<Stored, Error> {
    let stored = receipt.address;
    if stored != sent || receipt.size != size {
        return Err(Integrity::Upload { stored, sent }.into());
    }
    Ok(Stored {
        address: sent,
        size,
        existed: receipt.existed,
        expires_at: receipt.expires_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_that_stays_long_enough_is_left_unsent() {
        let hour = Duration::from_secs(3600);
        for (kept_for, expires_in, expected) in [
            (None, None, false),
            (None, Some(hour), false),
            (Some(hour), None, false),
            (Some(hour), Some(hour), true),
            (Some(hour), Some(hour + Duration::from_millis(1)), false),
            (Some(ObjectInfo::FOR_EVER), None, true),
            (
                Some(ObjectInfo::FOR_EVER),
                Some(2 * ObjectInfo::FOR_EVER),
                false,
            ),
        ] {
            let info = ObjectInfo {
                size: 0,
                content_type: None,
                kept_for,
            };
            assert_eq!(
                outlives(&info, expires_in),
                expected,
                "{kept_for:?} {expires_in:?}"
            );
        }
    }
}
