//! The authority of a node: what it has made tokens for, and which of them it still knows.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use micronode_client::{Grant, Issuer, Seed};
use micronode_protocol::capability::base64url;
use micronode_protocol::capability::grant::Statement;
use parking_lot::Mutex;

use super::{Reply, Request, answer, problem};

/// The bytes of a grant. No two of the same statement are the same.
pub static GRANT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let statement = Statement {
        audience: "",
        subject: "a runner",
        not_before: 1,
        not_after: 2,
        nonce: [7; 16],
        caveats: vec!["op = get"],
    };
    let issuer = Issuer::from_seed(&Seed::new([1; 32]));
    issuer.grant(&statement).expect("within its caps")
});

pub fn grant() -> Grant {
    Grant::new(&base64url::encode(&GRANT)).expect("a grant")
}

/// See the [module](self).
pub struct Authority {
    known: Mutex<HashSet<String>>,
    exchanges: AtomicUsize,
    life: Duration,
}

impl Authority {
    /// One whose tokens live so long.
    pub fn new(life: Duration) -> Self {
        Authority {
            known: Mutex::default(),
            exchanges: AtomicUsize::new(0),
            life,
        }
    }

    /// A new token, and when it ends in Unix milliseconds.
    pub fn exchange(&self) -> (String, u64) {
        let number = self.exchanges.fetch_add(1, Ordering::Relaxed) + 1;
        let token = token(number);
        self.known.lock().insert(token.clone());
        #[expect(clippy::disallowed_methods, reason = "a node tells dates")]
        let ends = SystemTime::now() + self.life;
        let ends = ends.duration_since(UNIX_EPOCH).expect("after 1970");
        (token, ends.as_millis() as u64)
    }

    /// Forgets all tokens, as a restart does.
    pub fn forget(&self) {
        self.known.lock().clear();
    }

    pub fn knows(&self, token: &str) -> bool {
        self.known.lock().contains(token)
    }

    /// Exchanges so far.
    pub fn exchanges(&self) -> usize {
        self.exchanges.load(Ordering::Relaxed)
    }

    /// What it does over HTTP, to a request that has been read: exchange, refuse, or let it pass.
    pub fn http(&self, request: &Request) -> Option<Reply> {
        let body = request.body.as_ref()?;
        if request.is("POST", "/cap/exchange") {
            assert!(*body == *GRANT);
            assert_eq!(request.header("authorization"), None);
            let (token, ends) = self.exchange();
            return Some(Reply::Send(token_answer(&token, ends)));
        }
        let refused = || Reply::Send(problem(401, "unauthenticated", &[]));
        (!bearer(request).is_some_and(|token| self.knows(token))).then(refused)
    }
}

/// The token of this number.
pub fn token(number: usize) -> String {
    base64url::encode(format!("token {number}").as_bytes())
}

/// The token that a request presents.
pub fn bearer(request: &Request) -> Option<&str> {
    request.header("authorization")?.strip_prefix("Bearer ")
}

pub fn token_answer(token: &str, ends_ms: u64) -> Vec<u8> {
    let ends = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ends_ms));
    let document = format!(r#"{{"token":"{token}","expires_at":"{ends}"}}"#);
    answer(200, &[], document.as_bytes())
}
