//! What a node says of itself when it has bound its listeners.

use std::net::SocketAddr;

use serde::Deserialize;

/// The start line.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Announced {
    /// Where it speaks HTTP.
    pub http: SocketAddr,
    /// Its admin plane.
    pub admin: SocketAddr,
    /// Where it speaks OAP, if it does.
    pub oap: Option<SocketAddr>,
    /// The hash of its public key, if it made its certificate itself.
    pub pin: Option<String>,
    /// The operator's token.
    pub token: Option<String>,
}

impl Announced {
    /// Reads the start line; `None` if it is none.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_line_is_read_and_nothing_else_is_one() {
        let line = r#"{"admin":"127.0.0.1:9090","http":"127.0.0.1:8080","oap":"127.0.0.1:8081","pid":4711,"pin":"sha256//IUHu"}"#;
        let announced = Announced::parse(line).expect("as in the documents");
        assert_eq!(announced.http.port(), 8080);
        assert_eq!(announced.oap.map(|oap| oap.port()), Some(8081));
        assert_eq!(announced.pin.as_deref(), Some("sha256//IUHu"));
        assert_eq!(announced.token, None);
        assert_eq!(Announced::parse(""), None);
        assert_eq!(Announced::parse(r#"{"http":"127.0.0.1:8080"}"#), None);
    }
}
