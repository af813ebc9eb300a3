//! `micronode rm`: delete objects.

use clap::Args;
use micronode_client::Client;
use micronode_protocol::Address;
use serde_json::json;

use crate::failure::{Exit, Failure};
use crate::output;

/// Delete objects and wipe their bytes
#[derive(Args)]
#[command(after_help = "Examples:
  micronode rm b3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")]
pub(super) struct Rm {
    /// Objects to delete
    #[arg(required = true, value_name = "ADDR")]
    addresses: Vec<Address>,
}

impl Rm {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Result<Exit, Failure> {
        let mut exit = Exit::Done;
        for address in &self.addresses {
            match client.delete(address).await {
                Ok(()) => output::line(
                    as_json,
                    || format!("{address}  deleted"),
                    || json!({"address": address.to_string(), "deleted": true}),
                )?,
                Err(error) => exit = exit.then(&Failure::from(error).about(address)),
            }
        }
        Ok(exit)
    }
}
