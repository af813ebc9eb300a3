//! Opening a connection: TCP, TLS where the URL asks for it, then HELLO and its answer.

use std::sync::Arc;
use std::{fmt, io};

use micronode_protocol::codec::{Decoded, Decoder, Frame};
use micronode_protocol::frame::{Flags, HEADER_BYTES, Header, Kind, VERSION};
use micronode_protocol::limits::{
    OAP_CHUNK_BYTES, OAP_FRAME_BYTES, OAP_FRAME_BYTES_MIN, OAP_STREAMS,
};
use micronode_protocol::operation::{CONTROL, HELLO, Hello, PutRequest, Welcome};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::super::origin::Origin;
use crate::{ClientOptions, Error, TransportError, error};

/// A chunk behind the longest fields fits the smallest frame that a node may be set to, so that no
/// frame of this client needs to be measured.
const _: () = assert!(
    HEADER_BYTES + PutRequest::BYTES_MAX + OAP_CHUNK_BYTES <= OAP_FRAME_BYTES_MIN,
    "every frame that is sent fits"
);

const NOT_OAP: Error = Error::Protocol("it is not OAP/1; is this the port of another protocol?");
const NOT_A_WELCOME: Error = Error::Protocol("it does not answer HELLO");

/// What bytes come and go on.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// How to get to the node.
pub(super) struct Way {
    /// `HOST:PORT`.
    authority: String,
    /// With TLS: how, and what the node's certificate is for.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Way {
    pub(super) fn new(origin: Origin, options: &ClientOptions) -> Result<Self, Error> {
        let tls = if origin.tls {
            let config = options.tls.client_config(b"oap/1")?;
            let name = ServerName::try_from(origin.host).map_err(|_| Error::InvalidUrl {
                url: origin.authority.clone(),
                reason: "its host is not a name that a certificate could be for",
            })?;
            Some((config, name))
        } else {
            None
        };
        Ok(Way {
            authority: origin.authority,
            tls,
        })
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

/// A connection whose HELLO has been answered.
pub(super) struct Opened {
    pub(super) socket: Box<dyn Socket>,
    /// Holds what may have come behind the answer.
    pub(super) decoder: Decoder,
    /// Streams at once.
    pub(super) streams: usize,
}

/// The first frame of a connection. The capability in it is the authority of all that follow.
pub(super) fn hello(cap: &[u8]) -> Zeroizing<Vec<u8>> {
    let document = Hello {
        ua: concat!("micronode/", env!("CARGO_PKG_VERSION")).into(),
        accept_comp: false,
    }
    .encode();
    let header = Header {
        len: u32::try_from(HEADER_BYTES + cap.len() + document.len()).expect("a few KiB"),
        flags: Flags::REQ.with(Flags::WHOLE),
        code: HELLO,
        app: CONTROL,
        cap_len: u16::try_from(cap.len()).expect("a capability within its cap"),
        ..Header::default()
    };
    Zeroizing::new([&header.encode()[..], cap, &document].concat())
}

/// Connects and says HELLO. How long that may take is for the caller.
pub(super) async fn connect(way: &Way, hello: &[u8]) -> Result<Opened, Error> {
    let not_connected = |error: io::Error| TransportError::Connect(error.into()).sorted();
    let tcp = TcpStream::connect(&way.authority)
        .await
        .map_err(not_connected)?;
    tcp.set_nodelay(true).map_err(not_connected)?;
    let mut socket: Box<dyn Socket> = match &way.tls {
        None => Box::new(tcp),
        Some((config, name)) => {
            let connector = TlsConnector::from(Arc::clone(config));
            let secured = connector.connect(name.clone(), tcp).await;
            Box::new(secured.map_err(not_connected)?)
        }
    };
    socket.write_all(hello).await.map_err(not_connected)?;
    socket.flush().await.map_err(not_connected)?;
    let mut decoder = Decoder::new(OAP_FRAME_BYTES);
    let answer = loop {
        match decoder.next() {
            Ok(Some(Decoded::Frame(frame))) => break frame,
            Ok(None) if decoder.long_frame().is_none() => {}
            Ok(_) => return Err(NOT_A_WELCOME),
            Err(_) => return Err(NOT_OAP),
        }
        let read = socket.read_buf(&mut decoder.spare()).await;
        if read.map_err(not_connected)? == 0 {
            let early = "the node closed the connection instead of answering HELLO";
            return Err(not_connected(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                early,
            )));
        }
    };
    Ok(Opened {
        socket,
        decoder,
        streams: welcomed(&answer)?,
    })
}

/// Checks the answer to HELLO; how many streams it allows at once.
fn welcomed(answer: &Frame) -> Result<usize, Error> {
    let header = &answer.header;
    if header.kind() != Kind::Resp {
        return Err(NOT_A_WELCOME);
    }
    if header.code >= 400 {
        return Err(error::from_frame(header.code, &answer.payload));
    }
    let welcome = Welcome::decode(&answer.payload).map_err(|_| NOT_A_WELCOME)?;
    if !welcome.versions.contains(&VERSION) {
        return Err(Error::Protocol("it does not speak version 1 of OAP"));
    }
    if (welcome.max_frame as usize) < OAP_FRAME_BYTES_MIN || welcome.max_inflight == 0 {
        return Err(Error::Protocol("its bounds leave no room for a request"));
    }
    Ok((welcome.max_inflight as usize).min(OAP_STREAMS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn answer(flags: Flags, code: u16, payload: Vec<u8>) -> Result<usize, Error> {
        let header = Header {
            flags,
            code,
            ..Header::default()
        };
        welcomed(&Frame {
            header,
            cap: Bytes::new(),
            payload: payload.into(),
        })
    }

    #[test]
    fn a_welcome_bounds_the_streams_and_never_above_our_own_cap() {
        for (told, taken) in [(1, 1), (64, OAP_STREAMS), (u32::MAX, OAP_STREAMS)] {
            let welcome = Welcome::new(1 << 20, told).encode();
            assert!(matches!(answer(Flags::RESP, 200, welcome), Ok(streams) if streams == taken));
        }
    }

    #[test]
    fn what_is_no_welcome_is_refused() {
        let good = Welcome::new(OAP_FRAME_BYTES_MIN as u32, 1);
        assert!(answer(Flags::RESP, 200, good.encode()).is_ok());
        let other_version = Welcome {
            versions: vec![2],
            ..good.clone()
        };
        for (flags, payload) in [
            (Flags::EVENT, good.encode()),
            (Flags::RESP, Vec::new()),
            (Flags::RESP, b"[]".to_vec()),
            (Flags::RESP, other_version.encode()),
            (Flags::RESP, Welcome::new(1 << 20, 0).encode()),
            (
                Flags::RESP,
                Welcome::new(OAP_FRAME_BYTES_MIN as u32 - 1, 1).encode(),
            ),
        ] {
            let error = answer(flags, 200, payload.clone());
            assert!(matches!(error, Err(Error::Protocol(_))), "{payload:?}");
        }
        let refused = answer(Flags::RESP, 401, Vec::new());
        assert!(matches!(refused, Err(Error::Problem(problem)) if problem.status == 401));
    }
}
