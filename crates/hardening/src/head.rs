//! The exact bound on a request head, checked on what the parser delivered.
//!
//! The server's parser has a bound of its own, which protects the memory of the parser; this one
//! is the same for every version of HTTP and answers with the service's own refusal.

use http::Request;

use crate::{Reason, Refusal};

/// How large a request head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the request line and all fields, as HTTP/1.1 writes them. HTTP/2 heads are
    /// measured uncompressed, by the same rule.
    pub bytes: usize,
    /// Field lines.
    pub fields: usize,
}

/// Refuses a head over `limits` with [`Reason::HeadTooLarge`].
pub fn check_head<B>(request: &Request<B>, limits: &HeadLimits) -> Result<(), Refusal> {
    if request.headers().len() > limits.fields {
        return Err(Refusal::new(
            Reason::HeadTooLarge,
            "the request head has too many fields",
        ));
    }
    if head_bytes(request) > limits.bytes {
        return Err(Refusal::new(
            Reason::HeadTooLarge,
            "the request head has too many bytes",
        ));
    }
    Ok(())
}

fn head_bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let target = uri
        .scheme_str()
        .map_or(0, |scheme| scheme.len() + "://".len())
        + uri
            .authority()
            .map_or(0, |authority| authority.as_str().len())
        + uri.path_and_query().map_or(0, |path| path.as_str().len());
    let line = request.method().as_str().len() + target + "  HTTP/1.1\r\n".len();
    let fields: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    line + fields + "\r\n".len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `GET /path HTTP/1.1`, `Host: example` and a filler field.
    fn request(filler: usize) -> Request<()> {
        Request::get("/path")
            .header("host", "example")
            .header("filler", "x".repeat(filler))
            .body(())
            .unwrap()
    }

    #[test]
    fn bytes_are_counted_as_they_stand_on_the_wire() {
        let wire = "GET /path HTTP/1.1\r\nhost: example\r\nfiller: xxx\r\n\r\n";
        assert_eq!(head_bytes(&request(3)), wire.len());
        let wire = "GET http://example:80/path?a=b HTTP/1.1\r\n\r\n";
        let absolute = Request::get("http://example:80/path?a=b").body(()).unwrap();
        assert_eq!(head_bytes(&absolute), wire.len());
    }

    #[test]
    fn the_byte_cap_passes_and_one_more_is_refused() {
        let limits = HeadLimits {
            bytes: head_bytes(&request(100)),
            fields: 2,
        };
        check_head(&request(100), &limits).unwrap();
        assert_eq!(
            check_head(&request(101), &limits).unwrap_err().reason,
            Reason::HeadTooLarge
        );
    }

    #[test]
    fn the_field_cap_counts_every_line_of_a_repeated_name() {
        let limits = HeadLimits {
            bytes: 1 << 20,
            fields: 3,
        };
        let mut request = request(1);
        request
            .headers_mut()
            .append("host", "again".parse().unwrap());
        check_head(&request, &limits).unwrap();
        request
            .headers_mut()
            .append("host", "and again".parse().unwrap());
        assert_eq!(
            check_head(&request, &limits).unwrap_err().reason,
            Reason::HeadTooLarge
        );
    }
}
