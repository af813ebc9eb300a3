//! Operations over OAP: calls that share a connection, with a node that is slow, fails and lies.
#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

#[path = "../fake/mod.rs"]
mod fake;

mod answers;
mod authority;
mod endings;
mod hello;
mod operations;
mod sharing;
mod waiting;

use std::time::Duration;

use micronode_client::{Client, ClientOptions, Error, PutOptions, RetryPolicy};
use micronode_protocol::{Address, VerifiedManifest};

use fake::manifest_of;
use fake::oap::Node;

const PLAIN: PutOptions = PutOptions {
    expires_in: None,
    content_type: None,
    on_sent: None,
};

/// Long enough for anything that happens at all.
const SOON: Duration = Duration::from_secs(10);

fn object(size: usize) -> Vec<u8> {
    (0..size)
        .map(|i| (i % 251) as u8 ^ (i / 65536) as u8)
        .collect()
}

fn with(node: &Node, options: ClientOptions) -> Client {
    Client::with_options(&node.url, options).unwrap()
}

/// Retries at once, three attempts.
fn client(node: &Node) -> Client {
    let retry = RetryPolicy {
        attempts: 3,
        first_delay: Duration::from_millis(1),
        ..RetryPolicy::default()
    };
    with(
        node,
        ClientOptions {
            retry,
            ..ClientOptions::default()
        },
    )
}

/// One attempt.
fn once(node: &Node) -> Client {
    with(
        node,
        ClientOptions {
            retry: RetryPolicy::NEVER,
            ..ClientOptions::default()
        },
    )
}

async fn read(client: &Client, address: &Address) -> Result<Vec<u8>, Error> {
    Ok(client.get(address).await?.bytes(usize::MAX).await?.to_vec())
}

fn verified(bytes: &[u8]) -> VerifiedManifest {
    micronode_protocol::Manifest::decode(&manifest_of(bytes))
        .unwrap()
        .validate(Address::of(bytes))
        .unwrap()
}
