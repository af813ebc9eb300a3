//! A server of HTTP/2 that does what a script says.

use std::net::TcpListener;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Deed, Script};

/// Starts it; it ends with the process. Returns its URL.
pub(crate) fn serve(script: Script) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(talk(stream, script.clone()));
            }
        });
    });
    url
}

/// Nothing when the client goes.
async fn talk(stream: TcpStream, script: Script) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let descriptor = stream.into_std().ok()?;
    let mut aside = TcpStream::from_std(descriptor.try_clone().ok()?).ok()?;
    let stream = TcpStream::from_std(descriptor).ok()?;
    let mut connection = h2::server::handshake(stream).await.ok()?;
    // One at a time: what is read is answered before the next is looked at.
    while let Some(asked) = connection.accept().await {
        let (request, mut answer) = asked.ok()?;
        let deed = script.next();
        match deed {
            Deed::Close => return None,
            Deed::Garble => {
                aside.write_all(&[0xff; 64]).await.ok()?;
                continue;
            }
            Deed::Break => {
                answer.send_reset(h2::Reason::INTERNAL_ERROR);
                continue;
            }
            _ => {}
        }
        tokio::spawn(async move {
            let mut body = body(request).await?;
            let mut status = 200;
            match deed {
                Deed::Echo(after) => tokio::time::sleep(after).await,
                Deed::Shorten => body.truncate(body.len() - 1),
                Deed::Corrupt => *body.last_mut()? ^= 1,
                Deed::Refuse => status = 503,
                Deed::Fail => status = 500,
                Deed::Ignore => std::future::pending().await,
                Deed::Close | Deed::Garble | Deed::Break => return None,
            }
            let head = Response::builder().status(status).body(()).ok()?;
            let mut sending = answer.send_response(head, false).ok()?;
            sending.send_data(body.freeze(), true).ok()
        });
    }
    Some(())
}

async fn body(request: Request<h2::RecvStream>) -> Option<BytesMut> {
    let mut body = BytesMut::new();
    let mut receiving = request.into_body();
    while let Some(piece) = receiving.data().await {
        let piece: Bytes = piece.ok()?;
        receiving
            .flow_control()
            .release_capacity(piece.len())
            .ok()?;
        body.extend_from_slice(&piece);
    }
    Some(body)
}
