//! The planes: who accepts, where a connection is served, and what is spoken on it.
//!
//! The control thread accepts for all listeners. Connections of the data plane go to workers, which
//! shake hands, where TLS is spoken, and serve them; those of the admin plane stay on the control
//! thread, so that a node whose workers are busy still answers.

use crate::config::Config;
use crate::ingress::oap;
use crate::node::Node;
use crate::tls;
use crate::workers::Workers;
use crate::{admin, clock, console, guard, log};
use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use micronode_hardening::{
    ConnectionSlots, Counters, Drain, DrainSignal, RateLimiter, Reason, Refusal, Slot, Transport,
    accept, serve,
};
use micronode_protocol::capability::caveat;
use micronode_protocol::limits::{ADMIN_HANDSHAKES_PER_SECOND, WORKERS};
use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tower_service::Service;

/// A connection of the data plane, on its way to a worker.
pub(crate) struct Connection {
    stream: std::net::TcpStream,
    peer: IpAddr,
    slot: Slot,
    ingress: Ingress,
}

/// What is spoken on a listener of the data plane.
#[derive(Clone, Copy)]
pub(crate) enum Ingress {
    Http,
    Oap,
}

/// Threads that serve the data plane.
pub(crate) fn worker_count(config: &Config) -> usize {
    match config.workers {
        0 => std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(WORKERS),
        count => count,
    }
}

pub(crate) fn start_workers(
    node: &Arc<Node>,
    config: &Config,
    drain: &Drain,
) -> io::Result<Workers<Connection>> {
    let (node, signal) = (Arc::clone(node), drain.signal());
    Workers::start(
        worker_count(config),
        config.pin_workers,
        move |connection: Connection| {
            let (node, signal) = (Arc::clone(&node), signal.clone());
            let Connection {
                stream,
                peer,
                slot,
                ingress,
            } = connection;
            async move {
                // Only a closed runtime refuses a socket.
                let Ok(stream) = tokio::net::TcpStream::from_std(stream) else {
                    return;
                };
                let Some(tls) = &node.tls else {
                    return speak(node, ingress, stream, peer, slot, signal).await;
                };
                let on = match ingress {
                    Ingress::Http => tls::Listener::Http,
                    Ingress::Oap => tls::Listener::Oap,
                };
                let metrics = &node.metrics.tls;
                let stream = tls::handshake(tls, metrics, on, stream, &slot, &signal).await;
                if let Some(stream) = stream {
                    let ingress = if stream.protocol() == Some(tls::Listener::OAP_PROTOCOL) {
                        Ingress::Oap
                    } else {
                        ingress
                    };
                    speak(node, ingress, stream, peer, slot, signal).await;
                }
            }
        },
    )
}

async fn speak<I: Transport + 'static>(
    node: Arc<Node>,
    ingress: Ingress,
    stream: I,
    peer: IpAddr,
    slot: Slot,
    drain: DrainSignal,
) {
    match ingress {
        Ingress::Http => {
            let context = Arc::clone(&node.data_plane);
            let service = service_fn(move |request| guard::serve(Arc::clone(&node), peer, request));
            serve(stream, slot, context, service, drain).await;
        }
        Ingress::Oap => oap::serve(node, stream, peer, slot, drain).await,
    }
}

/// A supervised accept loop: every life of the task accepts on a duplicate of the same socket.
fn accept_loop(
    node: &Node,
    name: &'static str,
    listener: &TcpListener,
    (counters, render): (&Arc<Counters>, fn(&Refusal) -> Bytes),
    slots: &ConnectionSlots,
    on_connection: impl Fn(tokio::net::TcpStream, IpAddr, Slot) + Clone + Send + 'static,
) -> io::Result<AbortHandle> {
    let listener = listener.try_clone()?;
    let (counters, slots) = (Arc::clone(counters), slots.clone());
    Ok(node.supervisor.spawn(name, move || {
        let (listener, counters, slots) =
            (listener.try_clone(), Arc::clone(&counters), slots.clone());
        let on_connection = on_connection.clone();
        async move {
            match listener.and_then(tokio::net::TcpListener::from_std) {
                Ok(listener) => {
                    accept(
                        listener,
                        slots,
                        counters,
                        render,
                        move |stream, peer, slot| {
                            on_connection(stream, caveat::peer(peer.ip()), slot);
                        },
                    )
                    .await;
                }
                Err(error) => log::cannot_accept(&error),
            }
        }
    }))
}

pub(crate) fn accept_data(
    node: &Arc<Node>,
    ingress: Ingress,
    listener: &TcpListener,
    workers: &Arc<Workers<Connection>>,
) -> io::Result<AbortHandle> {
    let workers = Arc::clone(workers);
    let plane = &node.data_plane;
    let counters = Arc::clone(&plane.counters);
    let (name, render): (_, fn(&Refusal) -> Bytes) = match ingress {
        Ingress::Http => ("data_listener", plane.render),
        Ingress::Oap => ("oap_listener", oap::raw),
    };
    let render = if node.tls.is_some() { tls::raw } else { render };
    accept_loop(
        node,
        name,
        listener,
        (&plane.counters, render),
        &node.data_slots,
        move |stream, peer, slot| {
            // A socket that cannot be handed over is closed, which is all that can be done for it.
            let connection = stream.into_std().map(|stream| Connection {
                stream,
                peer,
                slot,
                ingress,
            });
            if let Ok(connection) = connection
                && workers.hand_over(connection).is_err()
            {
                counters.count(Reason::Overloaded);
                log::backlog_full();
            }
        },
    )
}

pub(crate) fn accept_admin(node: &Arc<Node>, listener: &TcpListener) -> io::Result<AbortHandle> {
    let context = &node.admin_plane;
    // On loopback nobody listens in, and whoever asks needs neither certificate nor token.
    let is_remote = !listener.local_addr()?.ip().is_loopback();
    // This thread accepts for all planes: it must not be kept busy with handshakes.
    let handshakes = Arc::new(RateLimiter::new(
        ADMIN_HANDSHAKES_PER_SECOND,
        Duration::from_secs(1),
        clock::instant(),
    ));
    // The admin plane is not drained: it answers until the process ends.
    let never = Drain::new().signal();
    let stack = admin::stack(node, is_remote);
    let plane = Arc::clone(context);
    let render = if is_remote { tls::raw } else { context.render };
    let node_of_loop = Arc::clone(node);
    accept_loop(
        node,
        "admin_listener",
        listener,
        (&context.counters, render),
        &node.admin_slots,
        move |stream, peer, slot| {
            let context = Arc::clone(&plane);
            let node = Arc::clone(&node_of_loop);
            let stack = stack.clone();
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(admin::Peer(peer));
                // All of its layers are always ready.
                stack.clone().call(request)
            });
            if is_remote && handshakes.admit(clock::instant()).is_err() {
                return context.counters.count(Reason::RateLimited);
            }
            let never = never.clone();
            console::spawn("admin_connection", async move {
                let Some(tls) = node.tls.as_ref().filter(|_| is_remote) else {
                    return serve(stream, slot, context, service, never).await;
                };
                let (on, metrics) = (tls::Listener::Admin, &node.metrics.tls);
                let stream = tls::handshake(tls, metrics, on, stream, &slot, &never).await;
                if let Some(stream) = stream {
                    serve(stream, slot, context, service, never).await;
                }
            });
        },
    )
}
