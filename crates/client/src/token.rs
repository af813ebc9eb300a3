//! Operations that make tokens.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::{Client, Error, Grant, Token};

/// What a token is asked to be, besides what the client's own is.
#[derive(Clone, Debug, Default)]
pub struct MintOptions {
    /// Conditions on everything done under it, such as `op = get,head`, beside those of the
    /// client's own token. One that the node does not know is refused.
    pub caveats: Vec<String>,
    /// How long it lives, at most a day. Absent, as long as the node's tokens usually do, which is
    /// 15 minutes unless the node is set up otherwise. Sent in milliseconds.
    pub ttl: Option<Duration>,
}

/// A token that a node has made.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The token. To a client that was set up with a grant it is of no consequence.
    pub token: Token,
    /// When it ends, by the node's clock.
    pub expires_at: SystemTime,
}

impl MintOptions {
    /// The document that asks for it.
    pub(crate) fn document(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Document<'a> {
            caveats: &'a [String],
            #[serde(skip_serializing_if = "Option::is_none")]
            ttl: Option<String>,
        }
        let document = Document {
            caveats: &self.caveats,
            ttl: self.ttl.map(|ttl| format!("{}ms", ttl.as_millis())),
        };
        serde_json::to_vec(&document).expect("strings are JSON")
    }
}

impl Client {
    /// Exchanges a grant for a token with its caveats. Needs no token. A client that was set up
    /// with a grant does this by itself.
    pub async fn exchange(&self, grant: &Grant) -> Result<Minted, Error> {
        self.repeat(|| self.transport.exchange(grant.bytes())).await
    }

    /// Has the node make a token of the client's own, which has to allow `admin`: with its
    /// caveats, and those asked for.
    pub async fn mint(&self, options: &MintOptions) -> Result<Minted, Error> {
        self.repeat(|| self.transport.mint(options)).await
    }
}
