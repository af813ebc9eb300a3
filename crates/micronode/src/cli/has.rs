//! `micronode has`: ask which objects a node has.

use clap::Args;
use micronode_client::Client;
use micronode_protocol::Address;
use serde_json::json;

use crate::failure::{Exit, Failure};
use crate::output;

/// Ask which objects the node has; exit code 3 when any is absent
#[derive(Args)]
#[command(after_help = "Examples:
  micronode has b3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262
  micronode has $(cut -d' ' -f1 addresses.txt)")]
pub(super) struct Has {
    /// Addresses to ask about
    #[arg(required = true, value_name = "ADDR")]
    addresses: Vec<Address>,
}

impl Has {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Result<Exit, Failure> {
        let found = client.has(&self.addresses).await?;
        for (address, &present) in self.addresses.iter().zip(&found) {
            output::line(
                as_json,
                || format!("{address}  {}", if present { "present" } else { "absent" }),
                || json!({"address": address.to_string(), "present": present}),
            )?;
        }
        Ok(if found.contains(&false) {
            Exit::NotFound
        } else {
            Exit::Done
        })
    }
}
