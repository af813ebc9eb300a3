//! A process that runs out of file descriptors keeps accepting. In a process of its own, because
//! it lowers the limit.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use micronode_hardening::{
    ConnectionContext, ConnectionLimits, ConnectionSlots, Counters, Drain, SlowShare,
    SlowShareLimits, accept, plain_refusal, serve,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;

const DESCRIPTORS: u64 = 64;

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

fn is_served(mut client: &TcpStream) {
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn without_descriptors_idle_connections_give_way_and_newcomers_are_served() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: Some(DESCRIPTORS),
        maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();

    let slots = ConnectionSlots::new(1024);
    let (started, address) = std::sync::mpsc::sync_channel(1);
    let server_slots = slots.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            started.send(listener.local_addr().unwrap()).unwrap();
            let limits = ConnectionLimits {
                head_deadline: Duration::from_secs(60),
                idle: Duration::from_secs(60),
                progress_interval: Duration::from_secs(5),
                progress_min_rate: 4096,
                linger_time: Duration::from_secs(1),
                linger_bytes: 1024,
                head_bytes: 16 * 1024,
                head_fields: 64,
                h2_streams: 100,
                h2_pending_resets: 20,
                h2_stream_window: 65_535,
                h2_connection_window: 65_535,
                h2_send_buffer: 65_535,
                h2_control_burst: 100,
                h2_control_per_second: 10,
            };
            let counters = Arc::new(Counters::new());
            let context = Arc::new(ConnectionContext {
                limits,
                counters: Arc::clone(&counters),
                bytes_in: Arc::new(AtomicU64::new(0)),
                bytes_out: Arc::new(AtomicU64::new(0)),
                slow_share: SlowShare::new(SlowShareLimits {
                    rate: 0,
                    window: Duration::from_secs(2),
                    age: Duration::from_secs(5),
                }),
                render: plain_refusal,
            });
            let drain = Drain::new();
            accept(
                listener,
                server_slots,
                counters,
                plain_refusal,
                |stream, _, slot| {
                    let context = Arc::clone(&context);
                    tokio::spawn(serve(
                        stream,
                        slot,
                        context,
                        service_fn(hello),
                        drain.signal(),
                    ));
                },
            )
            .await;
        });
    });
    let address = address.recv().unwrap();

    // Each connection takes a descriptor here and one in the server, until the server has none
    // for the newest and an idle connection leaves.
    let mut clients = Vec::new();
    while slots.open() == clients.len() {
        clients.push(TcpStream::connect(address).unwrap());
        (0..300)
            .take_while(|_| slots.open() != clients.len())
            .for_each(|_| std::thread::sleep(Duration::from_millis(1)));
    }
    assert!(clients.len() > DESCRIPTORS as usize / 4);
    is_served(clients.last().unwrap());
    let mut longest_idle = &clients[0];
    longest_idle
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    assert_eq!(longest_idle.read(&mut [0]).unwrap(), 0);

    drop(clients);
    is_served(&TcpStream::connect(address).unwrap());
}
