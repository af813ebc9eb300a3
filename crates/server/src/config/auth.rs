use micronode_protocol::capability::GrantRef;
use micronode_protocol::limits;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    pub name: String,
    pub key_ttl: Duration,
    pub token_ttl: Duration,
    pub exchange_rps: u64,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            name: "micronode".to_owned(),
            key_ttl: limits::KEY_TTL,
            token_ttl: limits::TOKEN_TTL,
            exchange_rps: 20,
        }
    }
}

impl Auth {
    pub(crate) fn is_revoked(&self, _: &GrantRef) -> bool {
        false
    }
}
