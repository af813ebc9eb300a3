//! Reads, by many, over every wire: what is sent has been copied on its way.

use crate::canary::{Canary, node};
use crate::support::oap::{DELETE, GET, get, hash};
use crate::support::tls::Authority;
use crate::support::{Node, Oap};
use bytes::Bytes;
use std::io::Write;

const READERS: usize = 10;
/// More than one group, and not all of the second.
const SIZE: usize = 100_000;

#[track_caller]
fn check(what: &str, node: &Node, canary: &Canary, path: &str, readers: impl Sized) {
    canary.check(what, node, || {
        assert_eq!(node.request("DELETE", path, &[], b"").status, 204);
        drop(readers);
    });
}

#[test]
fn what_ten_read_over_http_is_gone() {
    let node = node(&[]);
    let canary = Canary::of(SIZE);
    let path = node.store(&canary.bytes);
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let mut reader = node.connect();
            assert!(reader.request("GET", &path, &[], b"").body == canary.bytes);
            let parts = [("range", "bytes=10-5000,70000-80000")];
            assert_eq!(reader.request("GET", &path, &parts, b"").status, 206);
            reader
        })
        .collect();
    check("read over HTTP", &node, &canary, &path, readers);
}

#[test]
fn what_ten_read_over_http_2_is_gone() {
    let node = node(&[]);
    let canary = Canary::of(SIZE);
    let path = node.store(&canary.bytes);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let uri = format!("http://{}{path}", node.http);
    let read = async || {
        let stream = tokio::net::TcpStream::connect(node.http).await.unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 20);
        builder.initial_connection_window_size(1 << 20);
        let (sender, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get(&uri).body(()).unwrap();
        let mut sender = sender.ready().await.unwrap();
        let (response, _) = sender.send_request(request, true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let mut bytes = Vec::new();
        while let Some(piece) = body.data().await {
            bytes.extend_from_slice(&piece.unwrap());
        }
        assert!(bytes == canary.bytes);
        sender
    };
    let readers = runtime.block_on(async {
        let mut readers = Vec::new();
        for _ in 0..READERS {
            readers.push(read().await);
        }
        readers
    });
    check(
        "read over HTTP/2",
        &node,
        &canary,
        &path,
        (readers, runtime),
    );
}

#[test]
fn what_ten_read_over_oap_is_gone() {
    let node = node(&[]);
    let canary = Canary::of(SIZE);
    node.store(&canary.bytes);
    let question = get(&hash(&canary.bytes), 0, 0);
    let mut readers: Vec<_> = (0..READERS).map(|_| node.greet()).collect();
    readers.extend((0..READERS).map(|_| Oap::greet_for_compression(node.oap())));
    for reader in &mut readers {
        assert!(reader.call(GET, &question).object().bytes == canary.bytes);
    }
    canary.check("read over OAP", &node, || {
        assert_eq!(readers[0].call(DELETE, &hash(&canary.bytes)).status(), 204);
        drop(readers);
    });
}

#[test]
fn what_ten_read_over_tls_is_gone() {
    let authority = Authority::new();
    let node = authority.node(&[]);
    let canary = Canary::of(SIZE);
    let path = format!("/o/{}", crate::support::address(&canary.bytes));
    let connect = |_| authority.client().connect(node.http).unwrap();
    let mut readers: Vec<_> = (0..READERS).map(connect).collect();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {SIZE}\r\n\r\n",
        node.http
    );
    let stream = &mut readers[0].stream;
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&canary.bytes).unwrap();
    for reader in readers.iter_mut().skip(1) {
        let read = || reader.get(&path).unwrap();
        let answer = std::iter::repeat_with(read).find(|answer| answer.status == 200);
        assert!(answer.unwrap().body == canary.bytes);
    }
    canary.check("read over TLS", &node, || {
        let mut last = authority.client().connect(node.http).unwrap();
        let head = format!("DELETE {path} HTTP/1.1\r\nhost: {}\r\n\r\n", node.http);
        last.stream.write_all(head.as_bytes()).unwrap();
        last.exactly(12).unwrap();
        drop((readers, last));
    });
}
