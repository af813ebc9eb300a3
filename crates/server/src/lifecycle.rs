//! From start to exit: listeners, workers, supervised tasks, signals, drain.
//!
//! The calling thread becomes the control thread: it accepts connections, serves the admin plane
//! and runs the periodic tasks. Requests of the data plane run on the workers.

use crate::amnesia::{Amnesia, MemoryProtection, Sandbox, readable, silence};
use crate::config::{self, Config, ConfigError, Loaded, OapListener};
use crate::console::Console;
use crate::listen::{ListenError, Listeners};
use crate::log::LogControl;
use crate::node::Node;
use crate::persist::{Kept, PersistError};
use crate::planes::{Connection, Ingress, accept_admin, accept_data, start_workers};
use crate::readiness::Readiness;
use crate::reload::{Reloader, WatchedFile, watch_configuration};
use crate::service_manager::ServiceManager;
use crate::stack;
use crate::sweeper::sweep_queues;
use crate::tls::{Tls, TlsError};
use crate::workers::Workers;
use crate::{clock, log};
use micronode_hardening::Drain;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};
use zeroize::Zeroizing;

/// How often readiness is sampled and expired objects are swept.
const TICK: Duration = Duration::from_millis(100);
/// Descriptors are counted once in this many ticks: counting them reads a directory.
const TICKS_PER_FD_COUNT: u32 = 5;
/// Aborted tasks are gone by then, or the process ends without them.
const ABORT_PATIENCE: Duration = Duration::from_secs(1);
/// Whoever waited for the node to be ready is served first.
const SETTLING: Duration = Duration::from_millis(50);

/// All that a node needs to run.
pub struct Start {
    /// The checked configuration.
    pub loaded: Loaded,
    /// Loads it again, for SIGHUP and for a changed file.
    pub reload: Box<dyn FnMut() -> Result<Loaded, ConfigError> + Send>,
    /// The file to watch, when there is one.
    pub file: Option<PathBuf>,
    /// What is done about the memory that the node will use.
    pub memory: fn() -> MemoryProtection,
    /// Called once, when files and the network are out of reach: for threads that are not the
    /// node's own. One that is started earlier is not restricted.
    pub restricted: Box<dyn FnOnce() + Send>,
    /// Called once, when every listener is bound and the node is ready.
    pub announce: Box<dyn FnOnce(&Bound) + Send>,
    /// Called once, when a node that is ready has had a moment to itself: for what is not worth
    /// being ready later.
    pub settled: Box<dyn FnOnce() + Send>,
}

/// Where a node listens.
#[derive(Debug)]
pub struct Bound {
    /// The data plane.
    pub http: SocketAddr,
    /// The admin plane.
    pub admin: SocketAddr,
    /// The data plane over OAP.
    pub oap: Option<SocketAddr>,
    /// Whether the data plane speaks TLS.
    pub tls: bool,
    /// What a client pins when the node has made its certificate itself.
    pub pin: Option<String>,
    /// Where tokio-console finds the node, in a build that has it.
    pub console: Option<SocketAddr>,
    /// Everything may be done with it, as long as the node runs.
    pub token: OperatorToken,
}

/// The operator's token as text. It is told once and not printed by accident.
#[derive(Default)]
pub struct OperatorToken(Zeroizing<String>);

impl OperatorToken {
    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken(…)")
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Starting would serve requests that nobody authorised.
    #[error("{0}")]
    Unsafe(String),
    /// TLS cannot be had as it is configured.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What was kept cannot be had, or be kept.
    #[error(transparent)]
    Persist(#[from] PersistError),
    /// A listener could not be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system refused a thread, a timer or a signal handler.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Runs a node until it is told to stop. Returns when everything has ended and all object memory
/// is wiped.
pub fn run(start: Start) -> Result<(), RunError> {
    refuse_unsafe(&start.loaded.config)?;
    refuse_contradiction(&start.loaded.config)?;
    let mut console = Console::open(&start.loaded.config)?;
    let log = LogControl::start(&start.loaded.config.log, console.base());
    silence::on_panic();
    // The control thread's runtime also owns the listeners, so it exists before they do.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(control(start, log, console))
}

/// Whether a node would start with this configuration, as far as its listeners' security goes; the
/// files that it names are read.
pub fn check(loaded: &Loaded) -> Result<(), RunError> {
    let config = &loaded.config;
    Tls::new(&config.tls, &addresses(config), clock::now().mono_ms)?;
    refuse_unsafe(config)?;
    refuse_contradiction(config)
}

/// A node forgets, or it keeps; who says both does not know which.
fn refuse_contradiction(config: &Config) -> Result<(), RunError> {
    match (config.amnesia, &config.persist.dir) {
        (config::Amnesia::On, Some(_)) => Err(RunError::Unsafe(
            "amnesia = true and persist.dir: a node forgets or keeps, not both; leave --persist out, \
             or amnesia"
                .to_owned(),
        )),
        (config::Amnesia::Off, None) => Err(RunError::Unsafe(
            "amnesia = false without a directory to keep things in: give --persist DIR, or leave \
             amnesia out"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Where the listeners are.
fn listeners(config: &Config) -> impl Iterator<Item = (&'static str, SocketAddr)> {
    let oap = config.oap_address().map(|address| ("oap", address));
    [("bind", config.bind), ("admin", config.admin)]
        .into_iter()
        .chain(oap)
}

fn addresses(config: &Config) -> Vec<IpAddr> {
    listeners(config).map(|(_, address)| address.ip()).collect()
}

/// Whoever reaches a node in development mode may do everything, so nobody else than this machine
/// may reach it. And what leaves the machine can be read and changed on its way, tokens included.
fn refuse_unsafe(config: &Config) -> Result<(), RunError> {
    let mut beyond = listeners(config).filter(|(_, address)| !address.ip().is_loopback());
    match beyond.next() {
        Some((key, address)) if config.dev => Err(RunError::Unsafe(format!(
            "{key} = {address}: --dev serves loopback only; use 127.0.0.1 or [::1]"
        ))),
        Some((key, address)) if !config.tls.is_on() => Err(RunError::Unsafe(format!(
            "{key} = {address}: beyond loopback a node speaks TLS only, or tokens would be sent in \
             the clear: give --tls-cert and --tls-key, or --tls-self-signed, or listen on \
             127.0.0.1 or [::1]"
        ))),
        _ => Ok(()),
    }
}

async fn control(start: Start, log: LogControl, console: Console) -> Result<(), RunError> {
    let Start {
        loaded,
        reload,
        file,
        memory,
        restricted,
        announce,
        settled,
    } = start;
    let mut signals = Signals::install()?;
    let listeners = Listeners::open(&loaded.config)?;
    let oap = listeners.oap.as_ref();
    let mut bound = Bound {
        http: listeners.data.local_addr()?,
        admin: listeners.admin.local_addr()?,
        oap: oap.map(TcpListener::local_addr).transpose()?,
        token: OperatorToken::default(),
        tls: loaded.config.tls.is_on(),
        pin: None,
        console: console.address(),
    };
    // An inherited socket is not bound by us, and must be as safe as one that is.
    let as_bound = Config {
        bind: bound.http,
        admin: bound.admin,
        oap: bound.oap.map_or(OapListener::Off, OapListener::At),
        ..loaded.config.clone()
    };
    refuse_unsafe(&as_bound)?;
    let tls = Tls::new(&as_bound.tls, &addresses(&as_bound), clock::now().mono_ms)?;
    bound.pin = tls.as_ref().and_then(Tls::pin).map(ToOwned::to_owned);

    let kept = Kept::open(&loaded.config.persist)?;
    let manager = ServiceManager::find();
    // The last that is done before there are other threads: all files have been read, all sockets
    // bound. What is to be kept is kept in one directory, and nothing may be written anywhere else.
    let readable = readable(&loaded.config, file.as_deref());
    let amnesia = Amnesia {
        sandbox: Sandbox::enter(readable, loaded.config.persist.dir.clone()),
        memory: Some(memory),
    };
    amnesia.shortcomings().into_iter().for_each(log::missing);
    restricted();
    console.serve()?;

    let node = Node::new(&loaded, kept.as_ref())
        .with_tls(tls)
        .with_amnesia(amnesia);
    let node = Arc::new(node);
    let writer = kept.map(|kept| kept.restore(&node)).transpose()?;
    bound.token = OperatorToken(node.authority.operator_token());
    let data_drain = Drain::new();
    let workers = Arc::new(start_workers(&node, &loaded.config, &data_drain)?);

    let mut data = vec![accept_data(
        &node,
        Ingress::Http,
        &listeners.data,
        &workers,
    )?];
    if let Some(oap) = &listeners.oap {
        data.push(accept_data(&node, Ingress::Oap, oap, &workers)?);
    }
    let admin = accept_admin(&node, &listeners.admin)?;
    drop(listeners);
    let ticker = tick(&node, &workers);
    let sweeper = sweep_queues(&node);
    let reloads = watch_configuration(Reloader {
        node: Arc::clone(&node),
        load: reload,
        log,
        file: file.map(WatchedFile::new),
        hangup: signal(SignalKind::hangup())?,
    });

    node.readiness(Readiness::started);
    announce(&bound);
    drop(bound);
    manager.tell(ServiceManager::READY);
    tokio::spawn(async move {
        sleep(SETTLING).await;
        settled();
    });

    let asked_at = signals.stop().await;
    manager.tell(ServiceManager::STOPPING);
    node.readiness(Readiness::drain);
    let caps = &node.config.load_full().limits;
    let deadline = asked_at + caps.drain_deadline;
    let drained = async {
        // Whoever balances load over nodes sees the readiness change before a refused connection.
        // Half of the time is for what is in flight, however long the grace.
        sleep(caps.drain_grace.min(caps.drain_deadline / 2)).await;
        data.iter().for_each(AbortHandle::abort);
        data_drain.start();
        while workers.load() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = timeout_at(deadline, drained) => {
            if ended.is_err() {
                log::drain_deadline(workers.load());
            }
        }
        _ = signals.stop() => log::second_signal(),
    }
    // Metrics last: the admin plane answers until the data plane is gone.
    data.iter().for_each(AbortHandle::abort);
    ticker.abort();
    sweeper.abort();
    reloads.abort();
    admin.abort();
    // Aborted tasks are dropped when the runtime next looks at them; they hold the workers.
    let patience = clock::instant() + ABORT_PATIENCE;
    while Arc::strong_count(&workers) > 1 && clock::instant() < patience {
        tokio::task::yield_now().await;
    }
    if let Some(workers) = Arc::into_inner(workers) {
        workers.stop();
    }
    if let Some(writer) = writer {
        writer.stop();
    }
    node.mailbox.clear();
    Ok(())
}

/// Samples readiness and sweeps expired objects. Queues have a [sweeper] of their own, as leases
/// end at any moment.
///
/// [sweeper]: crate::sweeper
fn tick(node: &Arc<Node>, workers: &Arc<Workers<Connection>>) -> AbortHandle {
    let (node, workers) = (Arc::clone(node), Arc::clone(workers));
    let supervisor = Arc::clone(&node.supervisor);
    supervisor.spawn("ticker", move || {
        let (node, workers) = (Arc::clone(&node), Arc::clone(&workers));
        async move {
            let mut fd_percent = 0;
            for tick in 0u32.. {
                if tick % TICKS_PER_FD_COUNT == 0 {
                    fd_percent = Node::fd_percent();
                }
                let sample = node.sample(workers.delay_ms(), fd_percent);
                node.readiness(|readiness| readiness.observe(clock::now().mono_ms, &sample));
                node.authority.rotate(clock::now());
                if let Some(tls) = &node.tls {
                    tls.tick(clock::now().mono_ms);
                }
                while node.store.expire(clock::now()).more {
                    tokio::task::yield_now().await;
                }
                stack::wipe_unused();
                #[cfg(feature = "faults")]
                crate::worse::grow();
                sleep(TICK).await;
            }
        }
    })
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for either, and says when it came.
    async fn stop(&mut self) -> Instant {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        clock::instant()
    }
}
