//! An ordinary axum service behind every bound of this crate.
//!
//! ```sh
//! cargo run -p micronode-hardening --example protect_axum
//! curl -i 127.0.0.1:8000/ --data-binary hello
//! head -c 2000000 /dev/zero | gzip | curl -i 127.0.0.1:8000/ -H 'Content-Encoding: gzip' --data-binary @-
//! ```

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use http::{Method, Request};
use hyper::body::Incoming;
use micronode_hardening::layers::{
    BodyLayer, DeadlineLayer, DecompressLayer, HeadLayer, InFlightLayer, RateLayer, RespondLayer,
    Shed, ShedLayer, text_response,
};
use micronode_hardening::{
    BodyPolicy, ConnectionContext, ConnectionLimits, ConnectionSlots, Counters, DecompressLimits,
    Drain, HeadLimits, InFlight, RateLimiter, Reason, Refusal, SlowShare, SlowShareLimits, accept,
    cap_for_fd_limit, plain_refusal, serve,
};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let counters = Arc::new(Counters::new());
    let app = Router::new().route(
        "/",
        post(|body: Bytes| async move { format!("{} bytes\n", body.len()) }),
    );

    // The stack, innermost first; a request is refused by the last line first.
    let stack = DeadlineLayer::new(Duration::from_secs(5)).layer(app);
    let stack = DecompressLayer::new(decompress_limits(), InFlight::new(32)).layer(stack);
    let stack = BodyLayer::new(body_policy).layer(stack);
    let stack = ShedLayer::new(Shed(shed_deletes)).layer(stack);
    let stack = InFlightLayer::new(InFlight::new(512)).layer(stack);
    let limiter = RateLimiter::new(500, Duration::from_millis(100), Instant::now());
    let stack = RateLayer::new(Arc::new(limiter)).layer(stack);
    let stack = HeadLayer::new(HeadLimits {
        bytes: 16 * KIB,
        fields: 64,
    })
    .layer(stack);
    let stack = RespondLayer::new(Arc::clone(&counters), text_response).layer(stack);

    let context = Arc::new(ConnectionContext {
        limits: connection_limits(),
        counters: Arc::clone(&counters),
        bytes_in: Arc::default(),
        bytes_out: Arc::default(),
        slow_share: SlowShare::new(SlowShareLimits {
            rate: 64 * KIB as u64,
            window: Duration::from_secs(2),
            age: Duration::from_secs(5),
        }),
        render: plain_refusal,
    });
    let drain = Drain::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 8000)).await?;
    let slots = ConnectionSlots::new(cap_for_fd_limit(60, 1024));
    // As many tasks as there are slots, at most.
    accept(
        listener,
        slots,
        counters,
        plain_refusal,
        |socket, _peer, slot| {
            let stack = stack.clone();
            // A router and all of these layers are always ready, so a clone may be called at once.
            let service = hyper::service::service_fn(move |request| stack.clone().call(request));
            tokio::spawn(serve(
                socket,
                slot,
                Arc::clone(&context),
                service,
                drain.signal(),
            ));
        },
    )
    .await;
    Ok(())
}

fn body_policy(_request: &Request<Incoming>) -> BodyPolicy {
    BodyPolicy::OneShot {
        cap: MIB as u64,
        deadline: Duration::from_secs(5),
    }
}

fn shed_deletes(request: &Request<Incoming>) -> Option<Refusal> {
    let refusal = Refusal::new(Reason::Degraded, "nothing is deleted at the moment");
    (request.method() == Method::DELETE).then_some(refusal)
}

fn decompress_limits() -> DecompressLimits {
    DecompressLimits {
        ratio: 10,
        slack: 64 * KIB as u64,
        absolute: MIB as u64,
        zstd_window_log: 21,
        brotli_window_bits: 22,
        silent_bytes: 64 * KIB as u64,
    }
}

fn connection_limits() -> ConnectionLimits {
    ConnectionLimits {
        head_deadline: Duration::from_secs(5),
        idle: Duration::from_secs(60),
        progress_interval: Duration::from_secs(5),
        progress_min_rate: 4 * KIB as u64,
        linger_time: Duration::from_secs(1),
        linger_bytes: 256 * KIB,
        head_bytes: 16 * KIB,
        head_fields: 64,
        h2_streams: 100,
        h2_pending_resets: 20,
        h2_stream_window: 256 * KIB as u32,
        h2_connection_window: MIB as u32,
        h2_send_buffer: 128 * KIB,
        h2_control_burst: 1000,
        h2_control_per_second: 100,
    }
}
