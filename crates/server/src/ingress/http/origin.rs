//! Keeps web pages out of planes that answer without a token.
//!
//! A browser will happily send requests to loopback on behalf of any page, and DNS rebinding
//! lets a page give itself a name that resolves here. Such a plane therefore answers only when
//! `Host` is a loopback literal or `localhost`, and only to requests that no other origin caused.

use crate::call::CallError;
use http::{HeaderMap, Uri, header};
use micronode_protocol::ErrorCode;
use std::net::{IpAddr, Ipv6Addr};

/// Refuses with 403 a request that another origin may have caused.
pub(crate) fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), CallError> {
    // HTTP/2 and absolute-form requests name the authority in the URI, which then wins.
    let authority = match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => single(headers, header::HOST),
    };
    let Some(authority) = authority.filter(|authority| is_loopback(host_of(authority))) else {
        return Err(forbidden(
            "without a token, Host must be localhost or a loopback address",
        ));
    };
    if headers.contains_key(header::ORIGIN) {
        let origin = single(headers, header::ORIGIN).unwrap_or("");
        let same = origin.split_once("://").is_some_and(|(scheme, host)| {
            matches!(scheme, "http" | "https") && host.eq_ignore_ascii_case(authority)
        });
        if !same {
            return Err(forbidden(
                "without a token, requests from other origins are refused",
            ));
        }
    }
    if headers.contains_key("sec-fetch-site") {
        let site = single(headers, header::HeaderName::from_static("sec-fetch-site"));
        if !matches!(site, Some("same-origin" | "none")) {
            return Err(forbidden(
                "without a token, cross-site requests are refused",
            ));
        }
    }
    Ok(())
}

fn forbidden(detail: &'static str) -> CallError {
    CallError::new(ErrorCode::Forbidden, detail)
}

/// The field's value when it stands exactly once and is text.
fn single(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.to_str().ok())?
}

/// The host of `host`, `host:port`, `[v6]` or `[v6]:port`. Anything else, such as user information
/// in front of the host, is no host at all and comes back empty.
fn host_of(authority: &str) -> &str {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').unwrap_or_default(),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port) {
        host
    } else {
        ""
    }
}

fn is_loopback(host: &str) -> bool {
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => v4.is_loopback(),
        Ok(IpAddr::V6(v6)) => v6 == Ipv6Addr::LOCALHOST,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(fields: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a field value"));
        }
        check(&Uri::from_static("/readyz"), &headers).is_ok()
    }

    #[test]
    fn only_loopback_hosts_are_answered() {
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]",
            "[::1]:9090",
        ] {
            assert!(allowed(&[("host", host)]), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]:80",
            "0.0.0.0",
            "[::1",
            // A loopback address in front of another host.
            "127.0.0.1:1@evil.example",
            "localhost:x@evil.example",
            "[::1]evil.example",
            "[::1]:80@evil.example",
            "[::1]80",
            "::1:80",
        ] {
            assert!(!allowed(&[("host", host)]), "{host}");
        }
        assert!(!allowed(&[]));
        assert!(!allowed(&[("host", "localhost"), ("host", "evil.example")]));
    }

    #[test]
    fn the_authority_of_the_uri_wins_over_host() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse().expect("a host"));
        assert!(check(&Uri::from_static("http://evil.example/put"), &headers).is_err());
        assert!(check(&Uri::from_static("http://127.0.0.1:1/put"), &headers).is_ok());
    }

    #[test]
    fn other_origins_are_refused() {
        let host = ("host", "127.0.0.1:8080");
        assert!(allowed(&[host, ("origin", "http://127.0.0.1:8080")]));
        assert!(allowed(&[host, ("sec-fetch-site", "same-origin")]));
        assert!(allowed(&[host, ("sec-fetch-site", "none")]));
        for origin in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:9090",
            "http://localhost:8080",
            "file://",
            "",
        ] {
            assert!(!allowed(&[host, ("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site", ""] {
            assert!(!allowed(&[host, ("sec-fetch-site", site)]), "{site}");
        }
    }
}
