//! The proxy from outside: how late bytes come, in which order, and how they end.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use gwsmoke::proxy::{IN_FLIGHT_BYTES, Proxy};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

fn now() -> Instant {
    Instant::now()
}

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);
const ROUND_TRIP: Duration = Duration::from_millis(60);

/// A server for one connection, a proxy in front of it, and a client's end.
fn through<T: Send + 'static>(
    round_trip: Duration,
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (Proxy, TcpStream, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let server = thread::spawn(move || serve(patient(listener.accept().unwrap().0)));
    let proxy = Proxy::start(target, round_trip).unwrap();
    let client = patient(TcpStream::connect(proxy.address()).unwrap());
    (proxy, client, server)
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Returns every byte.
fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 64 * 1024];
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return,
            count => stream.write_all(&buffer[..count]).unwrap(),
        }
    }
}

#[test]
fn a_byte_takes_half_the_round_trip_each_way_and_no_less() {
    let (_proxy, mut client, _) = through(ROUND_TRIP, |mut stream| {
        let mut byte = [0];
        // When each came, and it is answered at once.
        let times: [Instant; 3] = [(); 3].map(|()| {
            stream.read_exact(&mut byte).unwrap();
            let came = now();
            stream.write_all(&byte).unwrap();
            came
        });
        stream.write_all(b"!").unwrap();
        times
    });
    for _ in 0..3 {
        let sent = now();
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        assert!(sent.elapsed() >= ROUND_TRIP);
    }
}

#[test]
fn each_direction_has_its_half() {
    let (_proxy, mut client, server) = through(ROUND_TRIP, |mut stream| {
        stream.read_exact(&mut [0]).unwrap();
        let came = now();
        stream.write_all(b"x").unwrap();
        came
    });
    let sent = now();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    let answered = now();
    let came = server.join().unwrap();
    assert!(came - sent >= ROUND_TRIP / 2);
    assert!(answered - came >= ROUND_TRIP / 2);
}

#[test]
fn what_is_pipelined_is_delayed_once_and_not_each_time() {
    const BYTES: u32 = 50;
    let (_proxy, mut client, _) = through(ROUND_TRIP, echo);
    let sent = now();
    for byte in 0..BYTES as u8 {
        client.write_all(&[byte]).unwrap();
    }
    let mut back = [0; BYTES as usize];
    client.read_exact(&mut back).unwrap();
    // One behind the other they would take fifty round trips; half of that is far from both.
    assert!(sent.elapsed() < ROUND_TRIP * BYTES / 2);
    assert!(back.into_iter().eq(0..BYTES as u8), "in order");
}

#[test]
fn much_comes_out_as_it_went_in() {
    const LENGTH: usize = 2 * IN_FLIGHT_BYTES + 12_345;
    let (_proxy, mut client, _) = through(Duration::from_millis(4), echo);
    let bytes: Vec<u8> = (0..LENGTH as u32)
        .map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut writer = client.try_clone().unwrap();
    let sent = bytes.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    writing.join().unwrap();
    assert!(back == bytes, "{} bytes of {LENGTH}", back.len());
}

#[test]
fn a_half_close_is_passed_on_and_the_answer_still_comes() {
    let (_proxy, mut client, server) = through(ROUND_TRIP, |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(b"answer").unwrap();
        all
    });
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"answer");
    assert_eq!(server.join().unwrap(), b"question");
}

#[test]
fn who_does_not_read_holds_up_who_writes() {
    // What the sockets of a path may hold beside the proxy, at the most that Linux lets them grow.
    const SOCKETS: usize = 64 << 20;
    let (_proxy, client, _server) = through(Duration::ZERO, |stream| {
        thread::sleep(PATIENCE * 2);
        drop(stream);
    });
    client
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let piece = vec![0; 1 << 20];
    let mut written = 0;
    let error = loop {
        match (&client).write(&piece) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
        assert!(written < IN_FLIGHT_BYTES + SOCKETS, "{written} bytes");
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_peer_that_goes_away_is_missed_by_the_other() {
    let (_proxy, mut client, server) = through(ROUND_TRIP, drop);
    server.join().unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn the_end_of_a_proxy_is_the_end_of_its_connections() {
    // A delay that would not be over: the end does not wait for it.
    let (proxy, mut client, _server) = through(Duration::from_secs(3600), |mut stream| {
        let _ended = stream.read(&mut [0]);
    });
    client.write_all(b"x").unwrap();
    let began = now();
    drop(proxy);
    assert!(began.elapsed() < PATIENCE);
    let ended = client.read(&mut [0]);
    assert!(
        matches!(&ended, Ok(0)) || ended.is_err_and(|it| it.kind() == ErrorKind::ConnectionReset)
    );
}

#[test]
fn where_nobody_listens_a_connection_is_closed() {
    let target = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let proxy = Proxy::start(target, Duration::ZERO).unwrap();
    let mut client = patient(TcpStream::connect(proxy.address()).unwrap());
    let ended = client.read(&mut [0]);
    assert!(
        matches!(&ended, Ok(0)) || ended.is_err_and(|it| it.kind() == ErrorKind::ConnectionReset)
    );
}
