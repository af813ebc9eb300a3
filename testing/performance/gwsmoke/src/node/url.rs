//! Where a node is, as it is written on a command line.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use crate::failure::{Failure, io};

/// A protocol, a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: Scheme,
    authority: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    Oap,
    Oaps,
}

impl Url {
    /// Whether it is over TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.scheme, Scheme::Https | Scheme::Oaps)
    }

    /// Whether it is OAP rather than HTTP.
    pub fn is_oap(&self) -> bool {
        matches!(self.scheme, Scheme::Oap | Scheme::Oaps)
    }

    /// Its address.
    ///
    /// # Errors
    ///
    /// If the host has none.
    pub fn resolve(&self) -> Result<SocketAddr, Failure> {
        let mut found = self
            .authority
            .to_socket_addrs()
            .map_err(io(&self.authority))?;
        found
            .next()
            .ok_or_else(|| Failure::wrong(format!("{}: has no address", self.authority)))
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "http://HOST:PORT, https://HOST:PORT, oap://HOST:PORT or oaps://HOST:PORT";
        let wrong = || format!("not {expected}");
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "oap" => Scheme::Oap,
            "oaps" => Scheme::Oaps,
            _ => return Err(wrong()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty() || host.contains('/') || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        Ok(Self {
            scheme,
            authority: authority.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_is_a_scheme_a_host_and_a_port() {
        let url: Url = "oaps://127.0.0.1:8081/".parse().unwrap();
        assert!(url.is_tls() && url.is_oap());
        assert_eq!(url.resolve().unwrap().port(), 8081);
        let url: Url = "http://[::1]:80".parse().unwrap();
        assert!(url.resolve().unwrap().is_ipv6() && !url.is_oap());
        for wrong in [
            "127.0.0.1:80",
            "ftp://x:1",
            "http://x",
            "http://:1",
            "http://x/y:1",
        ] {
            assert!(wrong.parse::<Url>().is_err(), "{wrong}");
        }
    }
}
