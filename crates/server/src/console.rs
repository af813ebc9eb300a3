//! tokio-console: which tasks there are, where they wait and for how long. For development: in
//! builds with the feature `tokio-console` alone, with `--dev`, on loopback, and when the
//! environment asks for it.
//!
//! It shows places in the source and durations, and nothing of any request. It has a thread and a
//! runtime of its own, so that busy workers can be looked at; the listener is bound before the node
//! is restricted and the thread started after.

use crate::config::Config;
use crate::lifecycle::RunError;
use std::net::SocketAddr;

/// The address that the console is served at; port 0 picks a free one.
const VARIABLE: &str = "MICRONODE_CONSOLE";

#[cfg(not(feature = "tokio-console"))]
pub(crate) use absent::{Base, Console, spawn};
#[cfg(feature = "tokio-console")]
pub(crate) use present::{Base, Console, spawn};

/// Where a console is asked for, if it may be there.
fn asked(config: &Config) -> Result<Option<SocketAddr>, RunError> {
    let Some(text) = std::env::var_os(VARIABLE) else {
        return Ok(None);
    };
    let refuse = |why: &str| Err(RunError::Unsafe(format!("{VARIABLE}: {why}")));
    let Some(address) = text.to_str().and_then(|text| text.parse().ok()) else {
        return refuse("expected an address and a port, like 127.0.0.1:6669");
    };
    match address {
        _ if !cfg!(feature = "tokio-console") => refuse(
            "this build has no console; build one with RUSTFLAGS=\"--cfg tokio_unstable\" and \
             --features tokio-console",
        ),
        _ if !config.dev => refuse("a console is for development; give --dev, or leave it out"),
        SocketAddr::V4(v4) if v4.ip().is_loopback() => Ok(Some(address)),
        SocketAddr::V6(v6) if v6.ip().is_loopback() => Ok(Some(address)),
        _ => refuse("a console serves loopback only; use 127.0.0.1 or [::1]"),
    }
}

#[cfg(not(feature = "tokio-console"))]
mod absent {
    use super::{Config, RunError, SocketAddr, asked};
    use std::future::Future;
    use tokio::task::JoinHandle;
    use tracing_subscriber::Registry;

    /// A task, which nobody sees.
    pub(crate) fn spawn<F>(_name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        tokio::spawn(future)
    }

    /// What the log stands on.
    pub(crate) type Base = Registry;

    /// The console of a build that has none.
    pub(crate) struct Console;

    impl Console {
        /// Refuses to start when one is asked for.
        pub(crate) fn open(config: &Config) -> Result<Self, RunError> {
            asked(config).map(|_| Self)
        }

        pub(crate) fn base(&mut self) -> Base {
            tracing_subscriber::registry()
        }

        pub(crate) fn address(&self) -> Option<SocketAddr> {
            None
        }

        pub(crate) fn serve(self) -> std::io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(feature = "tokio-console")]
mod present {
    use super::{Config, RunError, SocketAddr, VARIABLE, asked};
    use crate::listen::ListenError;
    use crate::log;
    use console_subscriber::{ConsoleLayer, Server, ServerParts};
    use std::future::Future;
    use std::io;
    use std::net::TcpListener;
    use std::time::Duration;
    use tokio::task::JoinHandle;
    use tonic::transport::server::TcpIncoming;
    use tracing_subscriber::filter::{Filtered, LevelFilter, Targets};
    use tracing_subscriber::layer::Layered;
    use tracing_subscriber::prelude::*;
    use tracing_subscriber::registry::Registry;

    #[cfg(not(tokio_unstable))]
    compile_error!("the feature tokio-console needs RUSTFLAGS=\"--cfg tokio_unstable\"");

    /// A task, under the name that the console shows.
    #[track_caller]
    pub(crate) fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let task = tokio::task::Builder::new().name(name).spawn(future);
        task.expect("only a task that may block can be refused")
    }

    /// Tasks that have ended are shown, and remembered, for this long.
    const RETENTION: Duration = Duration::from_secs(60);

    /// What the log stands on.
    pub(crate) type Base = Layered<Option<Filtered<ConsoleLayer, Targets, Registry>>, Registry>;

    /// A console, if one is asked for.
    pub(crate) struct Console(Option<Opened>);

    struct Opened {
        listener: TcpListener,
        address: SocketAddr,
        layer: Option<ConsoleLayer>,
        server: Server,
    }

    impl Console {
        /// Binds the listener that the environment asks for.
        pub(crate) fn open(config: &Config) -> Result<Self, RunError> {
            let Some(address) = asked(config)? else {
                return Ok(Self(None));
            };
            let refused = |source| ListenError {
                key: VARIABLE,
                address,
                source,
            };
            let listener = TcpListener::bind(address).map_err(refused)?;
            listener.set_nonblocking(true).map_err(refused)?;
            let address = listener.local_addr().map_err(refused)?;
            let (layer, server) = ConsoleLayer::builder().retention(RETENTION).build();
            Ok(Self(Some(Opened {
                listener,
                address,
                layer: Some(layer),
                server,
            })))
        }

        /// What the log stands on: a subscriber that the runtime tells of its tasks, if there is a
        /// console. What libraries say of requests is nothing that it hears.
        pub(crate) fn base(&mut self) -> Base {
            let layer = self.0.as_mut().and_then(|opened| opened.layer.take());
            let of_the_runtime = Targets::new()
                .with_target("tokio", LevelFilter::TRACE)
                .with_target("runtime", LevelFilter::TRACE);
            let layer = layer.map(|layer| layer.with_filter(of_the_runtime));
            tracing_subscriber::registry().with(layer)
        }

        pub(crate) fn address(&self) -> Option<SocketAddr> {
            self.0.as_ref().map(|opened| opened.address)
        }

        /// Serves it from now on, on a thread that ends with the process.
        pub(crate) fn serve(self) -> io::Result<()> {
            let Some(Opened {
                listener, server, ..
            }) = self.0
            else {
                return Ok(());
            };
            log::console();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let serve = move || {
                // Its own tasks are not shown.
                let _apart = Registry::default().set_default();
                runtime.block_on(async {
                    let ServerParts {
                        instrument_server,
                        aggregator,
                        ..
                    } = server.into_parts();
                    tokio::spawn(aggregator.run());
                    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                        return;
                    };
                    let router = tonic::transport::Server::builder().add_service(instrument_server);
                    // It ends with the process, or with its listener.
                    let _ended = router
                        .serve_with_incoming(TcpIncoming::from(listener))
                        .await;
                });
            };
            std::thread::Builder::new()
                .name("console".to_owned())
                .spawn(serve)
                .map(drop)
        }
    }
}
