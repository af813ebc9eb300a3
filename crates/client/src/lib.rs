//! The Rust SDK of micronode: objects by address, every byte verified before it is handed over;
//! names that point at them; queues of messages; what happens on a node.
//!
//! ```no_run
//! # async fn example() -> Result<(), micronode_client::Error> {
//! use micronode_client::{Client, PutOptions};
//!
//! let client = Client::new("http://127.0.0.1:8080")?; // or oap://127.0.0.1:8081
//! let stored = client.put_bytes("hello".into(), &PutOptions::default()).await?;
//! let bytes = client.get(&stored.address).await?.bytes(1024).await?;
//! assert_eq!(bytes, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! A worker, which sees a message again unless it says that it is done:
//!
//! ```no_run
//! # async fn example(client: micronode_client::Client) -> Result<(), micronode_client::Error> {
//! use std::time::Duration;
//!
//! use futures_util::TryStreamExt;
//!
//! client.send("jobs", "build".into(), &Default::default()).await?;
//! let mut jobs = client.subscribe("jobs", 8, Duration::from_secs(30));
//! while let Some(job) = jobs.try_next().await? {
//!     println!("{}: attempt {}, {:?}", job.id, job.attempt, job.body);
//!     client.ack("jobs", &[&job.receipt]).await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What it promises:
//!
//! - **Verified.** A read fetches the object's manifest, checks it against the address, and
//!   compares every 64 KiB group with it before any byte of the group comes out. The node and
//!   the path to it need not be trusted for integrity.
//! - **Bounded.** A read holds at most `connections` spans of [`SPAN_BYTES`]; an upload holds a
//!   few pieces; a subscription holds what its credit allows, a watch a few hundred events; answers
//!   that are not objects have caps.
//! - **Retried where that is safe**, under one visible [`RetryPolicy`]: interrupted reads go on
//!   at the first group not yet verified, uploads go to the address of their content and so can
//!   be repeated, messages go under a key that tells a second attempt from a second message, and a
//!   node that says when to come back is believed. What a second time would not be the same as once
//!   (a change under a condition, a purge) is repeated only where the first attempt certainly came
//!   to nothing. Subscriptions, watches and events are taken up again when a connection breaks.
//! - **Authorised.** A client that holds a [`Grant`](ClientOptions::grant) exchanges it for a token
//!   before its first request, renews the token ahead of its end, and exchanges anew when a node
//!   has forgotten it, as after a restart. Clones share the token, and make one exchange at a time.
//!
//! A node is spoken to over HTTP/1.1 or OAP/1, with TLS or without (`https`, `oaps`), as the URL
//! says. Operations do the same over both, and fail with the same errors. Over HTTP, requests at
//! once need as many connections; over OAP they share one, and those beyond what the node takes at
//! once wait for their turn here. What waits for something to happen shares another, and each
//! watch or stream of events has its own.
//!
//! Beside all that, an [`Issuer`] signs grants, offline.
//!
//! What it is not: a cache, a connection pool for other hosts, or a general client of HTTP or OAP.
//! Operations are written against `transport`, one method for each thing that a node can be
//! asked; each wire stays in a module below it.

mod client;
mod clock;
mod credentials;
mod download;
mod error;
mod events;
mod follow;
mod issuer;
mod liveness;
mod mailbox;
mod name;
mod object;
mod options;
mod put;
mod range;
mod retry;
mod secret;
mod source;
mod span;
mod subscribe;
mod tls;
mod token;
mod transport;
mod watch;

pub use client::Client;
pub use download::{Download, Piece};
pub use error::{Error, Integrity, Problem, Transport as TransportError};
pub use events::{BusEvent, Event};
pub use issuer::{Issuer, Seed, SeedError};
pub use mailbox::{Attempt, Key, Message, QueueStats, ReceiveOptions, Redriven, SendOptions, Sent};
pub use micronode_protocol::operation::Verdict;
pub use name::{Expected, NameEntry, Named};
pub use object::ObjectInfo;
pub use options::{ClientOptions, Timeouts};
pub use put::{OnSent, PutOptions, Stored};
pub use range::{ByteRange, InvalidRange};
pub use retry::RetryPolicy;
pub use secret::{Grant, InvalidGrant, InvalidToken, Token};
pub use span::SPAN_BYTES;
pub use tls::{Authorities, Identity, InvalidTls, Pin, TlsOptions};
pub use token::{MintOptions, Minted};
pub use watch::{NameChange, NameEvent};
