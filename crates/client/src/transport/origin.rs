//! The URL of a node: a scheme, which names the wire, and an authority. It has nothing else.

use http::Uri;

use crate::Error;

/// What a node's URL says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) scheme: Scheme,
    /// Whether TLS is below it.
    pub(super) tls: bool,
    /// `HOST:PORT`; over HTTP the port may be left out.
    pub(super) authority: String,
    /// The host alone, an IPv6 address without its brackets.
    pub(super) host: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Oap,
}

impl Origin {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        parse(url).map_err(|reason| Error::InvalidUrl {
            url: without_user(url),
            reason,
        })
    }
}

fn parse(url: &str) -> Result<Origin, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "it is not a URL")?;
    let authority = uri
        .authority()
        .ok_or("it has no host; write http://HOST:PORT or oap://HOST:PORT")?;
    if authority.as_str().contains('@') {
        return Err("it contains a user; rights come from a token");
    }
    let host = authority.host();
    if authority.as_str().len() > host.len() && authority.port_u16().is_none() {
        // It would be left out, and the scheme's own port asked instead.
        return Err("its port is not a number up to 65535");
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err("it has a path; a node is served at the root");
    }
    let (scheme, tls) = match uri.scheme_str() {
        Some("http") => (Scheme::Http, false),
        Some("https") => (Scheme::Http, true),
        Some("oap" | "oaps") if authority.port_u16().is_none() => {
            return Err("it has no port, and OAP has none of its own; write oap://HOST:PORT");
        }
        Some("oap") => (Scheme::Oap, false),
        Some("oaps") => (Scheme::Oap, true),
        _ => return Err("it does not start with http://, https://, oap:// or oaps://"),
    };
    Ok(Origin {
        scheme,
        tls,
        host: host.trim_matches(['[', ']']).to_owned(),
        authority: authority.to_string(),
    })
}

/// A URL to repeat in an error: what stands before an `@` may be a password.
fn without_user(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_node_is_named_by_scheme_and_authority() {
        for (url, tls, host) in [
            ("http://node", false, "node"),
            ("https://node", true, "node"),
            ("https://[::1]:8080", true, "::1"),
            ("oap://[::1]:8081", false, "::1"),
            ("oaps://node:8081", true, "node"),
        ] {
            let origin = parse(url).unwrap();
            assert_eq!((origin.tls, origin.host.as_str()), (tls, host), "{url}");
        }
        for (url, scheme, authority) in [
            ("http://127.0.0.1:8080", Scheme::Http, "127.0.0.1:8080"),
            ("http://127.0.0.1:8080/", Scheme::Http, "127.0.0.1:8080"),
            ("http://[::1]:8080", Scheme::Http, "[::1]:8080"),
            ("http://node", Scheme::Http, "node"),
            ("oap://127.0.0.1:8081", Scheme::Oap, "127.0.0.1:8081"),
            ("oap://[::1]:8081/", Scheme::Oap, "[::1]:8081"),
            ("oap://node:1", Scheme::Oap, "node:1"),
            ("https://node", Scheme::Http, "node"),
            ("oaps://node:1", Scheme::Oap, "node:1"),
        ] {
            let origin = parse(url).unwrap();
            assert_eq!(
                (origin.scheme, origin.authority.as_str()),
                (scheme, authority)
            );
        }
        for (url, reason) in [
            ("", "not a URL"),
            ("http://", "not a URL"),
            ("oap://", "not a URL"),
            ("/o/", "no host"),
            ("127.0.0.1:8080", "does not start"),
            ("oaps://node", "no port"),
            ("ftp://node", "does not start"),
            ("http://node/path", "has a path"),
            ("http://node/?q", "has a path"),
            ("oap://node:8081/path", "has a path"),
            ("http://user:secret@node", "a user"),
            ("oap://user:secret@node:8081", "a user"),
            ("http://node:99999", "its port"),
            ("http://[::1]:99999", "its port"),
            ("http://node:", "its port"),
            ("oap://node:", "its port"),
            ("oap://node", "no port"),
            ("oap://[::1]", "no port"),
        ] {
            let found = parse(url).unwrap_err();
            assert!(found.contains(reason), "{url}: {found}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        for scheme in ["http", "oap"] {
            let error = Origin::parse(&format!("{scheme}://user:secret@node"))
                .unwrap_err()
                .to_string();
            assert!(
                !error.contains("secret") && error.contains("@node"),
                "{error}"
            );
        }
    }
}
