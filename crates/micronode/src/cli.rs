//! The command line: what all verbs share, and the list of verbs. One file per verb.

mod caveat;
mod completions;
mod config;
mod credentials;
mod get;
mod has;
mod issuer;
mod man;
mod mbox;
mod name;
mod put;
mod rm;
mod run;
mod token;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use micronode_client::{Authorities, Client, ClientOptions, Identity, InvalidTls, Pin, TlsOptions};

use crate::failure::{Exit, Failure};

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 not found, \
4 refused (authority or limit), 5 integrity.

Authority comes from the environment: MICRO_TOKEN is presented with every request; MICRO_GRANT, or \
the file that MICRO_GRANT_FILE or --grant-file names, is exchanged for tokens.";

/// A private node in one binary: verified content-addressed objects over HTTP and OAP.
#[derive(Parser)]
#[command(name = "micronode", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    node: NodeArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// How to talk to a node, and how to print what it says.
#[derive(Args)]
struct NodeArgs {
    /// The node to talk to, as http://HOST:PORT or oap://HOST:PORT; with TLS, https or oaps
    #[arg(
        long,
        global = true,
        env = "MICRO_URL",
        default_value = "http://127.0.0.1:8080"
    )]
    url: String,
    /// Exchange the grant in this file for tokens; instead of MICRO_TOKEN and MICRO_GRANT
    #[arg(long, global = true, env = credentials::GRANT_FILE, value_name = "FILE")]
    grant_file: Option<PathBuf>,
    /// With TLS: trust these certificate authorities, PEM, instead of the system's
    #[arg(long, global = true, env = "MICRO_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// With TLS: the node's public key has this hash, as its start line says
    #[arg(long, global = true, env = "MICRO_PIN", value_name = "sha256//BASE64")]
    pin: Option<String>,
    /// With TLS: present this certificate, PEM, to the node
    #[arg(
        long,
        global = true,
        env = "MICRO_CLIENT_CERT",
        value_name = "FILE",
        requires = "client_key"
    )]
    client_cert: Option<PathBuf>,
    /// The private key of the client's certificate, PEM
    #[arg(
        long,
        global = true,
        env = "MICRO_CLIENT_KEY",
        value_name = "FILE",
        requires = "client_cert"
    )]
    client_key: Option<PathBuf>,
    /// Print JSON, one object per line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Verb {
    Run(run::Run),
    Put(put::Put),
    Get(get::Get),
    Has(has::Has),
    Rm(rm::Rm),
    Name(name::Name),
    Mbox(mbox::Mbox),
    Token(token::Token),
    Issuer(issuer::Issuer),
    Config(config::Config),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Cli {
    /// Does what the verb says. `Ok` may still be a failure, one that has been reported.
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let Cli { node, verb } = self;
        match verb {
            Verb::Run(run) => run.run(),
            Verb::Put(put) => asynchronous(put.run(&node.client()?, node.json)),
            Verb::Get(get) => {
                let got = asynchronous(get.run(&node.client()?, node.json));
                got.or_else(Failure::unless_reader_gone)
            }
            Verb::Has(has) => asynchronous(has.run(&node.client()?, node.json)),
            Verb::Rm(rm) => asynchronous(rm.run(&node.client()?, node.json)),
            Verb::Name(name) => asynchronous(name.run(&node.client()?, node.json)),
            Verb::Mbox(mbox) => asynchronous(mbox.run(&node.client()?, node.json)),
            Verb::Token(token) => token.run(&node),
            Verb::Issuer(issuer) => issuer.run(node.json),
            Verb::Config(config) => config.run(node.json),
            Verb::Completions(completions) => completions.run(),
            Verb::Man(man) => man.run(),
        }
    }
}

impl NodeArgs {
    fn client(&self) -> Result<Client, Failure> {
        let (token, grant) = credentials::read(self.grant_file.as_deref())?;
        let options = ClientOptions {
            token,
            grant,
            tls: self.tls()?,
            ..ClientOptions::default()
        };
        Ok(Client::with_options(&self.url, options)?)
    }

    fn tls(&self) -> Result<TlsOptions, Failure> {
        let invalid = |flag: &str, given: &Path, error: &InvalidTls| {
            Failure::usage(format!("{flag} {}: {error}", given.display()))
        };
        let read = |flag: &str, path: &Path| {
            std::fs::read(path)
                .map_err(|error| Failure::usage(format!("{flag} {}: {error}", path.display())))
        };
        let mut tls = TlsOptions::default();
        if let Some(path) = &self.ca {
            let authorities = Authorities::from_pem(&read("--ca", path)?);
            tls.authorities = Some(authorities.map_err(|error| invalid("--ca", path, &error))?);
        }
        if let Some(pin) = &self.pin {
            let parsed = Pin::new(pin);
            tls.pin = Some(parsed.map_err(|error| Failure::usage(format!("--pin: {error}")))?);
        }
        if let (Some(cert), Some(key)) = (&self.client_cert, &self.client_key) {
            let (chain, key) = (read("--client-cert", cert)?, read("--client-key", key)?);
            let identity = Identity::from_pem(&chain, &key);
            tls.identity = Some(identity.map_err(|error| invalid("--client-cert", cert, &error))?);
        }
        Ok(tls)
    }
}

/// Runs a verb that talks to a node. Several threads, because connections and verification of one
/// download can use them.
fn asynchronous<F: Future>(verb: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a process that has just started can have threads and a poll descriptor");
    let output = runtime.block_on(verb);
    // Does not wait for a thread that still reads standard input.
    runtime.shutdown_background();
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_verb_shows_an_example_and_says_what_each_argument_is() {
        fn check(verb: &clap::Command, path: &str) {
            if verb.has_subcommands() {
                verb.get_subcommands()
                    .for_each(|inner| check(inner, &format!("{path} {}", inner.get_name())));
            } else {
                let help = verb.clone().render_long_help().to_string();
                assert!(
                    help.contains("Examples:") && help.contains(&format!("\n  {path}")),
                    "{path}:\n{help}"
                );
                for argument in verb.get_arguments() {
                    assert!(argument.get_help().is_some(), "{path}: {argument}");
                }
            }
        }
        let command = Cli::command();
        for verb in command.get_subcommands() {
            check(verb, &format!("micronode {}", verb.get_name()));
        }
    }
}
