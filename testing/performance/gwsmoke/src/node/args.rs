//! The flags that say which node is meant, for every verb.

use std::path::PathBuf;

use clap::Args;

use super::{Node, Url, find_binary};
use crate::failure::Failure;

/// Where the node is, or how to start it.
#[derive(Args, Clone, Debug, Default)]
pub struct NodeArgs {
    /// A node that runs already, as http://HOST:PORT or oap://HOST:PORT, with TLS https or oaps; once
    /// for each protocol. Without it, a node is started
    #[arg(long)]
    pub url: Vec<Url>,
    /// Its admin plane, as http://HOST:PORT, for its version and its metrics
    #[arg(long, value_name = "URL", requires = "url")]
    pub admin: Option<Url>,
    /// A token for it; also MICRO_TOKEN
    #[arg(long, env = "MICRO_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// With TLS: its public key has this hash, as its start line says
    #[arg(long, value_name = "sha256//BASE64", requires = "url")]
    pub pin: Option<String>,
    /// Its process, for CPU time, memory and descriptors [default: what the admin plane tells]
    #[arg(long, requires = "url")]
    pub pid: Option<i32>,
    /// The binary of the node to start [default: micronode of the same target directory]
    #[arg(long, value_name = "BIN", conflicts_with = "url")]
    pub node: Option<PathBuf>,
    /// A flag of the node to start, such as --node-flag=--rps=0; may be repeated
    #[arg(
        long = "node-flag",
        value_name = "FLAG",
        allow_hyphen_values = true,
        conflicts_with = "url"
    )]
    pub node_flags: Vec<String>,
}

impl NodeArgs {
    /// The node that is pointed at, or one that is started with `flags` and those of the command
    /// line.
    ///
    /// # Errors
    ///
    /// If there is no binary to start, or the node does not start.
    pub fn open(&self, flags: &[String]) -> Result<Node, Failure> {
        if !self.url.is_empty() {
            return self.pointed_at();
        }
        let binary = match &self.node {
            Some(binary) => binary.clone(),
            None => find_binary()?,
        };
        let mut all = flags.to_vec();
        all.extend(self.node_flags.iter().cloned());
        Node::start(&binary, &all)
    }

    fn pointed_at(&self) -> Result<Node, Failure> {
        let mut node = Node {
            http: None,
            oap: None,
            admin: None,
            is_tls: false,
            pin: self.pin.clone(),
            token: self.token.clone(),
            pid: self.pid,
            child: None,
        };
        if let Some(admin) = &self.admin {
            if admin.is_tls() || admin.is_oap() {
                return Err(Failure::usage("--admin: http://HOST:PORT is what is asked"));
            }
            node.admin = Some(admin.resolve()?);
        }
        for (index, url) in self.url.iter().enumerate() {
            if index > 0 && node.is_tls != url.is_tls() {
                return Err(Failure::usage("--url: either all over TLS, or none"));
            }
            node.is_tls = url.is_tls();
            let place = if url.is_oap() {
                &mut node.oap
            } else {
                &mut node.http
            };
            if place.replace(url.resolve()?).is_some() {
                return Err(Failure::usage("--url: one for each protocol"));
            }
        }
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_pointed_at_is_either_protocol_once() {
        let args = |urls: &[&str]| NodeArgs {
            url: urls.iter().map(|url| url.parse().unwrap()).collect(),
            ..NodeArgs::default()
        };
        let node = args(&["http://127.0.0.1:1", "oap://127.0.0.1:2"]).open(&[]);
        let node = node.unwrap();
        assert_eq!(node.http().unwrap().port(), 1);
        assert_eq!(node.oap().unwrap().port(), 2);
        assert!(
            args(&["http://127.0.0.1:1", "http://127.0.0.1:2"])
                .open(&[])
                .is_err()
        );
        assert!(
            args(&["http://127.0.0.1:1", "oaps://127.0.0.1:2"])
                .open(&[])
                .is_err()
        );
        let node = args(&["oaps://127.0.0.1:2"]).open(&[]).unwrap();
        assert!(node.is_tls && node.http().is_err());
    }
}
