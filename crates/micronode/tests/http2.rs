//! The same contract over HTTP/2 with prior knowledge.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request, Response, StatusCode};
use std::net::SocketAddr;
use support::{Node, address, assert_problem, object};
use tokio::net::TcpStream;

const GROUP: usize = 64 * 1024;
const MIB: usize = 1024 * 1024;

async fn connect(plane: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(plane).await.unwrap();
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(8 * MIB as u32)
        .initial_connection_window_size(8 * MIB as u32)
        .handshake(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn request(node: &Node, method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(format!("http://{}{path}", node.http));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// One exchange; the error of a stream that was reset before its end.
async fn exchange(
    sender: &SendRequest<Bytes>,
    request: Request<()>,
    body: &[u8],
) -> Result<Response<Vec<u8>>, (StatusCode, Vec<u8>, h2::Error)> {
    let mut sender = sender.clone().ready().await.unwrap();
    let (response, mut stream) = sender.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        let body = Bytes::copy_from_slice(body);
        // Refused on the way when the answer comes first.
        let _ = stream.send_data(body, true);
    }
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(error) => return Err((head.status, bytes, error)),
        }
    }
    Ok(Response::from_parts(head, bytes))
}

#[track_caller]
fn assert_is_problem(response: &Response<Vec<u8>>, code: &str) {
    let field = |name: &str| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
    assert_problem(response.status().as_u16(), field, response.body(), code);
}

#[tokio::test]
async fn objects_are_stored_and_read() {
    let node = Node::start();
    let sender = connect(node.http).await;
    for size in [0, 1, GROUP, MIB, 3 * MIB] {
        let bytes = object(size);
        let path = format!("/o/{}", address(&bytes));
        // Without a length a body streams, however large.
        for status in [201, 200] {
            let put = exchange(&sender, request(&node, "POST", "/put", &[]), &bytes).await;
            let put = put.unwrap();
            assert_eq!(put.status().as_u16(), status);
            assert_eq!(put.headers()["location"], path.as_str());
        }
        let get = exchange(&sender, request(&node, "GET", &path, &[]), b"").await;
        let get = get.unwrap();
        assert!(*get.body() == bytes, "{size}");
        assert_eq!(get.headers()["content-length"], size.to_string().as_str());
        assert_eq!(get.headers()["etag"], format!("\"{}\"", address(&bytes)));
        let head = exchange(&sender, request(&node, "HEAD", &path, &[]), b"").await;
        let head = head.unwrap();
        assert!(head.body().is_empty());
        assert_eq!(head.headers()["etag"], get.headers()["etag"]);
        assert_eq!(
            head.headers()["content-length"],
            get.headers()["content-length"]
        );
    }
}

#[tokio::test]
async fn ranges_and_preconditions_hold() {
    let node = Node::start();
    let sender = connect(node.http).await;
    let bytes = object(2 * GROUP);
    let path = node.store(&bytes);
    let etag = format!("\"{}\"", address(&bytes));
    let ask = async |fields: &[(&str, &str)]| {
        let response = exchange(&sender, request(&node, "GET", &path, fields), b"").await;
        response.unwrap()
    };
    let range = ask(&[("range", "bytes=65530-65540")]).await;
    assert_eq!(range.status(), 206);
    assert_eq!(range.headers()["content-range"], "bytes 65530-65540/131072");
    assert_eq!(range.body(), &bytes[65530..=65540]);
    let several = ask(&[("range", "bytes=0-0,-1")]).await;
    assert_eq!(several.status(), 206);
    let media_type = several.headers()["content-type"].to_str().unwrap();
    assert!(media_type.starts_with("multipart/byteranges; boundary="));
    let current = ask(&[("if-none-match", &etag)]).await;
    assert_eq!((current.status().as_u16(), current.body().len()), (304, 0));
    assert_is_problem(
        &ask(&[("range", "bytes=131072-")]).await,
        "range_unsatisfiable",
    );
    assert_is_problem(&ask(&[("if-match", "\"x\"")]).await, "precondition_failed");
}

#[tokio::test]
async fn errors_are_problem_documents_and_streams_live_on() {
    let node = Node::start();
    let sender = connect(node.http).await;
    let many: Vec<(String, &str)> = (0..65).map(|at| (format!("f{at}"), "")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, *value)).collect();
    for (method, path, fields, body, code) in [
        ("GET", "/nowhere", &[][..], &b""[..], "not_found"),
        ("GET", "/o/x", &[], b"", "bad_address"),
        ("PATCH", "/put", &[], b"", "method_not_allowed"),
        ("POST", "/has", &[], b"{}", "bad_request"),
        (
            "PUT",
            &format!("/o/{}", address(b"a")),
            &[],
            b"b",
            "digest_mismatch",
        ),
        (
            "POST",
            "/put",
            &[("content-encoding", "gzip, br")],
            b"x",
            "unsupported_encoding",
        ),
        (
            "GET",
            "/nowhere",
            &[("authorization", "Bearer x")],
            b"",
            "not_found",
        ),
        (
            "POST",
            "/put",
            &[("authorization", "Bearer x")],
            b"x",
            "unauthenticated",
        ),
        (
            "GET",
            "/nowhere",
            &[("origin", "http://evil.example")],
            b"",
            "forbidden",
        ),
        ("GET", "/nowhere", &many, b"", "head_too_large"),
    ] {
        let response = exchange(&sender, request(&node, method, path, fields), body).await;
        assert_is_problem(&response.unwrap(), code);
    }
    let admin = connect(node.admin).await;
    let response = exchange(&admin, request(&node, "GET", "/healthz", &many), b"").await;
    assert_is_problem(&response.unwrap(), "head_too_large");
    node.wait_until_empty();
    let foreign = Request::get("http://evil.example/openapi.json")
        .body(())
        .unwrap();
    assert_is_problem(&exchange(&sender, foreign, b"").await.unwrap(), "forbidden");
}

#[tokio::test]
async fn an_answer_to_head_has_no_body() {
    let node = Node::start();
    let stored = node.store(&object(GROUP));
    let data = connect(node.http).await;
    let admin = connect(node.admin).await;
    for (sender, path, status) in [
        (&data, stored.as_str(), 200),
        (&data, &format!("{stored}/manifest"), 200),
        (&data, "/openapi.json", 200),
        (&data, "/nowhere", 404),
        (&data, "/o/x", 400),
        (&data, "/put", 405),
        (&admin, "/metrics", 200),
        (&admin, "/nowhere", 404),
    ] {
        let head = exchange(sender, request(&node, "HEAD", path, &[]), b"").await;
        let head = head.unwrap();
        assert_eq!(
            (head.status().as_u16(), head.body().len()),
            (status, 0),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_one_shot_over_the_cap_is_refused_before_its_body() {
    let node = Node::start();
    let sender = connect(node.http).await;
    let length = (MIB + 1).to_string();
    for expect in [&[][..], &[("expect", "100-continue")]] {
        let fields = [&[("content-length", length.as_str())], expect].concat();
        let mut sender = sender.clone().ready().await.unwrap();
        let request = request(&node, "POST", "/put", &fields);
        // The body is never sent: the answer does not wait for it.
        let (response, _body) = sender.send_request(request, false).unwrap();
        assert_eq!(response.await.unwrap().status(), 413);
    }
    let body = object(MIB + 1);
    let one_shot = request(&node, "POST", "/put", &[("content-length", &length)]);
    let response = exchange(&sender, one_shot, &body).await.unwrap();
    assert_is_problem(&response, "body_too_large");
    node.wait_until_empty();
}

/// A body that is shorter or longer than it was declared is a stream error, and nothing stays.
#[tokio::test]
async fn a_wrong_length_stores_nothing() {
    let node = Node::start();
    let sender = connect(node.http).await;
    for length in ["2", "4"] {
        let mut sender = sender.clone().ready().await.unwrap();
        let request = request(&node, "POST", "/put", &[("content-length", length)]);
        let (response, mut body) = sender.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"abc"), true).unwrap();
        if let Ok(response) = response.await {
            assert!(response.status().is_client_error(), "{}", response.status());
        }
    }
    node.wait_until_empty();
}

/// The connection has a thread of its own, so that it goes on while the test looks at the node.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_cut_upload_leaves_nothing() {
    let node = Node::start();
    let sender = connect(node.http).await;
    let mut sender = sender.ready().await.unwrap();
    let put = request(&node, "POST", "/put", &[]);
    let (_response, mut body) = sender.send_request(put, false).unwrap();
    body.send_data(Bytes::from(object(MIB)), false).unwrap();
    support::wait_until("the upload to be under way", || node.memory_used() > 0);
    body.send_reset(h2::Reason::CANCEL);
    node.wait_until_empty();
}

#[tokio::test]
async fn what_is_found_broken_on_the_way_resets_its_stream_alone() {
    let node = Node::start();
    let sender = connect(node.http).await;
    let bytes = object(8 * GROUP);
    let path = node.store(&bytes);
    node.corrupt(&path, 3 * GROUP + 5);
    let get = || request(&node, "GET", &path, &[]);
    let (status, delivered, error) = exchange(&sender, get(), b"").await.unwrap_err();
    assert_eq!(status, 200);
    assert!(error.is_reset() && error.is_remote(), "{error}");
    assert!(delivered.len() <= 3 * GROUP && bytes.starts_with(&delivered));
    assert_is_problem(
        &exchange(&sender, get(), b"").await.unwrap(),
        "integrity_fail",
    );
}

/// The HTTP/2 library logs the path that it refuses; with `--log-level debug`, addresses were in
/// the log.
#[test]
fn the_log_repeats_nothing_of_a_request() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut command = Node::command(&["--log-level", "trace"]);
    command.stderr(std::fs::File::create(&log).unwrap());
    let node = Node::spawn(command);

    let address = address(b"secret");
    let path = format!("not-a-path/{address}");
    // HPACK: `:method GET`, `:scheme http`, and the literal values of `:path` and `:authority`.
    let mut block = vec![0x82, 0x86];
    for (name, value) in [(4, path.as_str()), (1, "localhost")] {
        block.extend([name, u8::try_from(value.len()).unwrap()]);
        block.extend(value.as_bytes());
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // HEADERS with END_STREAM and END_HEADERS on stream 1.
    bytes.extend([0, 0, u8::try_from(block.len()).unwrap(), 1, 5, 0, 0, 0, 1]);
    bytes.extend(block);
    // A PING, whose answer says that all before it was read.
    let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    bytes.extend(ping);
    let mut connection = node.connect();
    connection.send(&bytes);
    let mut seen = Vec::new();
    while !seen.ends_with(&ping[9..]) {
        seen.extend(connection.exactly(1).unwrap());
    }

    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("readiness changed"), "the log works: {log}");
    assert!(!log.contains(&address), "{log}");
}

/// A thousand connections whose windows stay shut held half a GiB of refusals, outside of every
/// cap: a refusal's document now needs a permit, and without one the head alone is sent, which no
/// window holds back.
#[tokio::test]
async fn refusals_that_nobody_takes_are_bounded() {
    const CONNECTIONS: usize = 14;
    const STREAMS: usize = 99;
    let node = Node::with(&["--rps", "0"]);
    let mut held = Vec::new();
    let mut bare = 0;
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(node.http).await.unwrap();
        let mut shut = h2::client::Builder::new();
        let (sender, connection) = shut
            .initial_window_size(0)
            .handshake::<_, Bytes>(stream)
            .await
            .unwrap();
        tokio::spawn(connection);
        for _ in 0..STREAMS {
            let mut sender = sender.clone().ready().await.unwrap();
            let (response, _) = sender
                .send_request(request(&node, "GET", "/nowhere", &[]), true)
                .unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
            bare += usize::from(response.body().is_end_stream());
            held.push(response);
        }
    }
    let refused = CONNECTIONS * STREAMS;
    let documents = refused - bare;
    assert!(
        bare > 0 && documents > 0 && documents <= 1024,
        "{documents} of {refused} are held"
    );
    assert_eq!(node.request("GET", "/nowhere", &[], b"").status, 404);
}
